"""Sleep, hibernation and Fast Startup of Windows: what is wanted against what is found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

SLEEP_MINUTES = 30
"""After which a Windows that may sleep does, where it was set to never."""


class Changes(TypedDict):
    """What to set; None leaves it as it is, 0 minutes is never."""

    sleep_ac_minutes: int | None
    sleep_dc_minutes: int | None
    hibernate_ac_minutes: int | None
    hibernate_dc_minutes: int | None
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
    if sleep:
        sleep_minutes, hibernate_minutes = (SLEEP_MINUTES if not all(sleeps) else None), None
    else:
        sleep_minutes = None if sleeps == [0, 0] else 0
        # Without hibernation its times mean nothing.
        hibernate_minutes = 0 if hibernate and hibernates != [0, 0] else None
    wanted: Changes = {
        "sleep_ac_minutes": sleep_minutes,
        "sleep_dc_minutes": sleep_minutes,
        "hibernate_ac_minutes": hibernate_minutes,
        "hibernate_dc_minutes": hibernate_minutes,
        "hibernate": hibernate if found["hibernate"] != hibernate else None,
        "fast_startup": fast_startup if found["fast_startup"] != fast_startup else None,
    }
    return _some(wanted)


def back(found: Mapping[str, int | bool | None], before: Mapping[str, int | bool | None]) -> Changes | None:
    """Return what has to be set so that all is as it was read before, None when it is so.

    + found, before: as Get-Power reads it now, and read it then; what was not known then stays

    powercfg counts in minutes, so a time that was no whole number of them comes back as the next lower one.
    """

    def minutes(name: str) -> int | None:
        then = before[name]
        return None if then is None or found[name] == then else int(then) // 60

    hibernates = bool(before["hibernate"])
    return _some(
        {
            "sleep_ac_minutes": minutes("sleep_ac_seconds"),
            "sleep_dc_minutes": minutes("sleep_dc_seconds"),
            "hibernate_ac_minutes": minutes("hibernate_ac_seconds") if hibernates else None,
            "hibernate_dc_minutes": minutes("hibernate_dc_seconds") if hibernates else None,
            "hibernate": hibernates if found["hibernate"] != hibernates else None,
            "fast_startup": bool(before["fast_startup"]) if found["fast_startup"] != before["fast_startup"] else None,
        }
    )


def _some(wanted: Changes) -> Changes | None:
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
        *_times("sleeps", changes["sleep_ac_minutes"], changes["sleep_dc_minutes"]),
        *_times("hibernates", changes["hibernate_ac_minutes"], changes["hibernate_dc_minutes"]),
    ]
    if changes["hibernate"] is not None:
        words.append("can hibernate" if changes["hibernate"] else "does not hibernate")
    if changes["fast_startup"] is not None:
        words.append(f"Fast Startup {'on' if changes['fast_startup'] else 'off'}")
    return ", ".join(words)


def _times(what: str, plugged: int | None, battery: int | None) -> list[str]:
    if plugged == battery:
        return [] if plugged is None else [f"{what} {_time(plugged * 60)}"]
    each = ((plugged, "plugged in"), (battery, "on battery"))
    return [f"{what} {_time(minutes * 60)} {where}" for minutes, where in each if minutes is not None]


def _time(seconds: int | None) -> str:
    if seconds is None:
        return "at a time that is not known"
    return "never" if seconds == 0 else f"after {seconds // 60} min"
