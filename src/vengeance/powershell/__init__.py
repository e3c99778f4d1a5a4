"""The PowerShell that runs on the box: one file a fact or change, called by name with JSON in and JSON out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypeAlias

from pyinfra.api.command import StringCommand

JSON: TypeAlias = "str | int | float | bool | list[JSON] | Mapping[str, JSON] | None"

_FOLDER = Path(__file__).parent


@cache
def load(name: str) -> str:
    """Return the exact text of a shipped script, with LF line ends.

    + name: file name without ``.ps1``: ``Get-Os``; the agent's parts are ``agent/loader`` and the like

    Raises FileNotFoundError when there is no such script.
    """
    return (_FOLDER / f"{name}.ps1").read_text(encoding="ascii").replace("\r\n", "\n")


def names() -> list[str]:
    """Return the names of all shipped facts and changes, sorted; the agent's own parts are not among them."""
    return sorted(path.stem for path in _FOLDER.glob("*.ps1"))


class Script(StringCommand):
    """A pyinfra command that runs a shipped script on Windows.

    + name: the script's name, as ``load`` takes it
    + parameters: what the script gets as ``-InputJson``
    + secret: what the script gets as ``-Secret``, sent and never shown

    In logs it reads ``Get-Environment {"names":null}``; the connector sends the script's text and the parameters.

    A secret is no part of the JSON: Windows with module logging writes down what ConvertFrom-Json is given (event 4103,
    https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_group_policy_settings).
    """

    def __init__(self, name: str, parameters: Mapping[str, JSON] | None = None, secret: str | None = None) -> None:
        load(name)
        self.script = name
        self.parameters = json.dumps(parameters or {}, separators=(",", ":"))
        self.secret = secret
        super().__init__(name, self.parameters)
