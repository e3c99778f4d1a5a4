"""HTTP sessions for pywinrm's transport: a pinned certificate, and NTLM that offers itself in the first request."""

from __future__ import annotations

import base64
import uuid
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import requests
import requests_ntlm
import spnego
import spnego.channel_bindings
from requests.adapters import HTTPAdapter
from winrm.protocol import Protocol
from winrm.transport import Transport

from vengeance.winrm.settings import WinRMSettings

# The largest answer that the box may send at a time. pywinrm asks for 150 kB; 500 kB is the box's own default.
MAX_ENVELOPE_BYTES = 512_000


class PinnedAdapter(HTTPAdapter):
    """Accepts exactly one certificate, whoever signed it and whatever name it bears."""

    def __init__(self, sha256: str) -> None:
        self._sha256 = sha256
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Make the pool; urllib3 compares the fingerprint before a byte is sent."""
        super().init_poolmanager(*args, assert_fingerprint=self._sha256, assert_hostname=False, **kwargs)


class OfferedNtlm(requests_ntlm.HttpNtlmAuth):  # type: ignore[misc,unused-ignore]
    """requests_ntlm without its first round trip: the negotiate message goes out with the first request.

    requests_ntlm waits for a 401 before it offers anything. WinRM takes the offer at once, as curl and
    browsers send it, which makes two handshake requests a connection instead of three.
    """

    def __init__(self, user: str, password: str) -> None:
        super().__init__(user, password)
        self._offered: dict[str, Any] = {}

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the negotiate message while the session has no security context yet."""
        request.headers["Connection"] = "Keep-Alive"
        if self.session_security is None and not request.body:
            context = spnego.client(
                self.username,
                self.password,
                protocol="ntlm",
                service="http",
                options=spnego.NegotiateOptions.use_ntlm,
            )
            self._offered["context"] = context
            request.headers["Authorization"] = "Negotiate " + base64.b64encode(context.step() or b"").decode()
        request.register_hook("response", self._answer_challenge)  # type: ignore[no-untyped-call]
        return request

    def _answer_challenge(self, response: requests.Response, **kwargs: Any) -> requests.Response:  # noqa: ANN401
        context = self._offered.pop("context", None)
        if response.status_code != 401 or context is None:
            return response
        scheme, _, token = response.headers.get("www-authenticate", "").partition(" ")
        if scheme.lower() != "negotiate" or not token:
            return response
        certificate_hash = self._get_server_cert(response)
        if certificate_hash:
            context.channel_bindings = spnego.channel_bindings.GssChannelBindings(
                application_data=b"tls-server-end-point:" + certificate_hash
            )
        answer = context.step(base64.b64decode(token.split(",")[0]))
        response.content  # noqa: B018  (reading it frees the connection for the next leg)
        response.raw.release_conn()
        request = response.request.copy()
        request.headers["Authorization"] = "Negotiate " + base64.b64encode(answer or b"").decode()
        final: requests.Response = response.connection.send(request, **kwargs)
        final.history.append(response)
        if final.status_code != 401:
            self.session_security = requests_ntlm.requests_ntlm.ShimSessionSecurity(context)
        return final


class BoxTransport(Transport):  # type: ignore[misc,unused-ignore]
    """pywinrm's transport with our sessions."""

    def __init__(self, settings: WinRMSettings, password: str) -> None:
        self.settings = settings
        super().__init__(
            endpoint=settings.endpoint,
            username=settings.user,
            password=password,
            service="HTTP",
            auth_method=settings.transport,  # type: ignore[arg-type]
            # Over http every message is sealed or nothing is sent; over https TLS does it.
            message_encryption="always" if settings.scheme == "http" else "never",
            server_cert_validation="ignore" if settings.certificate_sha256 else "validate",
            ca_trust_path=settings.ca_file,  # type: ignore[arg-type]
            cert_pem=settings.client_certificate,
            cert_key_pem=settings.client_key,
            read_timeout_sec=settings.operation_timeout + 10,
            proxy=settings.proxy,
        )

    def build_session(self) -> requests.Session:
        """Return the session, made and signed in when there is none."""
        if self.session is not None:
            return self.session
        self.encryption = None
        if self.settings.transport != "ntlm":
            return self._guard(super().build_session())
        session = requests.Session()
        session.trust_env = False
        if self.settings.proxy:
            session.proxies = {"http": self.settings.proxy, "https": self.settings.proxy}
        session.verify = self.settings.ca_file or not self.settings.certificate_sha256
        session.headers.update(self.default_headers)
        session.auth = OfferedNtlm(self.settings.user, self.password or "")
        self._guard(session)
        self.session = session
        if self.settings.scheme == "http":
            self.setup_encryption(session)
        else:
            request = session.prepare_request(requests.Request("POST", self.endpoint, data=None))
            self._send_message_request(session, request)
        return session

    def _guard(self, session: requests.Session) -> requests.Session:
        session.trust_env = False
        if self.settings.certificate_sha256:
            session.mount("https://", PinnedAdapter(self.settings.certificate_sha256))
        return session

    def _send_message_request(
        self, session: requests.Session, prepared_request: requests.PreparedRequest
    ) -> requests.Response:
        timeouts = self.read_timeout_sec
        self.read_timeout_sec = (self.settings.connect_timeout, timeouts)  # type: ignore[assignment]
        try:
            return super()._send_message_request(session, prepared_request)
        finally:
            self.read_timeout_sec = timeouts


# Send and Receive are nearly all that travels: put together as text they cost a fraction of what pywinrm's
# dictionaries do, and ten boxes at once are held up by this machine's processor alone.
_ENVELOPE = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope"'
    ' xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
    ' xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"'
    ' xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"'
    ' xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell">'
    "<env:Header><a:To>{to}</a:To><a:ReplyTo>"
    '<a:Address mustUnderstand="true">http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address>'
    "</a:ReplyTo>"
    '<w:MaxEnvelopeSize mustUnderstand="true">{envelope}</w:MaxEnvelopeSize>'
    "<a:MessageID>uuid:{message}</a:MessageID>"
    '<w:Locale mustUnderstand="false" xml:lang="en-US"/><p:DataLocale mustUnderstand="false" xml:lang="en-US"/>'
    "<w:OperationTimeout>PT{timeout}S</w:OperationTimeout>"
    '<w:ResourceURI mustUnderstand="true">http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd</w:ResourceURI>'
    '<a:Action mustUnderstand="true">http://schemas.microsoft.com/wbem/wsman/1/windows/shell/{action}</a:Action>'
    '<w:SelectorSet><w:Selector Name="ShellId">{shell}</w:Selector></w:SelectorSet></env:Header>'
    "<env:Body>{body}</env:Body></env:Envelope>"
)
_STREAM = "{http://schemas.microsoft.com/wbem/wsman/1/windows/shell}Stream"
_STATE = "{http://schemas.microsoft.com/wbem/wsman/1/windows/shell}CommandState"
_EXIT_CODE = "{http://schemas.microsoft.com/wbem/wsman/1/windows/shell}ExitCode"


class BoxProtocol(Protocol):  # type: ignore[misc,unused-ignore]
    """pywinrm's WS-Management messages over our transport, with the box's own envelope size."""

    def __init__(self, settings: WinRMSettings, password: str) -> None:
        super().__init__(
            settings.endpoint,
            transport=settings.transport,  # type: ignore[arg-type]
            username=settings.user,
            password=password,
            cert_pem=settings.client_certificate,
            cert_key_pem=settings.client_key,
            operation_timeout_sec=settings.operation_timeout,
            read_timeout_sec=settings.operation_timeout + 10,
            ca_trust_path=settings.ca_file,  # type: ignore[arg-type]
            proxy=settings.proxy,
        )
        self.transport = BoxTransport(settings, password)

    def build_wsman_header(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        """Build the header, with the larger envelope and the box's real address."""
        header: dict[str, Any] = super().build_wsman_header(*args, **kwargs)
        header["env:Header"]["w:MaxEnvelopeSize"]["#text"] = str(MAX_ENVELOPE_BYTES)
        header["env:Header"]["a:To"] = self.transport.endpoint
        return header

    def send_command_input(self, shell_id: str, command_id: str, stdin_input: str | bytes, end: bool = False) -> None:
        """Send input to a command; text goes as UTF-8."""
        raw = stdin_input.encode() if isinstance(stdin_input, str) else stdin_input
        self._shell_message(
            "Send",
            shell_id,
            f'<rsp:Send><rsp:Stream Name="stdin" CommandId={quoteattr(command_id)} End="{str(end).lower()}">'
            f"{base64.b64encode(raw).decode('ascii')}</rsp:Stream></rsp:Send>",
        )

    def get_command_output_raw(self, shell_id: str, command_id: str) -> tuple[bytes, bytes, int, bool]:
        """Wait for output; return standard output, standard error, exit code and whether the command has ended."""
        answer = self._shell_message(
            "Receive",
            shell_id,
            f"<rsp:Receive><rsp:DesiredStream CommandId={quoteattr(command_id)}>stdout stderr</rsp:DesiredStream>"
            "</rsp:Receive>",
        )
        root = ElementTree.fromstring(answer)  # noqa: S314  (from a server that is trusted with far more)
        output = {"stdout": b"", "stderr": b""}
        for stream in root.iter(_STREAM):
            if stream.text:
                output[stream.attrib["Name"]] += base64.b64decode(stream.text)
        done = any(state.get("State", "").endswith("CommandState/Done") for state in root.iter(_STATE))
        code = next((int(node.text or -1) for node in root.iter(_EXIT_CODE)), -1)
        return output["stdout"], output["stderr"], code, done

    def _shell_message(self, action: str, shell_id: str, body: str) -> bytes:
        message = _ENVELOPE.format(
            to=escape(self.transport.endpoint),
            envelope=MAX_ENVELOPE_BYTES,
            message=uuid.uuid4(),
            timeout=int(self.operation_timeout_sec),
            action=action,
            shell=escape(shell_id),
            body=body,
        )
        answer: bytes = self.send_message(message)
        return answer
