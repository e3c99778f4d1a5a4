"""pyinfra, as a user runs it, against a twin; what it did is looked at by another path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vengeance.twin.client import Twin

HERE = Path(__file__).parent
WINDOWS, WSL = "@winrm/vengeance", "@wsl/vengeance/Ubuntu-24.04"

INVENTORY = """
from vengeance.secret import Secret

windows = [("@winrm/vengeance", {data!r} | {{"winrm_password": Secret.from_environment("TWIN_PASSWORD")}})]
wsl = [("@wsl/vengeance/{distro}", {{"wsl_user": {user!r}}})]
"""


@dataclass
class Pyinfra:
    """Runs pyinfra's command line with an inventory for one twin."""

    twin: Twin
    folder: Path

    def inventory(self, distro: str = "Ubuntu-24.04", user: str = "root", **changes: Any) -> Path:
        winrm = self.twin.status()["winrm"]
        data = {
            "winrm_host": winrm["host"],
            "winrm_port": winrm["https_port"],
            "winrm_user": winrm["user"],
            "winrm_certificate_sha256": winrm["certificate_sha256"],
        }
        data.update(changes)
        file = self.folder / "inventory.py"
        file.write_text(INVENTORY.format(data=data, distro=distro, user=user))
        return file

    def run(
        self, *arguments: str, password: str | None = None, inventory: Path | None = None, **changes: Any
    ) -> subprocess.CompletedProcess[str]:
        winrm = self.twin.status()["winrm"]
        environment = {
            "PYTHONPATH": str(HERE.parents[1]),
            "TWIN_PASSWORD": password or winrm["password"],
            "PYINFRA_PROGRESS": "off",
        }
        return subprocess.run(
            [str(Path(sys.executable).with_name("pyinfra")), str(inventory or self.inventory(**changes)), *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )

    def deploy(self, name: str, *arguments: str, **changes: Any) -> dict[str, Any]:
        """Run a deploy of this folder with --json --yes; return the results."""
        done = self.run(str(HERE / "deploys" / f"{name}.py"), "--yes", "--json", *arguments, **changes)
        assert done.returncode == 0, done.stdout + done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def fact(self, name: str, host: str, *arguments: str, **changes: Any) -> Any:
        done = self.run("--limit", host, "--json", "fact", name, *arguments, **changes)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def execute(self, host: str, command: str, *arguments: str, **changes: Any) -> subprocess.CompletedProcess[str]:
        return self.run("--yes", "--limit", host, *arguments, "exec", "--", command, **changes)


@pytest.fixture
def pyinfra(twin: Twin, tmp_path: Path) -> Iterator[Pyinfra]:
    twin.fault("clear")
    yield Pyinfra(twin, tmp_path)
    twin.fault("clear")


@pytest.fixture
def distro(twin: Twin) -> Twin:
    """A twin whose distro is really there."""
    state = twin.status()["distro"]
    if not state["systemd"]:
        pytest.skip("; ".join(state["missing"]) or "no distro with systemd on this machine")
    return twin


@pytest.fixture
def systemd(distro: Twin, pyinfra: Pyinfra) -> Twin:
    """The same with systemd in it."""
    distro.distro_exec(["/bin/sh", "-c", "printf '[boot]\\nsystemd=true\\n' >/etc/wsl.conf"])
    line = '"C:\\Program Files\\WSL\\wsl.exe" --terminate Ubuntu-24.04'
    assert pyinfra.execute(WINDOWS, line, "--shell-executable", "cmd").returncode == 0
    return distro
