"""Tailscale on the twin's Windows: connected while its user is logged on, or for good when it runs unattended.

It is there from the start, signed in by hand as it is on a real box, and not unattended, as it is by default. Its
adapter comes up some seconds after WinRM at a boot. It adds its own firewall rule, which opens every port of its
address to the tailnet (tailscale, wgengine/router/osrouter), and takes what ``serve`` forwards before Windows sees it
(ipn/ipnlocal/serve.go).

It belongs to the account that signed in to it. Unattended, or while its owner is logged on, it refuses every other
account (ipn/ipnserver/server.go, ipn/ipnlocal/local.go: CheckIPNConnectionAllowed); else the other one finds itself
signed out.
"""

from __future__ import annotations

import json
import socket
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from vengeance.twin.clock import Alarm
from vengeance.twin.forwarding import carry
from vengeance.twin.windows.firewall import rule_text
from vengeance.twin.windows.network import LOOPBACK, TAILNET, Listener, NetworkError
from vengeance.twin.windows.services import Service
from vengeance.twin.windows.state import USER, to_text

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows
    from vengeance.twin.windows.program import Run

FOLDER = "C:\\Program Files\\Tailscale"
PROGRAM = f"{FOLDER}\\tailscale.exe"
SERVICE_PROGRAM = f"{FOLDER}\\tailscaled.exe"
PID = 3344
GUI_PID = 5120
VERSION = "1.86.2"
ADDRESS6 = "fd7a:115c:a1e0::7a01:e24b"
DNS_NAME = "vengeance.tail1a2b3.ts.net"
RULE = "Tailscale-In"
_KEY_DAYS = 180
_AT_BOOT_SECONDS = 6.0
_AT_LOGON_SECONDS = 2.0


class Tailscale:
    """Tailscale of one Windows."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._memory = windows.state.section("tailscale")
        if not self._memory:
            expiry = to_text(windows.state.now() + timedelta(days=_KEY_DAYS))
            self._memory.update(
                {"installed": True, "unattended": False, "user": USER, "key_expiry": expiry, "serve": {}}
            )
        self._memory.setdefault("signed_in", True)
        self.connected = False
        self._alarm: Alarm | None = None
        self._end_of_key: Alarm | None = None
        self._served: dict[int, Listener] = {}
        windows.add_program(PROGRAM, tailscale_exe)
        if self.installed:
            self._place()
        windows.services.started.setdefault("tailscale", []).append(self._service_started)
        windows.services.stopped.setdefault("tailscale", []).append(self._disconnect)
        windows.at_boot.append(self._boot)
        windows.at_shutdown.append(self._disconnect)
        windows.sessions.at_logon.append(self._logon)
        windows.sessions.at_logoff.append(self._logoff)

    # --- settings ---

    @property
    def installed(self) -> bool:
        """Whether its programs are there."""
        return bool(self._memory["installed"])

    @installed.setter
    def installed(self, there: bool) -> None:
        self._memory["installed"] = there
        if there:
            self._place()
        else:
            self._disconnect()
            self._windows.drive.remove_file(PROGRAM, "C:\\")
        self._windows.state.save()

    def _place(self) -> None:
        self._windows.place_program(PROGRAM)
        self._windows.services.add(
            Service("Tailscale", "Tailscale", "auto", "LocalSystem", f'"{SERVICE_PROGRAM}"', running=True)
        )

    @property
    def unattended(self) -> bool:
        """Whether it stays with nobody logged on (ForceDaemon)."""
        return bool(self._memory["unattended"])

    @property
    def key_expiry(self) -> str | None:
        """When its key ends, None for never."""
        expiry: str | None = self._memory["key_expiry"]
        return expiry

    @key_expiry.setter
    def key_expiry(self, moment: str | None) -> None:
        self._memory["key_expiry"] = moment
        self._windows.state.save()
        self._connect_or_not()

    @property
    def key_ended(self) -> bool:
        """Whether its key holds no longer: it is out of the tailnet then."""
        return self.key_expiry is not None and self._seconds_of_key() <= 0

    def _seconds_of_key(self) -> float:
        end = datetime.strptime(self.key_expiry or "", "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        return (end - self._windows.clock.now()).total_seconds()

    @property
    def owner(self) -> str:
        """The Windows account that signed in to it, and that it belongs to."""
        return str(self._memory["user"])

    @property
    def signed_in(self) -> bool:
        """Whether its owner is signed in."""
        return bool(self._memory["signed_in"])

    def sign_in(self, account: str) -> None:
        """A Windows account signs in to it, at the screen; whose it was before loses it."""
        self._memory.update({"user": account, "signed_in": True})
        self._windows.state.save()
        self._connect_or_not()

    def sign_out(self) -> None:
        """``tailscale logout``."""
        self._memory["signed_in"] = False
        self._windows.state.save()
        self._connect_or_not()

    def refusal(self, account: str) -> str | None:
        """What tailscaled says to an account that is not let in; None for one that is."""
        if account.lower() == self.owner.lower() or not self.signed_in:
            return None
        host = self._windows.state.hostname
        if self.unattended:
            # Written by Go's %q, which doubles a backslash.
            theirs, mine = (f"{host}\\\\{name}" for name in (self.owner, account))
            return f'Tailscale running in server mode ("{theirs}"); connection from "{mine}" not allowed'
        if self._windows.sessions.session_of(self.owner) is not None:
            return f"Tailscale already in use by {host}\\{self.owner}, pid {GUI_PID}"
        return None

    @property
    def serve(self) -> dict[int, int]:
        """Port of the tailnet address -> port of 127.0.0.1."""
        return {int(port): int(target) for port, target in self._memory["serve"].items()}

    def set_unattended(self, unattended: bool) -> None:
        """``tailscale set --unattended``."""
        self._memory["unattended"] = unattended
        self._windows.state.save()
        self._connect_or_not()

    def set_serve(self, port: int, target: int | None) -> None:
        """``tailscale serve --bg --tcp``; None ends it."""
        if target is None:
            self._memory["serve"].pop(str(port), None)
        else:
            self._memory["serve"][str(port)] = target
        self._windows.state.save()
        self._listen()

    # --- coming and going ---

    @property
    def service_running(self) -> bool:
        """Whether tailscaled runs."""
        service = self._windows.services.get("Tailscale")
        return service is not None and service.running

    @property
    def _wanted(self) -> bool:
        """Whether somebody keeps it connected."""
        return self.unattended or self._windows.sessions.session_of(self.owner) is not None

    def _connect_or_not(self) -> None:
        if self._wanted and self.signed_in and not self.key_ended:
            self._connect()
        else:
            self._disconnect()

    def _service_started(self) -> None:
        if self._wanted:
            self._later(_AT_LOGON_SECONDS)

    def _boot(self) -> None:
        if self.installed and self.unattended and self.service_running:
            self._later(_AT_BOOT_SECONDS)

    def _logon(self, user: str, session: int) -> None:
        if self.installed and user.lower() == self.owner.lower():
            self._later(_AT_LOGON_SECONDS)

    def _logoff(self, user: str, session: int) -> None:
        if user.lower() == self.owner.lower() and not self.unattended:
            self._disconnect()

    def _later(self, seconds: float) -> None:
        if not self.connected:
            self._alarm = self._windows.clock.later(seconds, self._connect)

    def _connect(self) -> None:
        if self.connected or not self.installed or not self.service_running or not self.signed_in or self.key_ended:
            return
        self.connected = True
        if self.key_expiry is not None:
            self._end_of_key = self._windows.clock.later(self._seconds_of_key() + 1, self._connect_or_not)
        self._windows.network.add_address(TAILNET)
        self._windows.firewall.put(
            RULE,
            rule_text(
                action="allow", protocol=None, title=RULE, local=[TAILNET, ADDRESS6], profiles=["private", "domain"]
            ),
        )
        self._listen()

    def _disconnect(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if self._end_of_key is not None:
            self._end_of_key.cancel()
        if self.connected:
            self.connected = False
            self._windows.network.remove_address(TAILNET)
            self._windows.firewall.remove(RULE)
            self._listen()

    def _listen(self) -> None:
        wanted = self.serve if self.connected else {}
        for port in [port for port in self._served if port not in wanted]:
            self._served.pop(port).close()
        for port in wanted:
            if port not in self._served:
                self._served[port] = self._windows.network.listen(
                    pid=PID,
                    image=SERVICE_PROGRAM,
                    address=TAILNET,
                    port=port,
                    serve=lambda connection, peer, port=port: self._forward(connection, port),  # type: ignore[misc]
                    intercept=True,
                )

    def _forward(self, connection: socket.socket, port: int) -> None:
        target = self.serve.get(port)
        if target is None:
            return
        try:
            other = self._windows.network.connect(LOOPBACK, target)
        except (NetworkError, OSError):
            return
        with other:
            carry(connection, other)

    # --- what tailscale.exe prints ---

    def state(self, account: str) -> str:
        """The state that an account that is let in is told, in Tailscale's words."""
        if account.lower() != self.owner.lower() or not self.signed_in or self.key_ended:
            return "NeedsLogin"
        return "Running" if self.connected else "NoState"

    def status(self, account: str) -> dict[str, object]:
        """``tailscale status --json --peers=false``."""
        node: dict[str, object] = {
            "HostName": self._windows.state.hostname,
            "DNSName": f"{DNS_NAME}.",
            "OS": "windows",
            "Online": self.connected,
        }
        if account.lower() != self.owner.lower() or not self.signed_in:
            node["DNSName"] = ""
        elif self.key_expiry is not None:
            node["KeyExpiry"] = self.key_expiry
            if self.key_ended:
                node["Expired"] = True
        return {
            "Version": f"{VERSION}-t1ab2cd3ef-g4567890ab",
            "BackendState": self.state(account),
            "TailscaleIPs": [TAILNET, ADDRESS6] if self.connected else None,
            "Self": node,
        }

    def preferences(self, account: str) -> dict[str, object]:
        """``tailscale debug prefs``."""
        if account.lower() != self.owner.lower() or not self.signed_in:
            return {"LoggedOut": True, "Config": None}
        known: dict[str, object] = {"LoggedOut": False, "Config": {"NodeID": "nTWIN1CNTRL"}}
        if self.unattended:
            known["ForceDaemon"] = True
        return known

    def serve_status(self) -> dict[str, object] | None:
        """``tailscale serve status --json``; null where nothing is served."""
        if not self.serve:
            return None
        return {"TCP": {str(port): {"TCPForward": f"{LOOPBACK}:{target}"} for port, target in self.serve.items()}}


def tailscale_exe(run: Run) -> int:
    """tailscale.exe: status, debug prefs, set --unattended, serve --tcp; what else it can do the twin cannot."""
    tailscale = run.windows.tailscale
    words = run.argv
    line = " ".join(words)
    if not tailscale.service_running:
        run.error("failed to connect to local tailscaled process; is the Tailscale service running?")
        return 1
    refused = tailscale.refusal(run.user)
    if refused is not None:
        run.error(
            f"failed to connect to local tailscaled (which appears to be running as tailscaled.exe, pid {PID}). "
            f"Got error: 401 Unauthorized: {refused}"
        )
        return 1
    answers: dict[str, object] = {
        "status --json": tailscale.status(run.user),
        "status --json --peers=false": tailscale.status(run.user),
        "debug prefs": tailscale.preferences(run.user),
        "serve status --json": tailscale.serve_status() if tailscale.state(run.user) != "NeedsLogin" else None,
    }
    if line in answers:
        run.print(json.dumps(answers[line], indent=2).replace("\n", "\r\n"))
        return 0
    if run.user.lower() != tailscale.owner.lower() or not tailscale.signed_in:
        run.error(f"The twin's tailscale.exe cannot do 'tailscale {line}' for an account that is not signed in to it.")
        return 1
    if line in ("set --unattended", "set --unattended=true", "set --unattended=false"):
        tailscale.set_unattended(not line.endswith("false"))
        return 0
    flags = [word.partition("=")[2] for word in words if word.startswith("--tcp=")]
    if words[:1] == ["serve"] and len(flags) == 1 and flags[0].isdigit() and len(words) > 2:
        target = words[-1].rpartition(":")[2]
        if words[-1] == "off" or target.isdigit():
            tailscale.set_serve(int(flags[0]), None if words[-1] == "off" else int(target))
            return 0
    run.error(f"The twin's tailscale.exe does not know 'tailscale {line}'.")
    return 1
