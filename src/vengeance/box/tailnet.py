"""What is known of a tailnet: its addresses, and how long a machine's key is valid."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

# https://tailscale.com/docs/concepts/tailscale-ip-addresses
NETWORKS = ("100.64.0.0/10", "fd7a:115c:a1e0::/48")
# An expiry that is nearer than this cuts the box off before long.
SOON = timedelta(days=30)


def address4(addresses: Iterable[str]) -> str | None:
    """Return the IPv4 address among a machine's tailnet addresses, None when there is none."""
    return next((one for one in addresses if ipaddress.ip_address(one).version == 4), None)


def days_left(key_expiry: str, now: datetime) -> int:
    """Return whole days until a key ends, negative when it has ended.

    + key_expiry: ISO 8601, UTC, with ``Z``
    """
    return (parse_moment(key_expiry) - now).days


def parse_moment(text: str) -> datetime:
    """Return a moment from ISO 8601 text in whole seconds with ``Z``."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def trouble(
    where: str,
    installed: bool,
    state: str | None,
    *,
    account: str,
    owner: str | None = None,
    key_expiry: str | None = None,
) -> str | None:
    """Say in a sentence what a person has to do to Tailscale before a deploy can use it, None when nothing.

    + where: the host, as sentences call it
    + state: as Get-Tailscale tells it
    + account: the Windows account that the deploy uses
    + owner: the one that has Tailscale in the state ``InUseOtherUser``

    Sign-ins belong to Windows accounts: tailscale#5219, tailscale#12989; a deleted one keeps its own: tailscale#3737.
    """
    if not installed:
        return (
            f"Tailscale is not installed on {where}: install it from https://tailscale.com/download/windows, and sign "
            f"in to it as the Windows account {account}, which the deploy uses; or do without: tailscale_wanted = "
            "False, expose = 'none'."
        )
    if state == "NoService":
        return (
            f"The service of Tailscale on {where} does not run: in PowerShell on the box, as administrator, "
            "Start-Service Tailscale, and run this again."
        )
    if state == "InUseOtherUser":
        return _belongs_to(where, account, owner)
    if state == "KeyExpired":
        when = "" if key_expiry is None else f" on {key_expiry[:10]}"
        return (
            f"The Tailscale key of {where} has ended{when}, or the machine was removed from the tailnet: on the box, "
            f"as {account}, run tailscale login, and at https://login.tailscale.com/admin/machines choose the machine, "
            "then Disable key expiry."
        )
    if state == "NeedsLogin":
        return (
            f"{account}, the Windows account that the deploy uses, is not signed in to Tailscale on {where} "
            "(NeedsLogin): on the box, as that account, run tailscale login. The sign-in of another Windows account "
            "does not count."
        )
    if state == "NeedsMachineAuth":
        return (
            f"Tailscale on {where} waits to be let into the tailnet (NeedsMachineAuth): approve the machine at "
            "https://login.tailscale.com/admin/machines."
        )
    return None


def _belongs_to(where: str, account: str, owner: str | None) -> str:
    if owner is not None and owner.startswith("S-1-"):
        return (
            f"Tailscale on {where} belongs to a Windows account that is gone ({owner}), and refuses {account}: on the "
            "box uninstall Tailscale, delete C:\\ProgramData\\Tailscale, install it again, and sign in to Tailscale on "
            f"the box as {account}."
        )
    other = owner or "another Windows account"
    return (
        f"Tailscale on {where} belongs to {other}, and refuses {account}: sign in to Tailscale on the box as {account} "
        f"(before that, as {other}: tailscale logout, and sign out of Windows), or use {owner or 'that account'} for "
        "the deploy (winrm_user)."
    )
