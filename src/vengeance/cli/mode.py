"""Who has the card, and handing it over: ``python -m vengeance mode``."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict

from pyinfra.api.config import Config
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State

from vengeance.box import gpu_tenants, modes, ollama_settings
from vengeance.box.modes import MODES, Seen
from vengeance.cli import boxes, exit_codes
from vengeance.connectors.wsl import DEFAULT_DISTRO
from vengeance.facts import ollama, tenants, wsl
from vengeance.operations.stage import same_machine

DEPLOY = Path("deploys") / "mode.py"
_MIB = 2**20
# What Ollama says of a model that never leaves: 2^63 nanoseconds from now, in the year 2318.
_NEVER_BEFORE = 2200


class ModeError(Exception):
    """The card's tenants cannot be told; the message says why, and what to do."""


class Card(TypedDict):
    """A card and who has its memory, in MiB."""

    name: str
    total: int
    used: int
    free: int
    unnamed: int


class HolderShown(TypedDict):
    """A program of Windows that has memory of the card, in MiB."""

    tenant: str
    image: str
    pid: int
    mib: int


class ModelShown(TypedDict):
    """A model that Ollama has in memory: MiB in all and on the card, and until when."""

    name: str
    mib: int
    mib_on_card: int
    expires_at: str


class ServerShown(TypedDict):
    """A server of vLLM's; ``state`` is systemd's, ``mib`` what WSL has while it runs."""

    profile: str
    unit: str
    state: str
    healthy: bool
    model: str | None
    port: int | None
    mib: int


class Shown(TypedDict):
    """One box. ``models`` is None where no Ollama answers, ``servers`` where the distro does not run."""

    box: str
    mode: str
    settled: bool
    fits: list[str]
    sentences: list[str]
    card: Card | None
    holders: list[HolderShown]
    models: list[ModelShown] | None
    servers: list[ServerShown] | None


@dataclass(frozen=True)
class Found:
    """What was read of one box, and the settings that it is read by."""

    box: str
    seen: Seen
    loaded: Mapping[str, ollama.LoadedModel] | None
    settings: Mapping[str, Any]
    inside: Mapping[str, Any]

    @property
    def profiles(self) -> Mapping[str, Mapping[str, Any]]:
        """Those that are declared for the distro."""
        profiles: Mapping[str, Mapping[str, Any]] = self.inside.get("vllm_profiles", {})
        return profiles

    @property
    def profile(self) -> str | None:
        """The one that runs, or else the one that batch would serve; None without a distro."""
        return next((server.profile for server in self.seen.running), self.inside.get("vllm_profile"))

    @property
    def parts(self) -> Mapping[str, float | None]:
        """Profile -> part of the card."""
        if not self.inside:
            return {}
        return modes.parts(self.profiles, self.inside["vllm_version"], self.inside["vllm_device"])


def add(commands: Any) -> None:  # noqa: ANN401 argparse has no public name for it
    """Add the command to those of a parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "mode",
        help="say who has the card, or hand it over",
        description="show says who has the card's memory, and changes nothing. The others hand it over, by running "
        "pyinfra on deploys/mode.py: " + "; ".join(f"{mode}: {words}" for mode, words in modes.WORDS.items()) + ".",
        epilog="""\
Examples:
  python -m vengeance mode                                 who has the card now
  python -m vengeance mode batch --profile llama-3.1-8b    vLLM gets it, with this profile
  python -m vengeance mode interactive --dry               what would be done to give it back to Ollama

Exit code: 0 it is so; 1 it failed, and a sentence says why; 64 wrong usage; 130 it was interrupted (the same command
again goes on).
""",
    )
    parser.add_argument("what", nargs="?", default="show", choices=("show", *MODES), help="default: %(default)s")
    parser.add_argument("--profile", help="with batch: one of vllm_profiles (default: the setting vllm_profile)")
    parser.add_argument(
        "--take-over",
        type=int,
        metavar="PROCESS",
        help="with a mode: put the run out of the way that has the box, by the process that a refusal names",
    )
    boxes.add_inventory(parser)
    parser.add_argument("--json", action="store_true", help="as JSON, sizes in MiB")
    parser.add_argument("--dry", action="store_true", help="with a mode: only say what would be done")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Show or change what was asked for, and return the exit code. Raises InventoryError."""
    if given.profile is not None and given.what != "batch":
        print(f"--profile says what batch is to serve, and {given.what} serves nothing: leave it out.", file=sys.stderr)
        return exit_codes.WRONG_USAGE
    if given.take_over is not None and given.what == "show":
        print("--take-over puts another run out of the way, and show is in nobody's: leave it out.", file=sys.stderr)
        return exit_codes.WRONG_USAGE
    found = boxes.load(given.inventory)
    return _show(given, found) if given.what == "show" else _change(given)


def _change(given: argparse.Namespace) -> int:
    for needed in (DEPLOY, Path("group_data") / "all.py"):
        if not needed.is_file():
            print(
                f"There is no {needed} here ({Path.cwd()}): run this in the project's folder, which holds deploys/ and "
                "group_data/.",
                file=sys.stderr,
            )
            return exit_codes.WRONG_USAGE
    words = [sys.executable, "-m", "pyinfra", str(given.inventory), str(DEPLOY), "--data", f"mode={given.what}"]
    if given.profile is not None:
        words += ["--data", f"profile={given.profile}"]
    if given.take_over is not None:
        words += ["--data", f"take_over={given.take_over}"]
    words += ["--json"] if given.json else []
    words += ["--dry"] if given.dry else ["--yes"]
    with subprocess.Popen(words) as pyinfra:
        try:
            code = pyinfra.wait()
        except KeyboardInterrupt:
            # The terminal has sent it to pyinfra too, which says so itself once it has read the deploy.
            if pyinfra.wait() != exit_codes.INTERRUPTED:
                print("Interrupted. The same command goes on where this stopped.", file=sys.stderr)
            print(
                f"python -m vengeance mode show --inventory {given.inventory} says where the box is now.",
                file=sys.stderr,
            )
            return exit_codes.INTERRUPTED
    return code if code >= 0 else 128 - code


def _show(given: argparse.Namespace, known: Inventory) -> int:
    try:
        found = list(_read(given.inventory, known))
    except ModeError as error:
        print(error, file=sys.stderr)
        return exit_codes.FAILED
    if given.json:
        print(json.dumps([as_json(each) for each in found], indent=1))
    else:
        print("\n\n".join("\n".join(report(each)) for each in found))
    return exit_codes.RIGHT


def _read(file: Path, known: Inventory) -> Iterator[Found]:
    """Read each box of an inventory. Raises ModeError."""
    # pyinfra keeps a state by weak references alone.
    state = State(known, Config())  # type: ignore[no-untyped-call]
    found = [each for each in known if "windows" in each.groups]
    if not found:
        raise ModeError(f"{file} has no box: a host in the group windows, whose name begins with @winrm/.")
    for box in found:
        distro = next((each for each in known if "wsl" in each.groups and same_machine(box, each)), None)
        try:
            box.connect(show_errors=False, raise_exceptions=True)
            yield _of_the_box(box, distro)
        except (PyinfraError, OSError) as error:
            raise ModeError(f"{box.name} cannot be read: {error}") from None
        finally:
            for each in (distro, box):
                if each is not None:
                    with suppress(PyinfraError, OSError):
                        each.disconnect()
    del state


def _of_the_box(box: Host, distro: Host | None) -> Found:
    settings: dict[str, Any] = box.data.dict()  # type: ignore[no-untyped-call]
    inside: dict[str, Any] = {} if distro is None else distro.data.dict()  # type: ignore[no-untyped-call]
    address = ollama_settings.asked_at(settings["ollama_machine_variables"], settings["ollama_user_variables"])
    loaded = box.get_fact(ollama.Loaded, address=address, port=settings["ollama_port"])
    running = distro if distro is not None and _runs(box, inside.get("wsl_distro", DEFAULT_DISTRO)) else None
    if running is not None:
        running.connect(show_errors=False, raise_exceptions=True)
    ports = {name: fields["port"] for name, fields in inside.get("vllm_profiles", {}).items()}
    return Found(box.name, tenants.seen(box, running, ports, loaded), loaded, settings, inside)


def _runs(box: Host, distro: str) -> bool:
    """Whether a distro runs; to connect to one that does not would start it."""
    path = box.get_fact(wsl.Installation)["path"]
    return path is not None and distro in box.get_fact(wsl.Running, path=path)


def report(found: Found) -> Iterator[str]:
    """Give the lines that are shown of a box."""
    seen, verdict = found.seen, modes.mode_of(found.seen)
    also = [mode for mode in verdict.fits if mode != verdict.mode]
    as_well = f", and in {' and '.join(also)} as well" if also else ""
    yield f"{found.box} is in mode {verdict.mode}{as_well if verdict.settled else ', but not quite'}."
    for sentence in verdict.sentences:
        yield f"  {sentence}"
    yield ""
    if seen.card is not None:
        for line in gpu_tenants.picture(seen.card, _notes(found)).splitlines():
            yield f"  {line}"
        yield ""
    elif seen.running:
        yield "  The driver shows no NVIDIA card: run nvidia-smi on the box."
        yield ""
    yield f"  Ollama  {_ollama(found.loaded)}"
    for line in _vllm(found):
        yield f"  vLLM    {line}"
    yield ""
    for mode in MODES:
        asked = modes.Handover(mode, found.profile if mode == "batch" else None, parts=found.parts)
        steps = modes.steps(mode, seen, found.profile or "")
        if mode == "batch" and not found.inside:
            yield "  batch        is not to be had: the inventory has no distro on this box"
        elif mode in verdict.fits:
            yield f"  {mode:<12} it is so"
        elif refused := modes.refusals(asked, seen):
            yield f"  {mode:<12} is refused: {' '.join(refused)}"
        else:
            yield f"  {mode:<12} would {'; '.join(steps)}"


def _notes(found: Found) -> dict[gpu_tenants.Tenant, str]:
    running = [f"vLLM with {server.profile}" for server in found.seen.running]
    loaded = [f"{name} {mib:,} MiB" for name, mib in found.seen.loaded.items()]
    notes: dict[gpu_tenants.Tenant, str] = {}
    if running:
        notes["wsl"] = ", ".join(running)
    if loaded:
        notes["ollama"] = ", ".join(loaded)
    return notes


def _ollama(loaded: Mapping[str, ollama.LoadedModel] | None) -> str:
    if loaded is None:
        return "does not answer"
    return "; ".join(_model(name, one) for name, one in loaded.items()) or "answers, and has no model in memory"


def _model(name: str, one: ollama.LoadedModel) -> str:
    size, on_card = -(-one["size"] // _MIB), -(-one["size_vram"] // _MIB)
    where = "on the card" if on_card >= size else f"{on_card:,} on the card" if on_card else "none of it on the card"
    return f"{name}: {size:,} MiB, {where}, {_leaves(one['expires_at'])}"


def _leaves(expires_at: str) -> str:
    # Go writes as many digits of a second as there are, and Python 3.10 reads three or six of them, and no Z.
    parts = re.fullmatch(r"([^.]*T[0-9:]+)(?:\.\d+)?(Z|[+-].*)", expires_at)
    if parts is None:
        return f"leaves at {expires_at}"
    until = datetime.fromisoformat(parts[1] + parts[2].replace("Z", "+00:00"))
    return "stays" if until.year > _NEVER_BEFORE else f"leaves at {until:%H:%M:%S} ({until.tzname()})"


def _vllm(found: Found) -> Iterator[str]:
    if found.seen.servers is None:
        yield "does not run: the distro does not" if found.inside else "is not part of this inventory"
        return
    running = found.seen.running
    for server in running:
        declared = found.profiles.get(server.profile)
        what = "of which nothing is declared" if declared is None else f"{declared['model']} on port {declared['port']}"
        answers = ", answers" if server.healthy else ", does not answer"
        yield f"{server.profile}: {what}, {server.state}{answers}"
    names = [server.profile for server in found.seen.servers if server.stopped]
    if not running and names:
        yield f"does not run; there are the profiles {', '.join(names)}"
    elif not names and not running:
        yield "is not installed: deploys/vllm.py does it"


def as_json(found: Found) -> Shown:
    """Return the same for a program."""
    seen, verdict = found.seen, modes.mode_of(found.seen)
    card = seen.card
    return {
        "box": found.box,
        "mode": verdict.mode,
        "settled": verdict.settled,
        "fits": list(verdict.fits),
        "sentences": list(verdict.sentences),
        "card": None
        if card is None
        else {
            "name": card.card,
            "total": card.total,
            "used": card.used,
            "free": card.free,
            "unnamed": card.unnamed,
        },
        "holders": [
            {"tenant": one.tenant, "image": one.image, "pid": one.pid, "mib": one.mib}
            for one in (card.holders if card is not None else ())
        ],
        "models": None
        if found.loaded is None
        else [
            {
                "name": name,
                "mib": -(-one["size"] // _MIB),
                "mib_on_card": -(-one["size_vram"] // _MIB),
                "expires_at": one["expires_at"],
            }
            for name, one in found.loaded.items()
        ],
        "servers": None if seen.servers is None else [_server(found, server) for server in seen.servers],
    }


def _server(found: Found, server: modes.Server) -> ServerShown:
    declared = found.profiles.get(server.profile, {})
    return {
        "profile": server.profile,
        "unit": server.unit,
        "state": server.state,
        "healthy": server.healthy,
        "model": declared.get("model"),
        "port": declared.get("port"),
        "mib": 0 if server.stopped else found.seen.wsl_mib,
    }
