"""WSL as Windows sees it: the package, and a distro by its registration and by the package's own wsl.exe.

The values of a registration: microsoft/WSL, src/windows/service/exe/DistributionRegistration.h.
"""

from __future__ import annotations

from testinfra.modules.base import InstanceModule, Module

from vengeance.verify.modules.registry import Registry, Value

PACKAGE = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Lxss\MSI"
REGISTRATIONS = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Lxss"
# wsl.exe does not start a distro that is asked for by the name of its folder; cmd.exe takes the quotes of a path amiss.
WSL = 'cd /d "C:\\Program Files\\WSL" && .\\wsl.exe'


class Wsl(InstanceModule):  # type: ignore[misc]
    """The package: ``host.wsl.version``."""

    @property
    def version(self) -> str | None:
        """Of the package, such as ``2.7.11.0``; None where it is not installed."""
        found = Registry.get_module(self._host)(PACKAGE).get("Version")
        return None if found is None else str(found.data)

    @property
    def running(self) -> list[str]:
        """The distros that run now; asking starts none."""
        result = self.run(f"{WSL} --list --running --quiet")
        # Where none runs it ends with -1, and prints a sentence in Windows' language.
        return [line.strip() for line in str(result.stdout).splitlines() if line.strip()] if result.rc == 0 else []

    @property
    def distros(self) -> list[str]:
        """All that the account of the connection has."""
        return [line.strip() for line in str(self.check_output(f"{WSL} --list --quiet")).splitlines() if line.strip()]

    def __repr__(self) -> str:
        return "<wsl>"


class WslDistro(Module):  # type: ignore[misc]
    """A distro: ``host.wsl_distro("Ubuntu-24.04").is_running``."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def _values(self) -> dict[str, Value]:
        """Its registration; {} where there is none."""
        registry = Registry.get_module(self._host)
        for key in registry(REGISTRATIONS).subkeys:
            values: dict[str, Value] = registry(key).values
            if "DistributionName" in values and values["DistributionName"].data == self.name:
                return values
        return {}

    @property
    def exists(self) -> bool:
        """Whether the account of the connection has it, installed to its end."""
        values = self._values
        return bool(values) and values["State"].number == 1

    @property
    def version(self) -> int:
        """1 or 2: of WSL, which it runs in."""
        return self._values["Version"].number

    @property
    def folder(self) -> str:
        """Where its disk lies."""
        return str(self._values["BasePath"].data).removeprefix("\\\\?\\")

    @property
    def is_running(self) -> bool:
        """Whether it runs now; asking does not start it."""
        return self.name in Wsl.get_module(self._host).running

    def exec(self, *words: str) -> tuple[int, str]:
        """Run a program in it as its default user, from cmd.exe; returns exit code and stdout. This starts it."""
        arguments = " ".join(f'"{word}"' for word in words)
        if '"' in "".join(words) or "%" in "".join(words):
            raise ValueError(f"{words!r} cannot be written as arguments on a command line of cmd.exe.")
        result = self.run(f"{WSL} -d {self.name} --cd / --exec {arguments} <nul")
        return int(result.rc), str(result.stdout)

    def __repr__(self) -> str:
        return f"<wsl_distro {self.name}>"
