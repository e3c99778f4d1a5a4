"""``.wslconfig`` as WSL reads it: what it says about the virtual machine, and what is passed over with a warning.

microsoft/WSL: src/windows/common/WslCoreConfig.h and .cpp (keys, defaults, limits), LxssUserSession.cpp (when the
timers count).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vengeance.box import wslconfig
from vengeance.twin.distro.looks import Machine
from vengeance.twin.distro.wsl_conf import parse_ini

_GB = 1 << 30
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
# Sections and keys ignore case; these were moved from [experimental] and are still read there.
_MOVED = ("networkingmode", "dnstunneling", "firewall", "autoproxy")


@dataclass(frozen=True)
class IdleTimers:
    """Seconds until a distro, and then the virtual machine, is stopped when nobody uses it; None is never."""

    instance: float | None = 15.0
    machine: float | None = 60.0


@dataclass(frozen=True)
class Box:
    """The machine that Windows runs on: bytes of RAM, logical processors."""

    memory: int = 64 * _GB
    processors: int = 16


@dataclass(frozen=True)
class VmSettings:
    """What a virtual machine is started with; ``warnings`` are what wsl.exe says about the file on stderr."""

    timers: IdleTimers
    machine: Machine
    graphics: bool = True
    warnings: list[str] = field(default_factory=list)


def read_timers(file: Path, default: IdleTimers) -> IdleTimers:
    """What a .wslconfig says, ``default`` for what it does not say.

    ``instanceIdleTimeout`` counts only in [general] and ``vmIdleTimeout`` only in [wsl2], both in milliseconds;
    a negative number means never. A file that cannot be read, or a value that is no number, is skipped, as WSL
    does with a warning.
    """
    return read_settings(file, default).timers


def read_settings(
    file: Path | None, default: IdleTimers, box: Box | None = None, shown: str = ".wslconfig"
) -> VmSettings:
    """What WSL makes of a .wslconfig.

    file: None, or one that is not there, leaves everything as it is by default
    default: the timers where the file says nothing; box: what there is to give; shown: the file's path for warnings
    """
    box = box or Box()
    try:
        values = parse_ini("" if file is None else file.read_text(encoding="utf-8-sig", errors="replace"))
    except OSError:
        values = {}
    warnings = [f"Unknown key '{section}.{key}' in {shown}" for section, key in values if not _known(section, key)]
    memory = _size(values, "memory", box.memory // 2, warnings, shown)
    if memory > box.memory:
        warnings.append(f"wsl2.memory cannot exceed the memory of the system ({memory} > {box.memory})")
        memory = box.memory
    processors = box.processors
    text = values.get(("wsl2", "processors"))
    if text is not None:
        if text.isdigit() and int(text) > 0:
            if int(text) > box.processors:
                warnings.append(
                    "wsl2.processors cannot exceed the number of logical processors on the system "
                    f"({text} > {box.processors})"
                )
            processors = min(int(text), box.processors)
        else:
            warnings.append(f"Invalid integer value '{text}' for key 'wsl2.processors' in {shown}")
    # A quarter of the virtual machine's memory, rounded up to whole gigabytes.
    swap = _size(values, "swap", -(-memory // 4 // _GB) * _GB, warnings, shown)
    graphics = _FLAGS.get(values.get(("wsl2", "guiapplications"), "true").lower())
    if graphics is None:
        warnings.append(f"Invalid boolean value '{values['wsl2', 'guiapplications']}' for key 'wsl2.guiApplications'")
    return VmSettings(
        IdleTimers(
            _seconds(values.get(("general", "instanceidletimeout")), default.instance),
            _seconds(values.get(("wsl2", "vmidletimeout")), default.machine),
        ),
        Machine(memory, swap, processors),
        graphics is not False,
        warnings,
    )


def _known(section: str, key: str) -> bool:
    known = {name.lower(): {one.lower() for one in keys} for name, keys in wslconfig.SETTINGS.items()}
    return key in known.get(section, ()) or (section == "experimental" and key in _MOVED)


def _size(values: dict[tuple[str, str], str], key: str, default: int, warnings: list[str], shown: str) -> int:
    text = values.get(("wsl2", key))
    if text is None:
        return default
    try:
        return wslconfig.size_in_bytes(text)
    except ValueError:
        warnings.append(f"Invalid memory string '{text}' for .wslconfig entry 'wsl2.{key}' in {shown}")
        return default


def _seconds(text: str | None, default: float | None) -> float | None:
    try:
        number = int(text or "")
    except ValueError:
        return default
    return None if number < 0 else number / 1000
