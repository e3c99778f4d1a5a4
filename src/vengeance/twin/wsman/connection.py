"""One client connection: reading, sign-in, sealing, fault plan, log."""

from __future__ import annotations

import base64
import contextlib
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit
from xml.etree import ElementTree

from vengeance.twin.wsman import errors
from vengeance.twin.wsman.accounts import Account, Accounts
from vengeance.twin.wsman.auth import Signin, SigninRefused, Unreadable
from vengeance.twin.wsman.config import identify_xml
from vengeance.twin.wsman.faults import FaultPlan, FaultRule
from vengeance.twin.wsman.http1 import BadHttp, ConnectionOver, HttpAnswer, HttpReader, HttpRequest
from vengeance.twin.wsman.limits import Limits
from vengeance.twin.wsman.log import Entry, RequestLog
from vengeance.twin.wsman.service import Caller, ShellService
from vengeance.twin.wsman.soap import (
    ACTIONS,
    CONTENT_TYPE,
    IDENTIFY,
    RSP,
    S,
    SoapRequest,
    WsmanFault,
    fault_envelope,
    parse_request,
    parse_xml,
)
from vengeance.twin.wsman.waiting import ClientGone, Waiter

# What the multipart frame and the signature add to a sealed envelope, rounded up
_FRAME = 1024
_A_WHILE = 60.0


@dataclass(frozen=True)
class Endpoint:
    """What all connections of a server share."""

    accounts: Accounts
    limits: Limits
    faults: FaultPlan
    log: RequestLog
    service: ShellService


class _Cut(Exception):
    """The connection is to be closed without an answer."""


class Connection:
    """Serves one accepted socket until either side closes it.

    number: id of the connection in the log
    tls: whether the socket speaks TLS
    """

    def __init__(self, sock: socket.socket, peer: str, number: int, tls: bool, endpoint: Endpoint) -> None:
        self._sock = sock
        self._peer = peer
        self._number = number
        self._tls = tls
        self._endpoint = endpoint
        self._signin = Signin(endpoint.accounts, endpoint.log)
        self._reader = HttpReader(sock)
        self._waiter = Waiter(sock)

    def serve(self) -> None:
        """Answer requests until the connection ends."""
        try:
            while self._serve_one():
                pass
        except (ConnectionOver, ClientGone, _Cut, OSError):
            pass
        finally:
            self._waiter.close()
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            self._sock.close()

    def _serve_one(self) -> bool:
        limits = self._endpoint.limits
        entry = Entry(self._number)
        try:
            request = self._reader.read(limits.connection_idle_seconds, limits.max_envelope_size + _FRAME)
        except BadHttp as error:
            self._reply(HttpAnswer(error.status, close=True), entry)
            return False
        entry.bytes_in = len(request.body)
        delay = self._endpoint.faults.delay_seconds()
        if delay:
            time.sleep(delay)
        try:
            answer = self._answer(request, entry)
        except _Cut:
            self._endpoint.log.write(entry)
            raise
        except ClientGone:
            self._endpoint.log.write(entry)
            raise
        if not request.keep_alive:
            answer.close = True
        self._reply(answer, entry)
        return not answer.close

    def _reply(self, answer: HttpAnswer, entry: Entry) -> None:
        entry.status = answer.status
        entry.bytes_out = len(answer.body)
        self._endpoint.log.write(entry)  # before the answer, so that who has it finds it counted
        self._sock.sendall(answer.render())

    def _answer(self, request: HttpRequest, entry: Entry) -> HttpAnswer:
        path = urlsplit(request.target).path.rstrip("/").lower()
        if path == "/wsman-anon/identify" or request.headers.get("wsmanidentify", "").lower() == "unauthenticated":
            return _clear(200, identify_xml(authenticated=False).encode())
        if path != "/wsman":
            return HttpAnswer(404, close=True)
        if request.method != "POST":
            return HttpAnswer(405, headers=[("Allow", "POST")])
        try:
            account, headers = self._sign_in(request)
        except SigninRefused:
            return self._unauthorized()
        if account is None:
            return HttpAnswer(401, headers=headers)
        entry.user = account.name
        if request.too_large:
            # Windows answers the bare status, no fault (masterzen/winrm#156, ansible.windows#391)
            return HttpAnswer(413, headers=headers, close=True)
        if not request.body:
            return HttpAnswer(200, headers=headers)
        return self._message(request, account, headers, entry)

    def _unauthorized(self) -> HttpAnswer:
        headers = [("WWW-Authenticate", "Negotiate")]
        if self._basic_allowed():
            headers.append(("WWW-Authenticate", 'Basic realm="WSMAN"'))
        return HttpAnswer(401, headers=headers)

    def _basic_allowed(self) -> bool:
        limits = self._endpoint.limits
        return limits.allow_basic and (self._tls or limits.allow_unencrypted)

    def _sign_in(self, request: HttpRequest) -> tuple[Account | None, list[tuple[str, str]]]:
        """Who asks, and the headers for the answer; (None, challenge) in the middle of a handshake."""
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        scheme, credentials = scheme.strip().lower(), credentials.strip()
        if scheme == "basic":
            if not self._basic_allowed():
                raise SigninRefused
            return self._signin.basic(credentials), []
        if scheme in ("negotiate", "ntlm"):
            token = self._signin.step(credentials)
            name = "NTLM" if scheme == "ntlm" else "Negotiate"
            headers = [("WWW-Authenticate", f"{name} {base64.b64encode(token).decode()}")] if token else []
            if self._signin.account is None and not headers:
                raise SigninRefused
            return self._signin.account, headers
        if scheme or self._signin.account is None:
            raise SigninRefused
        return self._signin.account, []

    def _message(
        self, request: HttpRequest, account: Account, headers: list[tuple[str, str]], entry: Entry
    ) -> HttpAnswer:
        protocol: str | None = None
        message = request.body
        if request.headers.get("content-type", "").lower().startswith("multipart/"):
            try:
                message, protocol = self._signin.unseal(request.body)
            except Unreadable:
                return HttpAnswer(400, headers=headers)
        elif not self._tls and not self._endpoint.limits.allow_unencrypted:
            # Windows: 500 without a body, and an event about a refused clear message (pywinrm#129, #208)
            return HttpAnswer(500, headers=headers)
        if len(message) > self._endpoint.limits.max_envelope_size:
            return HttpAnswer(413, headers=headers, close=True)
        entry.leg = "message"
        status, answer = self._wsman(message, request, account, entry)
        if answer is None:
            return HttpAnswer(status, headers=headers)
        if protocol is None:
            reply = _clear(status, answer)
        else:
            body, content_type = self._signin.seal(answer, protocol)
            reply = HttpAnswer(status, body, [("Content-Type", content_type)])
        reply.headers += headers
        return reply

    def _wsman(self, message: bytes, request: HttpRequest, account: Account, entry: Entry) -> tuple[int, bytes | None]:
        """Status and envelope for a message, after the fault plan has had its say."""
        soap: SoapRequest | None = None
        try:
            root = parse_xml(message)
            identify = root.find(f"{S}Body/{IDENTIFY}") is not None
            if not identify:
                soap = parse_request(root)
                _describe(soap, entry)
            else:
                entry.action = "Identify"
        except WsmanFault as refused:
            rule = self._obey(entry)
            return self._after(rule, entry, self._fault(refused, soap, request, entry))
        rule = self._obey(entry)
        if rule is not None and rule.kind == "bad_request":
            return 400, None
        if rule is not None and rule.kind == "fault":
            return self._fault(errors.on_demand(rule.code or 0), soap, request, entry)
        late = rule is not None and rule.kind == "timed_out"
        if late and entry.action == "Receive":
            return self._fault(errors.operation_timeout(), soap, request, entry)
        if soap is None:
            return self._after(rule, entry, (200, identify_xml(authenticated=True).encode()))
        try:
            answer = self._endpoint.service.answer(soap, self._caller(account, request))
        except WsmanFault as fault:
            return self._after(rule, entry, self._fault(fault, soap, request, entry))
        _describe_answer(answer, entry)
        if late:
            over = errors.input_timeout() if entry.action == "Send" else errors.operation_timeout()
            return self._fault(over, soap, request, entry)
        return self._after(rule, entry, (200, answer))

    def _obey(self, entry: Entry) -> FaultRule | None:
        rule = self._endpoint.faults.hit(entry.action)
        if rule is not None:
            entry.injected = rule.kind
            if rule.kind == "cut_before":
                raise _Cut
        return rule

    def _after(self, rule: FaultRule | None, entry: Entry, answer: tuple[int, bytes]) -> tuple[int, bytes]:
        if rule is not None and rule.kind == "cut_after":
            raise _Cut
        while rule is not None and rule.kind == "no_answer":
            self._waiter.wait(_A_WHILE)
        return answer

    def _fault(
        self, fault: WsmanFault, soap: SoapRequest | None, request: HttpRequest, entry: Entry
    ) -> tuple[int, bytes]:
        entry.fault = fault.code
        machine = request.headers.get("host", "127.0.0.1").rpartition(":")[0] or "127.0.0.1"
        return 500, fault_envelope(fault, soap.message_id if soap is not None else None, machine)

    def _caller(self, account: Account, request: HttpRequest) -> Caller:
        scheme = "https" if self._tls else "http"
        address = f"{scheme}://{request.headers.get('host', '127.0.0.1')}/wsman"
        return Caller(account, self._peer, address, self._waiter)


def _clear(status: int, body: bytes) -> HttpAnswer:
    return HttpAnswer(status, body, [("Content-Type", CONTENT_TYPE)])


def _describe(soap: SoapRequest, entry: Entry) -> None:
    entry.action = ACTIONS.get(soap.action, soap.verb)
    entry.shell = soap.shell_id
    for path in (f"{RSP}Receive/{RSP}DesiredStream", f"{RSP}Send/{RSP}Stream", f"{RSP}Signal"):
        element: ElementTree.Element | None = soap.body.find(path)
        if element is not None:
            entry.command = element.get("CommandId")


def _describe_answer(answer: bytes, entry: Entry) -> None:
    """Put the ids that the answer hands out into the log."""
    for name, tag in (("shell", b"<rsp:ShellId>"), ("command", b"<rsp:CommandId>")):
        start = answer.find(tag)
        if getattr(entry, name) is None and start >= 0:
            start += len(tag)
            setattr(entry, name, answer[start : answer.find(b"<", start)].decode("ascii", "replace"))
