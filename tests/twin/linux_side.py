"""The Linux side of a twin by itself, without WinRM and without the Windows model, for its own tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.waiting import until as until
from vengeance.twin.distro.host import DistroHost, outside_prefix
from vengeance.twin.distro.ladder import BOOTS, NONE, rung, survey
from vengeance.twin.distro.settings import DistroSettings
from vengeance.twin.process import Process, ProcessOutput, Start
from vengeance.twin.windows.gpu import Gpu
from vengeance.twin.wsl.program import WslExe
from vengeance.twin.wsl.registrations import FileRegistrations
from vengeance.twin.wsl.service import LOCAL_SYSTEM, WslService

SID = "S-1-5-21-1-2-3-1001"
OTHER_SID = "S-1-5-21-1-2-3-1002"
NAME = "Ubuntu-24.04"
SIDS = {"Steam": SID, "Guest": OTHER_SID, "SYSTEM": LOCAL_SYSTEM}


@dataclass(frozen=True)
class Ended:
    """How a wsl.exe ended."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """The standard output of a run with WSL_UTF8=1."""
        return self.stdout.decode()


@dataclass
class LinuxSide:
    """One twin's Linux side."""

    state: Path
    host: DistroHost
    service: WslService
    wsl: WslExe
    card: Gpu

    @property
    def drive_c(self) -> Path:
        """The C: drive."""
        return self.state / "drive_c"

    def needs_a_network(self) -> None:
        """Skip the test where the distro shares this machine's network."""
        if not self.host.abilities.network:
            pytest.skip("needs a network of the distro's own: " + " ".join(self.host.missing))

    def needs_the_vendor(self) -> None:
        """Skip the test where nobody answers at the vendor's address."""
        if not self.host.vendor_repository:
            pytest.skip("needs the vendor's package repository: " + " ".join(self.host.missing))

    def begin(self, line: str, user: str = "Steam", **environment: str) -> tuple[Process, ProcessOutput]:
        """Start wsl.exe with this raw command line."""
        output = ProcessOutput()
        start = Start(f"wsl.exe {line}", {"WSL_UTF8": "1", **environment}, user=user)
        return self.wsl.start(line, [], start, output), output

    def run(self, line: str, stdin: bytes = b"", user: str = "Steam", **environment: str) -> Ended:
        """Run wsl.exe to its end."""
        process, output = self.begin(line, user, **environment)
        process.write(stdin)
        process.close_stdin()
        return ended(output)

    def sh(self, script: str, user: str = "root") -> Ended:
        """Run a shell script that is given on standard input."""
        return self.run(f"-d {NAME} -u {user} --cd / --exec /bin/sh", script.encode())

    def outside(self, *argv: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        """Run a program in the distro by the host's own tools."""
        command = [*outside_prefix(self.state, user), *argv]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def ended(output: ProcessOutput, timeout: float = 60) -> Ended:
    """Wait for the end and take everything."""
    code = output.wait(timeout)
    assert code is not None, "wsl.exe did not end"
    pieces, _ = output.take(1 << 30, 0)
    join: Callable[[str], bytes] = lambda name: b"".join(data for stream, data in pieces if stream == name)  # noqa: E731
    return Ended(code, join("stdout"), join("stderr"))


@contextmanager
def linux_side(wanted: str | None = None, *, systemd: bool = True, time_scale: float = 1.0) -> Iterator[LinuxSide]:
    """A fresh one; skips the test where this machine cannot have it. ``wanted`` forces a rung."""
    state = Path(tempfile.mkdtemp(prefix="vl-"))
    reached = rung(survey(state / "probe"))
    if reached == NONE:
        pytest.skip("needs root, or a user with a cgroup of his own: a distro runs in namespaces or in a chroot")
    if wanted is None and reached not in BOOTS:
        pytest.skip("needs namespaces and a writable cgroup tree, which this machine does not give")
    for folder in ("Users/Steam", "Users/Guest", "Windows/System32"):
        (state / "drive_c" / folder).mkdir(parents=True)
    host = DistroHost(replace(DistroSettings.from_environment(), rung=wanted), state, state / "drive_c", print)
    registrations = FileRegistrations(state / "lxss.json")
    service = WslService(host, registrations, time_scale=time_scale)
    wsl = WslExe(service, sid_of=SIDS.__getitem__)
    card = Gpu()
    host.serve_card(card)
    try:
        one = service.register(SID, NAME, "C:\\Users\\Steam\\AppData\\Local\\wsl\\one", default_uid=1000)
        if systemd:
            root = host._disk(one.guid).attach()
            (root / "etc/wsl.conf").write_text("[boot]\nsystemd=true\n", encoding="utf-8")
            host._disk(one.guid).detach()
        yield LinuxSide(state, host, service, wsl, card)
    finally:
        wsl.terminate_all()
        host.close()
        for sid in (SID, OTHER_SID):
            for one in registrations.registered(sid):
                service.unregister(sid, one)
        shutil.rmtree(state, ignore_errors=True)


def forwarding() -> str:
    """The kernel's forwarding switch."""
    return Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii").strip()


def mounts_below(folder: Path) -> list[str]:
    """What is mounted below a folder."""
    lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.split(" ")[1].startswith(str(folder))]


def processes_with(mark: str) -> list[int]:
    """The processes of this machine, distros included, whose command line holds this text."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
