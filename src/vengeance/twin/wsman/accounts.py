"""The accounts that may sign in, and the credential file that pyspnego's NTLM acceptor reads."""

from __future__ import annotations

import hmac
import os
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path

from spnego._ntlm_raw.crypto import ntowfv1

NO_LM_HASH = "0" * 32


@dataclass(frozen=True)
class Account:
    """A Windows account: name without domain, security identifier, password (never shown)."""

    name: str
    sid: str
    password: str = field(repr=False)


class Accounts:
    """The local accounts of the twin.

    file: where the credential store for NTLM_USER_FILE is written (mode 600, NT hashes only)
    hostname: name of the box, the domain of its local accounts
    """

    def __init__(self, file: Path, hostname: str = "VENGEANCE") -> None:
        self.file = file
        self.hostname = hostname
        self._accounts: dict[str, Account] = {}
        self._lock = threading.Lock()
        self._write()

    def add(self, name: str, password: str, sid: str | None = None) -> Account:
        """Add an account, or change its password; it holds from the next sign-in on.

        sid: security identifier; None gives one in the range of local users
        """
        if not name or set(name) & set('"/\\[]:;|=,+*?<>@\n\r'):
            raise ValueError(f"{name!r} cannot be the name of a Windows account: it is empty or has a forbidden sign.")
        with self._lock:
            known = self._accounts.get(name.lower())
            if sid is None:
                sid = (
                    known.sid
                    if known is not None
                    else f"S-1-5-21-1004336348-1177238915-682003330-{1001 + len(self._accounts)}"
                )
            account = self._accounts[name.lower()] = Account(name, sid, password)
            self._write()
        return account

    def remove(self, name: str) -> None:
        """Remove an account; removing one that does not exist does nothing."""
        with self._lock:
            self._accounts.pop(name.lower(), None)
            self._write()

    def find(self, principal: str) -> Account | None:
        """The account that ``user``, ``DOMAIN\\user`` or ``user@host`` means, None when there is none."""
        name = principal.rpartition("\\")[2].partition("@")[0]
        return self._accounts.get(name.lower())

    def check(self, principal: str, password: str) -> Account | None:
        """The account when the password is its own, else None."""
        account = self.find(principal)
        if account is None or not hmac.compare_digest(account.password.encode(), password.encode()):
            return None
        return account

    def _spellings(self, name: str) -> list[str]:
        # The acceptor compares domains exactly. Clients send the box's name, nothing, a dot, a UPN, or the
        # target name of the challenge, which pyspnego fills from this machine's own host name and
        # "WORKSTATION".
        domains = dict.fromkeys([self.hostname, "", ".", socket.gethostname().upper(), "WORKSTATION", "LOCALHOST"])
        plain = [f"{domain}\\{name}" if domain else name for domain in domains]
        return [*plain, *(f"{name}@{domain}" for domain in domains if domain not in ("", "."))]

    def _write(self) -> None:
        # smbpasswd lines: a colon or any other sign in a password cannot break them, and no password lies on
        # the disk
        lines = [
            f"{spelling}:{number}:{NO_LM_HASH}:{ntowfv1(account.password).hex().upper()}:[U]:LCT-00000000\n"
            for number, account in enumerate(self._accounts.values(), 1000)
            for spelling in self._spellings(account.name)
        ]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        new = self.file.with_name(self.file.name + ".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(lines)
        os.replace(new, self.file)
