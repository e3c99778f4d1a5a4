"""The registry: keys with typed values, found in any case."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["String", "ExpandString", "DWord", "QWord", "MultiString"]
Data: TypeAlias = "str | int | list[str]"

ENVIRONMENT = r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
CURRENT_VERSION = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion"
LXSS = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Lxss"

_LONG_NAMES = {
    "HKEY_LOCAL_MACHINE": "HKLM",
    "HKEY_CURRENT_USER": "HKCU",
    "HKEY_USERS": "HKU",
    "HKLM": "HKLM",
    "HKCU": "HKCU",
    "HKU": "HKU",
}


@dataclass(frozen=True)
class Value:
    """One value: its name as it was written, its kind and its data."""

    name: str
    kind: Kind
    data: Data


class _Key:
    def __init__(self, path: str) -> None:
        self.path = path
        self.values: dict[str, Value] = {}


class Registry:
    """All keys; every method may be called from any thread.

    changed: called after each change, with the lock held, so that the registry on disk is never behind
    Paths begin with HKLM or HKU; HKCU needs ``sid`` to say whose.
    """

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self.lock = threading.RLock()
        self._changed = changed
        self._keys: dict[str, _Key] = {}

    @staticmethod
    def path(path: str, sid: str | None = None) -> str:
        """The path with the short name of its hive, and HKCU as the hive of that user."""
        hive, separator, rest = path.strip("\\").partition("\\")
        short = _LONG_NAMES.get(hive.upper())
        if short is None:
            raise KeyError(path)
        if short == "HKCU":
            if sid is None:
                raise KeyError(path)
            short = f"HKU\\{sid}"
        return short + separator + rest

    def exists(self, path: str) -> bool:
        """Whether a key is there, with or without values; one that only leads to others counts too."""
        low = path.lower()
        with self.lock:
            return low in self._keys or any(key.startswith(low + "\\") for key in self._keys)

    def get(self, path: str, name: str) -> Value | None:
        """A value, None when it or its key is absent; the name "" is the default value."""
        with self.lock:
            key = self._keys.get(path.lower())
            return key.values.get(name.lower()) if key is not None else None

    def text(self, path: str, name: str) -> str:
        """The data of a value as text, "" when it is absent."""
        value = self.get(path, name)
        return "" if value is None else str(value.data)

    def number(self, path: str, name: str) -> int:
        """The data of a number, 0 when it is absent or none."""
        value = self.get(path, name)
        return value.data if value is not None and isinstance(value.data, int) else 0

    def values(self, path: str) -> list[Value]:
        """The values of a key in the order they were made, none when there is no key."""
        with self.lock:
            key = self._keys.get(path.lower())
            return list(key.values.values()) if key is not None else []

    def subkeys(self, path: str, in_order_of_age: bool = False) -> list[str]:
        """Names of the keys right below a key, in the case they were made with; sorted, as Windows counts them up."""
        prefix = path.lower() + "\\"
        names: dict[str, str] = {}
        with self.lock:
            for low, key in self._keys.items():
                if low.startswith(prefix):
                    name = key.path[len(prefix) :].split("\\")[0]
                    names.setdefault(name.lower(), name)
        return [names[low] for low in (names if in_order_of_age else sorted(names))]

    def create(self, path: str) -> None:
        """Make a key if it is not there."""
        with self.lock:
            if path.lower() not in self._keys:
                self._keys[path.lower()] = _Key(path)
                self._changed()

    def set(self, path: str, name: str, data: Data, kind: Kind = "String") -> None:
        """Write a value, making its key; a value that was there keeps the case of its name."""
        with self.lock:
            key = self._keys.setdefault(path.lower(), _Key(path))
            known = key.values.get(name.lower())
            key.values[name.lower()] = Value(known.name if known is not None else name, kind, data)
            self._changed()

    def delete(self, path: str, name: str) -> bool:
        """Remove a value; False when it was not there."""
        with self.lock:
            key = self._keys.get(path.lower())
            if key is None or key.values.pop(name.lower(), None) is None:
                return False
            self._changed()
            return True

    def delete_key(self, path: str) -> bool:
        """Remove a key with all below it; False when it was not there."""
        low = path.lower()
        with self.lock:
            doomed = [key for key in self._keys if key == low or key.startswith(low + "\\")]
            for key in doomed:
                del self._keys[key]
            if doomed:
                self._changed()
            return bool(doomed)

    def to_json(self) -> dict[str, dict[str, dict[str, Data]]]:
        """Every key: path -> value name -> {"kind", "value"}."""
        with self.lock:
            return {
                key.path: {v.name: {"kind": v.kind, "value": v.data} for v in key.values.values()}
                for key in self._keys.values()
            }

    def load(self, keys: Mapping[str, Mapping[str, Mapping[str, Data]]]) -> None:
        """Replace everything by what ``to_json`` gave."""
        with self.lock:
            self._keys.clear()
            for path, values in keys.items():
                key = self._keys[path.lower()] = _Key(path)
                for name, value in values.items():
                    key.values[name.lower()] = Value(name, _kind(value["kind"]), value["value"])


def _kind(text: Data) -> Kind:
    kinds: dict[str, Kind] = {
        "String": "String",
        "ExpandString": "ExpandString",
        "DWord": "DWord",
        "QWord": "QWord",
        "MultiString": "MultiString",
    }
    return kinds[str(text)]
