"""What this machine sees of a box: the proof that firewall, forwarded ports and tailnet let it through."""

from __future__ import annotations

import time
from collections.abc import Generator

import requests
from pyinfra import logger
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation
from pyinfra.api.state import StateStage
from pyinfra.context import host, state

from vengeance.box import ports, tailnet
from vengeance.facts.tailscale import Status
from vengeance.operations.refusal import checked

_ONE_TRY_SECONDS = 5.0
_POLL_SECONDS = 1.0


def address(declared: str | None = None) -> str:
    """Return where others reach the box: as declared, in the tailnet, or where this machine has just reached it."""
    if declared:
        return declared
    found = host.get_fact(Status) if host.data.get("tailscale_wanted") else None
    there = tailnet.address4(found["addresses"]) if found else None
    return there or str(host.data.get("winrm_host") or host.name.rpartition("/")[2])


def url_of(address: str, port: int, path: str = "/") -> str:
    """Return the address of a web server, with IPv6 in brackets."""
    return f"http://[{address}]:{port}{path}" if ":" in address else f"http://{address}:{port}{path}"


def silence(url: str, within: float) -> str | None:
    """Ask a web server; return None when it answers anything at all, or why it does not.

    + within: seconds to go on asking
    """
    # Proxies of this machine lead to the world, and not to the tailnet.
    session = requests.Session()
    session.trust_env = False
    deadline = time.monotonic() + within
    while True:
        try:
            session.get(url, timeout=_ONE_TRY_SECONDS, allow_redirects=False).close()
        except requests.Timeout:
            reason = f"nothing comes back within {_ONE_TRY_SECONDS:g} s, as when a firewall drops it"
        except requests.RequestException as error:
            reason = str(error.__cause__ or error)
        else:
            return None
        if time.monotonic() >= deadline:
            return reason
        time.sleep(_POLL_SECONDS)


@operation()
def answers(
    port: int, path: str = "/", address_of_box: str | None = None, within: float = 15
) -> Generator[PyinfraCommand, None, None]:
    """
    Warn when a web server on the box does not answer this machine; it may not be one of those that are let in.

    + port: TCP port on the box
    + path: what is asked for; any answer counts
    + address_of_box: None is its address in the tailnet, or else the one of the connection
    + within: seconds to go on asking

    **Example:**

    .. code:: python

        reach.answers(name="Ollama answers this machine", port=11434, path="/api/version")
    """
    checked(lambda: ports.check_port(port))
    yield from ()
    if state.current_stage != StateStage.Execute:
        host.noop("asked when the deploy runs")
        return
    url = url_of(address(address_of_box), port, path)
    reason = silence(url, within)
    if reason is None:
        host.noop(f"{url} answers")
        return
    host.log(
        f"{url} does not answer this machine ({reason}). If this machine is to reach it, it has to be in the tailnet "
        "or in remote_addresses; what runs on the box itself was looked at before.",
        logger.warning,
    )
    host.noop("nothing is changed by asking")
