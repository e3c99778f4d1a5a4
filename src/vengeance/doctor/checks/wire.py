"""From here to a signed-in connection: name, port, certificate, WinRM, account."""

from __future__ import annotations

import hashlib
import socket
import ssl
import warnings
from datetime import datetime, timedelta, timezone

import certifi
import requests
from cryptography import x509
from pyinfra.api.exceptions import ConnectError

from vengeance.box import preflight
from vengeance.connectors.settings import settings_from_data
from vengeance.doctor.box import Box, Told
from vengeance.doctor.catalogue import finding
from vengeance.doctor.findings import Finding
from vengeance.facts.windows import Account, RegistryValue, SystemClock, WsmanQuota
from vengeance.winrm.errors import ConnectFailed, Fault, SignInRefused
from vengeance.winrm.settings import SettingsError, WinRMSettings

# OpenSSL, x509_vfy.h: X509_V_ERR_CERT_HAS_EXPIRED, _HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH.
_EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 10, 62, 64
_SOON = timedelta(days=30)
_SHELLS_QUOTA = 2150859173
# Where the service keeps its settings: group policy and `winrm set` write the same names.
_SERVICE = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WSMAN\Service"
_HTTP_LISTENER = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WSMAN\Listener\*+HTTP"


def network(box: Box) -> Told:
    """The settings of the connection, the box's name, and its port."""
    short = box.name.rpartition("/")[2]
    try:
        box.wire = settings_from_data(box.windows.connector.data, box.settings, short)
    except SettingsError as error:
        yield finding("connection-setting-wrong", str(error), host=box.name)
        return
    wire = box.wire
    if wire.proxy is not None:
        yield f"{wire.place} through the proxy {wire.proxy}"
        return
    try:
        addresses = socket.getaddrinfo(wire.host, wire.effective_port, type=socket.SOCK_STREAM)
    except OSError as error:
        yield finding("name-not-resolved", f"{wire.host}: {error.strerror}")
        return
    address = str(addresses[0][4][0])
    try:
        socket.create_connection((wire.host, wire.effective_port), wire.connect_timeout).close()
    except ConnectionRefusedError:
        yield finding("winrm-refused", f"{address} refuses port {wire.effective_port}")
        return
    except TimeoutError:
        why = f"{address}, port {wire.effective_port}: nothing within {wire.connect_timeout:g} s"
        yield finding("box-does-not-answer", why, address=address)
        return
    except OSError as error:
        why = f"{address}, port {wire.effective_port}: {error.strerror or error}"
        yield finding("box-does-not-answer", why, address=address)
        return
    yield f"{wire.place} takes connections"


def tls(box: Box) -> Told:
    """Whether TLS is spoken, and the certificate is the one that is trusted."""
    wire = _wire(box)
    if wire.scheme == "http":
        yield "http, with messages sealed by the sign-in"
        return
    if wire.proxy is not None:
        yield "judged by the connection, through the proxy"
        return
    try:
        shown = _certificate(wire)
    except OSError as error:
        yield finding("tls-not-spoken", f"{wire.place}: {getattr(error, 'reason', None) or error}")
        return
    box.certificate = hashlib.sha256(shown).hexdigest()
    ends = _end(shown)
    if wire.certificate_sha256 is not None:
        pinned = "".join(sign for sign in wire.certificate_sha256.lower() if sign in "0123456789abcdef")
        if pinned != box.certificate:
            evidence = f"{wire.place} shows {box.certificate}, and {pinned} is pinned"
            yield finding("certificate-changed", evidence, seen=box.certificate)
            return
        yield f"the certificate is the pinned one, until {ends:%Y-%m-%d}"
    else:
        refused = _verified(wire)
        if refused is not None:
            name = {
                _EXPIRED: "certificate-expired",
                _OTHER_NAME: "certificate-for-another-name",
                _OTHER_ADDRESS: "certificate-for-another-name",
            }.get(refused.verify_code, "certificate-not-trusted")
            yield finding(name, f"{wire.place}: {refused.verify_message}", seen=box.certificate)
            return
        yield f"the certificate is trusted, until {ends:%Y-%m-%d}"
    if ends < datetime.now(timezone.utc) + _SOON:
        yield finding("certificate-ends-soon", f"it ends at {ends:%Y-%m-%d %H:%M} UTC")


def _wire(box: Box) -> WinRMSettings:
    if box.wire is None:
        raise ValueError("the connection's settings were not looked at")
    return box.wire


def _certificate(wire: WinRMSettings) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((wire.host, wire.effective_port), wire.connect_timeout) as raw,
        context.wrap_socket(raw, server_hostname=wire.host) as wrapped,
    ):
        return wrapped.getpeercert(binary_form=True) or b""


def _end(certificate: bytes) -> datetime:
    return x509.load_der_x509_certificate(certificate).not_valid_after_utc


def _verified(wire: WinRMSettings) -> ssl.SSLCertVerificationError | None:
    """Why the certificate is not to be trusted, None where it is: by the authorities that the connection trusts."""
    context = ssl.create_default_context(cafile=wire.ca_file or certifi.where())
    try:
        with (
            socket.create_connection((wire.host, wire.effective_port), wire.connect_timeout) as raw,
            context.wrap_socket(raw, server_hostname=wire.host),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return error


def winrm(box: Box) -> Told:
    """Whether what answers is WinRM: asked without an account, so that no sign-in fails."""
    wire = _wire(box)
    if wire.proxy is not None:
        yield "judged by the connection, through the proxy"
        return
    session = requests.Session()
    session.trust_env = False
    try:
        with warnings.catch_warnings():
            # It was judged one link before.
            warnings.simplefilter("ignore")
            answer = session.post(
                wire.endpoint,
                headers={"Content-Type": "application/soap+xml;charset=UTF-8"},
                verify=False,
                timeout=(wire.connect_timeout, wire.connect_timeout),
                allow_redirects=False,
            )
    except requests.RequestException as error:
        name = "scheme-wrong" if wire.scheme == "http" else "not-winrm"
        cause = str(error.__cause__ or error)
        yield finding(name, f"{wire.place} gives no answer to {wire.scheme} ({cause})", port=wire.effective_port)
        return
    finally:
        session.close()
    asks = answer.headers.get("WWW-Authenticate")
    # Without an account it is 401 with the ways to sign in; a client certificate is asked for by TLS and not so.
    if answer.status_code != 401 or asks is None:
        server = answer.headers.get("Server", "unnamed")
        evidence = f"{wire.endpoint} answers {answer.status_code} (server: {server}), and WinRM asks who is there (401)"
        yield finding("not-winrm", evidence, port=wire.effective_port)
        return
    yield f"answers, and asks for {asks.partition(',')[0]}"


def account(box: Box) -> Told:
    """Whether the account gets in, with which rights, and how WinRM is set."""
    wire = _wire(box)
    try:
        box.windows.connect(show_errors=False, raise_exceptions=True)
    except ConnectError as error:
        yield _refused(wire, error)
        return
    ask = box.on_windows
    me = ask(Account)
    if not me["elevated"]:
        name = "account-not-administrator" if me["full_token_over_network"] else "account-token-filtered"
        yield finding(name, f"{me['name']} signs in without an administrator's rights", user=me["name"])
        return
    if me["microsoft_account"]:
        yield finding("account-is-microsofts", me["name"])
    yield f"{me['name']}, an administrator"
    skew = ask(SystemClock)["ahead_seconds"]
    if preflight.clock(skew):
        yield finding("clock-wrong", f"the box's clock is {skew:+.0f} s from this machine's")
    quota = ask(WsmanQuota)
    numbers = {name: value for name, value in quota.items() if isinstance(value, int)}
    for sentence in preflight.limits(numbers, wire.envelope_kb):
        said, _, command = sentence.partition(" In an elevated PowerShell on the box: ")
        yield finding("winrm-limits-low", said, command=command)
    if ask(RegistryValue, key=_SERVICE, value_name="allow_unencrypted")["data"] == 1:
        yield finding("winrm-unencrypted-allowed", rf"{_SERVICE}\allow_unencrypted is 1")
    if ask(RegistryValue, key=_SERVICE, value_name="auth_basic")["data"] == 1:
        yield finding("winrm-basic-allowed", rf"{_SERVICE}\auth_basic is 1")
    port = ask(RegistryValue, key=_HTTP_LISTENER, value_name="Port")
    if port["kind"] is not None and wire.scheme == "https":
        yield finding("winrm-http-listener", f"a listener for http on port {port['data']}")
    client = getattr(box.windows.connector, "client", None)
    if client is not None and client.settings.mode == "agent" and not client.uses_agent:
        yield finding("powershell-agent-refused", "the agent did not prove itself; each command is a process")


def _refused(wire: WinRMSettings, error: ConnectError) -> Finding:
    cause = error.__cause__
    if isinstance(cause, SignInRefused):
        return finding("sign-in-refused", str(error), user=wire.user)
    if isinstance(cause, Fault):
        name = "winrm-shells-used-up" if cause.code == _SHELLS_QUOTA else "winrm-opens-no-shell"
        return finding(name, str(error))
    # vengeance.winrm.connection says so of whatever reads it.
    if isinstance(cause, ConnectFailed) and str(error).startswith("there is no password"):
        return finding("password-not-there", str(error))
    return finding("winrm-opens-no-shell", str(error))
