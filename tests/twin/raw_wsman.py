"""A WS-Man client without mercy, for what no well-behaved client sends; and the server under test."""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import ssl
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import spnego

from tests.twin.local_programs import LocalPrograms
from vengeance.twin.process import Launcher
from vengeance.twin.wsman.accounts import Accounts
from vengeance.twin.wsman.faults import FaultPlan
from vengeance.twin.wsman.limits import Limits
from vengeance.twin.wsman.log import RequestLog
from vengeance.twin.wsman.server import ListenSettings, WsmanServer

SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
CMD = f"{SHELL}/cmd"
CONFIG = "http://schemas.microsoft.com/wbem/wsman/1/config"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
SEALED_TYPE = 'multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"'
CLEAR_TYPE = "application/soap+xml;charset=UTF-8"

# a colon, a blank and letters outside ASCII: what a real password may hold
PASSWORD = "twin:päss wörd%1"  # an account that lives as long as one test
OTHER_PASSWORD = "another-one"


@dataclass
class Served:
    """A running server and what a test wants of it."""

    server: WsmanServer
    programs: LocalPrograms
    log_file: Path
    user: str = "Steam"
    password: str = PASSWORD

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.server.http_port}/wsman"

    @property
    def https(self) -> str:
        return f"https://127.0.0.1:{self.server.https_port}/wsman"

    def connect(self, tls: bool = False) -> RawConnection:
        port = self.server.https_port if tls else self.server.http_port
        assert port is not None
        return RawConnection(port, tls)

    def signed_in(self, user: str = "Steam", password: str = PASSWORD, tls: bool = False) -> RawConnection:
        connection = self.connect(tls)
        assert connection.sign_in(user, password) == 200
        return connection


@contextlib.contextmanager
def serving(folder: Path, launcher: Launcher | None = None, limits: Limits | None = None) -> Iterator[Served]:
    """Run a server in ``folder`` with the accounts Steam and Other."""
    programs = LocalPrograms()
    accounts = Accounts(folder / "accounts")
    accounts.add("Steam", PASSWORD)
    accounts.add("Other", OTHER_PASSWORD)
    log_file = folder / "requests.jsonl"
    server = WsmanServer(
        ListenSettings(folder),
        accounts,
        launcher if launcher is not None else programs,
        FaultPlan(),
        RequestLog(log_file),
        limits if limits is not None else Limits(),
    )
    server.start()
    try:
        yield Served(server, programs, log_file)
    finally:
        server.stop()
        server.log.close()


@dataclass
class Answer:
    """What came back: HTTP status, headers, and the body after unsealing."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def xml(self) -> ElementTree.Element:
        return ElementTree.fromstring(self.body)

    def text(self, name: str) -> str | None:
        """Text of the first element with this local name."""
        for element in self.xml.iter():
            if element.tag.rpartition("}")[2] == name:
                return element.text
        return None

    @property
    def fault(self) -> int | None:
        """The fault code, wherever Windows puts it."""
        match = re.search(rb'WSManFault [^>]*Code="(\d+)"', self.body) or re.search(
            rb"error_Code[^>]*>(\d+)<", self.body
        )
        return int(match[1]) if match else None

    @property
    def streams(self) -> dict[str, bytes]:
        found = {"stdout": b"", "stderr": b""}
        for element in self.xml.iter(f"{{{SHELL}}}Stream"):
            found[element.attrib["Name"]] += base64.b64decode(element.text or "")
        return found

    @property
    def exit_code(self) -> int | None:
        code = self.text("ExitCode")
        return int(code) if code is not None else None


class RawConnection:
    """One TCP connection."""

    def __init__(self, port: int, tls: bool = False) -> None:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.http: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", port, timeout=30, context=context
            )
        else:
            self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.context: spnego.ContextProxy | None = None

    def post(
        self, body: bytes, content_type: str = CLEAR_TYPE, authorization: str | None = None, path: str = "/wsman"
    ) -> Answer:
        headers = {"Content-Type": content_type}
        if authorization is not None:
            headers["Authorization"] = authorization
        self.http.request("POST", path, body, headers)
        response = self.http.getresponse()
        return Answer(response.status, response.headers, response.read())

    def sign_in(self, user: str, password: str, first_body: bytes = b"", last_body: bytes = b"") -> int:
        """NTLM inside Negotiate, the first token on the first request; returns the last status."""
        context = spnego.client(user, password, protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm)
        token = context.step()
        answer = self.post(first_body, authorization=f"Negotiate {base64.b64encode(token or b'').decode()}")
        challenge = answer.headers["WWW-Authenticate"].split(" ", 1)[1]
        token = context.step(base64.b64decode(challenge))
        self.context = context
        authorization = f"Negotiate {base64.b64encode(token or b'').decode()}"
        if last_body:
            self.last = self.post(self.seal(last_body), SEALED_TYPE, authorization)
            if self.last.status in (200, 500) and self.last.body:
                self.last.body = self.unseal(self.last.body)
        else:
            self.last = self.post(b"", authorization=authorization)
        return self.last.status

    def seal(self, message: bytes) -> bytes:
        assert self.context is not None
        wrapped = self.context.wrap_winrm(message)
        return (
            b"--Encrypted Boundary\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n"
            + f"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length={len(message)}\r\n".encode()
            + b"--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n"
            + struct.pack("<i", len(wrapped.header))
            + wrapped.header
            + wrapped.data
            + b"--Encrypted Boundary--\r\n"
        )

    def unseal(self, body: bytes) -> bytes:
        assert self.context is not None
        start = body.index(b"octet-stream\r\n") + len(b"octet-stream\r\n")
        sealed = body[start : body.rindex(b"--Encrypted Boundary--")]
        (length,) = struct.unpack_from("<i", sealed)
        return self.context.unwrap_winrm(sealed[4 : 4 + length], sealed[4 + length :])

    def send(self, message: bytes) -> Answer:
        """Send a message sealed, and open what comes back."""
        answer = self.post(self.seal(message), SEALED_TYPE)
        if answer.body and answer.headers["Content-Type"].startswith("multipart/"):
            answer.body = self.unseal(answer.body)
        return answer

    def close(self) -> None:
        self.http.close()

    # The conversation of a shell

    def create(self, inner: str = "", options: dict[str, str] | None = None) -> str:
        body = f"<rsp:Shell>{inner}<rsp:InputStreams>stdin</rsp:InputStreams></rsp:Shell>"
        answer = self.send(message(f"{TRANSFER}/Create", body=body, options=options))
        assert answer.status == 200, answer.body
        return answer.text("ShellId") or ""

    def command(self, shell: str, line: str) -> str:
        answer = self.send(command_message(shell, line))
        assert answer.status == 200, answer.body
        return answer.text("CommandId") or ""

    def receive(self, shell: str, command: str, timeout: str = "PT20S", max_envelope: int = 153600) -> Answer:
        return self.send(receive_message(shell, command, timeout, max_envelope))

    def receive_all(self, shell: str, command: str) -> tuple[bytes, bytes, int]:
        out, err = b"", b""
        while True:
            answer = self.receive(shell, command)
            assert answer.status == 200, answer.body
            out += answer.streams["stdout"]
            err += answer.streams["stderr"]
            if answer.exit_code is not None:
                return out, err, answer.exit_code

    def input(self, shell: str, command: str, data: bytes, end: bool = False, timeout: str = "PT20S") -> Answer:
        return self.send(input_message(shell, command, data, end, timeout))

    def signal(self, shell: str, command: str, code: str = "terminate") -> Answer:
        body = f'<rsp:Signal CommandId="{command}"><rsp:Code>{SHELL}/signal/{code}</rsp:Code></rsp:Signal>'
        return self.send(message(f"{SHELL}/Signal", shell, body))

    def delete(self, shell: str) -> Answer:
        return self.send(message(f"{TRANSFER}/Delete", shell))


def message(
    action: str,
    shell: str | None = None,
    body: str = "",
    timeout: str = "PT20S",
    max_envelope: int = 153600,
    resource: str = CMD,
    options: dict[str, str] | None = None,
    message_id: str | None = None,
) -> bytes:
    """An envelope."""
    selectors = (
        f'<w:SelectorSet><w:Selector Name="ShellId">{shell}</w:Selector></w:SelectorSet>' if shell is not None else ""
    )
    option_set = "".join(f'<w:Option Name="{name}">{value}</w:Option>' for name, value in (options or {}).items())
    return (
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
        'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
        f'xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="{SHELL}"><s:Header>'
        f"<a:Action>{action}</a:Action><a:To>http://127.0.0.1/wsman</a:To>"
        f"<a:MessageID>{message_id or f'uuid:{uuid.uuid4()}'}</a:MessageID>"
        f"<w:ResourceURI>{resource}</w:ResourceURI><w:MaxEnvelopeSize>{max_envelope}</w:MaxEnvelopeSize>"
        f"<w:OperationTimeout>{timeout}</w:OperationTimeout>{selectors}"
        f"<w:OptionSet>{option_set}</w:OptionSet></s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def command_message(shell: str, line: str) -> bytes:
    """A Command."""
    escaped = line.replace("&", "&amp;").replace("<", "&lt;")
    return message(
        f"{SHELL}/Command",
        shell,
        f"<rsp:CommandLine><rsp:Command>{escaped}</rsp:Command></rsp:CommandLine>",
        options={"WINRS_CONSOLEMODE_STDIN": "FALSE"},
    )


def receive_message(shell: str, command: str, timeout: str = "PT20S", max_envelope: int = 153600) -> bytes:
    """A Receive."""
    body = f'<rsp:Receive><rsp:DesiredStream CommandId="{command}">stdout stderr</rsp:DesiredStream></rsp:Receive>'
    return message(f"{SHELL}/Receive", shell, body, timeout, max_envelope)


def input_message(shell: str, command: str, data: bytes, end: bool = False, timeout: str = "PT20S") -> bytes:
    """A Send."""
    body = (
        f'<rsp:Send><rsp:Stream Name="stdin" CommandId="{command}" End="{str(end).lower()}">'
        f"{base64.b64encode(data).decode()}</rsp:Stream></rsp:Send>"
    )
    return message(f"{SHELL}/Send", shell, body, timeout)
