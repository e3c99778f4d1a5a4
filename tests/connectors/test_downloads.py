"""Downloads by the box, watched over WinRM: what happens to the connection or to Windows does not spoil them."""

from __future__ import annotations

import hashlib
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.connectors.conftest import HERE, WINDOWS, Pyinfra
from vengeance.twin.client import Twin

ENDING = "/OllamaSetup.exe"


class Download:
    """One file of the twin's vendors, and pyinfra to have it downloaded."""

    def __init__(self, pyinfra: Pyinfra, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.twin, self._pyinfra = pyinfra.twin, pyinfra
        vendor = self.twin.status()["vendor"]
        url = next(url for url in vendor if url.endswith(ENDING))
        self.sha256 = str(vendor[url])
        self.place = self.twin.drive_c / "ProgramData" / "vengeance" / "downloads" / name
        dest = f"C:\\ProgramData\\vengeance\\downloads\\{name}"
        for setting, value in (("URL", url), ("DEST", dest), ("SHA256", self.sha256)):
            monkeypatch.setenv(f"DOWNLOAD_{setting}", value)

    def run(self) -> subprocess.CompletedProcess[str]:
        return self._pyinfra.run(str(HERE / "deploys" / "download.py"), "--yes", "--limit", WINDOWS)

    @property
    def is_right(self) -> bool:
        return hashlib.sha256(self.place.read_bytes()).hexdigest() == self.sha256

    @property
    def part(self) -> Path:
        return self.place.with_name(f"{self.place.name}.part")


@pytest.fixture
def download(pyinfra: Pyinfra, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Download:
    name = f"{hashlib.sha256(request.node.name.encode()).hexdigest()[:8]}.exe"
    return Download(pyinfra, name, monkeypatch)


@pytest.mark.parametrize("kind", ["cut_before", "cut_after"])
def test_a_download_survives_cuts_of_the_connection_to_the_box_and_of_its_own(
    twin: Twin, download: Download, kind: str
) -> None:
    twin.fault("web", how="cut", value=1_000_000, times=2)
    twin.fault(kind, request=3, every=3, times=None)
    done = download.run()
    twin.fault("clear")
    assert done.returncode == 0, done.stdout + done.stderr
    assert download.is_right
    again = download.run()
    assert again.returncode == 0, again.stdout + again.stderr
    assert "No changes" in again.stderr + again.stdout


def test_a_reboot_in_the_middle_of_a_download_is_said_and_the_next_run_goes_on(twin: Twin, download: Download) -> None:
    twin.fault("web", how="stall", value=1_500_000)
    done: list[subprocess.CompletedProcess[str]] = []
    thread = threading.Thread(target=lambda: done.append(download.run()), daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not download.part.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert download.part.exists()
    twin.reboot(seconds=1.0)
    thread.join(120)
    assert done[0].returncode != 0
    assert "Windows was restarted" in done[0].stdout + done[0].stderr
    assert not download.place.exists()
    again = download.run()
    assert again.returncode == 0, again.stdout + again.stderr
    assert download.is_right
