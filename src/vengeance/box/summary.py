"""The end of a deploy, for one box: what changed, how long it took, what to try first, what is left for a person."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vengeance.box import downloads, ollama_server, ollama_settings

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# pyinfra puts the host's name before each line.
_WIDTH = 100
_JSON = "-H 'Content-Type: application/json'"


@dataclass(frozen=True)
class Stage:
    """A stage that has run: its name, seconds, and the names of the operations that changed something."""

    name: str
    seconds: float
    changed: tuple[str, ...]


def duration(seconds: float) -> str:
    """Return a time as a person reads it: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``1 h 02 min``."""
    return f"{seconds:.1f} s" if seconds < 9.95 else downloads.time_text(seconds)


def what_changed(stages: Sequence[Stage]) -> Iterator[str]:
    """Give a line for all, and one for each stage with what changed in it."""
    changes = sum(len(stage.changed) for stage in stages)
    total = duration(sum(stage.seconds for stage in stages))
    if changes:
        yield f"The box is as declared now: {changes} change{'' if changes == 1 else 's'}, {total}."
    else:
        yield f"The box is as declared; nothing had to be changed ({total})."
    width = max((len(stage.name) for stage in stages), default=0)
    for stage in stages:
        head = f"  {stage.name:<{width}}  {duration(stage.seconds):>10}  "
        what = "; ".join(stage.changed) or "no change"
        yield from textwrap.wrap(what, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head))


def to_try(
    address: str,
    windows: Mapping[str, Any],
    distro: Mapping[str, Any] | None,
    serving: str | None = None,
    inventory: str | None = None,
    loads: bool = True,
) -> list[str]:
    """Return command lines for another machine that show that the box works.

    + address: where the box is reached from there
    + windows, distro: the data of both sides; None where the distro is not part of the deploy
    + serving: profile of the vLLM server that has the card, None where Ollama has it
    + inventory: the file that our own commands have to be told; None where they take it by themselves
    + loads: whether one of them may have Ollama load a model
    """
    # Beside a vLLM server that has the card it would compute on the processor.
    asks = loads and serving is None
    return [*_ollama_lines(address, windows, asks), *_vllm_lines(address, windows, distro, serving, inventory)]


def _ollama_lines(address: str, settings: Mapping[str, Any], asks: bool) -> Iterator[str]:
    both = ollama_settings.in_effect(settings["ollama_machine_variables"], settings["ollama_user_variables"])
    if ollama_server.address(both.get("OLLAMA_HOST", "")).host in _LOOPBACK:
        return
    url = f"http://{_in_url(address)}:{settings['ollama_port']}"
    yield f"curl {url}/api/version"
    models = settings["ollama_models"]
    if models and asks:
        # The smallest is there soonest, and fits beside what else is on the card.
        smallest = min(models, key=lambda model: model.get("size_gb") or 0)["name"]
        yield _chat(url, smallest)
        yield f"curl {url}/api/ps"


def _vllm_lines(
    address: str,
    windows: Mapping[str, Any],
    distro: Mapping[str, Any] | None,
    serving: str | None,
    inventory: str | None,
) -> Iterator[str]:
    if distro is None or serving not in distro["vllm_profiles"]:
        return
    profile = distro["vllm_profiles"][serving]
    if windows["expose"] == "none" or profile["port"] not in windows["exposed_ports"]:
        return
    url = f"http://{_in_url(address)}:{profile['port']}"
    key = ""
    if distro["vllm_api_key"]:
        key = ' -H "Authorization: Bearer $VLLM_API_KEY"'
        yield f'export VLLM_API_KEY="$({_command("key", inventory)})"'
    yield f"curl{key} {url}/v1/models"
    yield _chat(url, profile.get("served_model_name") or profile["model"], key)


def _chat(url: str, model: str, key: str = "") -> str:
    asked = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    return f"curl{key} {url}/v1/chat/completions {_JSON} -d {shlex.quote(json.dumps(asked))}"


def left_to_do(
    address: str,
    windows: Mapping[str, Any],
    distro: Mapping[str, Any] | None,
    key_expiry: str | None = None,
    changed: bool = True,
    serving: str | None = None,
    inventory: str | None = None,
) -> list[str]:
    """Return sentences on what no deploy does for a person.

    + address, windows, distro, serving, inventory: as for ``to_try``
    + key_expiry: when the box's key in the tailnet ends (ISO 8601), None for never or not known
    + changed: whether the deploy changed something; if not, what was told before is not told again
    """
    sentences: list[str] = []
    if key_expiry is not None:
        sentences.append(
            f"The box leaves the tailnet on {key_expiry[:10]}, when its key ends: disable its key expiry in "
            "Tailscale's admin console."
        )
    if not changed:
        return sentences
    if windows["ollama_autostart"] == "boot":
        sentences.append(
            f"Restart the box once, log nobody on, and try the first line again: {address} has to answer by itself."
        )
    else:
        sentences.append("After each restart of Windows somebody has to log on, or Ollama does not run.")
    if windows["task_logon"] == "password":
        sentences.append(
            "After a change of the account's password run this again: the tasks keep the old one until then."
        )
    if windows["tailscale_wanted"]:
        sentences.append(
            "Tailscale lets all machines of your tailnet reach every port of the box: restrict that with its access "
            "controls if not all of them are yours."
        )
    if serving is not None:
        sentences.append(
            f"vLLM has the card and serves {serving}; `{_command('mode interactive', inventory)}` gives it back to "
            "Ollama."
        )
    elif distro is not None and windows["ollama_models"]:
        sentences.append(
            f"Ollama and vLLM share one card, and Ollama has it now: `{_command('mode batch', inventory)}` gives it to "
            "vLLM, `mode interactive` gives it back."
        )
    return sentences


def _command(words: str, inventory: str | None) -> str:
    named = "" if inventory is None else f" --inventory {shlex.quote(inventory)}"
    return f"python -m vengeance {words}{named}"


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
