"""What happens to a box in the middle of a run, done past pyinfra and its connection."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.waiting import eventually
from vengeance.connectors.pool import agent_texts
from vengeance.twin.client import Twin
from vengeance.twin.vendors import packages
from vengeance.winrm.client import WinRMClient
from vengeance.winrm.result import Result
from vengeance.winrm.settings import WinRMSettings

WSL = 'cd /d "C:\\Program Files\\WSL" && .\\wsl.exe'
NEWER_WSL = "2.8.1.0"
# dpkg(1): status-logger gets what becomes of each package, a line each.
KILLER = """\
#!/bin/sh
while read -r line; do
  case "$line" in
    *toolkit*half-configured* | *nvcc*half-configured*) rm -f /etc/dpkg/dpkg.cfg.d/killer; pkill -KILL -x dpkg ;;
  esac
done
"""
HELD = """\
import fcntl, time
files = [open(f, "w") for f in ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock")]
for file in files:
    fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(3600)
"""


def at_the_box(twin: Twin, line: str) -> Result:
    """What a person types in a window of the box's own."""
    winrm = twin.status()["winrm"]
    client = WinRMClient(
        WinRMSettings(
            winrm["host"],
            winrm["user"],
            lambda: str(winrm["password"]),
            port=winrm["https_port"],
            certificate_sha256=winrm["certificate_sha256"],
        ),
        agent_texts(),
    )
    try:
        return client.cmd(line, stdin=b"", timeout=60)
    finally:
        client.close()


def shut_down_wsl(twin: Twin) -> None:
    """Somebody runs wsl --shutdown."""
    assert at_the_box(twin, f"{WSL} --shutdown").code == 0


def update_wsl(twin: Twin) -> None:
    """Windows installs a newer WSL, which ends every distro that runs."""
    about = {"product": "wsl", "version": NEWER_WSL, "product_code": "{00000000-0000-4000-8000-000000000281}"}
    (twin.drive_c / "Users" / "Public").mkdir(parents=True, exist_ok=True)
    (twin.drive_c / "Users" / "Public" / "newer.msi").write_bytes(
        packages.package(packages.MSI, about, 10_000, "Microsoft Corporation")
    )
    done = at_the_box(twin, "msiexec /i C:\\Users\\Public\\newer.msi /qn SKIPMSIX=1")
    assert done.code == 0, done


def inside(twin: Twin, script: str) -> subprocess.CompletedProcess[bytes]:
    """Run a script in the distro with this machine's own tools."""
    return twin.distro_exec(["/bin/sh", "-c", script])


def kill_inside(twin: Twin, name: str) -> None:
    """Kill a program of the distro as soon as it runs."""
    eventually(lambda: inside(twin, f"pkill -KILL -f -- {name!r}").returncode == 0, f"a process of {name}", 60)


@contextmanager
def dpkg_killed(twin: Twin) -> Iterator[None]:
    """The dpkg that has unpacked the toolkit is killed before it has configured it, as by a lost power supply."""
    code = base64.b64encode(KILLER.encode()).decode()
    inside(twin, f"echo {code} | base64 -d >/run/killer && chmod 755 /run/killer")
    inside(twin, "echo status-logger=/run/killer >/etc/dpkg/dpkg.cfg.d/killer")
    try:
        yield
    finally:
        inside(twin, "rm -f /etc/dpkg/dpkg.cfg.d/killer /run/killer")


@contextmanager
def packages_in_use(twin: Twin) -> Iterator[None]:
    """Somebody else installs packages in the distro."""
    code = base64.b64encode(HELD.encode()).decode()
    start = f"echo {code} | base64 -d >/run/in-use.py; nohup python3 /run/in-use.py >/run/in-use.out 2>&1 &"
    inside(twin, start)
    eventually(lambda: b"held" in inside(twin, "cat /run/in-use.out").stdout, "the locks")
    try:
        yield
    finally:
        free_packages(twin)


def free_packages(twin: Twin) -> None:
    """Whoever installs packages has finished."""
    inside(twin, "pkill -f /run/in-use.py; rm -f /run/in-use.*")
