"""The box in its tailnet, by Tailscale's own program and the JSON that it prints."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from testinfra.modules.base import InstanceModule

from vengeance.verify.modules.moments import moment

_PROGRAM = '"C:\\Program Files\\Tailscale\\tailscale.exe"'


class Tailscale(InstanceModule):  # type: ignore[misc]
    """Tailscale of Windows: ``host.tailscale.addresses``."""

    def _asked(self, words: str) -> Any:  # noqa: ANN401 whatever Tailscale tells
        return json.loads(str(self.check_output(f"{_PROGRAM} {words}")))

    @property
    def is_connected(self) -> bool:
        """Whether the box is in the tailnet now."""
        return bool(self._asked("status --json --peers=false")["BackendState"] == "Running")

    @property
    def addresses(self) -> list[str]:
        """The box's addresses there, IPv4 first; [] while it is not connected."""
        return list(self._asked("status --json --peers=false")["TailscaleIPs"] or [])

    @property
    def stays_without_logon(self) -> bool:
        """Whether it runs unattended, and so with nobody logged on."""
        return bool(self._asked("debug prefs").get("ForceDaemon", False))

    @property
    def key_expires_at(self) -> datetime | None:
        """When the box falls out of the tailnet unless somebody signs in again; None for never."""
        text = self._asked("status --json --peers=false")["Self"].get("KeyExpiry")
        return None if text is None else moment(str(text))

    @property
    def forwarded(self) -> dict[int, str]:
        """Port of the tailnet address -> where ``tailscale serve --tcp`` leads it."""
        told = self._asked("serve status --json") or {}
        return {int(port): str(one.get("TCPForward", "")) for port, one in (told.get("TCP") or {}).items()}

    def __repr__(self) -> str:
        return "<tailscale>"
