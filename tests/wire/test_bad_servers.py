"""Connecting to what is not there, not trusted or not WinRM: one sentence each, and no traceback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.wire.conftest import PASSWORD, Box
from vengeance.winrm.errors import ConnectFailed, ConnectionLost, SignInRefused, WireError
from vengeance.winrm.settings import WinRMSettings


def test_a_wrong_password_is_tried_once_and_names_user_and_host(box: Box) -> None:
    client = box.client(password=lambda: "not it")
    with pytest.raises(SignInRefused, match=r"127\.0\.0\.1 refused the user 'Steam'") as caught:
        client.connect()
    assert "not it" not in str(caught.value)
    assert sum(box.counted()["failed_logons"].values()) == 1


def test_a_wrong_password_over_https_too(box: Box) -> None:
    client = box.client(
        password=lambda: "not it",
        scheme="https",
        port=box.server.https_port,
        certificate_sha256=box.server.certificate_sha256,
    )
    with pytest.raises(SignInRefused):
        client.connect()
    assert sum(box.counted()["failed_logons"].values()) == 1


def test_an_unknown_user_is_refused(box: Box) -> None:
    with pytest.raises(SignInRefused, match="'nobody'"):
        box.client(user="nobody").connect()


def test_a_pinned_certificate_lets_us_in_and_another_does_not(box: Box) -> None:
    pinned: dict[str, Any] = {"scheme": "https", "port": box.server.https_port}
    client = box.client(certificate_sha256=box.server.certificate_sha256, **pinned)
    client.connect()
    with pytest.raises(ConnectFailed, match=f"shows another certificate .*{box.server.certificate_sha256}"):
        box.client(certificate_sha256="0" * 64, **pinned).connect()


def test_a_certificate_nobody_vouches_for_is_refused_with_its_fingerprint(box: Box) -> None:
    with pytest.raises(ConnectFailed, match=f"winrm_certificate_sha256 = '{box.server.certificate_sha256}'"):
        box.client(scheme="https", port=box.server.https_port).connect()


def test_a_certificate_for_another_name_is_refused(box: Box) -> None:
    client = box.client(
        host="localhost.localdomain" if _resolves("localhost.localdomain") else "127.0.0.2",
        scheme="https",
        port=box.server.https_port,
        ca_file=str(box.server.certificate.certificate),
    )
    with pytest.raises(WireError, match=r"for another name|nothing listens"):
        client.connect()


def test_an_unknown_host_and_a_closed_port_are_said_at_once(box: Box) -> None:
    with pytest.raises(ConnectFailed, match=r"no host 'no-such-host\.invalid'"):
        box.client(host="no-such-host.invalid").connect()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectFailed, match="nothing listens"):
            box.client(port=closed.getsockname()[1]).connect()


def test_http_on_the_https_port_says_which_setting_is_wrong(box: Box) -> None:
    with pytest.raises(ConnectionLost, match="is winrm_scheme right"):
        box.client(port=box.server.https_port).connect()


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    status, body, kind = 200, b"", "text/html"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.status)
        self.send_header("Content-Type", self.kind)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)


@pytest.fixture
def other_server(request: pytest.FixtureRequest) -> Iterator[int]:
    handler = type("Handler", (Answer,), request.param)
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "other_server",
    [
        {"body": b"<html>hello</html>"},
        {"body": b""},
        {"body": b"<s:Envelope><broken", "kind": "application/soap+xml"},
        {"status": 404, "body": b"not found"},
        {"status": 400, "body": b"bad"},
        {"status": 500, "body": b"oops"},
        {"status": 401, "body": b""},
    ],
    indirect=True,
    ids=["html", "empty", "broken xml", "404", "400", "500", "401 without an offer"],
)
def test_a_server_that_is_no_winrm_is_a_sentence(box: Box, other_server: int) -> None:
    with pytest.raises(WireError, match="127"):
        box.client(port=other_server).connect()


def test_basic_over_http_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="in the clear"):
        WinRMSettings("h", "u", lambda: PASSWORD, scheme="http", transport="basic")


def _resolves(name: str) -> bool:
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return False
    return True
