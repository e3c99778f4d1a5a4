"""Sleep, hibernation and Fast Startup of Windows: what is wanted against what is found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

SLEEP_MINUTES = 30
"""After which a Windows that may sleep does, where it was set to never."""


class Changes(TypedDict):
    """What to set; None leaves it as it is, 0 minutes is never."""

    sleep_minutes: int | None
    hibernate_minutes: int | None
    hibernate: bool | None
    fast_startup: bool | None


def check(hibernate: bool, fast_startup: bool) -> None:
    """Check what is wanted: Fast Startup is a hibernation of the system's part, so it needs that.

    https://learn.microsoft.com/windows-hardware/drivers/kernel/distinguishing-fast-startup-from-wake-from-hibernation

    Raises ValueError with a sentence.
    """
    if fast_startup and not hibernate:
        raise ValueError("fast_startup=True needs hibernate=True: Fast Startup hibernates a part of Windows.")


def changes(found: Mapping[str, int | bool | None], sleep: bool, hibernate: bool, fast_startup: bool) -> Changes | None:
    """Return what has to be set, None when all is as it should be.

    + found: as Get-Power reads it: seconds, 0 is never, None is not known
    + sleep: whether it may go to sleep or hibernate by itself; times that are set stay
    """
    sleeps = [found["sleep_ac_seconds"], found["sleep_dc_seconds"]]
    hibernates = [found["hibernate_ac_seconds"], found["hibernate_dc_seconds"]]
    wanted: Changes = {"sleep_minutes": None, "hibernate_minutes": None, "hibernate": None, "fast_startup": None}
    if sleep:
        wanted["sleep_minutes"] = SLEEP_MINUTES if not all(sleeps) else None
    else:
        wanted["sleep_minutes"] = None if sleeps == [0, 0] else 0
        # Without hibernation its times mean nothing.
        wanted["hibernate_minutes"] = 0 if hibernate and hibernates != [0, 0] else None
    wanted["hibernate"] = hibernate if found["hibernate"] != hibernate else None
    wanted["fast_startup"] = fast_startup if found["fast_startup"] != fast_startup else None
    return wanted if any(value is not None for value in wanted.values()) else None


def shown(found: Mapping[str, int | bool | None]) -> str:
    """Return a reading of Get-Power in words."""

    def times(name: str) -> str:
        return f"{_time(found[f'{name}_ac_seconds'])} plugged in and {_time(found[f'{name}_dc_seconds'])} on battery"

    hibernates = f"hibernates {times('hibernate')}" if found["hibernate"] else "does not hibernate"
    return f"sleeps {times('sleep')}, {hibernates}, Fast Startup {'on' if found['fast_startup'] else 'off'}"


def wished(changes: Changes) -> str:
    """Return what is to be set in words, and nothing of what stays."""
    words = [
        f"{what} {_time(minutes * 60)}"
        for what, minutes in (("sleeps", changes["sleep_minutes"]), ("hibernates", changes["hibernate_minutes"]))
        if minutes is not None
    ]
    if changes["hibernate"] is not None:
        words.append("can hibernate" if changes["hibernate"] else "does not hibernate")
    if changes["fast_startup"] is not None:
        words.append(f"Fast Startup {'on' if changes['fast_startup'] else 'off'}")
    return ", ".join(words)


def _time(seconds: int | None) -> str:
    if seconds is None:
        return "at a time that is not known"
    return "never" if seconds == 0 else f"after {seconds // 60} min"
