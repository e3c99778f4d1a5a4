"""The connector's process mode against answers recorded from real Windows machines (pypsrp's, MIT).

The recordings are not part of this repository: the tests are skipped where the folder is not there.
"""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from vengeance.twin.wsman.certificate import ensure_certificate
from vengeance.winrm.client import AgentTexts, WinRMClient
from vengeance.winrm.settings import WinRMSettings

RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings" / "winrm"
NO_TEXTS = AgentTexts("", "", "", "", "")
ACTION = re.compile(r"Action[^>]*>[^<]*/(\w+)</")

pytestmark = pytest.mark.skipif(not RECORDINGS.is_dir(), reason="no recorded answers beside this checkout")


class Replay(ThreadingHTTPServer):
    """Answers each request with the next recorded answer; only RelatesTo is made to fit."""

    def __init__(self, name: str, folder: Path) -> None:
        self.messages: list[dict[str, str]] = yaml.safe_load((RECORDINGS / f"{name}.yml").read_text())["messages"]
        self.actions: list[tuple[str, str]] = []
        self.bodies: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)
        certificate = ensure_certificate(folder, "recorded")
        self.certificate_sha256 = certificate.sha256
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        self.socket = context.wrap_socket(self.socket, server_side=True)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Replay

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        recorded = self.server.messages[len(self.server.actions)]
        asked, expected = ACTION.search(body), ACTION.search(recorded["request"])
        assert asked is not None
        assert expected is not None
        self.server.actions.append((asked[1], expected[1]))
        self.server.bodies.append(body)
        message_id = re.search(r"MessageID[^>]*>([^<]+)<", body)
        assert message_id is not None
        answer = re.sub(r"(RelatesTo>)[^<]+<", rf"\g<1>{message_id[1]}<", recorded["response"]).encode()
        self.send_response(500 if b"Fault>" in answer else 200)
        self.send_header("Content-Type", "application/soap+xml;charset=UTF-8")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@pytest.fixture
def replay(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Replay]:
    # Basic over pinned TLS: the recordings are of messages already unsealed, and so nothing of ours is left out.
    server = Replay(request.param, tmp_path)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(replay: Replay) -> Iterator[WinRMClient]:
    settings = WinRMSettings(
        "127.0.0.1",
        "vagrant",
        lambda: "x",
        port=replay.server_port,
        transport="basic",
        certificate_sha256=replay.certificate_sha256,
        mode="process",
    )
    made = WinRMClient(settings, NO_TEXTS)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("replay", "command", "stdin", "stdout", "stderr", "code"),
    [
        ("test_winrs_standard", "cmd.exe /c echo hi", None, b"hi\r\n", b"", 0),
        ("test_winrs_stderr_rc", "cmd.exe /c echo out && echo err>&2 && exit 1", None, b"out \r\n", b"err \r\n", 1),
        (
            "test_winrs_unicode",
            "powershell.exe Write-Host \u3053\u3093\u306b\u3061\u306f",
            None,
            "\u3053\u3093\u306b\u3061\u306f\n".encode(),
            b"",
            0,
        ),
        ("test_winrs_operation_timeout", "powershell.exe slow", None, b"hi\nhi again\n", b"", 0),
    ],
    indirect=["replay"],
)
def test_what_real_windows_answered_is_understood(
    replay: Replay, client: WinRMClient, command: str, stdin: None, stdout: bytes, stderr: bytes, code: int
) -> None:
    result = client.cmd(command)
    client.close()
    assert (result.stdout, result.stderr, result.code) == (stdout, stderr, code)
    assert [asked for asked, _ in replay.actions] == [expected for _, expected in replay.actions]
    assert len(replay.actions) == len(replay.messages)


@pytest.mark.parametrize("replay", ["test_winrs_send"], indirect=True)
def test_input_reaches_a_recorded_program_in_two_sends(replay: Replay, client: WinRMClient) -> None:
    shell = client._shell
    command = shell.start("powershell.exe -")
    sends = sum(1 for message in replay.messages if "/Send<" in message["request"])
    for number in range(sends):
        shell.send(command, b"line\r\n", end=number == sends - 1)
    received = shell.receive(command)
    assert received.stdout == b"output 1\noutput 2\n"
    assert received.exit_code == 0
