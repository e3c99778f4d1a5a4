"""Environment variables of Windows: as they are stored, and as a program gets them that starts now."""

from __future__ import annotations

import re

from testinfra.modules.base import Module

from vengeance.verify.modules.registry import Registry

MACHINE = r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
USER = r"HKCU\Environment"


class WindowsEnvironment(Module):  # type: ignore[misc]
    """A variable: ``host.windows_environment("OLLAMA_HOST").machine``.

    Raises ValueError for a name with other signs than letters, digits, ``_``, ``(`` and ``)``.
    """

    def __init__(self, name: str) -> None:
        if not re.fullmatch(r"[\w()]+", name):
            raise ValueError(f"{name!r} is no name of an environment variable.")
        self.name = name

    @property
    def machine(self) -> str | None:
        """What everybody on the box is given; None where it is not set."""
        return self._stored(MACHINE)

    @property
    def user(self) -> str | None:
        """What the account of the connection is given instead; None where it is not set."""
        return self._stored(USER)

    @property
    def of_a_new_program(self) -> str | None:
        """What a program sees that the connection starts now; None where it sees none."""
        # cmd.exe leaves the name as it is where there is no such variable, and echo needs something to say.
        shown = str(self.check_output(f"echo [%{self.name}%]"))[1:-1]
        return None if shown.lower() == f"%{self.name}%".lower() else shown

    def _stored(self, key: str) -> str | None:
        found = Registry.get_module(self._host)(key).get(self.name)
        return None if found is None else str(found.data)

    def __repr__(self) -> str:
        return f"<windows_environment {self.name}>"
