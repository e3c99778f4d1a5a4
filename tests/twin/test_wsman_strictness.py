"""The WinRM server is as strict as Windows about sign-in, sealing, sizes and time."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import socket
import ssl
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.twin.raw_wsman import (
    CLEAR_TYPE,
    CMD,
    CONFIG,
    PASSWORD,
    SEALED_TYPE,
    SHELL,
    TRANSFER,
    Served,
    message,
    serving,
)
from vengeance.twin.wsman.limits import Limits


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as running:
        yield running


def get_config() -> bytes:
    return message(f"{TRANSFER}/Get", resource=CONFIG)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_an_anonymous_request_is_told_how_to_sign_in(served: Served) -> None:
    answer = served.connect().post(get_config())
    assert (answer.status, answer.body) == (401, b"")
    assert answer.headers.get_all("WWW-Authenticate") == ["Negotiate"]
    over_tls = served.connect(tls=True).post(get_config())
    assert over_tls.headers.get_all("WWW-Authenticate") == ["Negotiate", 'Basic realm="WSMAN"']


def test_the_first_token_may_come_with_the_first_request_whose_body_is_ignored(served: Served) -> None:
    connection = served.connect()
    assert connection.sign_in("Steam", PASSWORD, first_body=b"<not even xml") == 200
    assert connection.last.body == b""
    assert connection.send(get_config()).text("MaxEnvelopeSizekb") == "500"
    assert served.server.log.snapshot()["requests"] == 3


def test_the_last_token_may_come_with_a_sealed_message(served: Served) -> None:
    connection = served.connect()
    assert connection.sign_in("Steam", PASSWORD, last_body=get_config()) == 200
    assert connection.last.text("MaxEnvelopeSizekb") == "500"
    snapshot = served.server.log.snapshot()
    assert (snapshot["requests"], snapshot["messages"]) == (2, 1)


@pytest.mark.parametrize("user", ["Steam", "STEAM", "VENGEANCE\\Steam", ".\\Steam", "Steam@VENGEANCE"])
def test_every_spelling_of_the_account_signs_in(served: Served, user: str) -> None:
    assert served.connect().sign_in(user, PASSWORD) == 200


@pytest.mark.parametrize(("user", "password"), [("Steam", "wrong"), ("Nobody", PASSWORD), ("Steam", "")])
def test_a_wrong_sign_in_is_401_and_counted_once(served: Served, user: str, password: str) -> None:
    connection = served.connect()
    assert connection.sign_in(user, password) == 401
    assert served.server.log.snapshot()["failed_logons"] == {user: 1}
    # the same connection may sign in afterwards
    assert connection.sign_in("Steam", PASSWORD) == 200


def test_a_changed_password_holds_at_the_next_sign_in(served: Served) -> None:
    connection = served.signed_in()
    served.server.accounts.add("Steam", "new one")
    assert connection.send(get_config()).status == 200
    assert served.connect().sign_in("Steam", PASSWORD) == 401
    assert served.connect().sign_in("Steam", "new one") == 200
    served.server.accounts.remove("Steam")
    assert served.connect().sign_in("Steam", "new one") == 401


def test_the_credential_file_is_private_and_holds_no_password(served: Served) -> None:
    file = served.server.accounts.file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert PASSWORD not in file.read_text(encoding="utf-8")
    assert PASSWORD not in repr(served.server.accounts.find("Steam"))


@pytest.mark.parametrize("name", ["", "a:b", "a\\b", "a@b", "two\nlines"])
def test_an_account_name_that_windows_forbids_is_refused(served: Served, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a Windows account"):
        served.server.accounts.add(name, "x")


@pytest.mark.parametrize("token", ["", "!!!", "AAAA", base64.b64encode(b"NTLMSSP\x00\x09\x00\x00\x00").decode()])
def test_a_broken_token_is_401(served: Served, token: str) -> None:
    connection = served.connect()
    assert connection.post(b"", authorization=f"Negotiate {token}").status == 401
    assert connection.sign_in("Steam", PASSWORD) == 200


def test_a_sealed_body_on_an_unauthenticated_connection_is_401(served: Served) -> None:
    signed_in = served.signed_in()
    assert served.connect().post(signed_in.seal(get_config()), SEALED_TYPE).status == 401


def test_a_clear_body_is_refused_with_500_unless_unencrypted_is_allowed(served: Served) -> None:
    connection = served.signed_in()
    refused = connection.post(get_config())
    assert (refused.status, refused.body) == (500, b"")
    served.server.limits.allow_unencrypted = True
    assert connection.post(get_config()).text("AllowUnencrypted") == "false"  # cfg:Client comes first
    assert connection.post(get_config()).headers["Content-Type"] == CLEAR_TYPE


def test_over_https_a_clear_body_is_welcome_and_a_sealed_one_too(served: Served) -> None:
    connection = served.signed_in(tls=True)
    assert connection.post(get_config()).text("MaxTimeoutms") == "60000"
    assert connection.send(get_config()).text("MaxTimeoutms") == "60000"


def test_sequence_numbers_are_per_connection_and_a_message_out_of_order_is_400(served: Served) -> None:
    connection, other = served.signed_in(), served.signed_in()
    assert connection.send(get_config()).status == 200
    sealed_for_other = other.seal(get_config())
    assert connection.post(sealed_for_other, SEALED_TYPE).status == 400  # another connection's keys
    assert connection.send(get_config()).status == 400  # and for ever after, as on Windows
    assert other.post(sealed_for_other, SEALED_TYPE).status == 200
    assert other.post(sealed_for_other, SEALED_TYPE).status == 400  # played back


def test_a_skipped_message_is_400(served: Served) -> None:
    connection = served.signed_in()
    connection.seal(get_config())  # sealed, never sent
    assert connection.send(get_config()).status == 400


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body[:-40] + b"\x00" * 40,
        lambda body: body.replace(b"Length=", b"Length=9"),
        lambda body: b"nothing of the kind",
        lambda body: body.replace(b"\x10\x00\x00\x00", b"\xff\xff\xff\x7f", 1),
    ],
)
def test_an_unreadable_sealed_body_is_400_until_the_connection_signs_in_anew(served: Served, damage: object) -> None:
    connection = served.signed_in()
    assert callable(damage)
    assert connection.post(damage(connection.seal(get_config())), SEALED_TYPE).status == 400
    assert connection.send(get_config()).status == 400
    assert connection.sign_in("Steam", PASSWORD) == 200
    assert connection.send(get_config()).status == 200


def test_basic_works_over_https_only(served: Served) -> None:
    authorization = basic("Steam", PASSWORD)
    assert served.connect(tls=True).post(get_config(), authorization=authorization).status == 200
    assert served.connect().post(get_config(), authorization=authorization).status == 401
    served.server.limits.allow_unencrypted = True
    assert served.connect().post(get_config(), authorization=authorization).status == 200
    served.server.limits.allow_basic = False
    assert served.connect().post(get_config(), authorization=authorization).status == 401
    assert served.connect(tls=True).post(get_config(), authorization=authorization).status == 401


def test_basic_is_checked_at_every_request_and_counted(served: Served) -> None:
    connection = served.connect(tls=True)
    assert connection.post(get_config(), authorization=basic("Steam", PASSWORD)).status == 200
    assert connection.post(get_config()).status == 401
    assert connection.post(get_config(), authorization=basic("Steam", "wrong")).status == 401
    assert connection.post(get_config(), authorization="Basic ???").status == 401
    assert served.server.log.snapshot()["failed_logons"] == {"Steam": 1}


def test_an_idle_connection_is_closed(tmp_path: Path) -> None:
    with serving(tmp_path, limits=Limits(connection_idle_seconds=0.2)) as served:
        connection = served.signed_in()
        assert connection.send(get_config()).status == 200
        assert connection.http.sock.recv(1) == b""  # blocks until the server closes


def test_a_waiting_receive_is_not_idleness(tmp_path: Path) -> None:
    with serving(tmp_path, limits=Limits(connection_idle_seconds=0.2)) as served:
        connection = served.signed_in()
        shell = connection.create()
        command = connection.command(shell, "sleep 0.6; echo late")
        assert connection.receive_all(shell, command) == (b"late\n", b"", 0)


def test_a_request_over_the_envelope_limit_is_413(served: Served) -> None:
    connection = served.signed_in()
    fits = message(f"{TRANSFER}/Get", resource=CONFIG, body="x" * 400_000)
    assert connection.send(fits).status == 200
    for surplus in (1, 2_000_000):
        connection = served.signed_in()
        frame = message(f"{TRANSFER}/Get", resource=CONFIG)
        over = message(f"{TRANSFER}/Get", resource=CONFIG, body="x" * (512_000 + surplus - len(frame)))
        answer = connection.send(over)
        assert (answer.status, answer.body, answer.headers["Connection"]) == (413, b"", "close")
        assert connection.http.sock is None  # closed by what the header says


def test_a_request_of_exactly_the_envelope_limit_is_served(served: Served) -> None:
    frame = message(f"{TRANSFER}/Get", resource=CONFIG, message_id="uuid:1")
    exact = message(f"{TRANSFER}/Get", resource=CONFIG, message_id="uuid:1", body="x" * (512_000 - len(frame)))
    assert len(exact) == 512_000
    assert served.signed_in().send(exact).status == 200


def test_an_answer_keeps_to_the_envelope_size_of_its_request(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create()
    for size in (8192, 153_600, 512_000, 4_000_000):
        command = connection.command(shell, "head -c 1000000 /dev/zero")
        assert served.programs.outputs[-1].wait(10) == 0
        got = 0
        biggest = 0
        while True:
            answer = connection.receive(shell, command, max_envelope=size)
            biggest = max(biggest, len(answer.body))
            got += len(answer.streams["stdout"])
            if answer.exit_code is not None:
                break
        assert got == 1_000_000
        assert size * 0.5 < biggest <= size or size > 512_000 >= biggest > 256_000


def test_many_small_pieces_keep_to_the_envelope_size_too(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create()
    line = "i=0; while [ $i -lt 600 ]; do echo o; echo e >&2; i=$((i+1)); done"
    command = connection.command(shell, line)
    assert served.programs.outputs[-1].wait(10) == 0
    out = err = b""
    while True:
        answer = connection.receive(shell, command, max_envelope=8192)
        assert len(answer.body) <= 8192
        out, err = out + answer.streams["stdout"], err + answer.streams["stderr"]
        if answer.exit_code is not None:
            break
    assert (out, err) == (b"o\n" * 600, b"e\n" * 600)


def test_an_envelope_size_below_the_smallest_is_a_fault(served: Served) -> None:
    answer = served.signed_in().send(message(f"{TRANSFER}/Get", resource=CONFIG, max_envelope=500))
    assert (answer.status, answer.fault) == (500, 2150858878)


@pytest.mark.parametrize(("timeout", "seconds"), [("PT0.3S", 0.3), ("P0DT0H0M0.300S", 0.3), ("PT20S", 0.6)])
def test_a_silent_receive_ends_at_the_operation_timeout_capped_by_the_server(
    tmp_path: Path, timeout: str, seconds: float
) -> None:
    with serving(tmp_path, limits=Limits(max_timeout_ms=600)) as served:
        connection = served.signed_in()
        shell = connection.create()
        command = connection.command(shell, "sleep 9")
        began = time.monotonic()
        answer = connection.receive(shell, command, timeout)
        assert seconds <= time.monotonic() - began < seconds + 3
        assert (answer.status, answer.fault) == (500, 2150858793)
        assert b"<s:Value>w:TimedOut</s:Value>" in answer.body


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (message(f"{TRANSFER}/Get", resource=CONFIG, timeout="PT-1S"), 2150858767),
        (message(f"{TRANSFER}/Get", resource=CONFIG, timeout="soon"), 2150858767),
        (message(f"{TRANSFER}/Put", resource=CONFIG), 2150858753),
        (message(f"{TRANSFER}/Get", resource="urn:nothing"), 2150858752),
        (message(f"{TRANSFER}/Create", resource=f"{SHELL}/Microsoft.PowerShell"), 2150858752),
        (message(f"{TRANSFER}/Get", resource=CONFIG).replace(b"a:MessageID", b"a:Nothing"), 2150858769),
        (message(f"{TRANSFER}/Get", resource=CONFIG).replace(b"a:Action", b"a:Nothing"), 2150858769),
        (b"<Envelope/>", 2150858819),
        (b"no xml at all", 2150858819),
        (b"\xff\xfe\x00", 2150858819),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]>" + message(f"{TRANSFER}/Get", resource=CONFIG), 2150858819),
    ],
)
def test_a_bad_message_is_a_fault_and_leaves_the_connection_usable(served: Served, bad: bytes, code: int) -> None:
    connection = served.signed_in()
    answer = connection.send(bad)
    assert (answer.status, answer.fault) == (500, code)
    assert connection.send(get_config()).status == 200


def test_other_paths_and_methods_are_refused(served: Served) -> None:
    assert served.connect().post(b"", path="/").status == 404
    connection = http.client.HTTPConnection("127.0.0.1", served.server.http_port or 0, timeout=5)
    connection.request("GET", "/wsman")
    assert connection.getresponse().status == 405


@pytest.mark.parametrize(
    "request_bytes", [b"BOGUS\r\n\r\n", b"POST /wsman HTTP/1.1\r\nContent-Length: -4\r\n\r\n", b"X" * 70_000]
)
def test_what_is_no_http_is_400_and_closed(served: Served, request_bytes: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.server.http_port or 0), timeout=5) as sock:
        sock.sendall(request_bytes)
        answer = b""
        while data := sock.recv(4096):
            answer += data
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_chunked_body_and_a_100_continue_are_understood(served: Served) -> None:
    body = get_config()
    head = (
        f"POST /wsman HTTP/1.1\r\nHost: x\r\nAuthorization: {basic('Steam', PASSWORD)}\r\n"
        "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    ).encode()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", served.server.https_port or 0), timeout=5)
    with context.wrap_socket(plain) as sock:
        sock.sendall(head)
        assert sock.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for piece in (body[:10], body[10:]):
            sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        sock.sendall(b"0\r\n\r\n")
        answer = b""
        while data := sock.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"<cfg:MaxEnvelopeSizekb>500<" in answer


def test_each_answer_is_one_segment_with_windows_headers(served: Served) -> None:
    answer = served.signed_in(tls=True).post(get_config())
    assert answer.headers["Server"] == "Microsoft-HTTPAPI/2.0"
    assert answer.headers["Content-Type"] == "application/soap+xml;charset=UTF-8"
    assert int(answer.headers["Content-Length"]) == len(answer.body)


def test_identify_tells_the_version_to_those_who_have_signed_in(served: Served) -> None:
    identify = (
        b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
        b'xmlns:i="http://schemas.dmtf.org/wbem/wsman/identify/1/wsmanidentity.xsd">'
        b"<s:Header/><s:Body><i:Identify/></s:Body></s:Envelope>"
    )
    assert served.signed_in().send(identify).text("ProductVersion") == "OS: 10.0.26100 SP: 0.0 Stack: 3.0"
    anonymous = served.connect().post(identify, path="/wsman-anon/identify")
    assert anonymous.text("ProductVersion") == "OS: 0.0.0 SP: 0.0 Stack: 3.0"


def test_the_certificate_is_kept_and_its_fingerprint_is_of_the_der_form(served: Served, tmp_path: Path) -> None:
    pem = ssl.get_server_certificate(("127.0.0.1", served.server.https_port or 0))
    der = ssl.PEM_cert_to_DER_cert(pem)
    assert hashlib.sha256(der).hexdigest() == served.server.certificate_sha256
    assert stat.S_IMODE((tmp_path / "winrm.key").stat().st_mode) == 0o600
    before = served.server.certificate_sha256
    with serving(tmp_path) as again:
        assert again.server.certificate_sha256 == before


def test_a_client_that_trusts_the_certificate_accepts_its_name(served: Served, tmp_path: Path) -> None:
    context = ssl.create_default_context(cafile=str(tmp_path / "winrm.crt"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("127.0.0.1", "localhost", "VENGEANCE"):
        plain = socket.create_connection(("127.0.0.1", served.server.https_port or 0), timeout=5)
        with context.wrap_socket(plain, server_hostname=name) as sock:
            assert sock.version() in ("TLSv1.2", "TLSv1.3")


def test_a_client_that_speaks_no_tls_does_not_disturb_the_https_port(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.server.https_port or 0), timeout=5) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            sock.recv(100)
    assert served.signed_in(tls=True).post(get_config()).status == 200


def test_the_log_holds_no_secret_and_no_body(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create("<rsp:Environment><rsp:Variable Name='S'>secret-value</rsp:Variable></rsp:Environment>")
    command = connection.command(shell, "cat")
    connection.input(shell, command, b"secret-input", end=True)
    connection.receive_all(shell, command)
    served.connect().sign_in("Steam", "wrong-password")
    served.connect(tls=True).post(get_config(), authorization=basic("Steam", PASSWORD))
    text = served.log_file.read_text(encoding="utf-8")
    for secret in ("secret", PASSWORD, "wrong-password", "Basic", "Negotiate"):
        assert secret not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["action"] for line in lines if line["leg"] == "message"][:3] == ["Create", "Command", "Send"]
    received = next(line for line in lines if line["action"] == "Receive")
    assert (received["shell"], received["command"], received["user"]) == (shell, command, "Steam")
    assert received["bytes_in"] > 500
    assert received["bytes_out"] > 500
    assert next(line for line in lines if line["action"] == "Create")["shell"] == shell
    assert CMD not in text
