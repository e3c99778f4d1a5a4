"""Keys and values of the Windows registry, checked before anything is written."""

from __future__ import annotations

from vengeance.box import characters

KINDS = ("String", "ExpandString", "DWord", "QWord", "MultiString")
"""The kinds that are written: https://learn.microsoft.com/windows/win32/sysinfo/registry-value-types"""

_LARGEST = {"DWord": 2**32 - 1, "QWord": 2**63 - 1}
# https://learn.microsoft.com/windows/win32/sysinfo/registry-element-size-limits
_LONGEST_KEY, _LONGEST_NAME = 255, 16_383

Data = str | int | list[str]


def check_key(key: str) -> None:
    """Check the path of a key.

    Raises ValueError with a sentence.
    """
    hive, _, rest = key.partition("\\")
    if hive.upper() not in ("HKLM", "HKCU") or not rest:
        raise ValueError(f"{key!r} is no key of the registry: begin with HKLM\\ or HKCU\\.")
    characters.check("The key", key)
    for part in rest.split("\\"):
        if not part or len(part) > _LONGEST_KEY:
            raise ValueError(f"{key!r} is no key of the registry: each name has 1 to {_LONGEST_KEY} characters.")


def check_value(name: str, kind: str, data: object) -> None:
    """Check a value that is to be written: name, kind, and data of that kind.

    Raises ValueError with a sentence.
    """
    characters.check("The name of the value", name)
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"{name[:40]!r} is no name of a registry value: it has at most {_LONGEST_NAME:,} characters.")
    if kind not in KINDS:
        near = next((known for known in KINDS if known.lower() == kind.lower().removeprefix("reg_")), None)
        hint = f"did you mean {near}?" if near else f"use one of {', '.join(KINDS)}."
        raise ValueError(f"There is no kind {kind!r} of registry values here: {hint}")
    if kind in _LARGEST:
        if isinstance(data, bool) or not isinstance(data, int) or not 0 <= data <= _LARGEST[kind]:
            raise ValueError(f"A {kind} is a number from 0 to {_LARGEST[kind]}, not {data!r}.")
    elif kind == "MultiString":
        if not isinstance(data, list) or not all(isinstance(line, str) and line for line in data):
            raise ValueError(f"A MultiString is a list of texts, none of them empty, not {data!r}.")
        for line in data:
            characters.check("A text of the MultiString", line)
    elif not isinstance(data, str):
        raise ValueError(f"A {kind} is a text, not {data!r}.")
    else:
        characters.check(f"The {kind}", data)
