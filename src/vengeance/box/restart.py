"""When Windows has to be restarted, and when it has been."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

REASONS = ("component_based_servicing", "windows_update", "installer", "file_rename", "computer_name")
COUNTING = ("component_based_servicing", "windows_update", "installer")
"""The reasons that count by themselves. Browsers and others that update themselves leave a file_rename behind at any
time, and a new name of the computer is nobody's business here."""

WORDS = {
    "component_based_servicing": "a feature or an update is half installed",
    "windows_update": "Windows Update asks for it",
    "installer": "an installer asked for it",
    "file_rename": "files in use wait to be replaced",
    "computer_name": "a new name of the computer waits",
}
"""What each reason is to a person."""

# How exactly two uptimes can be compared that were read over the network, in seconds.
_INEXACT_SECONDS = 1.0


def check_reasons(reasons: Collection[str]) -> None:
    """Check names of reasons for a restart.

    Raises ValueError with the nearest right one.
    """
    for reason in reasons:
        if reason not in REASONS:
            near = difflib.get_close_matches(reason, REASONS, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"{reason!r} is no reason why Windows waits for a restart: did you mean {near}? "
                f"There are {', '.join(REASONS)}."
            )


def that_count(pending: Collection[str], wanted: Collection[str]) -> list[str]:
    """Return the pending reasons that call for a restart: those that always do, and those that are named."""
    return [reason for reason in pending if reason in COUNTING or reason in wanted]


def is_another_boot(before: Mapping[str, float], now: Mapping[str, float], elapsed: float) -> bool:
    """Tell whether Windows was restarted between two readings of Get-BootState.

    + before, now: ``boot_file_time`` and ``uptime_seconds``
    + elapsed: seconds between the two readings, by the clock of this machine

    A clock that is put right moves the boot time, so that alone is no sign: the uptime must have begun anew too.
    """
    grown = before["uptime_seconds"] + elapsed - _INEXACT_SECONDS
    return now["boot_file_time"] != before["boot_file_time"] and now["uptime_seconds"] < grown
