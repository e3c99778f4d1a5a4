"""Environment blocks: what a new process finds, and a dictionary whose names ignore case."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping

from vengeance.twin.windows.registry import ENVIRONMENT, Value
from vengeance.twin.windows.state import State

_REFERENCE = re.compile(r"%([^%]+)%")


class Environment(MutableMapping[str, str]):
    """Variables; a name keeps the case it was first set with and is found in any other."""

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables: dict[str, tuple[str, str]] = {}
        for name, value in (variables or {}).items():
            self[name] = value

    def __getitem__(self, name: str) -> str:
        return self._variables[name.upper()][1]

    def __setitem__(self, name: str, value: str) -> None:
        known = self._variables.get(name.upper())
        self._variables[name.upper()] = (known[0] if known else name, value)

    def __delitem__(self, name: str) -> None:
        del self._variables[name.upper()]

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self._variables.values()])

    def __len__(self) -> int:
        return len(self._variables)

    def copy(self) -> Environment:
        """The same variables, apart from these."""
        return Environment(dict(self))

    def expand(self, text: str) -> str:
        """Replace %NAME% by values; what is not set stays as it is (ExpandEnvironmentStrings)."""
        return _REFERENCE.sub(lambda match: self.get(match[1], match[0]), text)


def block(state: State, user: str) -> Environment:
    """The environment of a new logon, from the registry as it is now.

    Machine variables come first, then the user's; of both the plain ones before those that refer to others; the
    user's Path goes behind the machine's:
    https://learn.microsoft.com/windows/win32/api/userenv/nf-userenv-createenvironmentblock
    """
    name = state.account(user)
    sid = state.sid(user)
    profile = f"C:\\Users\\{name}"
    environment = Environment(
        {
            "SystemRoot": "C:\\Windows",
            "SystemDrive": "C:",
            "ALLUSERSPROFILE": "C:\\ProgramData",
            "ProgramData": "C:\\ProgramData",
            "ProgramFiles": "C:\\Program Files",
            "ProgramFiles(x86)": "C:\\Program Files (x86)",
            "ProgramW6432": "C:\\Program Files",
            "CommonProgramFiles": "C:\\Program Files\\Common Files",
            "CommonProgramFiles(x86)": "C:\\Program Files (x86)\\Common Files",
            "CommonProgramW6432": "C:\\Program Files\\Common Files",
            "PUBLIC": "C:\\Users\\Public",
            "COMPUTERNAME": state.hostname,
        }
    )
    _lay_over(environment, state.registry.values(ENVIRONMENT))
    environment.update(
        {
            "USERNAME": name,
            "USERDOMAIN": state.hostname,
            "USERPROFILE": profile,
            "APPDATA": profile + "\\AppData\\Roaming",
            "LOCALAPPDATA": profile + "\\AppData\\Local",
        }
    )
    _lay_over(environment, state.registry.values(f"HKU\\{sid}\\Environment"), join_path=True)
    return environment


def _lay_over(environment: Environment, values: Iterable[Value], join_path: bool = False) -> None:
    known = [v for v in values if v.kind in ("String", "ExpandString") and v.name]
    for value in sorted(known, key=lambda v: v.kind == "ExpandString"):
        text = str(value.data)
        if value.kind == "ExpandString":
            text = environment.expand(text)
        if join_path and value.name.upper() == "PATH" and environment.get("PATH"):
            text = environment["PATH"].rstrip(";") + ";" + text
        environment[value.name] = text
