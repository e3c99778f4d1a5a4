"""Waiting for what another thread or process is about to do."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 20.0, every: float = 0.02) -> bool:
    """Wait until it is so; False when the time is over.

    + every: seconds between two looks
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def eventually(happens: Callable[[], object], what: str = "it", seconds: float = 20.0, every: float = 0.01) -> None:
    """Wait until something has happened. Raises TimeoutError when it has not within so many seconds.

    + what: what is waited for, for the sentence
    + every: seconds between two looks
    """
    if not until(happens, seconds, every):
        raise TimeoutError(f"{what} did not happen within {seconds:g} s.")
