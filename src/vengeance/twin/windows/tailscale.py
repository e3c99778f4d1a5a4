"""Tailscale on the twin's Windows: connected while its user is logged on, or for good when it runs unattended.

It is there from the start, signed in by hand as it is on a real box, and not unattended, as it is by default. Its
adapter comes up some seconds after WinRM at a boot. It adds its own firewall rule, which opens every port of its
address to the tailnet (tailscale, wgengine/router/osrouter), and takes what ``serve`` forwards before Windows sees it
(ipn/ipnlocal/serve.go).
"""

from __future__ import annotations

import json
import socket
from datetime import timedelta
from typing import TYPE_CHECKING

from vengeance.twin.clock import Alarm
from vengeance.twin.windows.firewall import rule_text
from vengeance.twin.windows.forwarding import carry
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
        self.connected = False
        self._alarm: Alarm | None = None
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

    @property
    def serve(self) -> dict[int, int]:
        """Port of the tailnet address -> port of 127.0.0.1."""
        return {int(port): int(target) for port, target in self._memory["serve"].items()}

    def set_unattended(self, unattended: bool) -> None:
        """``tailscale set --unattended``."""
        self._memory["unattended"] = unattended
        self._windows.state.save()
        if unattended:
            self._connect()
        elif self._windows.sessions.session_of(self._memory["user"]) is None:
            self._disconnect()

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

    def _service_started(self) -> None:
        if self.unattended or self._windows.sessions.session_of(self._memory["user"]) is not None:
            self._later(_AT_LOGON_SECONDS)

    def _boot(self) -> None:
        if self.installed and self.unattended and self.service_running:
            self._later(_AT_BOOT_SECONDS)

    def _logon(self, user: str, session: int) -> None:
        if self.installed and user.lower() == self._memory["user"].lower():
            self._later(_AT_LOGON_SECONDS)

    def _logoff(self, user: str, session: int) -> None:
        if user.lower() == self._memory["user"].lower() and not self.unattended:
            self._disconnect()

    def _later(self, seconds: float) -> None:
        if not self.connected:
            self._alarm = self._windows.clock.later(seconds, self._connect)

    def _connect(self) -> None:
        if self.connected or not self.installed or not self.service_running:
            return
        self.connected = True
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

    def status(self) -> dict[str, object]:
        """``tailscale status --json --peers=false``."""
        node: dict[str, object] = {
            "HostName": self._windows.state.hostname,
            "DNSName": f"{DNS_NAME}.",
            "OS": "windows",
            "Online": self.connected,
        }
        if self.key_expiry is not None:
            node["KeyExpiry"] = self.key_expiry
        return {
            "Version": f"{VERSION}-t1ab2cd3ef-g4567890ab",
            "BackendState": "Running" if self.connected else "NoState",
            "TailscaleIPs": [TAILNET, ADDRESS6] if self.connected else None,
            "Self": node,
        }

    def serve_status(self) -> dict[str, object] | None:
        """``tailscale serve status --json``; null where nothing is served."""
        if not self.serve:
            return None
        return {"TCP": {str(port): {"TCPForward": f"{LOOPBACK}:{target}"} for port, target in self.serve.items()}}


def tailscale_exe(run: Run) -> int:
    """tailscale.exe: status, debug prefs, set --unattended, serve --tcp; what else it can do the twin cannot."""
    tailscale = run.windows.tailscale
    words = run.argv
    answers: dict[str, object] = {
        "status --json": tailscale.status(),
        "status --json --peers=false": tailscale.status(),
        "debug prefs": {"ForceDaemon": True} if tailscale.unattended else {},
        "serve status --json": tailscale.serve_status(),
    }
    line = " ".join(words)
    if line in answers:
        run.print(json.dumps(answers[line], indent=2).replace("\n", "\r\n"))
        return 0
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
