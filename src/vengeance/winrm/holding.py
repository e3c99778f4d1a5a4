"""What a process on the box has for as long as it lives, and what is taken again when it is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vengeance.winrm.errors import Displaced
from vengeance.winrm.result import Result

Take = Callable[[], tuple[Result, Callable[[], bool]]]
"""Takes it; returns what the box said, and what tells whether the process that has it is still known to live."""


class Holding:
    """What is held; nothing at first.

    + lock: under which it is taken
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._take: Take | None = None
        self._complaint: Callable[[Result], str | None] | None = None
        self._lives: Callable[[], bool] = lambda: False
        self._taking = False

    def take(self, take: Take) -> Result:
        """Take it, and return what the box said."""
        with self.postponed():
            self._take = take
            result, self._lives = take()
            return result

    def keep(self, complaint: Callable[[Result], str | None]) -> None:
        """Take it again from now on, whenever it is lost; ``complaint`` says why that was in vain."""
        self._complaint = complaint

    @contextmanager
    def postponed(self) -> Iterator[None]:
        """Leave it for after this: the process is being started that is to have it."""
        with self._lock:
            before, self._taking = self._taking, True
            try:
                yield
            finally:
                self._taking = before

    def see_to_it(self) -> None:
        """Take it again if it is lost. Raises Displaced when somebody else has it."""
        if self._complaint is None or self._lives():
            return
        with self._lock:
            # Taking it is itself a request to the box, before which this is asked.
            if self._taking or self._lives() or self._take is None:
                return
            with self.postponed():
                result, lives = self._take()
            complaint = self._complaint(result)
            if complaint is not None:
                raise Displaced(complaint)
            # Not before: a process may live and not have it, and others ask without waiting for the lock.
            self._lives = lives
