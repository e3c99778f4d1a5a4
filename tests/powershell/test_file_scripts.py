"""The scripts about files, installed programs and long work, run for real where there is a pwsh."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.powershell.test_powershell_scripts import PWSH, SCRIPTS, answer, needs_windows, runs_pwsh
from vengeance.powershell import load
from vengeance.twin.vendors.site import Site, WebFault

CONTENT = bytes(range(256)) * 20_000


@runs_pwsh
def test_an_empty_file_is_made_once_and_a_content_stays(tmp_path: Path) -> None:
    path = tmp_path / "a [1] file"
    given = {"path": str(path)}
    assert answer("New-File", given)["changed"] is True
    path.write_bytes(b"content")
    assert answer("New-File", given) == {"changed": False, "before": True, "after": True, "reboot_required": False}
    assert path.read_bytes() == b"content"


@runs_pwsh
def test_a_directory_comes_with_those_above_it_and_goes_with_its_contents_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "above" / "it"
    given: dict[str, Any] = {"path": str(path), "present": True, "contents": False}
    assert answer("Set-Directory", given)["changed"] is True
    assert path.is_dir()
    assert answer("Set-Directory", given)["changed"] is False
    (path / "file").touch()
    assert answer("Set-Directory", {**given, "present": False, "contents": True})["after"] is False
    assert not path.exists()
    assert path.parent.is_dir()


@runs_pwsh
def test_a_file_that_tells_no_version_has_none(tmp_path: Path) -> None:
    assert answer("Get-FileVersion", {"path": str(tmp_path / "nothing.exe")}) == {"version": None}


@runs_pwsh
@needs_windows
def test_a_product_that_is_not_installed_is_told_so() -> None:
    assert answer("Get-Product", {"product": "{00000000-1234-1234-1234-123456789ABC}"})["installed"] is False


@runs_pwsh
def test_work_that_nobody_started_is_absent() -> None:
    assert answer("Get-Work", {"name": "vengeance-test-nothing"})["state"] == "absent"


@runs_pwsh
@needs_windows
def test_a_directory_is_closed_to_all_but_administrators_and_stays(tmp_path: Path) -> None:
    given = {"path": str(tmp_path / "made" / "private")}
    assert answer("Get-DirectoryAccess", given)["exists"] is False
    assert answer("Protect-Directory", given)["before"] is None
    said = answer("Get-DirectoryAccess", given)
    assert (said["closed"], said["foreign"]) == (True, [])
    assert answer("Protect-Directory", given)["changed"] is False
    (tmp_path / "open").mkdir()
    assert answer("Get-DirectoryAccess", {"path": str(tmp_path / "open")})["closed"] is False
    assert answer("Protect-Directory", {"path": str(tmp_path / "open")})["changed"] is True
    assert answer("Get-DirectoryAccess", {"path": str(tmp_path / "open")})["closed"] is True


@runs_pwsh
@needs_windows
def test_work_is_started_outside_of_this_process_and_ends() -> None:
    given = {
        "name": "vengeance-test",
        "work": "Save-Download",
        "runner": load("work/runner"),
        "token": os.urandom(8).hex(),
    }
    script = "param([string] $InputJson)\n'{\"answer\": 42}'\n"
    answer("Protect-Directory", {"path": "%ProgramData%\\vengeance"})
    assert answer("Start-Work", {**given, "text": script, "input": "{}"})["started"] is True
    assert answer("Start-Work", {**given, "text": script, "input": "{}"})["started"] is False
    for _ in range(600):
        said = answer("Get-Work", {"name": "vengeance-test"})
        if said["state"] != "running":
            break
        time.sleep(0.1)
    assert (said["state"], said["result"]) == ("done", {"answer": 42})


# --- a download, by the runner and the work as they lie on the box ---


class Server:
    """A web server with one file, and a folder in which a download of it works."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "content").write_bytes(CONTENT)
        self.site = Site()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.site.handler())
        self._server.daemon_threads = True
        place = f"127.0.0.1:{self._server.server_port}/file"
        self.url = f"http://{place}"
        self.sha256 = self.site.publish(f"https://{place}", folder / "content")
        self.dest = folder / "made" / "file.bin"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.site.ended.set()
        self._server.shutdown()
        self._server.server_close()

    def download(self, **changes: Any) -> dict[str, Any]:
        """What result.json says."""
        given = {
            "url": self.url,
            "path": str(self.dest),
            "sha256": self.sha256,
            "signer": None,
            "proxy": None,
            "stall_seconds": 2,
            "tries": 5,
            "pause_seconds": 0.01,
        }
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        (work / "result.json").unlink(missing_ok=True)
        for name, text in (("runner", load("work/runner")), ("work", load("work/Save-Download"))):
            (work / f"{name}.ps1").write_text(text)
        (work / "input.json").write_text(json.dumps({**given, **changes}))
        line = [str(PWSH), "-NoLogo", "-NoProfile", "-NonInteractive", "-File", str(work / "runner.ps1")]
        subprocess.run(line, timeout=120, check=True, env={**os.environ, "HOME": str(self.folder)})
        answer: dict[str, Any] = json.loads((work / "result.json").read_text("utf-8-sig"))
        return answer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = Server(tmp_path)
    yield one
    one.stop()


@runs_pwsh
def test_a_download_that_is_cut_and_stalls_goes_on_and_is_whole(server: Server) -> None:
    server.site.fault(WebFault("cut", 1_000_000))
    server.site.fault(WebFault("stall", 1_000_000))
    server.site.fault(WebFault("status", 503))
    said = server.download()
    assert said["error"] is None
    assert said["result"] == {"changed": True, "bytes": len(CONTENT), "resumed": 0, "tries": 4}
    assert hashlib.sha256(server.dest.read_bytes()).hexdigest() == server.sha256
    assert [file.name for file in server.dest.parent.iterdir()] == ["file.bin"]
    assert server.download()["result"]["changed"] is False


@runs_pwsh
def test_a_download_with_another_hash_is_removed(server: Server) -> None:
    said = server.download(sha256="0" * 64)
    assert server.sha256 in said["error"]
    assert "0" * 64 in said["error"]
    assert list(server.dest.parent.iterdir()) == []


@runs_pwsh
def test_a_download_that_was_given_up_goes_on_in_the_next_run(server: Server) -> None:
    server.site.fault(WebFault("cut", 1_000_000, times=2))
    assert "could not be downloaded in 2 tries" in server.download(tries=2)["error"]
    assert server.download()["result"]["resumed"] == 2_000_000


@runs_pwsh
@needs_windows
def test_an_installer_is_waited_for_without_its_children(tmp_path: Path) -> None:
    text = (SCRIPTS / "work" / "Invoke-Installer.ps1").read_text().replace("Save-Progress (", "[void] (")
    given = {
        "file": r"C:\Windows\System32\cmd.exe",
        "arguments": '/d /c "start /b ping -n 60 127.0.0.1 >nul & exit /b 3"',
        "timeout_seconds": 30,
        "busy_seconds": 0,
        "pause_seconds": 1,
    }
    script = tmp_path / "installer.ps1"
    script.write_text(text)
    line = [str(PWSH), "-NoProfile", "-File", str(script), "-InputJson", json.dumps(given)]
    done = subprocess.run(line, capture_output=True, timeout=60, check=True)
    assert json.loads(done.stdout)["rc"] == 3
