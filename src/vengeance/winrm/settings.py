"""What the wire needs to know about a box, checked before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

TRANSPORTS = ("ntlm", "kerberos", "credssp", "certificate", "basic")
SEALING_TRANSPORTS = ("ntlm", "kerberos", "credssp")
MODES = ("agent", "process")


class SettingsError(ValueError):
    """A setting cannot be used; the message names it, its value and what would be right."""


@dataclass(frozen=True)
class WinRMSettings:
    """How to reach and sign in to WinRM on one Windows machine.

    + host: name or address
    + port: TCP port, 5986 for https and 5985 for http unless given
    + user: Windows account, ``name``, ``HOST\\name`` or ``name@domain``
    + password: called when a connection is made; never kept
    + scheme: ``https`` (the certificate is checked) or ``http`` (only with a transport that seals its messages)
    + transport: one of ``TRANSPORTS``
    + certificate_sha256: SHA-256 of the server's certificate in hexadecimal; pins it instead of a CA
    + ca_file: PEM file of the CAs to trust instead of the system's
    + client_certificate, client_key: PEM files for transport ``certificate``
    + connect_timeout: seconds until a TCP connection counts as failed
    + operation_timeout: seconds that the box may hold one request before it says "nothing yet"
    + proxy: URL of an HTTP proxy; none is taken from the environment
    + mode: ``agent`` (one process for all commands) or ``process`` (one a command)
    + duplex: a second connection waits for answers while the first sends
    + envelope_kb: the box's MaxEnvelopeSizekb, 500 since Windows Server 2012, at least 64 here

    Raises SettingsError.
    """

    host: str
    user: str
    password: Callable[[], str] = field(repr=False, compare=False)
    port: int = 0
    scheme: str = "https"
    transport: str = "ntlm"
    certificate_sha256: str | None = None
    ca_file: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    connect_timeout: float = 10.0
    operation_timeout: int = 20
    proxy: str | None = None
    mode: str = "agent"
    duplex: bool = True
    envelope_kb: int = 500

    def __post_init__(self) -> None:
        if self.scheme not in ("https", "http"):
            raise SettingsError(f"winrm_scheme is {self.scheme!r}: use 'https' or 'http'")
        if self.transport not in TRANSPORTS:
            raise SettingsError(f"winrm_transport is {self.transport!r}: use one of {', '.join(TRANSPORTS)}")
        if self.scheme == "http" and self.transport not in SEALING_TRANSPORTS:
            raise SettingsError(
                f"winrm_transport {self.transport!r} over http would send everything in the clear: "
                "set winrm_scheme = 'https', or winrm_transport = 'ntlm', which seals its messages"
            )
        if self.mode not in MODES:
            raise SettingsError(f"winrm_mode is {self.mode!r}: use 'agent' or 'process'")
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"winrm_port is {self.port}: a TCP port is a number from 1 to 65535")
        if self.connect_timeout <= 0 or self.operation_timeout < 1:
            raise SettingsError(
                f"winrm_connect_timeout ({self.connect_timeout}) and winrm_operation_timeout "
                f"({self.operation_timeout}) are seconds and must be greater than 0"
            )
        if self.certificate_sha256 is not None:
            digits = re.sub(r"[^0-9a-fA-F]", "", self.certificate_sha256)
            if len(digits) != 64:
                raise SettingsError(
                    f"winrm_certificate_sha256 has {len(digits)} hexadecimal digits: a SHA-256 has 64 "
                    "(the 40 digits that Windows calls the thumbprint are SHA-1)"
                )
            if self.scheme != "https":
                raise SettingsError("winrm_certificate_sha256 pins a certificate: set winrm_scheme = 'https'")
        if self.envelope_kb < 64:
            raise SettingsError(
                f"winrm_envelope_kb is {self.envelope_kb}: less than 64 leaves no room for a command; 500 is the box's "
                "own default (Get-Item WSMan:\\localhost\\MaxEnvelopeSizekb)"
            )
        for name in ("ca_file", "client_certificate", "client_key"):
            file = getattr(self, name)
            if file is not None and not Path(file).exists():
                raise SettingsError(f"winrm_{name} is {file!r}, and there is no such file on this machine")
        if self.transport == "certificate" and not (self.client_certificate and self.client_key):
            raise SettingsError(
                "winrm_transport 'certificate' needs winrm_client_certificate and winrm_client_key, two PEM files"
            )

    @property
    def effective_port(self) -> int:
        """The TCP port in use."""
        return self.port or (5986 if self.scheme == "https" else 5985)

    @property
    def endpoint(self) -> str:
        """The URL of the service."""
        host = f"[{self.host}]" if ":" in self.host and not self.host.startswith("[") else self.host
        return f"{self.scheme}://{host}:{self.effective_port}/wsman"

    @property
    def place(self) -> str:
        """How errors name the box."""
        return f"{self.host}:{self.effective_port}"

    @property
    def piece_bytes(self) -> int:
        """Raw bytes that fit into one Send: base64 and some 2 kB of envelope stay below the box's limit."""
        return (self.envelope_kb * 1024 - 36_000) * 3 // 4
