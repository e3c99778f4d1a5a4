"""What this machine sees of a box: the proof that firewall, forwarded ports and tailnet let it through."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import requests
from pyinfra import logger
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation
from pyinfra.api.state import StateStage
from pyinfra.context import host, inventory, state

from vengeance.box import ports, tailnet, vllm_profiles
from vengeance.facts.tailscale import Status
from vengeance.facts.vllm.states import States
from vengeance.operations.refusal import checked, refuse
from vengeance.operations.vllm import made_key
from vengeance.secret import Secret

_ONE_TRY_SECONDS = 5.0
_POLL_SECONDS = 1.0
PROMPT = "def is_prime(n):"


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
    session = _session()
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


def _session() -> requests.Session:
    # Proxies of this machine lead to the world, and not to the tailnet.
    session = requests.Session()
    session.trust_env = False
    return session


class NoCompletion(Exception):
    """A server gave no completion; the text says why. ``broken`` tells that it was reached and should have."""

    def __init__(self, reason: str, broken: bool) -> None:
        super().__init__(reason)
        self.broken = broken


def completion(url: str, model: str, key: Secret | None, within: float) -> str:
    """Ask a server for the completion of a sentence, as a client does, and return it.

    + url: address of the server, without a path
    + model: what clients call the model
    + key: the server's API key
    + within: seconds that it may take

    Raises NoCompletion. vLLM 0.15.1 answers for a dead engine with status 200 and an ``error`` in the body.
    """
    headers = {"Authorization": f"Bearer {key.reveal()}"} if key else {}
    asked = {"model": model, "prompt": PROMPT, "max_tokens": 16, "temperature": 0}
    try:
        answer = _session().post(f"{url}/v1/completions", json=asked, headers=headers, timeout=within)
    except requests.RequestException as error:
        raise NoCompletion(str(error.__cause__ or error), broken=False) from None
    try:
        text = answer.json()["choices"][0]["text"]
    except (ValueError, LookupError, TypeError):
        # 501 is the answer of a server that says of itself that it computes nothing.
        raise NoCompletion(
            f"it answers {answer.status_code} with {answer.text[:200]!r}", answer.status_code != 501
        ) from None
    return str(text)


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


@operation()
def completes(
    distro: str,
    profiles: Mapping[str, Mapping[str, Any]],
    exposed: Sequence[int],
    api_key: Secret | str | None = None,
    address_of_box: str | None = None,
    within: float = 60,
) -> Generator[PyinfraCommand, None, None]:
    """
    Fetch a completion from the vLLM server that runs on the box, if one does, as another machine of the tailnet does.

    + distro: name of the host that is the distro
    + profiles: those of its servers, name -> fields
    + exposed: ports of the distro that others reach
    + api_key: the key that clients must send, as in the group data; the one that the box has made is read from it
    + address_of_box: None is its address in the tailnet, or else the one of the connection
    + within: seconds that the server may take

    A server that cannot be reached from here is a warning: this machine may not be one of those that are let in. One
    that is reached and gives no completion stops the host.

    **Example:**

    .. code:: python

        reach.completes(name="A completion", distro="@wsl/box/Ubuntu-24.04", profiles=PROFILES, exposed=[8080])
    """
    inside = inventory.get_host(distro)
    if state.current_stage != StateStage.Execute or inside not in state.activated_hosts:
        host.noop("asked when the deploy runs")
        return
    states = inside.get_fact(States)
    running = [name for name in profiles if states.get(name) == "active"]
    if not running:
        host.noop("no vLLM server runs, so none is asked")
        return
    profile = vllm_profiles.parse(running[0], profiles[running[0]])
    if profile.port not in exposed:
        host.noop(f"port {profile.port} of {profile.name} is not exposed, so this machine cannot ask")
        return
    url = url_of(address(address_of_box), profile.port, "")
    try:
        key = api_key if isinstance(api_key, Secret) else made_key(inside) if api_key == "generated" else None
    except OSError as error:
        yield refuse(f"The key of vLLM on {distro} cannot be read: {error}")
        return
    try:
        text = completion(url, profile.served_model_name or profile.model, key, within)
    except NoCompletion as none:
        if none.broken:
            yield refuse(
                f"vLLM at {url} of {host.name} gives no completion: {none}. See why in the distro: journalctl -u "
                f"{profile.unit} -n 100"
            )
            return
        host.log(f"vLLM at {url} gives no completion to this machine: {none}", logger.warning)
    else:
        host.log(f"vLLM at {url}: {PROMPT!r} goes on with {text!r}")
    host.noop("nothing is changed by asking")
