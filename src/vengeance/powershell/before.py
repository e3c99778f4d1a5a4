"""The JSON of the scripts that keep what was there before the first change, so that it can be had back."""

from __future__ import annotations

from typing import TypedDict

from vengeance.powershell.windows import Nothing


class Before(TypedDict):
    """Output of Get-Before: name of an entry -> JSON text."""

    entries: dict[str, str]


class SetBeforeInput(TypedDict):
    """Input of Set-Before; what is kept already is not overwritten by ``keep``."""

    keep: dict[str, str]
    forget: list[str]


class BeforeChange(TypedDict):
    """Output of Set-Before: the names of all that was and is kept."""

    changed: bool
    before: list[str]
    after: list[str]
    reboot_required: bool


INPUT: dict[str, type] = {
    "Get-Before": Nothing,
    "Set-Before": SetBeforeInput,
}
"""Script name -> type of its input."""

OUTPUT: dict[str, type] = {
    "Get-Before": Before,
    "Set-Before": BeforeChange,
}
"""Script name -> type of its output."""
