"""The hand-over of one card between Ollama, vLLM and what a person starts: refusals, proofs, and the way back.

Each of these is a step of ``deploys/mode.py``. What a run has seen and done on a box is kept with the run, so that the
two sides of the box know of each other: what was there before, and whether something failed on the way.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.host import Host
from pyinfra.api.operation import OperationMeta, operation
from pyinfra.api.state import State, StateStage
from pyinfra.context import host, inventory, state
from pyinfra.facts.files import File

from vengeance.box import modes, summary
from vengeance.box.modes import Handover, Seen
from vengeance.box.ollama_server import LOOPBACK, PORT
from vengeance.box.ollama_settings import asked_at
from vengeance.connectors.wsl import why_missing
from vengeance.facts import tenants
from vengeance.facts.ollama import Loaded
from vengeance.facts.vllm.states import States
from vengeance.facts.windows import Listeners
from vengeance.operations import ollama, reach, settings, stage, vllm
from vengeance.operations.refusal import failed, refuse, refuse_all, warn_in_a_plan
from vengeance.operations.summary import inventory_file
from vengeance.operations.waiting import looks

_TELL = "`python -m vengeance mode show` says where it is."


@dataclass
class Course:
    """How far a run has got on one box.

    before: what was seen before anything was changed
    served: profile whose server ran then, and had to make way
    tried: whether a server was started that did not come to answer
    failure: what went wrong on the way to batch, as a sentence
    """

    before: Seen | None = None
    served: str | None = None
    tried: bool = False
    failure: str | None = None


_courses: WeakKeyDictionary[State, dict[str, Course]] = WeakKeyDictionary()


def course(state: State, host: Host) -> Course:
    """Return how far a run has got on the box that a host is one side of."""
    return _courses.setdefault(state, {}).setdefault(stage.name_of_box(host), Course())


def handover() -> Handover:
    """Return what the run is asked for with ``--data mode=... --data profile=...``, and what the settings say of it.

    Raises OperationValueError, which ends the run with a sentence, for a mode or a profile that there is not, and for
    batch on a box whose distro is not part of the run.
    """
    mode = settings.asked_mode()
    sides = [each for each in state.activated_hosts if each.name == host.name or stage.same_machine(host, each)]
    box = next((each for each in sides if "windows" in each.groups), None)
    distro = next((each for each in sides if "wsl" in each.groups), None)
    if mode == "batch" and (box is None or distro is None):
        missing = "Windows" if box is None else "distro"
        raise OperationValueError(
            f"batch takes both sides of a box, and of the one of {host.name} the {missing} is not part of this run: "
            "name it in the inventory, and leave --limit out."
        )
    complaint = None if distro is None else getattr(distro.connector, "missing", None)
    if distro is not None and complaint is not None:
        raise OperationValueError(
            f"{distro.name} {why_missing(complaint)}, and deploys/wsl.py, or the whole deploys/vengeance.py, sees to "
            f"that. Nothing was changed. Without vLLM: pyinfra INVENTORY deploys/mode.py --limit windows --data "
            "mode=interactive (or images)."
        )
    profile = settings.asked_profile(distro) if distro is not None else None
    profiles: Mapping[str, Mapping[str, Any]] = distro.data.vllm_profiles if distro is not None else {}
    return Handover(
        mode=mode,
        profile=profile if mode == "batch" else None,
        distro=distro.name if distro is not None else None,
        ports={name: fields["port"] for name, fields in profiles.items()},
        parts=modes.parts(profiles, distro.data.vllm_version, distro.data.vllm_device) if distro is not None else {},
        address=asked_at(box.data.ollama_machine_variables, box.data.ollama_user_variables) if box else LOOPBACK,
        port=box.data.ollama_port if box else PORT,
    )


def _look(asked: Handover) -> Seen:
    """Read, on the Windows side, who has the card."""
    distro = None if asked.distro is None else inventory.get_host(asked.distro)
    if distro is not None and distro in state.failed_hosts:
        distro = None
    loaded = host.get_fact(Loaded, address=asked.address, port=asked.port)
    return tenants.seen(host, distro, asked.ports, loaded)


@operation()
def nobody_else(asked: Handover) -> Generator[PyinfraCommand, None, None]:
    """
    Say what is to be done to get a box into a mode, and stop the host if somebody else has the card; reads only.

    + asked: the mode, and what has to be known for it

    For batch alone: ComfyUI, a game, or so little room that vLLM could not start are refused by name. The other modes
    take the card from nobody.

    **Example:**

    .. code:: python

        tenants.nobody_else(name="Nobody else has the card", asked=tenants.handover())
    """
    seen = _look(asked)
    course(host.state, host).before = seen
    found = [*modes.refusals(asked, seen), *_port_taken(asked, seen)]
    if found:
        warn_in_a_plan(*found)
        yield refuse_all([f"{host.name} cannot get into mode {asked.mode}. Nothing was changed.", *found])
        return
    host.log_styled(f"Mode {asked.mode}: {modes.WORDS[asked.mode]}.", fg="blue")
    for step in modes.steps(asked.mode, seen, asked.profile or ""):
        host.log(f"to do: {step}")
    host.noop("nobody else has the card")


def _port_taken(asked: Handover, seen: Seen) -> list[str]:
    # Of a server that runs, the listener on Windows is WSL's own.
    if asked.profile is None or any(server.profile == asked.profile for server in seen.running):
        return []
    port = asked.ports[asked.profile]
    # None where it could not be read: pyinfra has said so, and failed the host.
    listeners = host.get_fact(Listeners, port=port)
    taken = modes.port_taken(port, asked.profile, listeners or [])
    return [] if taken is None else [taken]


@operation()
def servable(asked: Handover, path: str, systemd: bool = True) -> Generator[PyinfraCommand, None, None]:
    """
    Stop the host if the server of the profile could not be started, because it is not installed; reads only.

    + asked: the mode, and what has to be known for it
    + path: folder of the Python environment that has vLLM
    + systemd: whether units can be started

    **Example:**

    .. code:: python

        tenants.servable(name="The server is installed", asked=tenants.handover(), path="/home/steam/vllm-env")
    """
    why = None
    if not systemd:
        why = "systemd does not run in it (the setting systemd is False), so no server can be started"
    elif not host.get_fact(File, path=f"{path}/bin/vllm"):
        why = f"vLLM is not installed in {path}: run deploys/vllm.py, or the whole deploys/vengeance.py, first"
    elif asked.profile not in host.get_fact(States):
        why = f"there is no unit of the profile {asked.profile}: run deploys/vllm.py first, which puts it there"
    if why is None:
        host.noop(f"the server of {asked.profile} is installed")
        return
    sentence = f"{host.name} cannot get into mode {asked.mode}, for {why}. Nothing was changed."
    warn_in_a_plan(sentence)
    yield refuse(sentence)


@operation()
def unloaded(asked: Handover, timeout: int = 120) -> Generator[PyinfraCommand, None, None]:
    """
    Take the models off the card that Ollama has there; one in the computer's own memory is in nobody's way.

    + asked: the mode, and what has to be known for it
    + timeout: seconds that each may take

    **Example:**

    .. code:: python

        tenants.unloaded(name="Ollama leaves the card", asked=tenants.handover())
    """
    loaded = host.get_fact(Loaded, address=asked.address, port=asked.port)
    on_card = [name for name, one in (loaded or {}).items() if one["size_vram"]]
    if not on_card:
        host.noop("no Ollama answers" if loaded is None else "Ollama has no model on the card")
        return
    yield from ollama.unloaded._inner(models=on_card, address=asked.address, port=asked.port, timeout=timeout)


@operation()
def off_the_processor(asked: Handover, timeout: int = 120) -> Generator[PyinfraCommand, None, None]:
    """
    Let those models go that Ollama put on the processor because vLLM had the card; they come back on the card.

    + asked: the mode, and what has to be known for it
    + timeout: seconds that each may take

    A model stays where it was loaded for as long as it is asked again and again, and would stay slow.

    **Example:**

    .. code:: python

        tenants.off_the_processor(name="No model is on the processor", asked=tenants.handover())
    """
    before = course(host.state, host).before
    loaded = host.get_fact(Loaded, address=asked.address, port=asked.port) or {}
    names = [name for name, one in loaded.items() if not one["size_vram"]] if before and before.running else []
    if not names:
        host.noop("vLLM has crowded no model out of the card")
        return
    yield from ollama.unloaded._inner(models=names, address=asked.address, port=asked.port, timeout=timeout)


@operation()
def stopped(asked: Handover) -> Generator[PyinfraCommand, None, None]:
    """
    Have no vLLM server run but the one that is asked for, and remember which one had to make way.

    + asked: the mode, and what has to be known for it

    **Example:**

    .. code:: python

        tenants.stopped(name="vLLM leaves the card", asked=tenants.handover())
    """
    states = host.get_fact(States)
    if asked.profile is not None and states.get(asked.profile) == "active":
        host.noop(f"the server of {asked.profile} runs, and with it no other")
        return
    way = course(host.state, host)
    way.served = next((name for name, one in states.items() if one == "active"), way.served)
    yield from vllm.stopped._inner()


@operation()
def card_free(asked: Handover, timeout: int = 60) -> Generator[PyinfraCommand, None, None]:
    """
    Wait until the card is as free as a mode needs it, and fail when it is not by then, with who has how much of it.

    + asked: the mode, and what has to be known for it
    + timeout: seconds. The driver shows memory as free at once, Windows' own counters up to half a minute later

    That a program has ended does not say that its memory is back: the driver is asked until it says so.

    **Example:**

    .. code:: python

        tenants.card_free(name="The card is free", asked=tenants.handover())
    """
    yield from _wait_until_free(asked, timeout)


def _wait_until_free(asked: Handover, timeout: int) -> Generator[PyinfraCommand, None, None]:
    if state.current_stage != StateStage.Execute:
        host.noop("looked at when the deploy runs")
        return
    before, why, told = course(host.state, host).before, None, False
    for _ in looks(timeout):
        now = _look(asked)
        if any(server.profile == asked.profile and server.state == "active" for server in now.running):
            host.noop(f"the server of {asked.profile} has the card already")
            return
        why = modes.not_free(asked, before or now, now)
        if why is None:
            if now.card is not None:
                host.log(f"{now.card.free} of {now.card.total} MiB of the card are free")
            host.noop("the card is free")
            return
        if not told:
            host.log(f"{why} Waiting for it, {timeout} s at most")
            told = True
    yield FunctionCommand(_not_free, [f"The card of {host.name} is not free after {timeout} s: {why}"], {})


def _not_free(state: State, host: Host, sentence: str) -> bool:
    course(state, host).failure = sentence
    return failed(host, sentence)


def way_is_free() -> bool:
    """Tell, as ``_if`` of an operation, whether nothing has failed on the way to the mode so far."""
    return course(host.state, host).failure is None


@operation()
def noted(started: OperationMeta, profile: str) -> Generator[PyinfraCommand, None, None]:
    """
    Note whether a server came to answer, for the way back; changes nothing.

    + started: the result of the operation that was to start it, with ``_ignore_errors=True``
    + profile: its name

    **Example:**

    .. code:: python

        tenants.noted(name="Did it come to answer", started=vllm.running(...), profile="llama-3.1-8b")
    """
    yield from ()
    if state.current_stage == StateStage.Execute and not started.did_succeed():
        way = course(host.state, host)
        way.tried, way.failure = True, f"The server of {profile} did not come to answer; what stands above says why."
    host.noop("nothing is changed by looking")


@operation()
def given_back(asked: Handover, timeout: int = 60) -> Generator[PyinfraCommand, None, None]:
    """
    Wait until a server that did not come to answer has given its memory back; does nothing where none was started.

    + asked: the mode, and what has to be known for it
    + timeout: seconds

    **Example:**

    .. code:: python

        tenants.given_back(name="The memory is back", asked=tenants.handover())
    """
    if not course(host.state, host).tried:
        host.noop("no start has failed")
        return
    yield from _wait_until_free(asked, timeout)


@operation()
def as_before(
    asked: Handover, profiles: Mapping[str, Mapping[str, Any]], path: str, user: str, version: str, start_timeout: int
) -> Generator[PyinfraCommand, None, None]:
    """
    After a way to batch that failed: have the server run that ran before, if one did, and stop the host with why.

    + asked: the mode, and what has to be known for it
    + profiles: name -> fields of ``vengeance.box.vllm_profiles.Profile``
    + path, user, version, start_timeout: as for ``vllm.running``

    Ollama needs nothing to be done for it: it loads a model when it is asked for one, as before.

    **Example:**

    .. code:: python

        tenants.as_before(name="As it was before", asked=tenants.handover(), ...)
    """
    way = course(host.state, host)
    if way.failure is None:
        host.noop("nothing has failed")
        return
    # Ours has failed and is stopped.
    others = [name for name, one in host.get_fact(States).items() if one in ("active", "activating")]
    if others and way.served is None:
        yield refuse(
            f"{host.name} did not get into mode {asked.mode} by this run: another one has started the server of "
            f"{others[0]} meanwhile, and it is left to that. {_TELL}"
        )
        return
    now = "no vLLM server runs, and Ollama loads a model when it is asked"
    if way.served is not None and way.served in profiles:
        # Said before that: if it does not start either, this is where the run ends.
        host.log(
            f"{host.name} did not get into mode {asked.mode}. The server of {way.served} ran before, and is started "
            "again",
            logger.warning,
        )
        yield from vllm.running._inner(
            profile=way.served,
            settings=profiles[way.served],
            path=path,
            user=user,
            version=version,
            start_timeout=start_timeout,
        )
        now = f"the server of {way.served} runs again"
    yield refuse(f"{host.name} did not get into mode {asked.mode}, and is where it was: {now}. {way.failure}")


@operation()
def told(asked: Handover, address: str | None = None) -> Generator[PyinfraCommand, None, None]:
    """
    Say which mode a box is in now, and what to try; reads only.

    + asked: the mode, and what has to be known for it
    + address: where others reach the box; None is its address in the tailnet, or else the one of the connection

    **Example:**

    .. code:: python

        tenants.told(name="What the box is now", asked=tenants.handover())
    """
    yield from ()
    if state.current_stage != StateStage.Execute:
        host.noop("told when the deploy has run")
        return
    seen = _look(asked)
    verdict = modes.mode_of(seen)
    there = asked.mode in verdict.fits
    is_so = there and verdict.settled
    host.log_styled(
        f"{host.name} is in mode {asked.mode if there else verdict.mode}{'' if is_so else ', but not quite'}. "
        + " ".join(verdict.sentences),
        fg="green" if is_so else "yellow",
        bold=True,
    )
    distro = None if asked.distro is None else inventory.get_host(asked.distro)
    windows = host.data.dict()  # type: ignore[no-untyped-call]
    inside = None if distro is None else distro.data.dict()  # type: ignore[no-untyped-call]
    serving = next((server.profile for server in seen.running if server.healthy), None)
    named = inventory_file(Path(state.cwd or "."), host.groups)
    for line in summary.to_try(reach.address(address), windows, inside, serving, named, loads=asked.mode != "images"):
        host.log(f"  {line}")
    host.noop("nothing is changed by looking")
