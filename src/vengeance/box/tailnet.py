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
