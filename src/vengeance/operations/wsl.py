"""Operations on WSL. ``user``, ``conf`` and ``instance`` run on the distro itself, all others on its Windows host."""

from __future__ import annotations

import json
import ntpath
import re
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from jinja2 import Environment, StrictUndefined
from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.host import Host
from pyinfra.api.operation import OperationMeta, operation
from pyinfra.api.state import State
from pyinfra.context import host, state
from pyinfra.operations import files, server

from vengeance.box import downloads, installers, windows_paths, wsl_conf, wslconfig
from vengeance.facts.windows import Feature, File
from vengeance.facts.wsl import (
    WSL_EXE,
    Configuration,
    Installation,
    Instance,
    Machine,
    Running,
    parse_program,
    wsl_exe,
)
from vengeance.operations import windows
from vengeance.operations.refusal import refuse
from vengeance.operations.stage import same_machine
from vengeance.operations.vllm import USER
from vengeance.operations.work import name_of, run_work
from vengeance.powershell import Script
from vengeance.powershell.windows import WslInstallation
from vengeance.secret import Secret

_DISTRO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_INSTALLED = 1
OLDEST_WSL = (2, 5, 4)
"""The first with [general] instanceIdleTimeout (microsoft/WSL release notes 2.5.4); 2.0.0 was the first that can be
used from a connection without a desktop (WSL#9231)."""
FEATURE = "VirtualMachinePlatform"
"""All that WSL 2 needs of Windows; Microsoft-Windows-Subsystem-Linux is for WSL 1."""
DOWNLOADS = r"C:\ProgramData\vengeance\downloads"
_START_SECONDS = 60.0


def check_distro(distro: str) -> None:
    """Check the name of a distribution: wsl.exe does not take quotes off it, so it can have no blanks.

    Raises OperationValueError with a sentence.
    """
    if not _DISTRO.fullmatch(distro):
        raise OperationValueError(
            f"{distro!r} is no name of a WSL distribution: it has letters, digits, '.', '-' and '_', as Ubuntu-24.04."
        )


def check_user(user: str) -> None:
    """Check the name of a Linux user by useradd's rules. Raises OperationValueError with a sentence."""
    if not USER.fullmatch(user) or len(user) > 32:
        raise OperationValueError(
            f"{user!r} is no name of a Linux user: it begins with a small letter and has small letters, digits, '-' "
            "and '_', at most 32, as steam."
        )


def check_package(version: str, url: str, sha256: str, product_code: str) -> None:
    """Check what WSL's package is named by. Raises OperationValueError with a sentence."""
    if not re.fullmatch(r"\d+\.\d+\.\d+(\.\d+)?", version):
        raise OperationValueError(f"{version!r} is no version of WSL: it has three or four numbers, as 2.7.11.")
    if parse_version(version) < OLDEST_WSL:
        oldest = ".".join(map(str, OLDEST_WSL))
        raise OperationValueError(f"WSL {version} cannot keep a distro up: {oldest} is the oldest that will do.")
    check_download(url, sha256)
    if not url.lower().endswith(".msi"):
        raise OperationValueError(f"{url!r} is no MSI: WSL is installed from the wsl.<version>.x64.msi of a release.")
    _checked(lambda: installers.check_product_code(product_code))


def check_download(url: str, sha256: str) -> None:
    """Check the address of a file and its hash. Raises OperationValueError with a sentence."""
    _checked(lambda: downloads.check_url(url))
    if not Path(urlsplit(url).path).name:
        raise OperationValueError(f"{url!r} is no address of a file: it ends with the file's name.")
    _checked(lambda: downloads.check_sha256(sha256))


def check_folder(path: str) -> None:
    """Check the full path of a folder that is named to wsl.exe. Raises OperationValueError with a sentence."""
    _checked(lambda: windows_paths.check_file(path))
    if "%" in path:
        raise OperationValueError(f"{path!r} has a variable in it: write the path that it means.")


def _checked(check: Callable[[], object]) -> None:
    try:
        check()
    except ValueError as error:
        raise OperationValueError(str(error)) from None


def check_settings(settings: Mapping[str, Mapping[str, wslconfig.Value]]) -> None:
    """Check the settings of .wslconfig. Raises OperationValueError with a sentence."""
    _checked(lambda: wslconfig.check(settings))


def parse_version(version: str) -> tuple[int, ...]:
    """Return the first three numbers of a version such as ``2.7.11.0``."""
    return tuple(int(part) for part in re.findall(r"\d+", version))[:3]


def _names(found: WslInstallation | None) -> list[str]:
    return [each["name"] for each in found["distributions"] if each["state"] == _INSTALLED] if found else []


def _say_outage(found: WslInstallation, why: str) -> None:
    running = host.get_fact(Running, path=found["path"] or WSL_EXE) if found["path"] and _names(found) else []
    if running:
        host.log(f"{why}: {', '.join(running)} will be stopped once, with all that runs in it", logger.warning)


@operation()
def installed(
    version: str,
    url: str,
    sha256: str,
    product_code: str,
    folder: str = DOWNLOADS,
    proxy: str | None = None,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have WSL installed from its package, in this version.

    + version: as 2.7.11
    + url: of the MSI
    + sha256: of the MSI
    + product_code: of the MSI, by which Windows knows it
    + folder: on the box, for the download
    + proxy: that the box downloads through

    Not ``wsl --install``: without VirtualMachinePlatform it ends well and installs nothing, and it takes what is
    newest. The package needs no feature itself, but no distro starts without, so it is asked for first. SKIPMSIX=1
    leaves the Store's part out, which fails where nobody is logged on and updates itself while distros run (WSL#10906,
    #13138). An update stops every distro. A newer version that is there stays.

    **Example:**

    .. code:: python

        wsl.installed(
            name="WSL 2.7.11",
            version="2.7.11",
            url="https://github.com/microsoft/WSL/releases/download/2.7.11/wsl.2.7.11.0.x64.msi",
            sha256="a611ddacee689d2fb1fb5319e58af7f3998864d86cdce632eadd8e61614a0f9d",
            product_code="{497CB23D-8747-4047-A079-DD98E0EDFC18}",
        )
    """
    check_package(version, url, sha256, product_code)
    check_folder(folder)
    found = host.get_fact(Installation)
    feature = host.get_fact(Feature, feature=FEATURE)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    there = found["version"]
    if feature != "Enabled":
        yield refuse(
            f"The Windows feature {FEATURE} of {host.name} is {feature or 'not known there'}, and without it WSL "
            "starts no distro. deploys/windows.py enables it and restarts Windows; by hand, as administrator: "
            f"Enable-WindowsOptionalFeature -Online -FeatureName {FEATURE} -NoRestart, then restart Windows."
        )
        return
    if there is not None and parse_version(there) >= parse_version(version):
        if parse_version(there) > parse_version(version):
            host.log(f"WSL {there} is newer than {version} and stays: pin it as wsl_version", logger.warning)
        host.noop(f"WSL {there} is installed")
        return
    if there is not None:
        _say_outage(found, f"WSL {there} -> {version}")
    package = ntpath.join(folder, Path(urlsplit(url).path).name)
    yield from windows.download._inner(url=url, dest=package, sha256=sha256, proxy=proxy)
    yield from windows.msi._inner(
        path=package, product_code=product_code, version=version, properties={"SKIPMSIX": "1"}
    )
    if there is not None:
        yield FunctionCommand(rejoin, [], {})


@operation()
def config(
    settings: dict[str, dict[str, wslconfig.Value]],
    distro: str | None = None,
    template: str = "templates/wslconfig.j2",
) -> Generator[PyinfraCommand, None, None]:
    """
    Write the .wslconfig of the account that signs in, whole, and have WSL's virtual machine started with it.

    + settings: section -> key -> value; names, types and values are checked
    + distro: in which memory, swap and processors are looked at when it is there
    + template: Jinja template, relative to the folder that pyinfra runs in

    A change stops every distro of the account once; what keeps them up starts them again. WSL passes over what it does
    not understand, so the effect is looked at inside. https://learn.microsoft.com/windows/wsl/wsl-config#wslconfig

    **Example:**

    .. code:: python

        wsl.config(
            name="Settings of WSL's virtual machine",
            settings={"general": {"instanceIdleTimeout": -1}, "wsl2": {"memory": "24GB", "vmIdleTimeout": -1}},
            distro="Ubuntu-24.04",
        )
    """
    check_settings(settings)
    if distro is not None:
        check_distro(distro)
    wanted = _rendered(template, settings)
    found, there = host.get_fact(Installation), host.get_fact(Configuration)
    if found is None or there is None:
        return  # it could not be read: pyinfra has said so and failed the host
    inside = distro if distro in _names(found) else None
    if there["text"] != wanted:
        _say_outage(found, "a new .wslconfig")
        yield Script("Set-WslConfiguration", {"text": wanted, "shutdown": True})
        if inside is not None:
            yield FunctionCommand(check_machine, [inside, settings], {})
        return
    if inside is not None and (wrong := _misfits(host, inside, found["path"] or WSL_EXE, settings)):
        _say_outage(found, f"the virtual machine does not run with .wslconfig ({', '.join(wrong)})")
        yield FunctionCommand(shut_down, [], {})
        yield FunctionCommand(check_machine, [inside, settings], {})
        return
    host.noop(".wslconfig is as it should be" + (", and it shows inside" if inside is not None else ""))


def _rendered(template: str, settings: Mapping[str, Mapping[str, wslconfig.Value]]) -> str:
    source = (Path(state.cwd or ".") / template).read_text(encoding="utf-8")
    jinja = Environment(  # noqa: S701 (no HTML)
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return jinja.from_string(source).render(settings=wslconfig.texts(settings))


def _misfits(host: Host, distro: str, path: str, settings: Mapping[str, Mapping[str, wslconfig.Value]]) -> list[str]:
    machine = host.get_fact(Machine, distro=distro, path=path)
    return [f"{distro} does not start"] if machine is None else wslconfig.misfits(machine, settings)


def rejoin(state: State, host: Host) -> bool:
    """Have the connections into the distros of this box notice that what carried them has ended."""
    for other in list(state.active_hosts):
        if other.connected and same_machine(host, other):
            # The first command after that fails, and the next one goes a new way.
            with suppress(OSError):
                other.run_shell_command("true")
    return True


def shut_down(state: State, host: Host) -> bool:
    """Stop all distros of the account that signs in, and their virtual machine."""
    return run_wsl(state, host, "--shutdown")


def check_machine(state: State, host: Host, distro: str, settings: dict[str, dict[str, wslconfig.Value]]) -> bool:
    """Start a distro again, and compare what it sees of the virtual machine with .wslconfig."""
    rejoin(state, host)
    wrong = _misfits(host, distro, WSL_EXE, settings)
    if not wrong:
        return True
    host.log_styled(
        f"{host.name}: WSL's virtual machine was started with .wslconfig, and in {distro} {'; '.join(wrong)}. WSL "
        f"passes over what it does not understand; at the box, this says what: wsl.exe -d {distro} --exec true",
        log_func=logger.error,
        fg="red",
    )
    return False


@operation()
def machine(settings: dict[str, dict[str, wslconfig.Value]], distro: str) -> Generator[PyinfraCommand, None, None]:
    """
    Have WSL's virtual machine run with the memory, swap and processors of .wslconfig; looked at from inside.

    + settings: those of ``wsl.config``
    + distro: in which it is looked at; it is started

    A machine that was started without them is shut down once, and with it every distro of the account.

    **Example:**

    .. code:: python

        wsl.machine(name="The virtual machine has 24 GB", settings={"wsl2": {"memory": "24GB"}}, distro="Ubuntu-24.04")
    """
    check_settings(settings)
    check_distro(distro)
    found = host.get_fact(Installation)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    if distro not in _names(found):
        yield refuse(f"{host.name} has no distribution {distro} to look into: deploys/wsl.py imports it.")
        return
    wrong = _misfits(host, distro, found["path"] or WSL_EXE, settings)
    if not wrong:
        host.noop(f"the virtual machine has what .wslconfig gives it, seen in {distro}")
        return
    _say_outage(found, f"the virtual machine does not run with .wslconfig ({', '.join(wrong)})")
    yield FunctionCommand(shut_down, [], {})
    yield FunctionCommand(check_machine, [distro, settings], {})


@operation()
def distro(
    distro: str,
    image_url: str,
    image_sha256: str,
    path: str,
    folder: str = DOWNLOADS,
    proxy: str | None = None,
    timeout: int = 1800,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have a distribution, imported from an image that the box downloads. One that is there stays as it is.

    + distro: name of the distribution
    + image_url: of a .wsl file or a root filesystem archive
    + image_sha256: of the image
    + path: full path of the folder for its disk
    + folder: on the box, for the download
    + proxy: that the box downloads through
    + timeout: seconds that the import may take

    It belongs to the account that signs in, and to no other. Its user is root until ``wsl.conf`` names another.
    https://learn.microsoft.com/windows/wsl/build-custom-distro

    **Example:**

    .. code:: python

        wsl.distro(
            name="Ubuntu 24.04",
            distro="Ubuntu-24.04",
            image_url="https://releases.ubuntu.com/24.04.4/ubuntu-24.04.4-wsl-amd64.wsl",
            image_sha256="9b2f7730dc68227dd04a9f3e5eab86ad85caf556b8606ad94f1f29ff5c4fd3f5",
            path="C:\\\\WSL\\\\Ubuntu-24.04",
        )
    """
    check_distro(distro)
    check_download(image_url, image_sha256)
    for each in (path, folder):
        check_folder(each)
    found = host.get_fact(Installation)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    half = [each["name"] for each in found["distributions"] if each["state"] != _INSTALLED]
    if distro in _names(found):
        host.noop(f"the distribution {distro} is there")
        return
    if distro in half:
        yield refuse(
            f"{host.name} has {distro} registered, but not installed: an import was cut. Nothing of use is in it; at "
            f"the box: wsl.exe --unregister {distro}"
        )
        return
    disk = host.get_fact(File, path=ntpath.join(path, "ext4.vhdx"))
    if disk is not None and disk["exists"]:
        yield refuse(
            f"{host.name} has a disk in {path} already, of a distribution that is not registered for this account. To "
            rf"have it back: wsl.exe --import-in-place {distro} {path}\ext4.vhdx. To start anew, move it away or give "
            "another distro_path."
        )
        return
    image = ntpath.join(folder, Path(urlsplit(image_url).path).name)
    yield from windows.download._inner(url=image_url, dest=image, sha256=image_sha256, proxy=proxy)
    yield run_work(
        name_of(f"import-{distro}", path, image_sha256),
        "Import-Distribution",
        {"distribution": distro, "image": image, "path": path},
        say=lambda progress: f"{distro} is being imported: its disk has {progress.get('bytes', 0) / 1e6:.0f} MB",
        timeout=timeout,
    )
    yield FunctionCommand(check_registered, [distro], {})


def check_registered(state: State, host: Host, distro: str) -> bool:
    """See that a distribution is registered, in the registry and not by what wsl.exe says."""
    if distro in _names(host.get_fact(Installation)):
        return True
    host.log_styled(
        f"{host.name}: {distro} was imported and is not registered for the account that signs in. Look with: "
        f"wsl.exe --list --verbose",
        log_func=logger.error,
        fg="red",
    )
    return False


@operation()
def keepalive(
    distro: str,
    logon: Literal["s4u", "password"] = "password",
    password: Secret | None = None,
    task: str | None = None,
) -> Generator[PyinfraCommand, None, None]:
    """
    Keep a distribution up, from the boot on and with nobody logged on.

    + distro: name of the distribution
    + logon: how the task signs in, as in ``windows.scheduled_task``
    + password: of the account; None takes the connection's own
    + task: name of the task; None is ``wsl `` and the distro's name

    systemd's services do not keep a distro alive: WSL stops it 15 seconds after the last program of Windows that uses
    it (https://learn.microsoft.com/windows/wsl/systemd). A task in session 0 uses it for ever, and as the first that
    touches WSL after the boot it keeps a logoff from ending the virtual machine (microsoft/WSL,
    LxssUserSessionFactory.cpp).

    **Example:**

    .. code:: python

        wsl.keepalive(name="The distro stays up", distro="Ubuntu-24.04", logon="password")
    """
    check_distro(distro)
    if logon not in ("s4u", "password"):
        raise OperationValueError(
            f"logon is 's4u' or 'password', not {logon!r}: a distro that is kept up waits for nobody to log on."
        )
    found = host.get_fact(Installation)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    path = found["path"] or WSL_EXE
    commands = list(
        windows.scheduled_task._inner(
            task=task or f"wsl {distro}",
            command=path,
            arguments=f"-d {distro} -u root --cd / --exec /usr/bin/sleep infinity",
            logon=logon,
            password=password,
            trigger="boot",
            highest=True,
            time_limit="PT0S",
            running=True,
            description=f"Keeps the WSL distribution {distro} up. Made by vengeance.",
        )
    )
    yield from commands
    if commands:
        yield FunctionCommand(check_running, [distro], {})


def check_running(state: State, host: Host, distro: str) -> bool:
    """Wait until a distribution runs."""
    deadline = time.monotonic() + _START_SECONDS
    while distro not in host.get_fact(Running):
        if time.monotonic() > deadline:
            host.log_styled(
                f"{host.name}: the task that keeps {distro} up was started, and {distro} does not run after "
                f"{_START_SECONDS:.0f} s. At the box: wsl.exe -d {distro} --exec true says why.",
                log_func=logger.error,
                fg="red",
            )
            return False
        time.sleep(1)
    return True


@operation()
def terminated(distro: str) -> Generator[PyinfraCommand, None, None]:
    """
    Have a distribution not running.

    + distro: name of the distribution

    All that runs in it ends, what keeps it up too; a task that starts that again starts the distro again.

    **Example:**

    .. code:: python

        wsl.terminated(name="The distro is off", distro="Ubuntu-24.04")
    """
    check_distro(distro)
    found = host.get_fact(Installation)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    if distro not in _names(found):
        host.noop(f"there is no distribution {distro}")
    elif distro not in host.get_fact(Running, path=found["path"] or WSL_EXE):
        host.noop(f"{distro} does not run")
    else:
        yield FunctionCommand(run_wsl, [f"--terminate {distro}"], {})


@operation(is_idempotent=False)
def restarted(distro: str) -> Generator[PyinfraCommand, None, None]:
    """
    Stop a distribution and start it again.

    + distro: name of the distribution

    What keeps it up ends with it: declare ``wsl.keepalive`` behind this.

    **Example:**

    .. code:: python

        wsl.restarted(name="Start the distro again", distro="Ubuntu-24.04")
    """
    check_distro(distro)
    found = host.get_fact(Installation)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    if found["path"] is not None and distro not in _names(found):
        yield refuse(f"{host.name} has no distribution {distro} to start again.")
        return
    yield FunctionCommand(run_wsl, [f"--terminate {distro}"], {})
    yield FunctionCommand(run_wsl, [f"-d {distro} -u root --cd / --exec /bin/true"], {})


def run_wsl(state: State, host: Host, arguments: str) -> bool:
    """Run wsl.exe on a Windows host; its command line holds names that were checked, and nothing else of a user's."""
    succeeded, output = host.run_shell_command(wsl_exe(arguments), _shell_executable="ps")
    if not succeeded:
        host.log_styled(
            f"{host.name} could not run wsl.exe {arguments}: {output.stderr}", log_func=logger.error, fg="red"
        )
        return False
    code, text = parse_program(output.stdout_lines)
    if code != 0:
        host.log_styled(
            f"wsl.exe {arguments} on {host.name} ended with {code}: {json.dumps(text.strip())}",
            log_func=logger.error,
            fg="red",
        )
    return code == 0


@operation()
def user(user: str, shell: str = "/bin/bash", groups: list[str] | None = None) -> Generator[PyinfraCommand, None, None]:
    """
    Have a Linux user in a distro, with a home folder.

    + user: name
    + shell: full path of the login shell
    + groups: further groups; None leaves them alone

    No first-run questions and no cloud-init: those need a person, or programs of Windows from inside the distro. That
    programs run as this user when none is named is ``[user] default`` of ``wsl.conf``.

    **Example:**

    .. code:: python

        wsl.user(name="The user of the server", user="steam")
        wsl.conf(name="Settings of the distro", settings={"user": {"default": "steam"}})
    """
    check_user(user)
    yield from server.user._inner(user=user, shell=shell, groups=groups, ensure_home=True)


@operation()
def conf(
    settings: dict[str, dict[str, wsl_conf.Value]], template: str = "templates/wsl.conf.j2"
) -> Generator[PyinfraCommand, None, None]:
    """
    Write /etc/wsl.conf of a distro, whole.

    + settings: section -> key -> value; names and types are checked
    + template: Jinja template, relative to the folder that pyinfra runs in

    The file is the declared state: what others wrote there goes, so every setting stands in the group data. It takes
    effect when the distro starts the next time: see ``wsl.instance``.

    **Example:**

    .. code:: python

        wsl.conf(
            name="Run systemd in the distro",
            settings={"boot": {"systemd": True}, "user": {"default": "steam"}},
        )
    """
    try:
        wsl_conf.check(settings)
    except ValueError as error:
        raise OperationValueError(str(error)) from None
    yield from files.template._inner(
        src=template,
        dest="/etc/wsl.conf",
        user="root",
        group="root",
        mode="644",
        jinja_env_kwargs={"trim_blocks": True, "lstrip_blocks": True},
        settings={section: _texts(values) for section, values in settings.items()},
    )


def _texts(values: Mapping[str, wsl_conf.Value]) -> dict[str, str]:
    return {key: wsl_conf.text_of(value) for key, value in values.items()}


def changes(meta: OperationMeta | None) -> bool:
    """Tell whether an operation changed something, or would in a plan."""
    if meta is None:
        return False
    return meta.did_change() if meta.is_complete() else meta.will_change


@operation()
def instance(systemd: bool = True, conf: OperationMeta | None = None) -> Generator[PyinfraCommand, None, None]:
    """
    Make the running distro one that was started with the settings that /etc/wsl.conf has now.

    + systemd: whether systemd should be process 1
    + conf: what ``wsl.conf`` returned; if it changed the file, the distro is stopped and started again

    Everything that runs in the distro is stopped by this. The file is read when the instance starts:
    https://learn.microsoft.com/windows/wsl/wsl-config#the-8-second-rule-for-configuration-changes

    **Example:**

    .. code:: python

        written = wsl.conf(name="Run systemd in the distro", settings={"boot": {"systemd": True}})
        wsl.instance(name="Start the distro with these settings", systemd=True, conf=written)
    """
    found = host.get_fact(Instance)
    # A deploy that was cut after it wrote the file leaves an instance that does not have it yet.
    right = found is not None and found["systemd"] == systemd and not found["outdated"]
    if right and not changes(conf):
        host.noop("the distro runs with the settings of /etc/wsl.conf")
        return
    yield FunctionCommand(terminate, [], {})
    yield FunctionCommand(check_systemd, [systemd], {})


def terminate(state: State, host: Host) -> bool:
    """Stop the distro of a @wsl host with ``wsl.exe --terminate``, run by its Windows host."""
    distro = str(host.data.wsl_distro)
    check_distro(distro)
    windows_host = state.inventory.get_host(f"@winrm/{host.data.wsl_host}")
    if not run_wsl(state, windows_host, f"--terminate {distro}"):
        return False
    # What carried our commands into the distro ended with it, which the connection learns from the next command.
    with suppress(OSError):
        host.run_shell_command("true")
    return True


def check_systemd(state: State, host: Host, systemd: bool) -> bool:
    """Start the distro by reading its process 1, and compare that with what it should be."""
    found = host.get_fact(Instance)
    if found is None:
        return False  # it could not be read: pyinfra has said so
    if found["systemd"] == systemd:
        return True
    host.log_styled(
        f"{host.name} was started again and its process 1 is {found['init']}, not what "
        f"[boot] systemd={str(systemd).lower()} in /etc/wsl.conf asks for. "
        "Look at the start with: wsl.exe -d DISTRO --exec journalctl -b",
        log_func=logger.error,
        fg="red",
    )
    return False
