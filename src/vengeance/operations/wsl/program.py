"""wsl.exe and what it knows, as the operations on WSL use it."""

from __future__ import annotations

import json
from contextlib import suppress

from pyinfra import logger
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.context import host

from vengeance.connectors.wsl import WSLConnector
from vengeance.facts.wsl import WSL_EXE, Running, parse_program, wsl_exe
from vengeance.operations.refusal import failed, in_a_sentence
from vengeance.operations.stage import same_machine
from vengeance.powershell.windows import WslInstallation

DOWNLOADS = r"C:\ProgramData\vengeance\downloads"
INSTALLED = 1
"""State of a distribution that is registered and whole (microsoft/WSL, LxssDistributionState)."""


def distributions(found: WslInstallation | None) -> list[str]:
    """Return the names of the account's distributions, without one whose import was cut."""
    return [each["name"] for each in found["distributions"] if each["state"] == INSTALLED] if found else []


def say_outage(found: WslInstallation, why: str) -> None:
    """Warn of what a change will stop, if anything runs now."""
    running = host.get_fact(Running, path=found["path"] or WSL_EXE) if found["path"] and distributions(found) else []
    if running:
        host.log(f"{why}: {', '.join(running)} will be stopped once, with all that runs in it", logger.warning)


@in_a_sentence
def run_wsl(state: State, host: Host, arguments: str) -> bool:
    """Run wsl.exe on a Windows host; its command line holds names that were checked, and nothing else of a user's."""
    succeeded, output = host.run_shell_command(wsl_exe(arguments), _shell_executable="ps")
    if not succeeded:
        return failed(host, f"{host.name} could not run wsl.exe {arguments}: {output.stderr}")
    code, text = parse_program(output.stdout_lines)
    return code == 0 or failed(host, ended_badly(host, arguments, code, text))


def ended_badly(host: Host, arguments: str, code: int | None, text: str) -> str:
    """Return the sentence for a wsl.exe that did not end with 0.

    + code, text: what ``parse_program`` made of its answer
    """
    how = "did not end in time" if code is None else f"ended with {code}"
    return f"wsl.exe {arguments} on {host.name} {how}: {json.dumps(text.strip())}"


def shut_down(state: State, host: Host) -> bool:
    """Stop all distros of the account that signs in, and their virtual machine."""
    return run_wsl(state, host, "--shutdown")


@in_a_sentence
def terminate_distro(state: State, host: Host, distro: str) -> bool:
    """Stop a distro of a Windows host, and have its own connections know of it."""
    if not run_wsl(state, host, f"--terminate {distro}"):
        return False
    for other in list(state.active_hosts):
        connector = other.connector
        if isinstance(connector, WSLConnector) and connector.client is not None and same_machine(host, other):
            connector.client.leave_distro(distro)
    return True


def rejoin(state: State, host: Host) -> bool:
    """Have the connections into the distros of this box notice that what carried them has ended."""
    for other in list(state.active_hosts):
        if other.connected and same_machine(host, other):
            # The first command after that fails, and the next one goes a new way.
            with suppress(OSError):
                other.run_shell_command("true")
    return True
