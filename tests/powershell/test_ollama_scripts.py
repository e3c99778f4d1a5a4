"""The scripts about Ollama, run for real where there is a pwsh; its server is a small one of this file."""

from __future__ import annotations

import json
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.powershell.test_powershell_scripts import answer, needs_windows, run, runs_pwsh
from vengeance.powershell import load

DIGEST = "357c53fb659c" + "0" * 52


class Server(ThreadingHTTPServer):
    """What of Ollama's API the scripts use.

    pulls: the answers to pulls, each a list of lines; refusals: body and status that come before them
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.installed = ["qwen2.5:3b"]
        self.loaded = ["qwen2.5:3b"]
        self.asks_until_unloaded = 2
        self.pulls: list[list[dict[str, Any]]] = []
        self.refusals: list[tuple[bytes, int]] = []
        self.asked: list[tuple[str, Any]] = []

    @property
    def place(self) -> dict[str, Any]:
        """Where it is, as the scripts take it."""
        return {"address": "127.0.0.1", "port": self.server_address[1]}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def log_message(self, *_: Any) -> None:
        """Nothing: the tests look at what was asked."""

    def _say(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _given(self) -> Any:
        given = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null")
        self.server.asked.append((self.path, given))
        return given

    def do_GET(self) -> None:
        server = self.server
        names: list[str] = []
        if self.path == "/api/version":
            self._say(b'{"version":"0.34.1"}')
            return
        if self.path == "/api/tags":
            names = server.installed
        elif self.path == "/api/ps":
            names = server.loaded
            if server.asked and server.asks_until_unloaded:
                server.asks_until_unloaded -= 1
                if not server.asks_until_unloaded:
                    server.loaded = []
        self._say(json.dumps({"models": [{"name": name, "digest": DIGEST, "size": 7} for name in names]}).encode())

    def do_POST(self) -> None:
        given = self._given()
        if self.path == "/api/pull":
            if self.server.refusals:
                self._say(*self.server.refusals.pop(0))
                return
            lines = self.server.pulls.pop(0)
            if lines[-1].get("status") == "success":
                self.server.installed.append(given["model"])
            self._say(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            return
        self._say(b"{}")

    def do_DELETE(self) -> None:
        self.server.installed.remove(self._given()["model"])
        self._say(b"")


PULL = {"model": "m:1", "stall_seconds": 30, "pause_seconds": 0, "fruitless": 2}


def pulling() -> str:
    """The work that pulls, with what runner.ps1 gives it."""
    first = "$ErrorActionPreference = 'Stop'\n"
    return load("work/Save-OllamaModel").replace(first, first + "function Save-Progress($progress) { }\n", 1)


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    threading.Thread(target=one.serve_forever, daemon=True).start()
    yield one
    one.shutdown()
    one.server_close()


@runs_pwsh
def test_a_server_is_asked_and_a_missing_one_is_no_error(server: Server) -> None:
    said = answer("Get-OllamaAnswer", {**server.place, "question": "version"})
    assert said == {"status": 200, "body": '{"version":"0.34.1"}', "error": None}
    place = server.place
    server.server_close()
    said = answer("Get-OllamaAnswer", {**place, "question": "version"})
    assert (said["status"], said["body"]) == (None, None)
    assert said["error"]


@runs_pwsh
def test_a_model_is_unloaded_and_its_end_is_waited_for(server: Server) -> None:
    wanted = {**server.place, "model": "qwen2.5:3b", "timeout": 30}
    said = answer("Stop-OllamaModel", wanted)
    assert (said["changed"], said["before"], said["after"]) == (True, True, False)
    assert ("/api/generate", {"model": "qwen2.5:3b", "keep_alive": 0, "stream": False}) in server.asked
    assert answer("Stop-OllamaModel", wanted)["changed"] is False


@runs_pwsh
def test_a_model_is_removed_once(server: Server) -> None:
    wanted = {**server.place, "model": "qwen2.5:3b"}
    assert answer("Remove-OllamaModel", wanted)["changed"] is True
    assert server.installed == []
    assert answer("Remove-OllamaModel", wanted)["changed"] is False


@runs_pwsh
def test_a_pull_is_asked_for_again_until_it_succeeds(server: Server) -> None:
    layer = {"status": "pulling 5ee4f07cdb9b", "digest": "sha256:5ee4", "total": 100}
    server.pulls = [
        [{"status": "pulling manifest"}, layer, {**layer, "completed": 40}, {"error": "unexpected EOF"}],
        [{"status": "pulling manifest"}, {**layer, "completed": 100}, {"status": "success"}],
    ]
    wanted = {**server.place, **PULL}
    done = run(pulling(), wanted)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert json.loads(done.stdout.decode("utf-8-sig")) == {"model": "m:1", "digest": DIGEST, "size": 7, "attempts": 2}
    server.pulls = [[{"error": "pull model manifest: file does not exist"}]]
    done = run(pulling(), wanted)
    assert done.returncode != 0
    assert b"file does not exist" in done.stderr


@runs_pwsh
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "the disk is full"}', b"2 attempts: the disk is full"),
        (b'{"message": "come back later"}', b'it answered with status 503: {"message": "come back later"}'),
        (b"<html>No</html>", b"it answered with status 503: <html>No</html>"),
        (b"", b"it answered with status 503"),
    ],
)
def test_a_pull_that_is_refused_says_what_came_back(server: Server, body: bytes, said: bytes) -> None:
    server.refusals = [(body, 503)] * 2
    done = run(pulling(), {**server.place, **PULL})
    assert done.returncode != 0
    assert said in done.stderr


@runs_pwsh
@pytest.mark.skipif(sys.platform != "win32", reason="it puts Windows paths together")
def test_the_archive_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    archive = tmp_path / "ollama.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("ollama.exe", b"MZ")
    folder = tmp_path / "Ollama"
    wanted = {"archive": str(archive), "folder": str(folder), "version": "0.34.1"}
    said = answer("Expand-OllamaArchive", wanted)
    assert (said["changed"], said["before"], said["after"]) == (True, None, "0.34.1")
    assert answer("Expand-OllamaArchive", wanted)["changed"] is False
    assert answer("Expand-OllamaArchive", {**wanted, "version": "0.35.0"})["before"] == "0.34.1"
    assert answer("Get-OllamaInstallation", {"folder": str(folder)})["archive"]["version"] == "0.35.0"
    (folder / "vengeance-version.txt").unlink()
    done = run(load("Expand-OllamaArchive"), wanted)
    assert b"were not put there" in done.stderr


@runs_pwsh
@needs_windows
def test_what_this_machine_has_of_ollama_is_read() -> None:
    said = answer("Get-OllamaInstallation", {"folder": None})
    assert said["archive"] is None
    said = answer("Get-OllamaSettings", {})
    assert (said["settings"] is not None) <= Path(said["database"]).exists()
    said = answer("Get-OllamaServer", {"boot_log": "C:\\no\\such.log"})
    assert said["boot_log"] is None
    said = answer("Get-OllamaStorage", {"folder": None})
    assert said["free_bytes"] > 0


@runs_pwsh
@needs_windows
@pytest.mark.skip(
    reason="Stop-Ollama, Set-OllamaSettings and Set-OllamaStartup would change the Ollama of this machine"
)
@pytest.mark.parametrize("name", ["Stop-Ollama", "Set-OllamaSettings", "Set-OllamaStartup"])
def test_changes_to_a_real_ollama(name: str) -> None:
    """Run by hand, on a machine whose Ollama may be ended."""
    answer(name, {"settings": {"auto_update_enabled": False}, "present": False, "folder": ""})
