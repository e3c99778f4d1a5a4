"""Whether a model fits on the card beside what else holds its memory: vLLM's own arithmetic, done beforehand.

::

    budget     = card * gpu_memory_utilization      vLLM starts only when so much is free
    kv         = budget - weights - overhead        and only when kv >= kv_need
    kv_need    = kv_per_token * max_model_len, in blocks of 16 tokens
    kv_per_token = 2 * layers * kv_heads * head_dim * bytes of a number     key and value; a card of several: its heads
    weights    = quantised * (bits + (16 + bits) / group) / 8 + others * 2  see vengeance.box.model_config
    overhead   = activations + other
    activations: the larger of the sampler (max_num_seqs * vocabulary * 32 bytes)
                 and the MLP (max_num_batched_tokens * (3 * intermediate + 2 * hidden) * 2 bytes), and something more
    CUDA graphs  come on top of the budget up to vLLM 0.20; from 0.21 on some of its model runners count them within

Read in vLLM 0.15.1: v1/worker/gpu_worker.py (request_memory, determine_available_memory, compile_or_warm_up_model),
v1/worker/gpu_model_runner.py (profile_run, _dummy_sampler_run), config/vllm.py (_set_cudagraph_sizes),
v1/sample/ops/topk_topp_sampler.py. vLLM measures the activations when it starts, and so nobody knows them before: here
they are a range, and so is the verdict: what fits at the upper end fits, what does not at the lower end does not, and
between the two it is too close to call.

What the box's reference figures decide, and what they do not (1 GiB is 1024 MiB):

* 18.14 GiB of weights loaded, 18.00 counted; other figures of public logs: Mistral 24B 13.31 and 13.26, Llama 8B 14.99
  and 14.96. So what is counted is taken as the lower end, 1 % more as the upper.
* 2048 tokens at 0.92 did start, so the overhead is at most 3.43 GiB there.
* "4096 tokens need 1.0 GiB, 0.14 GiB available" names no utilisation: the overhead is 2.11 GiB if it was 0.85, 3.31 at
  vLLM's default of 0.90, and 3.79 at 0.92, which the line before rules out. So 4096 tokens do not fit at 0.85, and at
  0.92 the figures do not say: by 2.11 they do, by 3.31 they do not.
* The reference's table (24,564 MiB = 2,275 display + 18,140 weights + 3,407 cache and runtime + 317 free) leaves 425
  MiB out: 18,140 is 18.14 GiB times 1000, and with its 18,575 MiB the sum is 24,574. Nor can its display be taken away
  from the card by mere subtraction: that leaves 22,289 MiB, and vLLM started at 0.92, which needs 22,599.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction

from vengeance.box import model_config, versions, vllm_profiles
from vengeance.box.model_config import ModelConfig
from vengeance.box.pins import pinned
from vengeance.box.vllm_profiles import Profile

MIB, GIB, GB = 2**20, 2**30, 10**9
BLOCK_TOKENS = 16
AUTO = -1
"""As ``max_model_len``: vLLM takes the largest that fits (``--max-model-len auto``)."""


class Verdict(Enum):
    """Whether something fits; the order is from good to bad."""

    FITS = "fits"
    TOO_CLOSE = "too close to call"
    DOES_NOT_FIT = "does not fit"

    @property
    def rank(self) -> int:
        """0 for the best."""
        return list(Verdict).index(self)


@dataclass(frozen=True)
class Range:
    """Bytes that are known to lie between two numbers, both included."""

    low: int
    high: int

    @classmethod
    def exactly(cls, size: int) -> Range:
        """What is known to the byte."""
        return cls(size, size)

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def taken_from(self, size: int) -> Range:
        """What is left of something when this is taken away; below 0 where it is too much."""
        return Range(size - self.high, size - self.low)


NOTHING = Range.exactly(0)

IDLE_WINDOWS = Range(0, int(1.9 * GIB))
"""What Windows holds with no model loaded, where it was not read: the reference says ~1.9 GB for the display; Windows
can move a part of that out of the card, and where the display hangs on another one, it is nothing."""

WITHHELD = (Fraction(49, 1000), Fraction(64, 1000))
"""Part of a card that WSL does not give even when nothing runs: 23,371 of 24,576 MiB are free on an RTX 3090, 30.12 of
31.84 GiB on an RTX 5090 (syv-ai/qwen38-27b-rtx3090#83, cognithor#318). It overlaps with what the desktop holds."""

KNOWN_WITHHELD = {24564 * MIB: Range.exactly(1570 * MIB)}
"""The same where it was seen: an RTX 4090 shows 22.45 of 23.99 GiB free in WSL, in three logs by different people."""

# 0.15.1's top-k and top-p sorts all logits: of each, 8 numbers of 4 bytes are alive at once (1188 MiB for 256 sequences
# and 152,064 words, by replaying it). Where it is not sure that this sampler runs, only the logits are.
_SAMPLER_BYTES = 32
_LOGIT_BYTES = 2
# What two servers with this sampler reported as peak activation beyond it was 0.33 GiB (Qwen2.5-32B, AWQ) and 0.29
# (Mistral Small 24B, AWQ), vLLM 0.26 on an A100; widened on both sides.
_BEYOND_SAMPLER = Range(int(0.2 * GIB), int(0.5 * GIB))
# What is not PyTorch's, without the CUDA context, which is taken before vLLM looks at what is free. Lower end: the
# smallest that logs show. Upper end: what the 0.14 GiB of the reference figures leave open, at a utilisation of 0.90:
# 0.90 * 23.99 - 18.14 - 0.14 - 1.16 (sampler) - 0.5 GiB.
_OTHER = Range(int(0.05 * GIB), int(1.65 * GIB))
# Buffers of NCCL between several cards: a judgement, the box has one.
_BETWEEN_CARDS = Range(0, GIB)
# CUDA graphs. Lower end for each layer: 0.23 GiB for the 32 of Llama 8B is the smallest in logs. Upper end: the
# reference says 2 to 4 GB for 64 layers and all 51 sizes; for fewer of either in proportion, but for the 0.61 GiB that
# few sizes took elsewhere. (Logs of the same model say 1.02 GiB.)
_GRAPHS_A_LAYER = 7 * MIB
_GRAPHS_MOST, _GRAPHS_LAYERS, _GRAPHS_SIZES = 4 * GB, 64, 51
_GRAPHS_FLOOR = int(0.61 * GIB)
_GRAPHS_COUNTED_SINCE = (0, 21)
_NATIVE_SAMPLER_UNTIL = (0, 15)
_LOADED_MORE = Fraction(101, 100)
_KV_BYTES = {"auto": None, "float16": 2, "bfloat16": 2, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}
_NUMBER_BYTES = {"auto": 2, "half": 2, "float16": 2, "bfloat16": 2, "float": 4, "float32": 4}


@dataclass(frozen=True)
class Settings:
    """What of vLLM's flags decides about memory, with the defaults of a server on a card below 70 GiB.

    max_model_len: tokens of prompt and answer together; None is as many as the model can, AUTO as many as fit
    gpu_memory_utilization: part of the card, over 0 and up to 1; None is the default of the version
    max_num_seqs: requests at once
    max_num_batched_tokens: tokens of one step
    enforce_eager: no CUDA graphs
    tensor_parallel_size: cards that each layer is spread over; everything here is then for one of them
    kv_cache_dtype: auto, bfloat16, float16 or one of fp8
    dtype: of what is computed with
    quantization: for a model that has all its bits, and is loaded with fewer
    version: vLLM's
    native_sampler: whether PyTorch's sampler is sure to run (VLLM_USE_FLASHINFER_SAMPLER=0); None is as the version
        does by default
    """

    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 2048
    enforce_eager: bool = False
    tensor_parallel_size: int = 1
    kv_cache_dtype: str = "auto"
    dtype: str = "auto"
    quantization: str | None = None
    version: str = pinned("vllm")
    native_sampler: bool | None = None

    @property
    def utilization(self) -> Fraction:
        """Part of the card; 0.9 by default, 0.92 from vLLM 0.20 on."""
        if self.gpu_memory_utilization is not None:
            return Fraction(str(self.gpu_memory_utilization))
        return Fraction(str(vllm_profiles.default_utilisation(self.version)))

    @property
    def sorts_logits(self) -> bool:
        """Whether PyTorch's sampler is sure to run."""
        if self.native_sampler is not None:
            return self.native_sampler
        return versions.numbers(self.version)[:2] <= _NATIVE_SAMPLER_UNTIL


# Flags that change what is here in a way of their own.
_OTHERWISE = (
    "cpu-offload-gb",
    "enable-lora",
    "hf-overrides",
    "kv-cache-memory-bytes",
    "num-gpu-blocks-override",
    "speculative-config",
)


def settings_of(profile: Profile, version: str, variables: Mapping[str, str] | None = None) -> Settings:
    """Return what of a profile decides about memory.

    + version: vLLM's
    + variables: environment variables of every server; those of the profile win

    Raises ValueError with a sentence for a flag whose share of memory is not known here.
    """
    flags = vllm_profiles.flags(profile)
    for name in _OTHERWISE:
        if flags.get(name) not in (None, False):
            raise ValueError(f"What --{name} of {profile.name} does to the memory is not known here.")
    if profile.pipeline_parallel_size > 1:
        raise ValueError(f"{profile.name} spreads its layers over several cards, and here one is planned.")
    given = {name.replace("-", "_"): value for name, value in flags.items() if value is not None}
    known = {name: given[name] for name in Settings.__dataclass_fields__ if name in given}
    sampler = {**(variables or {}), **profile.variables}.get("VLLM_USE_FLASHINFER_SAMPLER")
    native = None if sampler is None else sampler == "0"
    return Settings(**{**known, "version": version, "native_sampler": native})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Check:
    """One of the conditions of a start.

    verdict: whether it is met
    sentence: with the numbers
    """

    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class Lever:
    """A change that makes it better.

    flags: flag without dashes -> value
    verdict: the one with it
    """

    flags: Mapping[str, float | int | bool]
    verdict: Verdict

    @property
    def words(self) -> str:
        """As it stands on a command line."""
        return " ".join(f"--{name}" if value is True else f"--{name} {value}" for name, value in self.flags.items())


@dataclass(frozen=True)
class Budget:
    """A card, and what is to be on it; sizes in bytes.

    card: all of it
    free: what vLLM finds when it starts
    budget: what it may take, by the utilisation
    weights, activations, other: what it takes of that before the cache
    graphs_within, graphs_beyond: CUDA graphs, counted in the budget or not
    kv_per_token: of the cache
    tokens: of the longest request, as the cache must hold them
    kv_need: for them
    kv_available: what is left for the cache; below 0 where nothing is
    longest: tokens of the longest context that the model can, None where it does not say
    checks: the conditions of a start
    """

    settings: Settings
    card: int
    free: Range
    budget: int
    weights: Range
    activations: Range
    other: Range
    graphs_within: Range
    graphs_beyond: Range
    kv_per_token: int
    tokens: int
    longest: int | None
    checks: tuple[Check, ...]

    @property
    def overhead(self) -> Range:
        """What vLLM takes of its budget beside weights and cache."""
        return self.activations + self.other + self.graphs_within

    @property
    def kv_need(self) -> int:
        """Bytes of the cache for one request of the greatest length."""
        return self.tokens * self.kv_per_token

    @property
    def kv_available(self) -> Range:
        """Bytes that are left for the cache."""
        return (self.weights + self.overhead).taken_from(self.budget)

    @property
    def verdict(self) -> Verdict:
        """The worst of the checks."""
        return max((check.verdict for check in self.checks), key=lambda verdict: verdict.rank)

    @property
    def why(self) -> list[str]:
        """A sentence for each check that is not met for sure."""
        return [check.sentence for check in self.checks if check.verdict is not Verdict.FITS]

    @property
    def unused(self) -> Range:
        """Bytes of the free memory that vLLM would not use."""
        left = self.graphs_beyond.taken_from(self.free.low), self.graphs_beyond.taken_from(self.free.high)
        return Range(max(0, left[0].low - self.budget), max(0, left[1].high - self.budget))

    @property
    def contexts(self) -> tuple[int, int]:
        """Tokens of the longest context that surely fits, and of the longest that may; 0 for none."""
        others = [check.verdict for check in self.checks[1:]]
        surely = self._holds(self.kv_available.low) if all(each is Verdict.FITS for each in others) else 0
        maybe = 0 if Verdict.DOES_NOT_FIT in others else self._holds(self.kv_available.high)
        return surely, maybe

    def _holds(self, size: int) -> int:
        tokens = max(0, size) // (self.kv_per_token * BLOCK_TOKENS) * BLOCK_TOKENS
        return tokens if self.longest is None else min(tokens, self.longest)

    @property
    def utilizations(self) -> tuple[float, float]:
        """The largest utilisation that the free memory surely allows, and the largest that it may; three digits."""
        low = (self.free.low - self.graphs_beyond.high) * 1000 // self.card
        high = (self.free.high - self.graphs_beyond.low) * 1000 // self.card
        return max(0, low) / 1000, max(0, high) / 1000

    @property
    def concurrency(self) -> tuple[float, float]:
        """How many requests of the greatest length the cache holds at once, at least and at most."""
        kv = self.kv_available
        return max(0, kv.low) / self.kv_need, max(0, kv.high) / self.kv_need


def amount(size: int) -> str:
    """Return bytes as a person reads them: ``1.00 GiB``."""
    return f"{size / GIB:.2f} GiB"


def span(size: Range) -> str:
    """Return a range of bytes as a person reads it: ``1.21 to 3.31 GiB``."""
    low, high = f"{size.low / GIB:.2f}", f"{size.high / GIB:.2f}"
    return f"{low} GiB" if low == high else f"{low} to {high} GiB"


def free_memory(card: int, held: Range) -> Range:
    """Return what vLLM finds free in WSL.

    + card: bytes of all of it
    + held: bytes that Windows shows as used while no model is loaded
    """
    withheld = KNOWN_WITHHELD.get(card) or Range(int(card * WITHHELD[0]), int(card * WITHHELD[1]))
    return Range(max(withheld.low, held.low), max(withheld.high, held.high)).taken_from(card)


def kv_bytes_per_token(config: ModelConfig, settings: Settings) -> int:
    """Return the bytes of the KV cache for one token, on one card.

    Raises ValueError with a sentence where the config does not say it.
    """
    if config.unplannable is not None:
        raise ValueError(
            f"The memory of this model cannot be planned from its config.json: {config.unplannable}. Start it, and "
            "read 'Available KV cache memory' in its log."
        )
    if settings.kv_cache_dtype not in _KV_BYTES:
        raise ValueError(
            f"How many bytes --kv-cache-dtype {settings.kv_cache_dtype} takes is not known here; "
            f"known are {', '.join(_KV_BYTES)}."
        )
    number = _KV_BYTES[settings.kv_cache_dtype] or _number_bytes(settings)
    # vllm/config/model.py, get_num_kv_heads: heads that are fewer than cards are on each of them.
    heads = max(1, config.kv_heads // settings.tensor_parallel_size)
    return 2 * config.layers * heads * config.head_dim * number


def _number_bytes(settings: Settings) -> int:
    if settings.dtype not in _NUMBER_BYTES:
        raise ValueError(f"--dtype is one of {', '.join(_NUMBER_BYTES)}, not {settings.dtype!r}.")
    return _NUMBER_BYTES[settings.dtype]


def activations(config: ModelConfig, settings: Settings) -> Range:
    """Return what PyTorch takes at its peak while vLLM measures itself, beside the weights."""
    rows = min(settings.max_num_seqs, settings.max_num_batched_tokens)
    logits = rows * config.vocabulary
    sampler = logits * _SAMPLER_BYTES
    width = 3 * config.intermediate // settings.tensor_parallel_size + 2 * config.hidden
    mlp = settings.max_num_batched_tokens * width * _number_bytes(settings)
    surely = sampler + _BEYOND_SAMPLER.low if settings.sorts_logits else logits * _LOGIT_BYTES
    return Range(max(surely, mlp), max(sampler, mlp) + _BEYOND_SAMPLER.high)


def graph_sizes(settings: Settings) -> int:
    """Return for how many batch sizes vLLM captures CUDA graphs: 51 by default."""
    largest = min(2 * settings.max_num_seqs, 512, settings.max_num_batched_tokens)
    small = sum(size <= largest for size in (1, 2, 4))
    return small + len(range(8, min(largest + 1, 256), 8)) + len(range(256, largest + 1, 16))


def graphs(config: ModelConfig, settings: Settings) -> Range:
    """Return what CUDA graphs take."""
    if settings.enforce_eager:
        return NOTHING
    part = Fraction(config.layers * graph_sizes(settings), _GRAPHS_LAYERS * _GRAPHS_SIZES)
    low = config.layers * _GRAPHS_A_LAYER * graph_sizes(settings) // _GRAPHS_SIZES
    return Range(low, max(low, _GRAPHS_FLOOR, int(_GRAPHS_MOST * part)))


def check(settings: Settings) -> None:
    """Check the settings by themselves. Raises ValueError with a sentence."""
    if not 0 < settings.utilization <= 1:
        raise ValueError(
            f"--gpu-memory-utilization is a part of the card, over 0 and up to 1, not {float(settings.utilization):g}."
        )
    length = settings.max_model_len
    if length is not None and length != AUTO and length < 1:
        raise ValueError(f"--max-model-len is a number of tokens from 1, or -1 for as many as fit, not {length}.")
    for name in ("max_num_seqs", "max_num_batched_tokens", "tensor_parallel_size"):
        if getattr(settings, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} is a whole number from 1, not {getattr(settings, name)}.")
    if settings.max_num_batched_tokens < settings.max_num_seqs:
        raise ValueError(
            f"--max-num-batched-tokens {settings.max_num_batched_tokens} is less than --max-num-seqs "
            f"{settings.max_num_seqs}, and vLLM does not start so: each request has a token in each step."
        )


def plan(config: ModelConfig, settings: Settings, card: int, held: Range, weights: int | None = None) -> Budget:
    """Return what of a model is where on a card, and whether it fits.

    + config: of the model
    + card: bytes of one card's memory
    + held: bytes that Windows shows as used while no model is loaded
    + weights: bytes of all weights where they are known (the safetensors' total_size); None counts them

    Raises ValueError with a sentence for settings that no vLLM starts with, and for a model that nothing can be said
    of.
    """
    check(settings)
    if card < 1 or held.low < 0 or held.low > held.high:
        raise ValueError(f"A card of {card} bytes with {held.low} to {held.high} held is none.")
    cards = settings.tensor_parallel_size
    if config.heads % cards:
        raise ValueError(f"{config.heads} attention heads cannot be spread over --tensor-parallel-size {cards}.")
    per_token = kv_bytes_per_token(config, settings)
    all_weights = weights
    if all_weights is None:
        all_weights = model_config.weight_bytes(config, settings.quantization, _number_bytes(settings))
    graph_bytes = graphs(config, settings)
    maybe_within = versions.numbers(settings.version) >= _GRAPHS_COUNTED_SINCE
    found = Budget(
        settings=settings,
        card=card,
        free=free_memory(card, held),
        budget=math.ceil(card * settings.utilization),
        weights=Range(math.ceil(all_weights / cards), math.ceil(all_weights * _LOADED_MORE / cards)),
        activations=activations(config, settings),
        other=_OTHER + _BETWEEN_CARDS if cards > 1 else _OTHER,
        graphs_within=Range(0, graph_bytes.high) if maybe_within else NOTHING,
        graphs_beyond=Range(0, graph_bytes.high) if maybe_within else graph_bytes,
        kv_per_token=per_token,
        tokens=_tokens(config, settings),
        longest=config.longest,
        checks=(),
    )
    return replace(found, checks=(_cache(found), *_memory(found)))


def _tokens(config: ModelConfig, settings: Settings) -> int:
    wanted, longest = settings.max_model_len, config.longest
    if wanted == AUTO:
        wanted = 1
    elif wanted is None:
        if longest is None:
            raise ValueError("This config.json has no max_position_embeddings: give --max-model-len.")
        wanted = longest
    elif longest is not None and wanted > longest:
        raise ValueError(f"--max-model-len {wanted} is more than the {longest} tokens that this model can.")
    return -(-wanted // BLOCK_TOKENS) * BLOCK_TOKENS


def _judged(surely: bool, maybe: bool) -> Verdict:
    return Verdict.FITS if surely else Verdict.TOO_CLOSE if maybe else Verdict.DOES_NOT_FIT


def _cache(found: Budget) -> Check:
    kv, need = found.kv_available, found.kv_need
    sentence = (
        f"{found.tokens} tokens need {amount(need)} of KV cache. {_utilization(found)} of the card is "
        f"{amount(found.budget)}; less {span(found.weights)} of weights and {span(found.overhead)} of overhead that "
        f"leaves {span(kv)}."
    )
    return Check(_judged(need <= kv.low, need <= kv.high), sentence)


def _memory(found: Budget) -> Iterator[Check]:
    free, held = found.free, found.free.taken_from(found.card)
    start = f"vLLM starts only when {_utilization(found)} of the card, {amount(found.budget)}, is free"
    yield Check(
        _judged(found.budget <= free.low, found.budget <= free.high),
        f"{start}. Windows may hold {amount(found.card - found.budget)} of the {amount(found.card)} so, and holds or "
        f"withholds {span(held)}.",
    )
    if found.graphs_beyond != NOTHING:
        both = Range.exactly(found.budget) + found.graphs_beyond
        yield Check(
            _judged(both.high <= free.low, both.low <= free.high),
            f"CUDA graphs take {span(found.graphs_beyond)} beyond the {amount(found.budget)} of the budget, and "
            f"{span(free)} of the card are free.",
        )


def _utilization(found: Budget) -> str:
    return f"{float(found.settings.utilization):g}"


def lever(config: ModelConfig, found: Budget, held: Range, weights: int | None = None) -> Lever | None:
    """Return the cheapest change of flags with which it surely fits, or else one with which it is closer.

    + config, held, weights: as for ``plan``
    + found: its result

    None where it fits already, and where no flag helps. Fewer requests at once cost one user nothing; smaller steps
    cost a little at the first token, no CUDA graphs some speed, and a shorter context is less of what was asked for.
    """
    if found.verdict is Verdict.FITS:
        return None
    best: Lever | None = None
    for flags in _changes(config, found, held, weights):
        verdict = plan(config, _with(found.settings, flags), found.card, held, weights).verdict
        if verdict is Verdict.FITS:
            return Lever(flags, verdict)
        if best is None and verdict.rank < found.verdict.rank:
            best = Lever(flags, verdict)
    return best


def _with(settings: Settings, flags: Mapping[str, float | int | bool]) -> Settings:
    return replace(settings, **{name.replace("-", "_"): value for name, value in flags.items()})  # type: ignore[arg-type]


def _changes(
    config: ModelConfig, found: Budget, held: Range, weights: int | None
) -> Iterator[dict[str, float | int | bool]]:
    """Yield changes, the cheapest first: one flag before two, and a shorter context last."""
    now = found.settings
    seqs: dict[str, float | int | bool] = {"max-num-seqs": 16} if now.max_num_seqs > 16 else {}
    step: dict[str, float | int | bool] = {"max-num-batched-tokens": 512} if now.max_num_batched_tokens > 512 else {}
    eager: dict[str, float | int | bool] = {} if now.enforce_eager else {"enforce-eager": True}

    def at(flags: Mapping[str, float | int | bool]) -> Budget:
        return plan(config, _with(now, flags), found.card, held, weights)

    def with_most(flags: Mapping[str, float | int | bool]) -> dict[str, float | int | bool]:
        # As much as is surely free, so that the cache is as large as it can be.
        most = int(at(flags).utilizations[0] * 100) / 100
        return {**flags, "gpu-memory-utilization": most} if 0 < most != float(now.utilization) else {**flags}

    few = {**seqs, **step}
    # A step must have room for a token of each request.
    alone = step if now.max_num_seqs <= 512 else {}
    ways = [seqs, alone, with_most({}), eager, few, with_most(seqs), with_most(eager), {**seqs, **eager}]
    ways += [with_most(few), {**few, **eager}, with_most({**few, **eager})]
    yield from (flags for flags in ways if flags)
    for flags in ({}, *ways):
        tokens = at(flags).contexts[0]
        shorter = tokens // 256 * 256 or tokens
        if 0 < shorter < found.tokens:
            yield {**flags, "max-model-len": shorter}
