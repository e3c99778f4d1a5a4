"""The named piece of memory in Windows that says which run has the box; it is gone with the process that made it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from vengeance.powershell.run_lock import Holder

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows


class RunLock:
    """Who has the box: nobody, until a process takes it."""

    def __init__(self, windows: Windows) -> None:
        self._holder: Holder | None = None
        self._lock = threading.Lock()
        windows.at_process_end.append(self._process_ended)

    @property
    def holder(self) -> Holder | None:
        """The text that the holder wrote, and its process id."""
        return self._holder

    def take(self, owner: str, pid: int) -> bool:
        """Take it for a process; False when another has it."""
        with self._lock:
            if self._holder is not None:
                return False
            self._holder = {"owner": owner, "pid": pid}
            return True

    def _process_ended(self, pid: int) -> None:
        with self._lock:
            if self._holder is not None and self._holder["pid"] == pid:
                self._holder = None
