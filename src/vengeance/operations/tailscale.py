"""Operations on Tailscale of a Windows host; it is installed and signed in by hand, so that no key is kept here."""

from __future__ import annotations

import time
from collections.abc import Generator
from datetime import datetime, timezone

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.operation import operation
from pyinfra.api.state import StateStage
from pyinfra.context import host, state

from vengeance.box import before as names
from vengeance.box import ports, tailnet
from vengeance.facts.tailscale import Status
from vengeance.operations.before import kept
from vengeance.operations.refusal import checked, refuse
from vengeance.powershell import Script
from vengeance.powershell.tailscale import Tailscale

# After a boot it comes some seconds later than WinRM.
_CONNECT_SECONDS = 60.0
_LOOK_EVERY_SECONDS = 1.0


def awaited_status() -> Tailscale | None:
    """Return what Tailscale is on the host, after waiting for one that connects by itself after a boot.

    None where it could not be read. In a plan nothing is waited for.
    """
    deadline = time.monotonic() + _CONNECT_SECONDS
    while True:
        status = host.get_fact(Status)
        if status is None or not status["unattended"] or status["state"] not in ("NoState", "Starting"):
            return status
        if state.current_stage != StateStage.Execute or time.monotonic() >= deadline:
            return status
        time.sleep(_LOOK_EVERY_SECONDS)


def what_is_missing(status: Tailscale) -> str | None:
    """Say what a person has to do before anything can be set, None when nothing."""
    return tailnet.trouble(
        host.name,
        status["installed"],
        status["state"],
        account=status["account"],
        owner=status["owner"],
        key_expiry=status["key_expiry"],
    )


@operation()
def settings(unattended: bool = True, required: bool = True) -> Generator[PyinfraCommand, None, None]:
    """
    Have Tailscale stay connected with nobody logged on to Windows, and warn of a key that will end.

    + unattended: whether it stays after a logoff, and comes with a boot that nobody logs on after
    + required: whether the host is stopped when Tailscale is not installed or not signed in; else that is a warning

    **Example:**

    .. code:: python

        tailscale.settings(name="Tailscale stays connected", unattended=True)
    """
    if not isinstance(unattended, bool):
        raise OperationValueError(f"unattended is True or False, not {unattended!r}.")
    status = host.get_fact(Status)
    if status is None:
        return  # it could not be read: pyinfra has said so and failed the host
    missing = what_is_missing(status)
    if missing is not None and required:
        yield refuse(missing)
        return
    if missing is not None:
        host.log(missing, logger.warning)
        host.noop("Tailscale is left as it is")
        return
    if status["key_expiry"] is not None:
        _warn(status["key_expiry"])
    if status["unattended"] == unattended:
        host.noop(f"Tailscale is {'' if unattended else 'not '}set to run unattended")
        return
    host.log(f"Tailscale with nobody logged on: {_kept(status['unattended'])} -> {_kept(unattended)}")
    yield from kept({names.TAILSCALE: status["unattended"]})
    yield Script("Set-Tailscale", {"unattended": unattended})


def _kept(unattended: bool) -> str:
    return "stays connected" if unattended else "disconnected"


def _warn(key_expiry: str) -> None:
    days = tailnet.days_left(key_expiry, datetime.now(timezone.utc))
    when = f"ends in {days} days" if days >= tailnet.SOON.days else f"ENDS IN {max(days, 0)} DAYS"
    if days < 0:
        when = "has ended"
    host.log(
        f"the Tailscale key of {host.name} {when} ({key_expiry[:10]}), and with it every way through the tailnet: at "
        "https://login.tailscale.com/admin/machines choose the machine, then Disable key expiry",
        logger.warning,
    )


@operation()
def serve(port: int, target_port: int | None = None, present: bool = True) -> Generator[PyinfraCommand, None, None]:
    """
    Have Tailscale forward a TCP port of the box's tailnet address to its 127.0.0.1 (``tailscale serve --bg --tcp``).

    + port: the port in the tailnet
    + target_port: the port of 127.0.0.1 it leads to, the same by default
    + present: whether the port should be forwarded

    What listens on 127.0.0.1 alone, on Windows or in the distro, is reached so without a firewall rule and without an
    address that could change.

    **Example:**

    .. code:: python

        tailscale.serve(name="vLLM is in the tailnet", port=8080)
    """
    target = port if target_port is None else target_port
    checked(lambda: ports.check_port(port, "The port in the tailnet"))
    checked(lambda: ports.check_port(target, "The port of 127.0.0.1"))
    status = awaited_status() if present else host.get_fact(Status)
    if status is None:
        return
    mine = next((one for one in status["serve"] if one["port"] == port), None)
    if not present:
        if mine is None or mine["kind"] != "tcp":
            host.noop(f"Tailscale does not forward port {port}")
        else:
            host.log(f"Tailscale's port {port}: {mine['target']} -> (not forwarded)")
            yield from kept({names.served(port): mine["target"]})
            yield Script("Set-TailscaleServe", {"port": port, "target_port": None})
        return
    missing = what_is_missing(status)
    if missing is not None:
        yield refuse(missing)
        return
    if mine is not None and mine["kind"] != "tcp":
        yield refuse(
            f"Tailscale on {host.name} serves {mine['kind']} on port {port}, and a port is forwarded or served, not "
            f"both: on the box run tailscale serve --{mine['kind']}={port} off, or take another port."
        )
        return
    wanted = f"{ports.LOOPBACK}:{target}"
    if mine is not None and mine["target"] in (wanted, f"localhost:{target}"):
        host.noop(f"Tailscale forwards port {port} to {wanted}")
        return
    host.log(f"Tailscale's port {port}: {'(not forwarded)' if mine is None else mine['target']} -> {wanted}")
    yield from kept({names.served(port): None if mine is None else mine["target"]})
    yield Script("Set-TailscaleServe", {"port": port, "target_port": target})
