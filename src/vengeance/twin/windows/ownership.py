"""Whose the twin's files are, and which directories are closed to ordinary users.

Only what differs is known: everything else was made by an administrator, and lets users read it. In C:\\ProgramData
they may make folders too, which are theirs then. Nothing is kept from anybody by this: programs of the twin run with an
administrator's rights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows

ADMINISTRATORS = "BUILTIN\\Administrators"
# SYSTEM, administrators, and the account by its SID.
_RIGHTS = "O:BAG:{sid}D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{sid})"
# As ProgramData hands them down: users may add to it, and own what they add.
_INHERITED = (
    "O:BAG:SYD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIIOID;FA;;;CO)(A;OICIID;0x1200a9;;;BU)(A;CIID;DCLCRPCR;;;BU)"
)


class Ownership:
    """Whose what is, in one Windows."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._memory = windows.state.section("ownership")
        self._memory.setdefault("owners", {})
        self._memory.setdefault("closed", {})

    def give(self, path: str, account: str) -> None:
        """What lies there is this account's, as if it had made it."""
        self._memory["owners"][path.lower()] = account
        self._windows.state.save()

    def owner(self, path: str) -> str:
        """The account that owns what lies there, with its domain."""
        account = self._memory["owners"].get(path.lower())
        return ADMINISTRATORS if account is None else f"{self._windows.state.hostname}\\{account}"

    def close(self, path: str, account: str) -> None:
        """Let only SYSTEM, administrators and this account in; the directory itself becomes the administrators'."""
        self._memory["owners"].pop(path.lower(), None)
        self._memory["closed"][path.lower()] = account
        self._windows.state.save()

    def closed_for(self, path: str) -> str | None:
        """The account that a directory is closed for, None where it is open to users."""
        if not self._windows.drive.is_directory(path) and self._memory["closed"].pop(path.lower(), None) is not None:
            self._windows.state.save()
        account: str | None = self._memory["closed"].get(path.lower())
        return account

    def sddl(self, path: str) -> str | None:
        """Owner and rights of a directory, None where none is."""
        if not self._windows.drive.is_directory(path):
            return None
        account = self.closed_for(path)
        return _INHERITED if account is None else _RIGHTS.format(sid=self._windows.state.sid(account))
