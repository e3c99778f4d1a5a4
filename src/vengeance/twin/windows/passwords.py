"""Whether a password is right, and when it was changed; the passwords themselves are kept elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vengeance.twin.windows.state import to_text

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows


class Passwords:
    """The passwords of the accounts, as those who store one see them.

    check: whether a password is the account's; until somebody sets it, every password is
    """

    def __init__(self, windows: Windows) -> None:
        self.check: Callable[[str, str], bool] = lambda user, password: bool(password)
        self._windows = windows
        self._state: dict[str, Any] = windows.state.section("passwords")

    def edition(self, user: str) -> int:
        """Which password of the account this is: another number after each change."""
        return int(self._state.get(user.lower(), {}).get("edition", 0))

    def set_at(self, user: str) -> str:
        """When it was changed last, as the shipped scripts print a moment."""
        return str(self._state.get(user.lower(), {}).get("set_at") or to_text(self._windows.state.install_date))

    def changed(self, user: str) -> None:
        """The account has another password from now on."""
        self._state[user.lower()] = {
            "edition": self.edition(user) + 1,
            "set_at": to_text(self._windows.clock.now()),
        }
        self._windows.state.save()
