"""Operations for the card in a distro of WSL, and for NVIDIA's CUDA toolkit.

The driver is the one of Windows: /usr/lib/wsl/lib. A Linux driver in the distro hides it, so the packages that bring
one are refused. https://docs.nvidia.com/cuda/wsl-user-guide/
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand, QuoteString, StringCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State, StateStage
from pyinfra.context import host, state
from pyinfra.facts.deb import DebPackages
from pyinfra.operations import apt
from typeguard import TypeCheckError, check_type

from vengeance.box import before as names
from vengeance.box import card_seen, cuda, unit_environment, versions
from vengeance.box import passthrough as links
from vengeance.box.preflight import graphics
from vengeance.connectors.long_command import LongCommand, long_commands
from vengeance.facts.cuda import Nvcc, Passthrough
from vengeance.facts.windows import Gpus
from vengeance.operations import debian
from vengeance.operations.before import kept_inside
from vengeance.operations.refusal import checked, failed, in_a_sentence, refuse, warn_in_a_plan
from vengeance.operations.stage import windows_side


@operation()
def passthrough(driver: str = "0", card: str = "") -> Generator[PyinfraCommand, None, None]:
    """
    Stop the host if the card does not get from Windows into the distro, at the first link that is broken.

    + driver: the lowest version of NVIDIA's driver on Windows, as ``591.86``
    + card: part of the card's name

    The links, in their order: nvidia-smi on Windows, where that side of the box takes part in the run; /dev/dxg; the
    libraries in /usr/lib/wsl/lib; what would hide them; nvidia-smi in the distro. The last one, the environment of a
    unit, is ``visible_to``. Nothing is changed: what is broken is broken on Windows, or was installed by hand.

    **Example:**

    .. code:: python

        cuda.passthrough(name="The card is there", driver="591.86", card="RTX 4090")
    """
    if not versions.numbers(driver):
        raise OperationValueError(f"{driver!r} is no version of a driver: it is written as 591.86.")
    windows = windows_side(host)
    seen_there: Mapping[str, object] | None = None if windows is None else windows.get_fact(Gpus)
    if windows is None or seen_there is None:
        host.log(f"{host.name}: its Windows takes no part in this run, so nvidia-smi is not asked there")
        gpus: Mapping[str, object] = {"gpus": [], "failure": None}
    else:
        gpus = seen_there
        problems = graphics(gpus["gpus"], gpus["failure"], card, driver)  # type: ignore[arg-type]
        if problems:
            yield _broken(f"{windows.name}: {problems[0]} Then, on Windows: wsl --shutdown.")
            return
    found = host.get_fact(Passthrough)
    if found is None:
        host.noop("the card is looked for when the distro is there")
        return
    broken = links.broken_link(found)
    if broken is not None:
        yield _broken(broken)
        return
    old = links.renewed(found, gpus["gpus"])  # type: ignore[arg-type]
    if old is not None:
        host.log(old, logger.warning)
    seen = found["cards"][0]
    used, total = seen["memory_used_mib"], seen["memory_mib"]
    host.noop(f"{seen['name']}, driver {seen['driver_version']}, {used} of {total} MiB taken")


def _broken(sentence: str) -> PyinfraCommand:
    full = f"The card of Windows does not reach {host.name}: {sentence}"
    warn_in_a_plan(full)
    return refuse(full)


@operation()
def visible_to(unit: str, path: str, card: str = "", device: str = "cuda") -> Generator[PyinfraCommand, None, None]:
    """
    Stop the host if the program of an installed unit would not see the card; nothing is changed.

    + unit: name of the unit
    + path: folder of the Python environment that the unit's program is from
    + card: part of the card's name
    + device: ``cuda``, or ``cpu`` for a server that is to run on the processor: then torch is not asked, and what is
      seen of the card is said and counts for nothing

    The links outside of it are looked at first, as in ``passthrough``. Then systemd starts a few lines of Python with
    the settings that the unit and its drop-ins have now (user, environment, sandbox): a unit that hides /dev/dxg or
    /usr/lib/wsl leaves a server that runs on the processor and says nothing (nixpkgs#363357). Asked only when the
    deploy runs: in a plan the unit may not be there yet.

    **Example:**

    .. code:: python

        cuda.visible_to(name="The server sees the card", unit="vllm-llama-3.1-8b.service", path="/home/steam/vllm-env")
    """
    if device not in ("cuda", "cpu"):
        raise OperationValueError(f"A server runs on 'cuda' or 'cpu', not on {device!r}.")
    if state.current_stage != StateStage.Execute:
        host.noop(f"what {unit} sees of the card is asked when the deploy runs")
        return
    outside = host.get_fact(Passthrough)
    broken = links.broken_link(outside) if outside is not None and device == "cuda" else None
    if broken is not None:
        yield _broken(broken)
        return
    try:
        seen = look(host, unit, path, device)
    except OSError as error:
        seen = f"{host.name}: {error}"
    if isinstance(seen, str):
        yield refuse(seen)
        return
    problem = card_seen.failure(seen, unit, card, device)
    if problem is not None:
        yield refuse(f"{host.name}: {problem}")
        return
    if device == "cpu":
        host.log(
            f"{unit} is to run on the processor (vllm_device), so torch is not asked about the card", logger.warning
        )
    host.noop(f"in the environment of {unit}: {card_seen.summary(seen)}")


def look(host: Host, unit: str, path: str, device: str = "cuda") -> card_seen.Seen | str:
    """Start the few lines of Python as the unit's program would be; return what they saw, or why they could not.

    + unit: name of an installed unit
    + path: folder of the Python environment
    + device: ``cuda`` asks torch, too
    """
    good, output = host.run_shell_command(StringCommand("systemctl cat --no-pager --", QuoteString(unit)))
    if not good:
        return f"{host.name} has no unit {unit}: {output.stderr.strip()}. deploys/vllm.py installs it."
    try:
        settings = unit_environment.settings(output.stdout)
    except ValueError as error:
        return f"{host.name}: {unit} cannot be read: {error}"
    program = [f"{path}/bin/python", "-c", card_seen.PROGRAM, device]
    words = [QuoteString(word) for word in (*unit_environment.run_arguments(settings), "--", *program)]
    # Importing torch reads some 100 MB, which takes its time after a start of the distro.
    good, output = host.run_shell_command(LongCommand("timeout 300", *words))
    line = next((each for each in reversed(output.stdout_lines) if each.startswith("seen ")), None)
    if line is None:
        why = unit_environment.why_not_started(output.stderr)
        return f"{host.name}: nothing can be started in the environment of {unit}: {why}"
    try:
        return check_type(json.loads(line.removeprefix("seen ")), card_seen.Seen)
    except (ValueError, TypeCheckError) as error:
        return f"{host.name}: what was started in the environment of {unit} printed {line[:200]!r}: {error}"


@operation()
def keyring(src: str = cuda.KEYRING_URL) -> Generator[PyinfraCommand, None, None]:
    """
    Install NVIDIA's keyring package, which brings the package source for WSL and its key.

    + src: address of the package

    **Example:**

    .. code:: python

        cuda.keyring(name="Know NVIDIA's packages for WSL")
    """
    if not src.startswith("https://"):
        raise OperationValueError(f"The keyring is what packages are trusted by: take it from https, not from {src!r}.")
    if cuda.KEYRING_PACKAGE in host.get_fact(DebPackages):
        host.noop(f"package {cuda.KEYRING_PACKAGE} is installed")
        return
    host.log(f"package {cuda.KEYRING_PACKAGE}: (not installed) -> installed from {src}")
    yield from kept_inside({names.package(cuda.KEYRING_PACKAGE): None})
    yield debian.finish_interrupted()
    yield from long_commands(apt.deb._inner(src=src))


@operation()
def toolkit(version: str, packages: list[str] | None = None) -> Generator[PyinfraCommand, None, None]:
    """
    Install one version of the CUDA toolkit, without a driver.

    + version: as ``12-4`` or ``12.4``
    + packages: further packages, such as ``libcudnn9-cuda-12``; those that break the GPU in WSL are refused

    A distro in which such a package is installed already is refused too. A toolkit that is installed without its nvcc
    is installed again.

    **Example:**

    .. code:: python

        cuda.toolkit(name="Install the CUDA toolkit", version="12-4")
    """
    wanted = [checked(lambda: cuda.toolkit_package(version)), *(packages or [])]
    for package, reason in cuda.breakers(wanted).items():
        raise OperationValueError(f"{package} does not belong into WSL: {reason}. Leave it out.")
    present = host.get_fact(DebPackages)
    broken = cuda.breakers(present)
    if broken:
        reasons = "; ".join(f"{package}: {reason}" for package, reason in broken.items())
        yield refuse(
            f"{host.name} has packages that break the GPU in WSL ({reasons}). Remove them in the distro: "
            f"{cuda.purge(broken)}"
        )
        return
    if wanted[0] in present and host.get_fact(Nvcc) is None:
        again = cuda.compiler_packages(version, present)
        host.log(f"{links.NVCC}: (missing, though {wanted[0]} is installed) -> {' '.join(again)} installed again")
        yield debian.finish_interrupted()
        yield from long_commands(apt.update._inner())
        options = "-y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
        words = [QuoteString(package) for package in again]
        yield LongCommand("DEBIAN_FRONTEND=noninteractive apt-get", options, "install --reinstall", *words)
        yield FunctionCommand(prove_nvcc, [], {})
    yield from debian.packages._inner(packages=wanted)


@in_a_sentence
def prove_nvcc(state: State, host: Host) -> bool:
    """Tell whether the host has nvcc where programs look for it, and say what to do if not."""
    good, output = host.run_shell_command(StringCommand(links.NVCC, "--version"))
    return good or failed(
        host,
        f"{host.name} has no {links.NVCC} that can be started ({output.stderr.strip()}). In the distro: "
        "update-alternatives --display cuda; update-alternatives --auto cuda",
    )
