"""What concerns a whole box, from whichever of its sides: a script of Windows, and what a script takes for the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from vengeance.connectors.output import text_lines
from vengeance.connectors.winrm import WinRMConnector
from vengeance.connectors.wsl import WSLConnector
from vengeance.powershell import JSON, Script, load

if TYPE_CHECKING:
    from vengeance.winrm.client import WinRMClient
    from vengeance.winrm.result import Result


def is_ours(connector: object) -> bool:
    """Whether a connector is one of the two that reach a box."""
    return isinstance(connector, WinRMConnector | WSLConnector)


def read(connector: object, script: str) -> list[str]:
    """Return what a shipped script prints that only reads; of a distro's connector too. Raises OSError."""
    return _printed(script, _client(connector).powershell(load(script), "{}", read_only=True))


def run(connector: object, script: Script) -> list[str]:
    """Run a shipped script on the box, also by a distro's connector, and return what it prints. Raises OSError."""
    said = _client(connector).powershell(load(script.script), script.parameters, secret=script.secret)
    return _printed(script.script, said)


def hold(connector: object, script: str, parameters: Callable[[bool], Mapping[str, JSON]]) -> list[str]:
    """Return what a shipped script prints that takes something for as long as its process lives.

    + parameters: gives them, told whether the script itself has to keep the process from ending

    See ``WinRMClient.hold``. Raises OSError.
    """
    given = _client(connector).hold(load(script), lambda stay: Script(script, parameters(stay)).parameters)
    return _printed(script, given)


def keep(connector: object, script: str, complaint: Callable[[list[str]], str | None]) -> None:
    """Have it taken again whenever it is lost; ``complaint`` says of what the script prints why that was in vain."""
    _client(connector).keep(lambda said: complaint(_printed(script, said)))


def _client(connector: object) -> WinRMClient:
    client = connector.client if isinstance(connector, WinRMConnector | WSLConnector) else None
    if client is None:
        raise OSError("it is not connected")
    return client


def _printed(script: str, said: Result) -> list[str]:
    if said.code != 0:
        raise OSError(f"{script}.ps1 failed: {' '.join(text_lines(said.stderr)) or 'it said nothing'}")
    return text_lines(said.stdout)
