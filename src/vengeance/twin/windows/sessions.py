"""Who is logged on to the twin's Windows: session 0, where services, tasks and WinRM live, and desktops above it."""

from __future__ import annotations

import threading
from collections.abc import Callable

SERVICES = 0
"""The session without a desktop."""


class Sessions:
    """The desktops; every method may be called from any thread.

    at_logon, at_logoff: called with user and session id; at logon after the session is there, at logoff before the
    processes of the session are ended
    """

    def __init__(self, end_processes: Callable[[int], None]) -> None:
        self.at_logon: list[Callable[[str, int], None]] = []
        self.at_logoff: list[Callable[[str, int], None]] = []
        self._end_processes = end_processes
        self._lock = threading.RLock()
        self._desktops: dict[int, str] = {}
        self._last = SERVICES

    @property
    def desktops(self) -> dict[int, str]:
        """Session id -> user, of those who are logged on."""
        with self._lock:
            return dict(self._desktops)

    def session_of(self, user: str) -> int | None:
        """The session of a user's desktop, None when he is not logged on."""
        return next((number for number, name in self.desktops.items() if name.lower() == user.lower()), None)

    def logon(self, user: str) -> int:
        """A person signs in at the screen; returns the session, the one there is when he is logged on already."""
        with self._lock:
            known = self.session_of(user)
            if known is not None:
                return known
            self._last += 1
            session = self._last
            self._desktops[session] = user
        for deed in list(self.at_logon):
            deed(user, session)
        return session

    def logoff(self, user: str) -> int | None:
        """The person signs out: what runs on his desktop ends. Returns the session, None when there was none."""
        session = self.session_of(user)
        if session is None:
            return None
        for deed in list(self.at_logoff):
            deed(user, session)
        self._end_processes(session)
        with self._lock:
            self._desktops.pop(session, None)
        return session

    def forget(self) -> None:
        """Windows restarts: nobody is logged on, and session ids count from the start."""
        with self._lock:
            self._desktops.clear()
            self._last = SERVICES
