"""A Windows model with its Linux side and without its WinRM server, for tests of what the two have to do together."""

from __future__ import annotations

import ntpath
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.twin.linux_side import processes_with, until
from tests.twin.windows_box import Box, Done
from vengeance.twin.clock import Clock
from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.host import DistroHost, outside_prefix
from vengeance.twin.distro.ladder import BOOTS, NONE, rung, survey
from vengeance.twin.distro.settings import DistroSettings
from vengeance.twin.windows.lxss import RegistryRegistrations
from vengeance.twin.windows.model import Child, Windows
from vengeance.twin.windows.program import WSL
from vengeance.twin.windows.registry import LXSS
from vengeance.twin.windows.state import State
from vengeance.twin.wsl.program import WslExe
from vengeance.twin.wsl.service import WslService

DISTRO = "Ubuntu-24.04"
USER = "Steam"
FAILED = 0xFFFFFFFF
FOLDER = f"C:\\WSL\\{DISTRO}"
PACKAGE = "2.7.11.0"
WITHOUT_STORE = {"SKIPMSIX": "1"}


class WslBox(Box):
    """A Windows in a folder, with wsl.exe; ``wsl`` calls the package's own as WinRM does."""

    def __init__(self, folder: Path, bare: bool) -> None:
        self.folder = folder
        self.drive_c = folder / "drive_c"
        self.restarts: list[bool] = []
        self.faults: list[str] = []
        self.clock = Clock(self.faults.append)
        self.state = State(folder, bare, self.clock.now)
        self.host = DistroHost(DistroSettings.from_environment(), folder, self.state.drive.folder, print)
        self.service = WslService(self.host, RegistryRegistrations(self.state.registry))
        self.windows = Windows(
            self.state,
            linux=WslExe(self.service, sid_of=self.state.sid),
            restart=self.restarts.append,
            log=self.faults.append,
            clock=self.clock,
        )

    def wsl(self, arguments: str, **environment: str) -> Done:
        """Run the package's wsl.exe in session 0."""
        # Not with its path in quotes in front: cmd.exe would take away that quote and the last one of the line.
        variables = {"WSL_UTF8": "1", **environment}
        return self.run(f".\\wsl.exe {arguments}", environment=variables, cwd=ntpath.dirname(WSL), timeout=120)

    def use(self, session: int, seconds: str = "infinity") -> Child:
        """Start a program of a session that uses the distro, and wait until it does."""
        before = len(processes_with(f"/usr/bin/sleep\0{seconds}"))
        child = self.windows.launch(
            f'"{WSL}" -d {DISTRO} -u root --cd / --exec /usr/bin/sleep {seconds}', user=USER, session=session
        )
        assert until(lambda: len(processes_with(f"/usr/bin/sleep\0{seconds}")) > before, 60), "it does not start"
        return child

    def until_runs(self) -> None:
        """Wait until the distro has an instance."""
        assert until(lambda: bool(self.running()), 60), "the distro does not start"

    def running(self) -> list[str]:
        """The distros that run, asked from the machine and not from wsl.exe."""
        try:
            outside_prefix(self.folder)
        except DistroError:
            return []
        return [DISTRO]

    def stops_within(self, seconds: float) -> bool:
        """Put the clock forward; whether no distro runs after that."""
        self.clock.advance(seconds)
        return not self.running()

    def registered(self) -> list[str]:
        """The distros in the registry."""
        key = f"HKU\\{self.state.sid(USER)}\\{LXSS}"
        named = [self.state.registry.text(f"{key}\\{guid}", "DistributionName") for guid in self.registry_keys(key)]
        return [name for name in named if name]

    def registry_keys(self, key: str) -> list[str]:
        """The subkeys of a key."""
        return list(self.state.registry.subkeys(key))

    def inside(self, *argv: str) -> str:
        """What a program in the distro prints, run by this machine's own tools."""
        done = subprocess.run([*outside_prefix(self.folder), *argv], capture_output=True, text=True, check=True)
        return done.stdout

    def write_config(self, text: str) -> None:
        """Put a .wslconfig where WSL looks for it."""
        (self.drive_c / "Users" / USER / ".wslconfig").write_bytes(text.encode())

    def install_package(self, **properties: str) -> int:
        """What msiexec does with WSL's package, over WinRM; its exit code."""
        codes: list[int] = []

        def msi(run: Any) -> int:
            codes.append(self.windows.wsl.install(run, PACKAGE, properties))
            return codes[-1]

        self.windows.add_program("C:\\Windows\\System32\\the-msi.exe", msi)
        self.windows.place_program("C:\\Windows\\System32\\the-msi.exe")
        return self.run("the-msi.exe").code

    def put_image(self) -> str:
        """Put the vendor's image on the drive; its Windows path."""
        self.host.prepare()
        shutil.copyfile(self.host.tarball, self.drive_c / "Users" / USER / "image.wsl")
        return f"C:\\Users\\{USER}\\image.wsl"


@contextmanager
def wsl_box(*, bare: bool = False, distro: bool = True) -> Iterator[WslBox]:
    """A fresh one; skips the test where this machine cannot have a distro that boots."""
    folder = Path(tempfile.mkdtemp(prefix="vw-"))
    reached = rung(survey(folder / "probe"))
    if reached == NONE or reached not in BOOTS:
        pytest.skip("needs namespaces and a writable cgroup tree, which this machine does not give")
    box = WslBox(folder, bare)
    try:
        if distro and not bare:
            box.host.prepare()
            box.service.register(box.state.sid(USER), DISTRO, FOLDER, default_uid=1000)
        box.windows.boot()
        yield box
        assert box.faults == []
    finally:
        box.windows.stop_all()
        box.host.close()
        for sid in box.state.users.values():
            for one in box.service.registrations.registered(sid):
                box.service.unregister(sid, one)
        shutil.rmtree(folder, ignore_errors=True)
