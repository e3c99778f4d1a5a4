"""The twin's clock: it runs with the machine's, and can be put forward so that three days pass in a moment."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

_NEVER = float("inf")


class Alarm:
    """One deed that waits for its time."""

    def __init__(self, due: float, deed: Callable[[], None]) -> None:
        self.due = due
        self.deed = deed
        self.cancelled = False

    def cancel(self) -> None:
        """It will not happen any more; nothing when it has happened."""
        self.cancelled = True


class Clock:
    """The time in one twin; every method may be called from any thread."""

    def __init__(self, log: Callable[[str], None] = lambda text: None) -> None:
        self._condition = threading.Condition()
        self._ahead = 0.0
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._numbers = itertools.count()
        self._log = log
        self._running: Alarm | None = None
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)
        self._thread.start()

    @property
    def ahead(self) -> float:
        """Seconds that it has been put forward."""
        with self._condition:
            return self._ahead

    def seconds(self) -> float:
        """Seconds on a scale that never goes back; for measuring how long something takes in the twin."""
        with self._condition:
            return time.monotonic() + self._ahead

    def now(self) -> datetime:
        """Date and time, UTC."""
        with self._condition:
            return datetime.now(timezone.utc) + timedelta(seconds=self._ahead)

    def later(self, seconds: float, deed: Callable[[], None]) -> Alarm:
        """Do something in so many seconds of the twin's time, in the clock's own thread: it must be quick."""
        with self._condition:
            alarm = Alarm(time.monotonic() + self._ahead + seconds, deed)
            heapq.heappush(self._alarms, (alarm.due, next(self._numbers), alarm))
            self._condition.notify_all()
            return alarm

    def advance(self, seconds: float, patience: float = 30.0) -> None:
        """Put the clock forward, and wait until all that falls due on the way has been done, in its order.

        patience: seconds of real time to wait at most; TimeoutError after that
        """
        with self._condition:
            target = time.monotonic() + self._ahead + seconds
        deadline = time.monotonic() + patience
        while True:
            with self._condition:
                now = time.monotonic() + self._ahead
                # Only up to the next deed, so that what it starts counts from its own time, not from the end.
                due = min(self._next_due(), target)
                self._ahead += max(0.0, due - now)
                self._condition.notify_all()
                settled = self._condition.wait_for(
                    lambda: self._running is None and self._next_due() > time.monotonic() + self._ahead,
                    max(0.0, deadline - time.monotonic()),
                )
                if not settled:
                    raise TimeoutError("what falls due in the twin does not come to an end")
                if time.monotonic() + self._ahead >= target:
                    return

    def _next_due(self) -> float:
        while self._alarms and self._alarms[0][2].cancelled:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else _NEVER

    def _run(self) -> None:
        while True:
            with self._condition:
                left = self._next_due() - (time.monotonic() + self._ahead)
                if left > 0:
                    self._condition.wait(min(left, 3600.0))
                    continue
                alarm = self._running = heapq.heappop(self._alarms)[2]
            try:
                if not alarm.cancelled:
                    alarm.deed()
            except Exception:
                self._log(f"what the clock was to do failed:\n{traceback.format_exc()}")
            finally:
                with self._condition:
                    self._running = None
                    self._condition.notify_all()
