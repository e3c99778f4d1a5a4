"""Signing in (Negotiate and NTLM per connection, Basic per request) and the sealed bodies of MS-WSMV 2.2.9.1."""

from __future__ import annotations

import base64
import binascii
import os
import re
import struct
import threading

import spnego
from spnego.exceptions import SpnegoError

from vengeance.twin.wsman.accounts import Account, Accounts
from vengeance.twin.wsman.log import RequestLog

# pyspnego's acceptor takes its accounts from a file that an environment variable names, and the environment
# is one for the whole process: every step of every server goes through this lock.
_ENVIRONMENT = threading.Lock()

_SEALED_PART = re.compile(
    rb"\A--\s?Encrypted Boundary\r\n"
    rb"\s*Content-Type:\s*(?P<protocol>[^\r\n]+)\r\n"
    rb"\s*OriginalContent:[^\r\n]*?Length=(?P<length>\d+)\r\n"
    rb"--\s?Encrypted Boundary\r\n"
    rb"\s*Content-Type:\s*application/octet-stream\r\n",
    re.IGNORECASE,
)
_TAIL = b"Encrypted Boundary--"


class SigninRefused(Exception):
    """The credentials are wrong or unreadable; the answer is 401."""


class Unreadable(Exception):
    """A sealed body that cannot be opened: wrong framing, wrong keys, or out of order; the answer is 400."""


class Signin:
    """The sign-in of one connection.

    account: who has signed in on this connection, None before
    """

    def __init__(self, accounts: Accounts, log: RequestLog) -> None:
        self._accounts = accounts
        self._log = log
        self._context: spnego.ContextProxy | None = None
        self._broken = False
        self.account: Account | None = None

    def step(self, token: str) -> bytes | None:
        """Take one token of Negotiate or NTLM, base64, and return the token to answer with, if any.

        Afterwards ``account`` is set when the sign-in is complete. SigninRefused when it has failed; the
        next token then begins a new one.
        """
        if not token:
            raise SigninRefused
        if self.account is not None:
            self._forget()  # Windows lets a connection sign in anew
        try:
            data = base64.b64decode(token, validate=True)
        except binascii.Error as error:
            raise SigninRefused from error
        try:
            with _ENVIRONMENT:
                before = os.environ.get("NTLM_USER_FILE")
                os.environ["NTLM_USER_FILE"] = str(self._accounts.file)
                try:
                    if self._context is None:
                        self._context = spnego.server(
                            protocol="negotiate", options=spnego.NegotiateOptions.use_negotiate
                        )
                    context = self._context
                    answer = context.step(data)
                finally:
                    if before is None:
                        del os.environ["NTLM_USER_FILE"]
                    else:
                        os.environ["NTLM_USER_FILE"] = before
        except Exception as error:  # the token comes from outside, and pyspnego raises a dozen kinds for bad ones
            self._forget()
            name = _ntlm_user(data)
            if name is not None:
                self._log.logon_failed(name)
            raise SigninRefused from error
        if context.complete:
            self.account = self._accounts.find(context.client_principal or "")
            if self.account is None:
                self._forget()
                raise SigninRefused
        return answer

    def basic(self, credentials: str) -> Account:
        """Check the base64 of ``user:password``; SigninRefused when they are wrong."""
        try:
            raw = base64.b64decode(credentials, validate=True)
        except binascii.Error as error:
            raise SigninRefused from error
        name = ""
        # RFC 7617 leaves the encoding open: python-requests sends latin-1, curl what its terminal has
        for encoding in ("utf-8", "latin-1"):
            try:
                name, _, password = raw.decode(encoding).partition(":")
            except UnicodeDecodeError:
                continue
            account = self._accounts.check(name, password)
            if account is not None:
                return account
        self._log.logon_failed(name)
        raise SigninRefused

    def unseal(self, body: bytes) -> tuple[bytes, str]:
        """Open a multipart/encrypted body; returns the message and the protocol that its sender named."""
        if self._context is None or self._broken:
            raise Unreadable
        part = _SEALED_PART.match(body)
        tail = body.rfind(_TAIL)
        end = body.rfind(b"--", 0, tail) if tail > 0 else -1
        if part is None or end < part.end() + 4:
            self._broken = True
            raise Unreadable
        sealed = body[part.end() : end]
        (signature_length,) = struct.unpack_from("<i", sealed)
        if not 0 < signature_length <= len(sealed) - 4:
            self._broken = True
            raise Unreadable
        try:
            message = self._context.unwrap_winrm(sealed[4 : 4 + signature_length], sealed[4 + signature_length :])
        except (SpnegoError, ValueError) as error:
            # The cipher stream is out of step now: nothing on this connection can be read any more, as on
            # Windows.
            self._broken = True
            raise Unreadable from error
        if len(message) != int(part["length"]):
            self._broken = True
            raise Unreadable
        return message, part["protocol"].decode("latin-1").strip()

    def seal(self, message: bytes, protocol: str) -> tuple[bytes, str]:
        """Close a message; returns the body and its Content-Type."""
        if self._context is None:
            raise Unreadable
        wrapped = self._context.wrap_winrm(message)
        length = len(message) + wrapped.padding_length
        body = (
            b"--Encrypted Boundary\r\n"
            + f"\tContent-Type: {protocol}\r\n".encode()
            + f"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length={length}\r\n".encode()
            + b"--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n"
            + struct.pack("<i", len(wrapped.header))
            + wrapped.header
            + wrapped.data
            + b"--Encrypted Boundary--\r\n"
        )
        return body, f'multipart/encrypted;protocol="{protocol}";boundary="Encrypted Boundary"'

    def _forget(self) -> None:
        self._context = None
        self._broken = False
        self.account = None


def _ntlm_user(token: bytes) -> str | None:
    """The user name of an NTLM type 3 message (MS-NLMP 2.2.1.3), also inside SPNEGO; else None."""
    start = token.find(b"NTLMSSP\x00\x03\x00\x00\x00")
    if start < 0:
        return None
    try:
        length, _, offset = struct.unpack_from("<HHI", token, start + 36)
        (flags,) = struct.unpack_from("<I", token, start + 60)
    except struct.error:
        return None
    raw = token[start + offset : start + offset + length]
    return raw.decode("utf-16-le" if flags & 1 else "latin-1", "replace")
