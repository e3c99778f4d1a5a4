"""One signed-in HTTP connection to WinRM: performs one operation at a time and says what went wrong in words."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from typing import TypeVar

import requests
import spnego.exceptions
from winrm.exceptions import (
    InvalidCredentialsError,
    WinRMError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)

from vengeance.winrm.errors import (
    ConnectFailed,
    ConnectionLost,
    Fault,
    InputClosed,
    NothingYet,
    ShellLost,
    SignInRefused,
    WireError,
)
from vengeance.winrm.sessions import BoxProtocol
from vengeance.winrm.settings import WinRMSettings

T = TypeVar("T")

# MS-WSMV and the recorded answers of real machines.
SHELL_UNKNOWN = 2150858843
OPERATIONS_QUOTA = 2150859174  # 0x803381A6: too many commands were run in this shell
SHELLS_QUOTA = 2150859173
BUSY = 170
ABORTED = 995  # the command was ended while a Receive waited for it
TIMED_OUT = 1460  # a Send that its program did not read in time; the bytes arrive all the same
# ERROR_BROKEN_PIPE, ERROR_NO_DATA, ERROR_PIPE_NOT_CONNECTED: the program that should read has ended.
PIPE_CLOSED = (109, 232, 233)

# How OpenSSL says that the other side hung up.
_TLS_CUT = ("EOF occurred", "SSLEOFError", "SSLZeroReturnError", "SSL/TLS connection has been closed")

BUSY_WAITS = (5.0, 5.0)
# Others may be about to leave: after these seconds each a used-up quota is tried again.
QUOTA_WAITS = (0.5, 1.0, 2.0, 4.0)
# What says that a request was refused unread.
REFUSALS = (BUSY, OPERATIONS_QUOTA, SHELLS_QUOTA)


class Rejected(ConnectionLost):
    """The box refused the request unread (HTTP 400 or 401 on a connection that had been signed in): it did not run."""


class Unreachable(ConnectFailed):
    """Nothing answered at that address: the request was never sent."""


class Connection:
    """One HTTP session of one account; safe to share between threads and greenlets, which then take turns.

    + settings: where and how
    + password: called once, at the first request
    """

    def __init__(self, settings: WinRMSettings) -> None:
        self._settings = settings
        self._lock = threading.RLock()
        self._protocol: BoxProtocol | None = None
        self._signed_in = False
        self._welcome = False
        self._refused: str | None = None

    def perform(self, operation: Callable[[BoxProtocol], T], patient: bool = True) -> T:
        """Do one WS-Management operation; sign in first where that is needed.

        + patient: a box whose quota is used up is asked again for some seconds, as a busy one always is

        Raises ConnectFailed, SignInRefused, ConnectionLost (or Rejected, when it surely did not run), ShellLost,
        Fault, NothingYet. After any loss the session is closed: the next call signs in anew, and shells and
        commands on the box go on under the same ids.
        """
        busy, full = list(BUSY_WAITS), list(QUOTA_WAITS if patient else ())
        while True:
            try:
                return self._perform_once(operation)
            except Fault as fault:
                waits = busy if fault.code == BUSY else full if fault.code in REFUSALS else []
                if not waits:
                    raise
                time.sleep(waits.pop(0))

    def _perform_once(self, operation: Callable[[BoxProtocol], T]) -> T:
        with self._lock:
            if self._refused is not None:
                # Two hosts may share this connection: asking again for the second would be a second failed logon.
                raise SignInRefused(self._refused)
            finished = False
            try:
                if self._protocol is None:
                    self._protocol = BoxProtocol(self._settings, self._password())
                protocol = self._protocol
                protocol.transport.build_session()
                # NTLM is through by now; the others are judged by the first answer.
                self._signed_in = self._signed_in or self._settings.transport == "ntlm"
                result = operation(protocol)
                finished = self._signed_in = True
                return result
            except WSManFaultError as error:
                # A fault is a whole answer on a healthy connection.
                finished = self._signed_in = True
                raise self._from_fault(error) from None
            except WinRMOperationTimeoutError:
                finished = self._signed_in = True
                raise NothingYet(f"{self._settings.place} did not come to an end with a request in time") from None
            except Exception as error:
                raise self._noted(self._translate(error)) from error
            finally:
                # Also when a timeout or Ctrl-C of the caller's cut the exchange: the sealing of this session is
                # out of step then, and every later request would be answered 400.
                if finished:
                    self._welcome = True
                else:
                    self.close()

    def _noted(self, error: WireError) -> WireError:
        if isinstance(error, SignInRefused) and not self._welcome:
            self._refused = str(error)
        return error

    def _password(self) -> str:
        try:
            return self._settings.password()
        except Exception as error:
            raise ConnectFailed(f"there is no password for {self._settings.place}: {error}") from error

    def close(self) -> None:
        """Close the TCP connection; shells on the box stay."""
        if self._protocol is not None:
            self._protocol.transport.close_session()

    def _from_fault(self, error: WSManFaultError) -> WireError:
        code = error.wsman_fault_code if error.wsman_fault_code is not None else error.wmierror_code
        place = self._settings.place
        if code in (SHELL_UNKNOWN, ABORTED):
            return ShellLost(f"the shell on {place} is gone: {error.reason}")
        if code == TIMED_OUT:
            return NothingYet(f"{place} is still at it: {error.reason}")
        if code in PIPE_CLOSED:
            return InputClosed(f"the program on {place} has ended: {error.reason}")
        if code in (OPERATIONS_QUOTA, SHELLS_QUOTA):
            return Fault(
                f"{place} lets this account do no more at once (fault {code}): what other runs left open there ends by "
                "itself within a quarter of an hour. Wait for that, or run Restart-Service WinRM on the box, then run "
                "this again",
                code,
            )
        return Fault(f"{place} answered with fault {code}: {error.reason}", code)

    def _translate(self, error: Exception) -> WireError:
        settings = self._settings
        place = settings.place
        if isinstance(error, WireError):
            return error
        if isinstance(error, InvalidCredentialsError) or "401" in str(getattr(error, "code", "")):
            if self._signed_in:
                self._signed_in = False
                return Rejected(f"{place} no longer knows this connection (401)")
            return SignInRefused(
                f"{settings.host} refused the user {settings.user!r} over {settings.transport}: wrong user or "
                "password, or an account that may not sign in over the network (a Microsoft account needs its "
                "password, not the PIN). It was tried once. Check winrm_user and winrm_password"
            )
        if isinstance(error, WinRMTransportError):
            if error.code == 413:
                return ConnectFailed(
                    f"{place} takes no message as large as winrm_envelope_kb = {settings.envelope_kb} allows: set "
                    "it to the box's own limit (Get-Item WSMan:\\localhost\\MaxEnvelopeSizekb)"
                )
            if error.code == 400 and self._signed_in:
                return Rejected(f"{place} refused the request (400)")
            if error.code >= 500 and self._signed_in:
                return ConnectionLost(f"{place} answered HTTP {error.code}")
            return ConnectFailed(
                f"{place} answered HTTP {error.code}, not as WinRM does: is winrm_port right, and is WinRM what "
                "listens there?"
            )
        if isinstance(error, requests.exceptions.SSLError):
            if self._signed_in and any(word in str(error) for word in _TLS_CUT):
                return self._cut()
            return ConnectFailed(self._tls_sentence(error))
        if isinstance(error, requests.exceptions.ProxyError):
            return ConnectFailed(f"the proxy {settings.proxy} did not let us through to {place}: check winrm_proxy")
        if isinstance(error, requests.exceptions.ConnectionError | requests.exceptions.ConnectTimeout):
            return self._connection_error(error)
        if isinstance(error, requests.exceptions.RequestException | OSError | spnego.exceptions.SpnegoError):
            return self._cut()
        if isinstance(error, WinRMError) and "not installed" in str(error):
            return ConnectFailed(f"winrm_transport is {settings.transport!r}: {error}")
        if isinstance(error, WinRMError) and self._signed_in:
            return ConnectionLost(f"the answer of {place} could not be read: {error}")
        if isinstance(
            error,
            ElementTree.ParseError | StopIteration | AssertionError | ValueError | KeyError | WinRMError,
        ):
            return ConnectFailed(
                f"{place} answered, but not as WinRM does ({type(error).__name__}): is winrm_port right, and is "
                "WinRM what listens there?"
            )
        return ConnectFailed(f"{place}: {type(error).__name__}: {error}")

    def _connection_error(self, error: requests.exceptions.RequestException) -> WireError:
        settings = self._settings
        text = str(error)
        if "Name or service not known" in text or "getaddrinfo" in text or "NameResolution" in text:
            return Unreachable(f"there is no host {settings.host!r}: check winrm_host, and that Tailscale is up")
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return Unreachable(
                f"{settings.place} did not answer within {settings.connect_timeout:g} s: is the box on, and does its "
                "firewall let this machine in?"
            )
        if "NewConnectionError" in text or "Connection refused" in text or "Failed to establish" in text:
            return Unreachable(
                f"nothing listens on {settings.place}: is the box on, and WinRM enabled "
                "(Get-Service WinRM; winrm enumerate winrm/config/listener)?"
            )
        return self._cut()

    def _cut(self) -> WireError:
        settings = self._settings
        if self._signed_in:
            return ConnectionLost(f"the connection to {settings.place} was cut")
        return ConnectionLost(
            f"{settings.place} took the connection but gave no answer to {settings.scheme}: is winrm_scheme right for "
            "that port (5986 speaks https, 5985 http)?"
        )

    def _tls_sentence(self, error: Exception) -> str:
        place = self._settings.place
        text = str(error)
        if "Fingerprints did not match" in text or "fingerprint" in text.lower():
            seen = certificate_fingerprint(self._settings)
            return (
                f"{place} shows another certificate (SHA-256 {seen}) than winrm_certificate_sha256 pins: after a "
                "reinstall that is expected, set the new one; otherwise somebody is in between"
            )
        if "doesn't match" in text or "not valid for" in text or "Hostname mismatch" in text:
            return (
                f"the certificate of {place} is for another name than {self._settings.host!r}: use that name, or pin "
                f"the certificate: winrm_certificate_sha256 = {certificate_fingerprint(self._settings)!r}"
            )
        if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
            return (
                f"the certificate of {place} is signed by nobody this machine trusts: check its SHA-256 on the box, "
                f"then set winrm_certificate_sha256 = {certificate_fingerprint(self._settings)!r}, or winrm_ca_file"
            )
        return f"no TLS with {place}: {text[-200:]}; is it https that listens on winrm_port?"


def certificate_fingerprint(settings: WinRMSettings) -> str:
    """Return the SHA-256 of the certificate that the server shows, in hexadecimal, ``unknown`` if it shows none."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((settings.host, settings.effective_port), settings.connect_timeout) as raw,
            context.wrap_socket(raw, server_hostname=settings.host) as wrapped,
        ):
            return hashlib.sha256(wrapped.getpeercert(binary_form=True) or b"").hexdigest()
    except OSError:
        return "unknown"
