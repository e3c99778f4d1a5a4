"""/etc/wsl.conf: the settings there are, and their text form.

Sections, keys and defaults: https://learn.microsoft.com/windows/wsl/wsl-config#wslconf, and microsoft/WSL,
src/linux/init/WslDistributionConfig.cpp, for those that the page leaves out (initTimeout, protectBinfmt, mountFsTab).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeAlias

Value: TypeAlias = "str | bool | int"

SETTINGS: dict[str, dict[str, type[str] | type[bool] | type[int]]] = {
    "automount": {"enabled": bool, "mountFsTab": bool, "root": str, "options": str, "cgroups": str},
    "boot": {"systemd": bool, "command": str, "initTimeout": int, "protectBinfmt": bool},
    "gpu": {"enabled": bool, "appendLibPath": bool},
    "interop": {"enabled": bool, "appendWindowsPath": bool},
    "network": {"generateHosts": bool, "generateResolvConf": bool, "hostname": str},
    "time": {"useWindowsTimezone": bool},
    "user": {"default": str},
}
"""Section -> key -> type of its value; ``initTimeout`` is in milliseconds."""


def check(settings: Mapping[str, Mapping[str, Value]]) -> None:
    """Check sections, keys and the types of values; WSL itself passes over what it does not know.

    Raises ValueError with a sentence that names the nearest right one.
    """
    for section, values in settings.items():
        if section not in SETTINGS:
            raise ValueError(f"wsl.conf has no section [{section}]: {_nearest(section, SETTINGS)}.")
        for key, value in values.items():
            known = SETTINGS[section]
            if key not in known:
                raise ValueError(f"wsl.conf has no key {key} in [{section}]: {_nearest(key, known)}.")
            if type(value) is not known[key]:
                raise ValueError(f"[{section}] {key} in wsl.conf is a {known[key].__name__}, not {value!r}.")
            if isinstance(value, str) and ("\n" in value or "\r" in value):
                raise ValueError(f"[{section}] {key} in wsl.conf is one line, not {value!r}.")


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}" if near else "there are " + ", ".join(known)


def text_of(value: Value) -> str:
    """Return a value as wsl.conf writes it: ``true``, ``false``, or the text itself."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
