"""``.wslconfig``: the settings there are, their text form, and what of them shows inside the virtual machine.

Keys and defaults: https://learn.microsoft.com/windows/wsl/wsl-config#wslconfig, and microsoft/WSL,
src/windows/common/WslCoreConfig.h and .cpp, for those that the page leaves out (instanceIdleTimeout,
distributionInstallPath, kernelBootTimeout, distributionStartTimeout). Sizes: stringshared.h, ParseMemorySize. WSL
passes over what it does not know with a warning that nobody sees, so everything is checked here.
"""

from __future__ import annotations

import difflib
import ntpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = "str | bool | int"

_UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+)(?:([KMGT])B?|B)?")
_NEVER = -1
# Less cannot hold Ubuntu with systemd; most of the time it is a number whose unit was forgotten.
_LOWEST_MEMORY = 1 << 30
_LONGEST_MS = 2**31 - 1


def size_in_bytes(text: str) -> int:
    """Return the bytes of a size as WSL reads it: ``24GB``, ``512M``, or a bare number of bytes.

    Raises ValueError with a sentence.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        tight = re.sub(r"\s|i(?=B$)|i$", "", text.strip().upper().replace("IB", "B"))
        near = f": write {tight!r}" if _SIZE.fullmatch(tight) else ", as in '24GB' or '512MB'"
        raise ValueError(f"{text!r} is no size that WSL reads{near}")
    return int(match[1]) * _UNITS[match[2] or ""]


def _flag(value: Value) -> str:
    if not isinstance(value, bool):
        raise ValueError(f"is True or False, not {value!r}")
    return "true" if value else "false"


def _text(value: Value) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"is a text, not {value!r}")
    if any(ord(letter) < 32 for letter in value):
        raise ValueError(f"is one line, not {value!r}")
    if value != value.strip().strip('"'):
        raise ValueError(f"is a text without blanks or quotes around it, which WSL would take away, not {value!r}")
    return value


def _path(value: Value) -> str:
    text = _text(value)
    drive, rest = ntpath.splitdrive(text)
    if not re.fullmatch(r"[A-Za-z]:", drive) or not rest.startswith("\\") or rest.startswith("\\\\") or "\\\\" in rest:
        raise ValueError(f"is a full Windows path with single backslashes, as in r'D:\\wsl\\swap.vhdx', not {text!r}")
    # https://learn.microsoft.com/windows/wsl/wsl-config: "absolute Windows paths with escaped backslashes".
    return text.replace("\\", "\\\\")


def _whole(value: Value, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"is {what}, not {value!r}")
    return value


def _milliseconds(value: Value) -> str:
    number = _whole(value, "a number of milliseconds, or -1 for never")
    if number != _NEVER and not 1000 <= number <= _LONGEST_MS:
        raise ValueError(f"is a number of milliseconds from 1000, or -1 for never, not {number}")
    return str(number)


def _processors(value: Value) -> str:
    number = _whole(value, "a number of processors")
    if number < 1:
        raise ValueError(f"is a number of processors, 1 or more, not {number}")
    return str(number)


def _number(value: Value) -> str:
    number = _whole(value, "a whole number")
    if number < 0:
        raise ValueError(f"is 0 or more, not {number}")
    return str(number)


def _memory(value: Value) -> str:
    if isinstance(value, bool) or (isinstance(value, str) and not value):
        raise ValueError(f"is a size, as in '24GB', not {value!r}")
    size = size_in_bytes(str(value))
    if size < _LOWEST_MEMORY:
        raise ValueError(f"{str(value)!r} is {size} bytes, and a distro needs 1 GB at least: write '24GB' or the like")
    return str(value)


def _swap(value: Value) -> str:
    if isinstance(value, bool) or (isinstance(value, str) and not value):
        raise ValueError(f"is a size, as in '8GB', or 0 for none, not {value!r}")
    size = size_in_bytes(str(value))
    if 0 < size < 1 << 20:
        raise ValueError(f"{str(value)!r} is {size} bytes: write '8GB' or the like, or 0 for none")
    return str(value)


def _one_of(*known: str, never: Mapping[str, str] | None = None) -> Callable[[Value], str]:
    refused = never or {}

    def check(value: Value) -> str:
        for name, why in refused.items():
            if str(value).lower() == name.lower():
                raise ValueError(f"is not to be {value!r}: {why}")
        if value not in known:
            raise ValueError(f"is one of {', '.join(known)}, not {value!r}: {_nearest(str(value), list(known))}")
        return str(value)

    return check


def _never(why: str) -> Callable[[Value], str]:
    def check(value: Value) -> str:
        if value is not False:
            raise ValueError(f"is not to be switched on: {why}")
        return "false"

    return check


SETTINGS: dict[str, dict[str, Callable[[Value], str]]] = {
    "general": {"instanceIdleTimeout": _milliseconds, "distributionInstallPath": _path},
    "wsl2": {
        "autoProxy": _flag,
        "crashDumpFolder": _path,
        "debugConsole": _flag,
        "defaultVhdSize": _memory,
        "distributionStartTimeout": _milliseconds,
        "dnsProxy": _flag,
        "dnsTunneling": _flag,
        "firewall": _flag,
        "gpuSupport": _flag,
        "guiApplications": _flag,
        "ipv6": _flag,
        "kernel": _path,
        "kernelBootTimeout": _milliseconds,
        "kernelCommandLine": _text,
        "kernelModules": _path,
        "localhostForwarding": _flag,
        "maxCrashDumpCount": _number,
        "memory": _memory,
        "nestedVirtualization": _flag,
        "networkingMode": _one_of(
            "nat",
            "virtioproxy",
            "none",
            never={
                "mirrored": "a server that listens on 0.0.0.0 is not reached until another one starts (WSL#12703), its "
                "Hyper-V firewall blocks what comes in, and Tailscale's adapter is not mirrored (WSL#10914). Write nat",
                "bridged": "it is deprecated. Write nat",
            },
        ),
        "processors": _processors,
        "safeMode": _flag,
        "swap": _swap,
        "swapFile": _path,
        "systemDistro": _path,
        "vmIdleTimeout": _milliseconds,
    },
    "experimental": {
        "autoMemoryReclaim": _one_of("dropCache", "gradual", "disabled"),
        "bestEffortDnsParsing": _flag,
        "dnsTunnelingIpAddress": _text,
        "hostAddressLoopback": _flag,
        "ignoredPorts": _text,
        "initialAutoProxyTimeout": _milliseconds,
        "sparseVhd": _never("a sparse disk has lost data; WSL itself asks for --allow-unsafe for it"),
    },
}
"""Section -> key -> what checks a value and gives its text."""


def texts(settings: Mapping[str, Mapping[str, Value]]) -> dict[str, dict[str, str]]:
    """Return section -> key -> text as the file has it.

    Raises ValueError with a sentence that names the nearest right section, key or value.
    """
    return {
        section: {key: _checked(section, key, value) for key, value in values.items()}
        for section, values in settings.items()
    }


def check(settings: Mapping[str, Mapping[str, Value]]) -> None:
    """Check sections, keys and values. Raises ValueError as ``texts`` does."""
    texts(settings)


def _checked(section: str, key: str, value: Value) -> str:
    if section not in SETTINGS:
        raise ValueError(f".wslconfig has no section [{section}]: {_nearest(section, list(SETTINGS))}.")
    if key not in SETTINGS[section]:
        elsewhere = [f"{key} stands in [{other}]" for other, keys in SETTINGS.items() if key in keys]
        raise ValueError(
            f".wslconfig has no key {key} in [{section}]: {(elsewhere or [_nearest_key(key, section)])[0]}."
        )
    try:
        return SETTINGS[section][key](value)
    except ValueError as error:
        raise ValueError(
            f"[{section}] {key} in .wslconfig: {error}.".replace(".wslconfig: is", ".wslconfig is")
        ) from None


def _nearest_key(key: str, section: str) -> str:
    everywhere = {name: other for other, keys in SETTINGS.items() for name in keys}
    near = _near(key, list(SETTINGS[section])) or _near(key, list(everywhere))
    if near is None:
        return "there are " + ", ".join(SETTINGS[section])
    return f"did you mean {near}" + ("" if near in SETTINGS[section] else f" in [{everywhere[near]}]")


def _nearest(name: str, known: list[str]) -> str:
    near = _near(name, known)
    return f"did you mean {near}" if near is not None else "there are " + ", ".join(known)


def _near(name: str, known: list[str]) -> str | None:
    lower = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return lower[found[0]] if found else None


def parse(text: str) -> dict[str, dict[str, str]]:
    """Return section -> key -> text of a file, all names in lower case, as WSL reads them.

    A line that is none is passed over, as WSL does with a warning.
    """
    found: dict[str, dict[str, str]] = {}
    section = ""
    for raw in text.lstrip("\ufeff").split("\n"):
        line = raw.strip()
        if line.startswith(("#", ";")) or not line:
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip().lower()
            continue
        key, equals, value = line.partition("=")
        if equals and key.strip():
            found.setdefault(section, {})[key.strip().lower()] = value.strip().strip('"')
    return found


def differences(file: str, before: str | None, wanted: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return a line for each setting of a file that is to be another, as ``.wslconfig [wsl2] memory: 8GB -> 24GB``.

    + file: its name for a person; /etc/wsl.conf is written in the same way
    + before: the text that is there, None for no file
    + wanted: section -> key -> text
    """
    had = parse(before or "")
    lines = []
    for section, values in wanted.items():
        old = had.pop(section.lower(), {})
        for key, text in values.items():
            was = old.pop(key.lower(), None)
            if was != text:
                lines.append(f"{file} [{section}] {key}: {'(not set)' if was is None else was} -> {text}")
        lines += [f"{file} [{section}] {key}: {was} -> (not set)" for key, was in old.items()]
    lines += [f"{file} [{section}] {key}: {was} -> (not set)" for section in had for key, was in had[section].items()]
    return lines or [f"{file}: the same settings, written anew"]


@dataclass(frozen=True)
class Timeouts:
    """When WSL stops what nobody uses, in milliseconds; None is never."""

    instance_ms: int | None = 15_000
    machine_ms: int | None = 60_000


def timeouts(text: str | None) -> Timeouts:
    """Return the timeouts that a file gives, WSL's own where it gives none; None is no file."""
    values = parse(text or "")
    default = Timeouts()
    return Timeouts(
        _timeout(values.get("general", {}).get("instanceidletimeout"), default.instance_ms),
        _timeout(values.get("wsl2", {}).get("vmidletimeout"), default.machine_ms),
    )


def _timeout(text: str | None, default: int | None) -> int | None:
    if text is None or not re.fullmatch(r"-?\d{1,10}", text):
        return default
    return None if int(text) < 0 else int(text)


@dataclass(frozen=True)
class Machine:
    """WSL's virtual machine as Linux sees it: bytes of memory and swap, number of processors."""

    memory: int
    swap: int
    processors: int


def parse_machine(output: list[str]) -> Machine | None:
    """Read /proc/meminfo with /proc/cpuinfo behind it; None where they are not."""
    sizes = {
        match[1]: int(match[2]) * 1024
        for line in output
        if (match := re.fullmatch(r"(\w+):\s+(\d{1,18}) kB", line.strip()))
    }
    processors = sum(bool(re.match(r"processor\s*:", line)) for line in output)
    if "MemTotal" not in sizes or "SwapTotal" not in sizes or not processors:
        return None
    return Machine(sizes["MemTotal"], sizes["SwapTotal"], processors)


# Linux keeps some of the memory for itself (its page tables, crash kernel), 1 to 3 %; and a page of the swap.
_KEPT = 0.07


def misfits(machine: Machine, settings: Mapping[str, Mapping[str, Value]]) -> list[str]:
    """Say in what the running virtual machine is not what the settings ask for; nothing when it is."""
    wanted = settings.get("wsl2", {})
    found: list[str] = []
    for key, have in (("memory", machine.memory), ("swap", machine.swap)):
        if key in wanted:
            size = size_in_bytes(str(wanted[key]))
            if not size * (1 - _KEPT) <= have <= size * 1.01:
                found.append(f"{key} is {_gigabytes(have)}, not {wanted[key]}")
    if "processors" in wanted and machine.processors != wanted["processors"]:
        found.append(f"processors are {machine.processors}, not {wanted['processors']}")
    return found


def _gigabytes(size: int) -> str:
    return f"{size / (1 << 30):.1f} GB"
