"""What Windows has to do with WSL: the wsl.exe that every Windows has, the package, the feature, and who logs off."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vengeance.twin.windows.features import PLATFORM as FEATURE
from vengeance.twin.windows.installers import INSTALLERS, REMOVALS
from vengeance.twin.windows.program import INBOX_WSL, WSL, Run
from vengeance.twin.windows.registry import LXSS
from vengeance.twin.windows.sessions import SERVICES
from vengeance.twin.wsl import messages
from vengeance.twin.wsl.program import WslExe
from vengeance.twin.wsl.wslconfig import Box

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows

FAILED = 0xFFFFFFFF
# msiexec.exe: a fatal error, and a newer version that is there.
INSTALL_FAILURE = 1603
NEWER_IS_THERE = 1638
_NOT_INSTALLED = (
    "The Windows Subsystem for Linux is not installed. You can install by running 'wsl.exe --install'.\n"
    "For more information please visit https://aka.ms/wslinstall"
)


class WslOnWindows:
    """WSL as Windows sees it; ``is_on`` and ``switch_on`` are those of the optional feature."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        windows.add_program(INBOX_WSL, self.inbox)
        windows.place_program(INBOX_WSL)
        self.service = windows.linux.service if isinstance(windows.linux, WslExe) else None
        if self.service is not None:
            self.service.platform = self
            self.service.deeds = windows.deeds
            self.service.clock = windows.clock
            self.service.box = self._box
            windows.sessions.at_logoff.append(self._logged_off)

    def _box(self) -> Box:
        machine = self._windows.machine
        return Box(int(machine.get("memory_bytes")), int(machine.get("logical_processors")))

    def _logged_off(self, user: str, session: int) -> None:
        if self.service is not None:
            self.service.logged_off(session)

    @property
    def version(self) -> str | None:
        """Of the package, None when it is not installed."""
        registry = self._windows.registry
        location = registry.text(f"HKLM\\{LXSS}\\MSI", "InstallLocation")
        return registry.text(f"HKLM\\{LXSS}\\MSI", "Version") if location else None

    def has_room(self, size: int) -> bool:
        """Whether a disk can take up so many bytes of C:."""
        return size <= self._windows.machine.free_bytes

    def is_on(self) -> bool:
        """Whether VirtualMachinePlatform is there now."""
        return self._windows.features.is_on(FEATURE)

    def switch_on(self) -> None:
        """Have VirtualMachinePlatform there after the next restart."""
        self._windows.features.set(FEATURE, True)

    def state(self, user: str) -> dict[str, Any]:
        """What the package and the service of a user look like, for whoever asks the twin itself."""
        service = self.service.state(self._windows.state.sid(user)) if self.service is not None else {}
        return {"version": self.version, "feature": self._windows.features.state(FEATURE), **service}

    def inbox(self, run: Run) -> int:
        """System32\\wsl.exe where there is no package: all it can do is ``--install``.

        That enables the feature with dism, asks for a restart, and ends with 0 though nothing is installed
        (microsoft/WSL, WslInstall.cpp). Where the package is, this program does not start in session 0.
        """
        if run.argv[:1] != ["--install"]:
            run.stdout(messages.encode(_NOT_INSTALLED + "\n", run.environment))
            return FAILED
        if self.is_on():
            text = "The twin does not fetch WSL or a distribution from the Store."
            run.stdout(messages.encode(messages.with_code(text, "Wsl/E_NOTIMPL") + "\n", run.environment))
            return FAILED
        self.switch_on()
        run.stdout(messages.encode(messages.INSTALLED_PLATFORM + "\n", run.environment))
        return 0

    def install(self, run: Run, version: str, properties: Mapping[str, str]) -> int:
        """What wsl.msi does; returns msiexec's exit code.

        Without SKIPMSIX=1 it adds a package of the Store too, which fails where nobody is logged on (WSL#10906). It
        restarts the service, so every distro that runs is gone at once. It needs no feature: what comes later does.
        """
        known = self.version
        if known is not None and _numbers(known) > _numbers(version):
            return NEWER_IS_THERE
        named = {name.upper(): value for name, value in properties.items()}
        if named.get("SKIPMSIX") != "1" and run.session == SERVICES:
            return INSTALL_FAILURE
        if self.service is not None:
            self.service.power_cut()
        self._windows.state.install_wsl(version)
        self._windows.place_program(WSL)
        return 0

    def uninstall(self, product_code: str) -> bool:
        """What the removal of wsl.msi does: its service ends, and every distro with it; their disks stay registered."""
        if self._windows.registry.text(f"HKLM\\{LXSS}\\MSI", "ProductCode").lower() != product_code.lower():
            return False
        if self.service is not None:
            self.service.power_cut()
        self._windows.state.remove_wsl()
        return True


def _package(windows: Windows, run: Run, said: Mapping[str, str]) -> int:
    return windows.wsl.install(run, said["version"], said)


INSTALLERS["wsl"] = _package
REMOVALS["wsl"] = lambda windows, product_code: windows.wsl.uninstall(product_code)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]
