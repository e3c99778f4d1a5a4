"""Values of the registry, by reg.exe."""

from __future__ import annotations

import re
from typing import NamedTuple

from testinfra.modules.base import Module

_LINE = re.compile(r" {4}(.+?) {4}(REG_\w+)(?: {4}(.*?))?\r?")


class Value(NamedTuple):
    """A value: its kind, such as ``REG_SZ``, and its data as reg.exe prints it."""

    kind: str
    data: str

    @property
    def number(self) -> int:
        """The data of a REG_DWORD or REG_QWORD, which is printed as 0x5."""
        return int(self.data, 16)


class Registry(Module):  # type: ignore[misc]
    """A key: ``host.registry(r"HKCU\\Environment")["OLLAMA_HOST"].data``.

    + key: with HKLM, HKCU or HKU, without a backslash at its end
    """

    def __init__(self, key: str) -> None:
        self.key = key

    @property
    def exists(self) -> bool:
        """Whether the key is there."""
        return bool(self.run("reg query %s", self.key).rc == 0)

    @property
    def values(self) -> dict[str, Value]:
        """Name -> value, {} where the key is not there; a default value has a name in Windows' own language."""
        result = self.run("reg query %s", self.key)
        found = (_LINE.fullmatch(line) for line in result.stdout.splitlines())
        return {match[1]: Value(match[2], match[3] or "") for match in found if match} if result.rc == 0 else {}

    @property
    def subkeys(self) -> list[str]:
        """The keys right below it, with their full names."""
        result = self.run("reg query %s", self.key)
        lines = (line.strip() for line in result.stdout.splitlines())
        return [line for line in lines if re.match(r"HKEY_\w+\\", line) and line.count("\\") > self.key.count("\\")]

    def get(self, name: str) -> Value | None:
        """Return a value, None where it or the key is not there."""
        result = self.run(f"reg query %s /v {_word(name)}", self.key)
        if result.rc != 0:
            return None
        for line in result.stdout.splitlines():
            match = _LINE.fullmatch(line)
            if match and match[1].lower() == name.lower():
                return Value(match[2], match[3] or "")
        raise ValueError(f"reg query ended with 0 and printed no value {name}: {result.stdout!r}")

    def __getitem__(self, name: str) -> Value:
        found = self.get(name)
        if found is None:
            raise KeyError(f"{self.key} has no value {name}")
        return found

    def __repr__(self) -> str:
        return f"<registry {self.key}>"


def _word(name: str) -> str:
    if any(sign in name for sign in '"%\r\n'):
        raise ValueError(f"{name!r} cannot be written as an argument on a command line of cmd.exe.")
    return f'"{name}"'
