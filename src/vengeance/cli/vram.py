"""Whether a model fits on the card, as a table and a bar: ``python -m vengeance vram``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vengeance import colours
from vengeance.box import model_config, vllm_profiles, vram
from vengeance.box.model_config import ModelConfig
from vengeance.box.vram import MIB, Budget, Lever, Range, Settings, Verdict
from vengeance.cli import boxes, exit_codes

CARD_MIB = 24564
"""An RTX 4090."""
_WIDTH = 72
_COLOURS = {Verdict.FITS: "green", Verdict.TOO_CLOSE: "yellow", Verdict.DOES_NOT_FIT: "red"}
_PARTS = {
    "d": ("Windows", "grey"),
    "w": ("weights", "blue"),
    "o": ("overhead", "magenta"),
    "?": ("overhead, perhaps", "yellow"),
    "g": ("CUDA graphs, beyond the budget", "cyan"),
    "k": ("KV cache", "green"),
    ".": ("left over", "grey"),
}
_OVERRIDES = (
    "max_model_len",
    "gpu_memory_utilization",
    "max_num_seqs",
    "max_num_batched_tokens",
    "enforce_eager",
    "tensor_parallel_size",
    "kv_cache_dtype",
    "dtype",
    "quantization",
)


@dataclass(frozen=True)
class Case:
    """A model with settings, that is to be on the card."""

    name: str
    model: str
    config: ModelConfig
    settings: Settings
    weights: int | None


def add(commands: Any) -> None:  # noqa: ANN401 argparse has no public name for it
    """Add the command to those of a parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "vram",
        help="say whether a model fits on the card, and what would",
        description="Say whether a profile of the group data, or any model, fits on the card, with the numbers, the "
        "longest context, and the cheapest flag that helps. Nothing is asked of the box. Without --profile or "
        "--model, all profiles are looked at.",
        epilog="""\
Examples:
  python -m vengeance vram --profile qwen2.5-coder-32b --max-model-len 4096
  python -m vengeance vram --model ~/models/my-model --quantization fp8 --card-mib 16376

Exit code: 0 it fits, or it is too close to call (a warning says so); 1 it does not fit; 64 it cannot be told, or wrong
usage.
""",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--profile", help="one of vllm_profiles in the group data; the flags below win over its own")
    which.add_argument(
        "--model",
        help="a config.json, a folder with one (and the safetensors), or a model that is known here: "
        + ", ".join(model_config.shipped()),
    )
    boxes.add_inventory(parser)
    parser.add_argument("--json", action="store_true", help="as JSON, sizes in bytes")
    flags = parser.add_argument_group("flags of vLLM, which win over those of the profile")
    flags.add_argument("--max-model-len", type=_length, metavar="N", help="tokens, as 2048 or 2K; auto: what fits")
    flags.add_argument("--gpu-memory-utilization", type=float, metavar="U", help="part of the card, as 0.92")
    flags.add_argument("--max-num-seqs", type=int, metavar="N", help="requests at once (vLLM: 256)")
    flags.add_argument("--max-num-batched-tokens", type=int, metavar="N", help="tokens of a step (vLLM: 2048)")
    flags.add_argument(
        "--enforce-eager", action=argparse.BooleanOptionalAction, default=None, help="without CUDA graphs"
    )
    flags.add_argument("--tensor-parallel-size", type=int, metavar="N", help="cards that a layer is spread over")
    flags.add_argument("--kv-cache-dtype", metavar="T", help="auto, or fp8 for half the cache")
    flags.add_argument("--dtype", metavar="T", help="type of what is computed with")
    flags.add_argument("--quantization", metavar="Q", help="fp8 makes 8 bits of a model with 16 as it is loaded")
    flags.add_argument("--vllm-version", metavar="V", help="vLLM's version (default: the one of the group data)")
    card = parser.add_argument_group("the card, and what is on it")
    card.add_argument(
        "--card-mib", type=int, default=CARD_MIB, metavar="MIB", help="the card's memory (default: %(default)s)"
    )
    card.add_argument(
        "--held-mib",
        type=int,
        metavar="MIB",
        help=f"what nvidia-smi on Windows shows as used with no model loaded (default: 0 to "
        f"{vram.IDLE_WINDOWS.high // MIB})",
    )
    card.add_argument("--weights-mib", type=int, metavar="MIB", help="all weights, where they are not to be counted")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Print what was asked for and return the exit code: 0, 1 for what does not fit, 64 for what cannot be told."""
    held = vram.IDLE_WINDOWS if given.held_mib is None else Range.exactly(given.held_mib * MIB)
    card = given.card_mib * MIB
    try:
        cases = list(_cases(given))
        budgets = [vram.plan(case.config, case.settings, card, held, case.weights) for case in cases]
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return exit_codes.WRONG_USAGE
    levers = [vram.lever(case.config, budget, held, case.weights) for case, budget in zip(cases, budgets, strict=True)]
    told = list(zip(cases, budgets, levers, strict=True))
    if given.json:
        print(json.dumps([as_json(*each) for each in told], indent=1))
    else:
        print("\n\n".join("\n".join(report(*each, colours.wanted())) for each in told))
    for case, budget, _ in told:
        if budget.verdict is Verdict.TOO_CLOSE:
            print(f"warning: {case.name} is too close to call: {' '.join(budget.why)}", file=sys.stderr)
    fits = all(budget.verdict is not Verdict.DOES_NOT_FIT for budget in budgets)
    return exit_codes.RIGHT if fits else exit_codes.FAILED


def _length(text: str) -> int:
    # vllm/engine/arg_utils.py, human_readable_int: 2k is 2000, 2K is 2048.
    units = {"k": 1000, "m": 10**6, "K": 1 << 10, "M": 1 << 20}
    if text == "auto":
        return vram.AUTO
    try:
        return int(float(text[:-1]) * units[text[-1]]) if text[-1:] in units else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of tokens: write 2048, 2K (2048), 2k (2000) or auto"
        ) from None


def _cases(given: argparse.Namespace) -> Iterator[Case]:
    weights = None if given.weights_mib is None else given.weights_mib * MIB
    changes = {name: getattr(given, name) for name in _OVERRIDES if getattr(given, name) is not None}
    if given.vllm_version is not None:
        changes["version"] = given.vllm_version
    if given.model is not None:
        name, config, size = _model(given.model)
        yield Case(given.model, name, config, replace(Settings(), **changes), weights or size)
        return
    data = _group_data(given.inventory)
    profiles: Mapping[str, Mapping[str, Any]] = data["vllm_profiles"]
    if given.profile is not None:
        vllm_profiles.check_chosen(given.profile, profiles)
    for name in [given.profile] if given.profile is not None else profiles:
        profile = vllm_profiles.parse(name, profiles[name], data["vllm_version"])
        settings = vram.settings_of(profile, data["vllm_version"], data["vllm_variables"])
        shipped = model_config.shipped_as(profile.model)
        if shipped is None:
            raise ValueError(
                f"The config.json of {profile.model}, which {name} serves, is not known here: download it and run "
                f"python -m vengeance vram --model FOLDER, with the flags of the profile."
            )
        yield Case(name, shipped.name, shipped.config, replace(settings, **changes), weights)


def _group_data(file: Path) -> dict[str, Any]:
    for host in boxes.load(file):
        found: dict[str, Any] = host.data.dict()  # type: ignore[no-untyped-call]
        if "vllm_profiles" in found:
            return found
    raise ValueError(f"{file} has no host with vllm_profiles, which stand in group_data/wsl.py: is there one in wsl?")


def _model(given: str) -> tuple[str, ModelConfig, int | None]:
    """Return a model's name, its config, and the bytes of its weights where the files are there."""
    path = Path(given)
    if path.is_dir():
        return given, _parsed(path / "config.json"), _size(path)
    if path.is_file():
        return given, _parsed(path), None
    shipped = model_config.shipped_as(given)
    if shipped is None:
        raise ValueError(
            f"{given} is no config.json, no folder with one, and none of the models that are known here: "
            f"{', '.join(model_config.shipped())}."
        )
    return shipped.name, shipped.config, None


def _parsed(file: Path) -> ModelConfig:
    if not file.is_file():
        raise ValueError(f"There is no {file}.")
    try:
        return model_config.parse(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _size(folder: Path) -> int | None:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return model_config.total_size(index.read_text(encoding="utf-8"))
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) or None


def bar(budget: Budget) -> str:
    """Return a card as a row of letters, by the upper ends of the ranges."""
    held, graphs = budget.free.taken_from(budget.card).high, budget.graphs_beyond.high
    inside = [
        ("w", budget.weights.high),
        ("o", budget.overhead.low),
        ("?", budget.overhead.high - budget.overhead.low),
    ]
    cache = max(0, budget.budget - sum(size for _, size in inside))
    sizes = [("d", held), *inside, ("k", cache), ("g", graphs)]
    row, end = "", 0
    for letter, size in sizes:
        end += size
        row += letter * (round(min(end, budget.card) / budget.card * _WIDTH) - len(row))
    return row.ljust(_WIDTH, ".")


def report(case: Case, budget: Budget, lever: Lever | None, coloured: bool = False) -> Iterator[str]:
    """Yield the lines that tell a person whether it fits."""

    def paint(text: str, colour: str) -> str:
        return colours.painted(text, colour, coloured)

    settings = case.settings
    verdict = budget.verdict
    yield f"{case.name}: {paint(verdict.value, _COLOURS[verdict])}"
    asked = "as many tokens as fit" if settings.max_model_len == vram.AUTO else f"{budget.tokens} tokens"
    yield (
        f"  {case.model}, {asked}, {float(settings.utilization):g} of the card, {settings.max_num_seqs} requests at "
        f"once, {'no CUDA graphs' if settings.enforce_eager else 'with CUDA graphs'}, vLLM {settings.version}"
    )
    row = bar(budget)
    yield ""
    yield f"  [{''.join(paint(letter, _PARTS[letter][1]) for letter in row)}]"
    legend = [f"{paint(letter, colour)} {part}" for letter, (part, colour) in _PARTS.items() if letter in row]
    yield f"  {', '.join(legend)}"
    yield ""
    yield f"  {'':<34}{'at least':>12}{'at most':>12}"
    for name, size in (
        ("card", Range.exactly(budget.card)),
        ("free when vLLM starts", budget.free),
        ("budget of vLLM", Range.exactly(budget.budget)),
        ("  weights", budget.weights),
        ("  activations", budget.activations),
        ("  other overhead", budget.other),
        ("  CUDA graphs, within the budget", budget.graphs_within),
        ("  left for the KV cache", budget.kv_available),
        (f"  one request of {budget.tokens} tokens", Range.exactly(budget.kv_need)),
        ("CUDA graphs, beyond the budget", budget.graphs_beyond),
        ("used by nobody", budget.unused),
    ):
        if not name.lstrip().startswith("CUDA graphs") or size.high:
            high = "" if size.low == size.high else vram.amount(size.high)
            yield f"  {name:<34}{vram.amount(size.low):>12}{high:>12}".rstrip()
    yield ""
    can = "" if budget.longest is None else f" (the model can {budget.longest})"
    yield f"  longest context:       surely {budget.contexts[0]} tokens, perhaps {budget.contexts[1]}{can}"
    yield f"  largest utilisation:   surely {budget.utilizations[0]:g}, perhaps {budget.utilizations[1]:g}"
    least, most = budget.concurrency
    if settings.max_model_len != vram.AUTO:
        yield f"  requests of that size: {least:.1f} to {most:.1f} at once"
    yield f"  the cache of a token:  {budget.kv_per_token / 1024:g} KiB"
    if budget.why:
        yield ""
    for sentence in budget.why:
        yield f"  {sentence}"
    if budget.checks[0].verdict is Verdict.TOO_CLOSE:
        yield "  vLLM measures the overhead when it starts: 'Available KV cache memory' in its log decides."
    if lever is not None:
        yield f"  Cheapest change: {lever.words} ({lever.verdict.value} then)."
    elif verdict is Verdict.DOES_NOT_FIT:
        yield "  No flag of vLLM makes it fit: take a smaller model, or one with fewer bits."


def as_json(case: Case, budget: Budget, lever: Lever | None) -> dict[str, Any]:
    """Return the same for a program; sizes in bytes, ranges as [least, most]."""

    def both(size: Range) -> list[int]:
        return [size.low, size.high]

    return {
        "name": case.name,
        "model": case.model,
        "verdict": budget.verdict.value,
        "why": budget.why,
        "lever": None if lever is None else {"flags": dict(lever.flags), "verdict": lever.verdict.value},
        "card": budget.card,
        "free": both(budget.free),
        "budget": budget.budget,
        "weights": both(budget.weights),
        "activations": both(budget.activations),
        "other": both(budget.other),
        "graphs_within": both(budget.graphs_within),
        "graphs_beyond": both(budget.graphs_beyond),
        "kv_available": both(budget.kv_available),
        "kv_need": budget.kv_need,
        "kv_per_token": budget.kv_per_token,
        "tokens": budget.tokens,
        "unused": both(budget.unused),
        "contexts": list(budget.contexts),
        "utilizations": list(budget.utilizations),
        "concurrency": list(budget.concurrency),
    }
