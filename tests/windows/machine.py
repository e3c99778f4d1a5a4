"""The Windows that the tests of this folder run against, as our connectors reach it, and by a path that is not ours.

Where it is stands in the environment; ``prepare.ps1`` sets what has no default, docs/real-windows.md says the rest:
VENGEANCE_WINDOWS_HOST, _PORT, _USER, _PASSWORD, _SHA256, and what may be done to it: _CHANGES, _WSL.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import ssl
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pytest
import winrm
from typeguard import check_type
from urllib3.exceptions import InsecureRequestWarning

from vengeance.connectors.pool import agent_texts
from vengeance.powershell import load
from vengeance.powershell.contract import INPUT, OUTPUT
from vengeance.winrm.client import WinRMClient
from vengeance.winrm.settings import WinRMSettings

PREFIX = "VENGEANCE_WINDOWS_"
# Programs of Windows that the twin does not have: these tests are for the real one, and say so.
NOT_ON_THE_TWIN = {"dism", "icacls", "netsh", "netstat", "powercfg", "sc", "schtasks"}


@dataclass(frozen=True)
class Seen:
    """What a program printed, and its exit code."""

    code: int
    text: str


class Machine:
    """One Windows, with the account that signs in.

    + settings: how our own client reaches it
    + password: of the account
    """

    def __init__(self, settings: WinRMSettings, password: str) -> None:
        self.settings = settings
        self.password = password
        self.warnings: list[str] = []

    @classmethod
    def from_environment(cls) -> Machine:
        """The one that the environment names."""
        user, password, pin = (os.environ[PREFIX + name] for name in ("USER", "PASSWORD", "SHA256"))
        settings = WinRMSettings(
            host=os.environ.get(PREFIX + "HOST", "127.0.0.1"),
            port=int(os.environ.get(PREFIX + "PORT", "5986")),
            user=user,
            password=lambda: password,
            certificate_sha256=pin,
        )
        return cls(settings, password)

    @property
    def is_twin(self) -> bool:
        """Whether it is the stand-in, against which these tests themselves are tried."""
        return os.environ.get(PREFIX + "TWIN") == "1"

    def client(self, **changes: Any) -> WinRMClient:
        """A client of ours with some settings changed; the caller closes it."""
        return WinRMClient(replace(self.settings, **changes), agent_texts(), self.warnings.append)

    @cached_property
    def _other(self) -> winrm.Session:
        host, port = self.settings.host, self.settings.effective_port
        shown = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, port)))
        # pywinrm knows no pins, so it is looked at here: the password goes to nobody else.
        assert hashlib.sha256(shown).hexdigest() == self.settings.certificate_sha256
        return winrm.Session(
            self.settings.endpoint,
            auth=(self.settings.user, self.password),
            transport="ntlm",
            server_cert_validation="ignore",
        )

    def seen(self, line: str) -> Seen:
        """What a program of Windows says, through pywinrm and cmd.exe: nothing of ours is between.

        + line: a command line of cmd.exe
        """
        program = line.split()[0].lower().removesuffix(".exe")
        if program in NOT_ON_THE_TWIN and self.is_twin:
            pytest.skip(f"the twin has no {program}.exe")
        with warnings.catch_warnings():
            # Its certificate is looked at above.
            warnings.simplefilter("ignore", InsecureRequestWarning)
            said = self._other.run_cmd(line)
        return Seen(said.status_code, (said.std_out + said.std_err).decode("utf-8", errors="replace"))

    def hashed(self, path: str) -> str:
        """What certutil prints of a file's SHA-256, in small letters; old versions part its bytes by spaces."""
        return self.seen(f'certutil -hashfile "{path}" SHA256').text.replace(" ", "").lower()

    def processes(self) -> dict[int, str]:
        """Process id -> image in small letters, as tasklist shows them."""
        listed = self.seen("tasklist /fo csv /nh")
        assert listed.code == 0, listed
        rows = csv.reader(listed.text.splitlines())
        return {int(row[1]): row[0].lower() for row in rows if len(row) > 1}

    def registry(self, key: str, value: str) -> tuple[str, str] | None:
        """Kind and data of a registry value, as reg.exe shows them; None where there is none."""
        said = self.seen(f'reg query "{key}" /v "{value}"')
        found = re.search(rf"^\s+{re.escape(value)}\s+(REG_\w+)\s*(.*?)\s*$", said.text, re.MULTILINE)
        assert (said.code == 0) is (found is not None), said
        return None if found is None else (found[1], found[2])


def answer(
    client: WinRMClient, name: str, parameters: Mapping[str, Any] | None = None, secret: str | None = None
) -> Any:
    """Run a shipped script over WinRM and return its one JSON object; both ways are checked against the contract."""
    given = dict(parameters or {})
    if name in INPUT:
        check_type(given, INPUT[name])
    said = client.powershell(load(name), json.dumps(given), secret=secret, timeout=300)
    assert said.code == 0, said.stderr.decode(errors="replace") or said.stdout.decode(errors="replace")
    assert said.stderr == b""
    return check_type(json.loads(said.stdout), OUTPUT[name])
