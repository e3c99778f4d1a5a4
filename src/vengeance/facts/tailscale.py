"""Facts of Tailscale on a Windows host."""

from __future__ import annotations

from pyinfra.api.facts import FactBase

from vengeance.facts.windows.answers import parse
from vengeance.powershell import Script, tailscale


class Status(FactBase[tailscale.Tailscale]):
    """Returns what Tailscale is on the box: state, addresses, settings, what it serves. No key is read.

    ``unattended``: whether it stays connected with nobody logged on. ``key_expiry`` is None where the key stays valid.
    ``account`` is the Windows account that the connection signs in as. Tailscale belongs to the one that signed in to
    it, and may refuse all others: the state is ``InUseOtherUser`` then, and ``owner`` says whose it is.

    .. code:: python

        {
            "installed": True,
            "version": "1.86.2",
            "account": "VENGEANCE\\\\Steam",
            "owner": None,
            "state": "Running",
            "online": True,
            "addresses": ["100.98.226.75", "fd7a:115c:a1e0::1"],
            "dns_name": "vengeance.tail1a2b3.ts.net",
            "tags": [],
            "key_expiry": "2027-02-01T08:00:00Z",
            "unattended": True,
            "serve": [{"port": 8080, "kind": "tcp", "target": "127.0.0.1:8080"}],
        }
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-Tailscale", {})

    def process(self, output: list[str]) -> tailscale.Tailscale:
        return parse("Get-Tailscale", output, tailscale.Tailscale)
