"""TCP ports and the addresses they are forwarded between."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

HIGHEST = 65535
LOOPBACK = "127.0.0.1"


def check_port(port: object, what: str = "A port") -> None:
    """Check that something is a port; raises ValueError with a sentence."""
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= HIGHEST:
        raise ValueError(f"{what} is a whole number from 1 to {HIGHEST}, not {port!r}.")


def check_address(address: object, what: str) -> None:
    """Check that something is an IPv4 address; raises ValueError with a sentence."""
    try:
        if not isinstance(address, str):
            raise ValueError
        ipaddress.IPv4Address(address)
    except ValueError:
        raise ValueError(f"{what} is an IPv4 address such as 100.98.226.75, not {address!r}.") from None


def check_forwarding(listen_address: str, listen_port: int, connect_address: str, connect_port: int) -> None:
    """Check that a port may be forwarded so; raises ValueError with a sentence."""
    check_port(listen_port, "The port that is forwarded")
    check_port(connect_port, "The port that it leads to")
    check_address(listen_address, "The address that is forwarded from")
    check_address(connect_address, "The address that is forwarded to")
    one = ipaddress.IPv4Address(listen_address)
    if listen_port == connect_port and (one.is_unspecified or one.is_loopback):
        raise ValueError(
            f"{listen_address}:{listen_port} forwarded to port {connect_port} takes the port of 127.0.0.1 that WSL's "
            "own forwarding needs: give the one address that others use, such as the Tailscale address."
        )


def holding(ranges: Iterable[tuple[int, int]], port: int) -> tuple[int, int] | None:
    """Return the range, first and last port, that a port lies in; None when it lies in none."""
    return next(((first, last) for first, last in ranges if first <= port <= last), None)
