"""Operations on WSL: the ones named for it run on the Windows host, the others on the distro itself."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Generator, Mapping
from contextlib import suppress

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.host import Host
from pyinfra.api.operation import OperationMeta, operation
from pyinfra.api.state import State
from pyinfra.context import host
from pyinfra.operations import files

from vengeance.box import wsl_conf
from vengeance.facts.windows import parse
from vengeance.facts.wsl import Installation, Instance
from vengeance.operations.refusal import refuse
from vengeance.powershell import Script, windows

_DISTRO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
OLDEST_WSL = (2, 0, 0)
"""The first that can be used from a connection without a desktop (microsoft/WSL release notes 2.0.0, WSL#9231)."""


def check_distro(distro: str) -> None:
    """Check the name of a distribution: wsl.exe does not take quotes off it, so it can have no blanks.

    Raises OperationValueError with a sentence.
    """
    if not _DISTRO.fullmatch(distro):
        raise OperationValueError(
            f"{distro!r} is no name of a WSL distribution: it has letters, digits, '.', '-' and '_', as Ubuntu-24.04."
        )


def parse_version(version: str) -> tuple[int, ...]:
    """Return the numbers of a version such as ``2.6.1.0``."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


@operation()
def installed(distro: str) -> Generator[PyinfraCommand, None, None]:
    """
    Stop a Windows host whose WSL is absent or too old, or that has no such distribution.

    + distro: name of the distribution, registered for the account that the connection signs in as

    **Example:**

    .. code:: python

        wsl.installed(name="WSL and Ubuntu are there", distro="Ubuntu-24.04")
    """
    check_distro(distro)
    found = host.get_fact(Installation)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    version, names = found["version"], [each["name"] for each in found["distributions"]]
    if version is None:
        yield refuse(
            f"{host.name} has no WSL from its package. At the box, as administrator: wsl --install --no-distribution, "
            "then restart Windows."
        )
    elif parse_version(version) < OLDEST_WSL:
        yield refuse(f"{host.name} has WSL {version}, and 2.0.0 is the oldest that will do. At the box: wsl --update")
    elif distro not in names:
        others = f"it has {', '.join(names)}" if names else "it has none"
        yield refuse(
            f"{host.name} has no WSL distribution {distro} for the user of this connection ({others}; a distribution "
            f"belongs to one Windows user). Signed in as that user: wsl --install {distro} --no-launch"
        )
    else:
        host.noop(f"WSL {version} with {distro} is installed")


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
    found = windows_host.get_fact(Installation)
    if found is None or found["path"] is None:
        host.log_styled(f"{windows_host.name} has no wsl.exe to stop {distro} with.", log_func=logger.error, fg="red")
        return False
    command = Script(
        "Invoke-Program",
        {
            "file": found["path"],
            "arguments": f"--terminate {distro}",
            "stdin": None,
            "cwd": None,
            "env": {"WSL_UTF8": "1", "WSL_DISABLE_WARNINGS": "1"},
            "timeout": 120,
        },
    )
    succeeded, output = windows_host.run_shell_command(command, _shell_executable="ps")
    if not succeeded:
        host.log_styled(
            f"{windows_host.name} could not run wsl.exe --terminate {distro}: {output.stderr}",
            log_func=logger.error,
            fg="red",
        )
        return False
    result = parse("Invoke-Program", output.stdout_lines, windows.ProgramResult)
    if result["rc"] != 0:
        said = base64.b64decode(result["stdout"]).decode(errors="replace").strip()
        host.log_styled(
            f"wsl.exe --terminate {distro} on {windows_host.name} ended with {result['rc']}: {json.dumps(said)}",
            log_func=logger.error,
            fg="red",
        )
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
