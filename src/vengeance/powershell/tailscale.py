"""The JSON of the scripts about Tailscale."""

from __future__ import annotations

from typing import Literal, TypedDict

from vengeance.powershell.windows import Nothing

ServeKind = Literal["tcp", "http", "https", "tls-terminated-tcp"]

State = Literal[
    "NoState",
    "NeedsLogin",
    "NeedsMachineAuth",
    "Stopped",
    "Starting",
    "Running",
    "NoService",
    "InUseOtherUser",
    "KeyExpired",
]
"""Tailscale's own words (ipn/backend.go), ``NoService`` and ``KeyExpired``."""


class Served(TypedDict):
    """A port of the tailnet address; ``target`` is where a forwarded one leads."""

    port: int
    kind: ServeKind
    target: str | None


class Tailscale(TypedDict):
    """Output of Get-Tailscale; ``key_expiry`` is ISO 8601 UTC, None where the key does not expire.

    ``account`` is the Windows account that asked; ``owner`` the one it belongs to in the state ``InUseOtherUser``.
    """

    installed: bool
    version: str | None
    account: str
    owner: str | None
    state: State | None
    online: bool
    addresses: list[str]
    dns_name: str | None
    tags: list[str]
    key_expiry: str | None
    unattended: bool
    serve: list[Served]


class SetTailscaleInput(TypedDict):
    """Input of Set-Tailscale."""

    unattended: bool


class TailscaleChange(TypedDict):
    """Output of Set-Tailscale: whether it stays connected with nobody logged on."""

    changed: bool
    before: bool
    after: bool
    reboot_required: bool


class SetTailscaleServeInput(TypedDict):
    """Input of Set-TailscaleServe; ``target_port`` None ends it."""

    port: int
    target_port: int | None


class TailscaleServeChange(TypedDict):
    """Output of Set-TailscaleServe: where the port leads."""

    changed: bool
    before: str | None
    after: str | None
    reboot_required: bool


INPUT: dict[str, type] = {
    "Get-Tailscale": Nothing,
    "Set-Tailscale": SetTailscaleInput,
    "Set-TailscaleServe": SetTailscaleServeInput,
}
"""Script name -> type of its input."""

OUTPUT: dict[str, type] = {
    "Get-Tailscale": Tailscale,
    "Set-Tailscale": TailscaleChange,
    "Set-TailscaleServe": TailscaleServeChange,
}
"""Script name -> type of its output."""
