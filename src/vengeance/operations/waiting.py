"""Waiting for what a command of ours has set off."""

from __future__ import annotations

import time
from collections.abc import Iterator

LOOK_EVERY = 1.0
"""Seconds between two looks, each of which is a request over the network."""


def looks(seconds: float) -> Iterator[None]:
    """Give a turn to look at once, and others until the time is over.

    + seconds: how long it is waited in all
    """
    deadline = time.monotonic() + seconds
    while True:
        yield
        if time.monotonic() > deadline:
            return
        time.sleep(LOOK_EVERY)
