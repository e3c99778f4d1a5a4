"""Whether the card has room for what a vLLM server is to hold, looked at before it is installed."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.box import model_config, vllm_profiles, vram
from vengeance.box.model_config import ModelConfig
from vengeance.box.pins import pinned
from vengeance.box.vllm_profiles import Profile
from vengeance.box.vram import MIB, Range, Verdict
from vengeance.facts.cuda import Passthrough
from vengeance.facts.vllm import ModelFiles
from vengeance.facts.windows import Gpus
from vengeance.operations.refusal import checked, refuse, warn_in_a_plan
from vengeance.operations.stage import windows_side


def _cards() -> Sequence[Mapping[str, Any]]:
    """The cards, as the distro sees them or, where it does not, as Windows does."""
    seen = host.get_fact(Passthrough)
    if seen is not None and seen["cards"]:
        return seen["cards"]
    windows = windows_side(host)
    found = None if windows is None else windows.get_fact(Gpus)
    return found["gpus"] if found is not None else []


def _model(profile: Profile, hf_home: str) -> tuple[ModelConfig, int | None] | None:
    """The config of a model and the bytes of its weights: of what is downloaded, else of what is known here."""
    files = host.get_fact(ModelFiles, model=profile.model, hf_home=hf_home, revision=profile.revision)
    if files is not None:
        try:
            return model_config.parse(files["config"]), files["weights"]
        except ValueError as error:
            host.log(f"{profile.model} in {hf_home} on {host.name}: {error}", logger.warning)
    shipped = model_config.shipped_as(profile.model)
    return None if shipped is None else (shipped.config, None)


def _held(card: Mapping[str, Any]) -> Range:
    # What is more than an idle desktop has is a model of Ollama, a game: it goes before the server comes.
    used = Range.exactly(card["memory_used_mib"] * MIB)
    return used if used.high <= vram.IDLE_WINDOWS.high else vram.IDLE_WINDOWS


def _change(lever: vram.Lever | None) -> str:
    if lever is None:
        return "No setting of vLLM changes that: take a smaller model, or one with fewer bits."
    flags = ", ".join(f'"{name.replace("-", "_")}": {value}' for name, value in lever.flags.items())
    return f"The cheapest change in vllm_profiles: {flags} ({lever.verdict.value} then)."


@operation()
def fits(
    profile: str,
    settings: Mapping[str, Any],
    hf_home: str,
    version: str = pinned("vllm"),
    variables: Mapping[str, str] | None = None,
    device: str = "cuda",
) -> Generator[PyinfraCommand, None, None]:
    """
    Stop the host if a profile surely does not fit on its card; nothing is changed.

    + profile: name of the profile
    + settings: its fields, those of ``vengeance.box.vllm_profiles.Profile``
    + hf_home: folder in the distro that models are kept in (HF_HOME)
    + version: vLLM's
    + variables: environment variables of the server; those of the profile win
    + device: what it computes on: with ``cpu`` there is nothing to look at

    The sizes are those of the model's own config.json and safetensors in the distro, or of a config.json that is
    shipped here; where there is neither, and where the card is not seen, that is said. What is too close to call is
    warned of, with the numbers: see ``vengeance.box.vram`` for them, and ``python -m vengeance vram`` for all of them.

    **Example:**

    .. code:: python

        vllm.fits(
            name="The model fits on the card",
            profile="llama-3.1-8b",
            settings={"model": "meta-llama/Llama-3.1-8B-Instruct", "port": 8080, "max_model_len": 8192},
            hf_home="/home/steam/.cache/huggingface",
        )
    """
    declared = checked(lambda: vllm_profiles.parse(profile, settings, version))
    if device == "cpu":
        host.noop(f"{profile} computes on the processor and takes nothing of a card")
        return
    cards = _cards()
    if not cards:
        host.noop(f"{host.name} shows no card yet, so whether {profile} fits is looked at when it does")
        return
    if len(cards) < declared.tensor_parallel_size:
        yield from _refused(
            f"{profile} is spread over {declared.tensor_parallel_size} cards (tensor_parallel_size), and {host.name} "
            f"has {len(cards)}: set it to {len(cards)} in vllm_profiles."
        )
        return
    model = _model(declared, hf_home)
    if model is None:
        host.noop(
            f"whether {profile} fits cannot be told before {declared.model} is downloaded: its config.json is not "
            "among those that are known here"
        )
        return
    card = min(cards[: declared.tensor_parallel_size], key=lambda each: int(each["memory_mib"]))
    yield from _judged(declared, version, variables, card, *model)


def _judged(
    profile: Profile,
    version: str,
    variables: Mapping[str, str] | None,
    card: Mapping[str, Any],
    config: ModelConfig,
    weights: int | None,
) -> Generator[PyinfraCommand, None, None]:
    held = _held(card)
    try:
        wanted = vram.settings_of(profile, version, variables)
        found = vram.plan(config, wanted, card["memory_mib"] * MIB, held, weights)
    except ValueError as error:
        host.log(f"Whether {profile.name} fits on the card of {host.name} cannot be told: {error}", logger.warning)
        host.noop(f"nobody knows whether {profile.name} fits")
        return
    change = _change(vram.lever(config, found, held, weights))
    why = f"of {host.name} ({card['name']}, {card['memory_mib']} MiB). {' '.join(found.why)} {change}"
    if found.verdict is Verdict.DOES_NOT_FIT:
        yield from _refused(f"{profile.name} does not fit on the card {why}")
        return
    if found.verdict is Verdict.TOO_CLOSE:
        host.log(f"Whether {profile.name} fits is too close to call on the card {why}", logger.warning)
    host.noop(
        f"{profile.name}: {vram.span(found.weights)} of weights, {vram.amount(found.kv_need)} of KV cache needed and "
        f"{vram.span(found.kv_available)} left for it; {found.verdict.value}"
    )


def _refused(sentence: str) -> Generator[PyinfraCommand, None, None]:
    warn_in_a_plan(sentence)
    yield refuse(sentence)
