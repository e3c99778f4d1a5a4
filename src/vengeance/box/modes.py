"""One card and three tenants: which of them has it in each mode, which mode a box is in, and how it gets into another.

Ollama is the tenant by default: it loads a model when it is asked, and leaves the card some minutes later. vLLM holds
what it takes as long as it runs, nearly the whole card, so it is started on purpose. ComfyUI, games and whatever else
a person starts are nobody's to end but that person's.

No mode is written down anywhere: the mode of a box is read from who has the card.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from vengeance.box import vllm_profiles
from vengeance.box.gpu_tenants import Held, Holder, Tenant
from vengeance.box.listing import listed
from vengeance.box.ollama_server import LOOPBACK, PORT

Mode = Literal["interactive", "batch", "images"]

MODES: tuple[Mode, ...] = get_args(Mode)
WORDS: dict[Mode, str] = {
    "interactive": "Ollama loads a model when it is asked, and vLLM does not run",
    "batch": "vLLM holds the card, and Ollama has no model on it",
    "images": "neither Ollama nor vLLM holds any of the card: it is free for ComfyUI",
}
NOTHING_MIB = 256
"""What WSL may have of the card with no server in it: less than any model has (judged)."""
_SURELY = 0.8
"""The part of what leaves that must be seen to: Ollama's sizes are its own estimate, and others go on meanwhile."""

_LOCALHOST = ("127.0.0.1", "0.0.0.0", "::")  # noqa: S104
_FORWARDERS = ("wslrelay.exe", "wslhost.exe", "tailscaled.exe", "svchost.exe")

_TELL = "`python -m vengeance mode show` says who has what."


@dataclass(frozen=True)
class Server:
    """The vLLM server of a profile; ``state`` is systemd's ActiveState, ``healthy`` whether it answers /health."""

    profile: str
    state: str = "inactive"
    healthy: bool = False

    @property
    def unit(self) -> str:
        """Name of its unit."""
        return vllm_profiles.unit_of(self.profile)

    @property
    def stopped(self) -> bool:
        """Whether it neither runs nor is about to."""
        return self.state in ("inactive", "failed")


@dataclass(frozen=True)
class Seen:
    """What is seen of a card and its tenants.

    card: None where the driver shows none
    models: model -> MiB that Ollama has of it on the card; None where no Ollama answers
    servers: vLLM's, by the units that are there; None where the distro does not run
    """

    card: Held | None
    models: Mapping[str, int] | None = None
    servers: tuple[Server, ...] | None = None

    @property
    def loaded(self) -> dict[str, int]:
        """The models of Ollama that are on the card; one that is wholly in the computer's own memory is not."""
        return {name: mib for name, mib in (self.models or {}).items() if mib}

    @property
    def crowded_out(self) -> list[str]:
        """The models that Ollama computes on the processor, for vLLM has the card."""
        return [name for name, mib in (self.models or {}).items() if not mib] if self.running else []

    @property
    def running(self) -> list[Server]:
        """The servers that run, or are about to."""
        return [server for server in self.servers or () if not server.stopped]

    @property
    def wsl_mib(self) -> int:
        """MiB that Windows counts for all programs in WSL together; its counters may lag by half a minute."""
        return 0 if self.card is None else self.card.mib_of("wsl")

    def of(self, *tenants: Tenant) -> tuple[Holder, ...]:
        """Return the programs of these tenants that hold the card, the largest first."""
        return () if self.card is None else self.card.of(*tenants)


@dataclass(frozen=True)
class Handover:
    """A mode that a box is to get into, and what has to be known for it.

    profile: of vLLM's, that batch serves; None for the other modes
    distro: name of the host that is the distro on the box; None where there is none
    ports: profile -> TCP port of its server
    parts: profile -> part of the card that its server takes, None where that is none
    address, port: where Ollama answers, seen from the box
    """

    mode: Mode
    profile: str | None = None
    distro: str | None = None
    ports: Mapping[str, int] = field(default_factory=dict)
    parts: Mapping[str, float | None] = field(default_factory=dict)
    address: str = LOOPBACK
    port: int = PORT

    @property
    def part(self) -> float | None:
        """Part of the card that is to be free for the server that batch starts."""
        return None if self.profile is None else self.parts.get(self.profile)


@dataclass(frozen=True)
class Verdict:
    """The mode that a box is in, or nearest to.

    settled: whether everything is as the mode wants it
    sentences: what is so, and where it is not settled, why not
    fits: the modes that nothing would have to be done for; without a model and without a server two are the same
    """

    mode: Mode
    settled: bool
    sentences: tuple[str, ...]
    fits: tuple[Mode, ...] = ()


def check(mode: object) -> Mode:
    """Return a mode that was asked for. Raises ValueError with the names of all for anything else."""
    for known in MODES:
        if mode == known:
            return known
    wrong = "No mode was given" if mode is None else f"There is no mode {mode!r}"
    raise ValueError(f"{wrong}; there are interactive (Ollama), batch (vLLM) and images (ComfyUI).")


def needed(total: int, utilisation: float) -> int:
    """Return the MiB that must be free for a vLLM server to start: it asks for its part of the whole card.

    + total: MiB of the card
    + utilisation: its gpu_memory_utilization

    v1/worker/utils.py of vLLM (request_memory): free memory at the start >= total x utilisation.
    """
    return math.ceil(total * utilisation)


def mode_of(seen: Seen) -> Verdict:
    """Return the mode that a box is in, by who has the card."""
    found = _batch(seen) if seen.running else _without_a_server(seen)
    profile = next((server.profile for server in seen.running), "")
    return replace(found, fits=tuple(mode for mode in MODES if not steps(mode, seen, profile)))


def _without_a_server(seen: Seen) -> Verdict:
    loaded, images = seen.loaded, seen.of("comfyui")
    so: list[str] = []
    off: list[str] = []
    if seen.card is None:
        off.append("The driver shows no NVIDIA card: run nvidia-smi on the box.")
    if seen.wsl_mib >= NOTHING_MIB:
        off.append(
            f"A program in WSL holds {_mib(seen.wsl_mib)}, and no server of vLLM's that is ours runs: find it with "
            "`ps aux` in the distro."
        )
    if seen.models is None:
        off.append("No Ollama answers on the box, so nobody would serve a model: deploys/ollama.py starts it.")
    if images:
        so.append(f"{_programs(images)} of ComfyUI has the card.")
        if loaded:
            off.append(f"Ollama has {_models(loaded)} on it too: `python -m vengeance mode images` takes that off.")
        return Verdict("images", not off, (*so, *off))
    if loaded:
        so.append(f"Ollama has {_models(loaded)} on the card.")
    elif seen.models is not None and seen.card is not None:
        so.append("No model is on the card: Ollama loads one when it is asked, and until then images have it free too.")
    others = seen.of("game", "other")
    if others:
        off.append(f"{_programs(others)} has some of the card.")
    return Verdict("interactive", not off, (*so, *off))


def _batch(seen: Seen) -> Verdict:
    so: list[str] = []
    off: list[str] = []
    for server in seen.running:
        if server.state == "active" and server.healthy:
            so.append(f"The vLLM server {server.profile} runs and answers.")
        elif server.state == "active":
            off.append(f"The vLLM server {server.profile} runs and does not answer yet: it loads its model, or hangs.")
        elif server.state == "deactivating":
            off.append(f"The vLLM server {server.profile} is about to stop.")
        else:
            off.append(
                f"The vLLM server {server.profile} ended, and systemd is about to start it again ({server.state}): "
                f"journalctl -u {server.unit} in the distro says why."
            )
    if seen.loaded:
        off.append(f"Ollama has {_models(seen.loaded)} on the card too, and vLLM may run out of memory.")
    if seen.of("comfyui", "game"):
        off.append(f"{_programs(seen.of('comfyui', 'game'))} has some of the card too.")
    return Verdict("batch", not off, (*so, *off))


def parts(profiles: Mapping[str, Mapping[str, Any]], version: str, device: str = "cuda") -> dict[str, float | None]:
    """Return which part of the card the server of each profile takes; None for those that compute without it.

    + profiles: name -> fields, as in ``vllm_profiles`` of the group data
    + version: vLLM's, which decides what it takes by default
    + device: what the servers compute on
    """
    if device != "cuda":
        return dict.fromkeys(profiles)
    declared = {name: vllm_profiles.parse(name, fields, version) for name, fields in profiles.items()}
    return {name: vllm_profiles.utilisation(one, version) for name, one in declared.items()}


def refusals(asked: Handover, seen: Seen) -> list[str]:
    """Return a sentence for each thing that is in a mode's way and is not ours to end; none where nothing is.

    Only batch takes the card from others; the two other modes leave it.
    """
    if asked.mode != "batch" or asked.part is None:
        return []
    if seen.card is None:
        return ["The driver shows no NVIDIA card, so vLLM would find none: run nvidia-smi on the box."]
    kinds: tuple[tuple[Tenant, str], ...] = (("comfyui", "ComfyUI"), ("game", "A game"))
    found = [
        f"{what} has the card: {_programs(seen.of(tenant))}. Close it, and run this again. {_TELL}"
        for tenant, what in kinds
        if seen.of(tenant)
    ]
    return found or _too_little_room(asked.part, seen.card, seen)


def _too_little_room(part: float, card: Held, seen: Seen) -> list[str]:
    # What a server of ours has is not counted everywhere, and it left room for Windows when it started.
    if seen.running:
        return []
    room, want = card.free + sum(seen.loaded.values()), needed(card.total, part)
    if room >= want:
        return []
    others = seen.of("other", "desktop", "wsl")
    who = f" Windows counts {_programs(others)}." if others else ""
    most = math.floor(room / card.total * 100) / 100
    return [
        f"vLLM asks for {_mib(want)} of the card ({part:g} of {card.total}), and {_mib(room)} are free at most once "
        f"Ollama has left it.{who} Close programs, or give the profile a gpu_memory_utilization of {most:g} at most. "
        f"{_TELL}"
    ]


def port_taken(port: int, profile: str, listeners: Iterable[Mapping[str, Any]]) -> str | None:
    """Return who has a port on Windows that WSL would forward to a server in the distro; None where nobody has.

    + listeners: those on the port, as the fact ``windows.Listeners`` has them

    wslrelay.exe is WSL's own, tailscaled.exe and svchost.exe (portproxy) forward to it. The server would start and
    answer in the distro all the same, and nobody would reach it: the program that was first has Windows' localhost.
    """
    for one in listeners:
        process = str(one["process"] or "a program")
        if one["address"] in _LOCALHOST and process.lower() not in _FORWARDERS:
            return (
                f"Port {port} of Windows is taken by {process} (process {one['pid']}), so WSL could not forward it to "
                f"the vLLM server {profile}. End that program, or give the profile another port, and run this again."
            )
    return None


def steps(mode: Mode, seen: Seen, profile: str) -> list[str]:
    """Return what has to be done to get into a mode, in words and in its order; nothing where all is so.

    + mode: the mode that is wanted
    + profile: of vLLM's, that batch serves
    """
    found: list[str] = []
    wanted = profile if mode == "batch" else None
    if mode != "interactive":
        found += [f"take {name} ({_mib(mib)}) out of Ollama's memory" for name, mib in seen.loaded.items()]
    found += [f"stop the vLLM server {server.profile}" for server in seen.running if server.profile != wanted]
    if found:
        found.append("wait until the card's memory is really free")
    if mode == "interactive":
        found += [f"let {name} leave the processor, so that it comes to the card next" for name in seen.crowded_out]
    if wanted is not None:
        mine = next((server for server in seen.servers or () if server.profile == wanted), Server(wanted))
        if mine.state != "active":
            found.append(f"start the vLLM server {wanted}")
        if not mine.healthy:
            found.append("wait until it answers")
    return found


def leaves(asked: Handover, before: Seen) -> int:
    """Return about how many MiB of the card its tenants give back when a mode is entered.

    + before: what was seen before that

    A server that answers has its whole part of the card; one that does not yet may have anything.
    """
    total = 0 if before.card is None else before.card.total
    going = [server.profile for server in before.running if server.healthy and server.profile != asked.profile]
    of_ollama = sum(before.loaded.values()) if asked.mode != "interactive" else 0
    return int(total * sum(asked.parts.get(profile) or 0 for profile in going)) + of_ollama


def not_free(asked: Handover, before: Seen, now: Seen) -> str | None:
    """Return why the card is not as free as a mode needs it, None when it is.

    + before, now: before its tenants were asked to leave it, and after

    By what the driver says is used and free. Windows' own counters, which lag behind by up to half a minute, are asked
    only where nothing has left that could be missed: after a run that was cut off.
    """
    card = now.card
    if card is None:
        return None
    if asked.mode == "batch":
        want = needed(card.total, asked.part or 0)
        if card.free >= want:
            return None
        return f"vLLM asks for {_mib(want)} of the card, and {_mib(card.free)} are free.{_whose(card)}"
    least = int(leaves(asked, before) * _SURELY)
    if least and before.card is not None:
        fallen = before.card.used - card.used
        if fallen >= least:
            return None
        return (
            f"{_mib(least)} of the card at least should have come back, and {_mib(fallen)} have: {_mib(card.used)} of "
            f"{card.total} are in use.{_whose(card)}"
        )
    if not now.running and now.wsl_mib >= NOTHING_MIB:
        return f"Programs in WSL still hold {_mib(now.wsl_mib)} of the card, and no server of vLLM's runs."
    ours = now.of("ollama") if asked.mode == "images" else ()
    return f"{_programs(ours)} of Ollama still has some of the card." if ours else None


def _whose(card: Held) -> str:
    large = [holder for holder in card.holders if holder.mib >= NOTHING_MIB]
    return f" Windows counts {_programs(large)}." if large else ""


def _mib(mib: int) -> str:
    return f"{mib} MiB"


def _models(models: Mapping[str, int]) -> str:
    return listed([f"{name} ({_mib(mib)})" for name, mib in models.items()])


def _programs(holders: Sequence[Holder]) -> str:
    return listed([f"{one.image} (process {one.pid}, {_mib(one.mib)})" for one in holders])
