"""Flags and values that vLLM had once: what took their place.

That something is gone is seen in the tables. Here stands why, and what to write instead, with the source.
"""

from __future__ import annotations

from dataclasses import dataclass

from vengeance.box import versions
from vengeance.box.vllm_flags.tables import Table, table_for, versions_known


@dataclass(frozen=True)
class Change:
    """What became of one flag.

    instead: what to do about it, as the end of a sentence
    source: where that is known from
    since: a version whose parser has it no longer, looked at; None where the tables alone say it
    """

    instead: str
    source: str
    since: str | None = None


_NOTHING = "leave it out, it had no effect any more"

GONE = {
    "calculate-kv-scales": Change(
        "leave it out: the scales of an fp8 cache come from the model's files, or are 1.0",
        "vllm#49389",
        since="0.29.0",
    ),
    "disable-frontend-multiprocessing": Change(_NOTHING, "vllm#37612", since="0.20.2"),
    "disable-log-requests": Change(
        "leave it out: requests are not logged unless enable-log-requests is True",
        "vLLM 0.15.1's own help",
        since="0.18.0",
    ),
    "enable-reasoning": Change("leave it out: reasoning-parser alone switches it on", "deprecated in vLLM 0.9.0"),
    "guided-decoding-backend": Change('write structured-outputs-config: {"backend": ...}', "vllm#29326"),
    "logits-processor-pattern": Change(_NOTHING, "vllm#34400", since="0.18.0"),
    "max-long-partial-prefills": Change(
        "leave it out, V1 never heeded it: long-prefill-token-threshold bounds long prompts",
        "vllm#49075",
        since="0.27.1",
    ),
    "max-num-partial-prefills": Change(
        "leave it out, V1 never heeded it: long-prefill-token-threshold bounds long prompts",
        "vllm#49075",
        since="0.27.1",
    ),
    "max-seq-len-to-capture": Change("write max-cudagraph-capture-size", "vllm#25543"),
    "num-speculative-tokens": Change('write speculative-config: {"num_speculative_tokens": ...}', "vllm#36333"),
    "speculative-model": Change('write speculative-config: {"model": ...}', "vllm#36333"),
    "swap-space": Change(
        "leave it out, it had no effect any more; memory of the PC for the KV cache is kv-offloading-size",
        "vllm#36216",
        since="0.18.0",
    ),
    "task": Change("write runner: pooling, or convert: embed, for a model that is not to generate", "vllm#21470"),
    "worker-use-ray": Change("write distributed-executor-backend: ray", "vllm#5944"),
}
"""Flags that are gone from some version on."""

QUANTIZATION_GONE = {
    "cpu_awq": Change("write awq", "AutoAWQConfig of vLLM 0.32.0 has the CPU's kernels"),
    "gguf": Change(
        "it is a plug-in from 0.24.0 on (vllm-gguf-plugin); a model quantised with AWQ or GPTQ needs none", "vllm#39612"
    ),
    "bitsandbytes": Change("take a model quantised with AWQ, GPTQ or FP8", "vllm#39583"),
}
"""Names of ``--quantization`` that are gone."""


def went(name: str, table: Table, version: str | None) -> str | None:
    """Return why a version no longer has a flag and what to write instead, as a sentence; None: it never had it.

    + name: without dashes
    + table: the one that judges
    + version: the version that is asked for, which can be newer than its table
    """
    change = GONE.get(name)
    if name in table.flags:
        if change is None or change.since is None or version is None or older(version, change.since):
            return None
        return f"vLLM has no flag --{name} from {change.since} on ({change.source}): {change.instead}."
    if change is not None:
        since = f" from {change.since} on" if change.since else " any more"
        return f"vLLM has no flag --{name}{since} ({change.source}): {change.instead}."
    had = [one for one in versions_known() if older(one, table.version) and name in table_for(one).flags]
    if had:
        return f"vLLM has no flag --{name} in {table.version}, though {had[-1]} had it: leave it out."
    return None


def comes(name: str, table: Table) -> str | None:
    """Return the first known version after a table that has a flag; None: none has it."""
    later = [one for one in versions_known() if older(table.version, one) and name in table_for(one).flags]
    return later[0] if later else None


def older(one: str, other: str) -> bool:
    """Say whether one version is older than another."""
    return versions.numbers(one) < versions.numbers(other)
