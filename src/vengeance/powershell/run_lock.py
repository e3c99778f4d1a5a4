"""The JSON of the scripts about which run has the box to itself."""

from __future__ import annotations

from typing import TypedDict

from vengeance.powershell.windows import Nothing


class Holder(TypedDict):
    """The run that has the box: its own text, and the process of the box that holds it; 0 when it cannot be read."""

    owner: str
    pid: int


class RunLock(TypedDict):
    """Output of Get-RunLock; None when nobody has the box."""

    holder: Holder | None


class SetRunLockInput(TypedDict):
    """Input of Set-RunLock; ``instead_of`` is the process of a holder that is ended for it, 0 is none."""

    owner: str
    instead_of: int
    stay: bool


class RunLockChange(TypedDict):
    """Output of Set-RunLock; it was refused when ``after`` has another owner."""

    changed: bool
    before: Holder | None
    after: Holder
    reboot_required: bool


INPUT: dict[str, type] = {"Get-RunLock": Nothing, "Set-RunLock": SetRunLockInput}
"""Script name -> type of its input."""

OUTPUT: dict[str, type] = {"Get-RunLock": RunLock, "Set-RunLock": RunLockChange}
"""Script name -> type of its output."""
