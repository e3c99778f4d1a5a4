"""The two timers of ``.wslconfig`` that decide how long a distro lives without anybody using it.

microsoft/WSL: src/windows/common/WslCoreConfig.h (keys and defaults), LxssUserSession.cpp (when they count).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vengeance.twin.distro.wsl_conf import parse_ini


@dataclass(frozen=True)
class IdleTimers:
    """Seconds until a distro, and then the virtual machine, is stopped when nobody uses it; None is never."""

    instance: float | None = 15.0
    machine: float | None = 60.0


def read_timers(file: Path, default: IdleTimers) -> IdleTimers:
    """What a .wslconfig says, ``default`` for what it does not say.

    ``instanceIdleTimeout`` counts only in [general] and ``vmIdleTimeout`` only in [wsl2], both in milliseconds;
    a negative number means never. A file that cannot be read, or a value that is no number, is skipped, as WSL
    does with a warning.
    """
    try:
        values = parse_ini(file.read_text(encoding="utf-8-sig", errors="replace"))
    except OSError:
        return default
    return IdleTimers(
        _seconds(values.get(("general", "instanceidletimeout")), default.instance),
        _seconds(values.get(("wsl2", "vmidletimeout")), default.machine),
    )


def _seconds(text: str | None, default: float | None) -> float | None:
    try:
        number = int(text or "")
    except ValueError:
        return default
    return None if number < 0 else number / 1000
