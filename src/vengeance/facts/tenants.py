"""Who has the card of a box: read from Windows and from the distro on it, and put together."""

from __future__ import annotations

from collections.abc import Mapping

from pyinfra.api.host import Host

from vengeance.box import gpu_tenants, modes
from vengeance.facts import ollama, windows
from vengeance.facts.vllm import Health
from vengeance.facts.vllm.states import States

_MIB = 2**20


def servers(distro: Host, ports: Mapping[str, int]) -> tuple[modes.Server, ...]:
    """Return vLLM's servers in a distro, by the units of ours that are there.

    + ports: profile -> TCP port, for the question whether a server that runs answers
    """
    found: list[modes.Server] = []
    for profile, state in distro.get_fact(States).items():
        asked = state == "active" and profile in ports
        found.append(modes.Server(profile, state, asked and distro.get_fact(Health, port=ports[profile])))
    return tuple(found)


def seen(
    box: Host, distro: Host | None, ports: Mapping[str, int], loaded: Mapping[str, ollama.LoadedModel] | None
) -> modes.Seen:
    """Return what is seen of a card and its tenants.

    + box: the Windows side
    + distro: the other one; None where it does not run, or is not to be asked
    + ports: profile of vLLM -> TCP port
    + loaded: what the fact ``ollama.Loaded`` says
    """
    card, counters = box.get_fact(windows.Gpu), box.get_fact(windows.GpuProcesses)
    return modes.Seen(
        # A fact that could not be read is None; pyinfra has said why, and failed the host.
        card=None if card is None or counters is None else gpu_tenants.held(card, counters),
        models=None if loaded is None else {name: -(-one["size_vram"] // _MIB) for name, one in loaded.items()},
        servers=None if distro is None else servers(distro, ports),
    )
