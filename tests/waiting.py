"""Waiting for what another thread or process is about to do."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(happens: Callable[[], object], what: str = "it", seconds: float = 20.0, every: float = 0.01) -> None:
    """Wait until something has happened. Raises TimeoutError when it has not within so many seconds.

    + what: what is waited for, for the sentence
    + every: seconds between two looks
    """
    deadline = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds:g} s.")
        time.sleep(every)
