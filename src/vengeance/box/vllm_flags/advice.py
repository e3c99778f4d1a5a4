"""What vLLM takes and a person should know all the same: remarks, never refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from vengeance.box.vllm_flags.changes import older
from vengeance.box.vllm_flags.tables import Table, judged_by, table_for
from vengeance.box.vllm_flags.words import Value

Given = Mapping[str, Value | None]


def remarks(flags: Mapping[str, Value | None], version: str | None = None) -> list[str]:
    """Return what is worth knowing about flags that ``arguments`` takes, each as a sentence with its mend.

    + flags: as for ``arguments``, which is asked first: nothing is refused here
    + version: the vLLM version the flags are for
    """
    table = table_for(version)
    given: dict[str, Value | None] = {}
    for written, value in flags.items():
        flag, _ = table.spelled(written.replace("_", "-").lstrip("-"))
        if flag is not None and value is not None:
            given[flag.name] = value
    asked = version or table.version
    return [*_about_the_table(version), *_about_names(given, table), *(s for one in _RULES for s in one(given, asked))]


def _about_the_table(version: str | None) -> Iterator[str]:
    other = judged_by(version)
    if other is not None:
        yield (
            f"The flags are judged by the table of vLLM {other}, as {version} has none here: "
            f"'make vllm-flags VERSION={version}' makes one."
        )


def _about_names(given: Given, table: Table) -> Iterator[str]:
    for name, value in given.items():
        flag = table.flags[name]
        if flag.deprecated:
            yield f"--{name} is deprecated in vLLM {table.version} and will go: leave it out."
        elif flag.suggested and isinstance(value, str) and value not in flag.suggested and "." not in value:
            yield (
                f"vLLM {table.version} knows {', '.join(flag.suggested)} for --{name}: {value} works only where a "
                "plug-in adds it."
            )


def _slow_awq(given: Given, version: str) -> Iterator[str]:
    # vllm/model_executor/layers/quantization/awq_marlin.py of 0.15.1: "so forcing awq"; in 0.32.0 both are one class.
    if given.get("quantization") == "awq" and "auto_awq" not in table_for(version).quantization:
        yield (
            "quantization: awq forces vLLM's slow kernel (23 instead of 123 tokens/s in vllm#21376): write awq_marlin, "
            "or leave it out and vLLM chooses."
        )


def _fp8_cache(given: Given, version: str) -> Iterator[str]:
    # vllm/v1/attention/backends/flash_attn.py of 0.15.1: fp8 only from compute capability 9.0 on; a 4090 has 8.9.
    cache = given.get("kv-cache-dtype")
    fp8 = isinstance(cache, str) and cache.startswith("fp8")
    if fp8 and older(version, "0.16") and "attention-backend" not in given:
        yield (
            f"kv-cache-dtype: {cache} keeps a card before Hopper, such as the RTX 4090, from FlashAttention; the next "
            "choice, FlashInfer, compiles with nvcc at the start: write attention-backend: TRITON_ATTN too."
        )


def _whole_card(given: Given, version: str) -> Iterator[str]:
    # vllm/v1/worker/utils.py, request_memory: free memory must be at least the part that is asked for.
    part = given.get("gpu-memory-utilization", None)
    if isinstance(part, int | float) and part > 0.93:
        left = 24564 * (1 - part)
        yield (
            f"gpu-memory-utilization: {part} leaves {left:.0f} MiB of 24564 for all of Windows: with a display on the "
            "card vLLM stops with 'Free memory on device ... is less than desired'. 0.92 leaves 1965 MiB."
        )


def _no_effect(given: Given, version: str) -> Iterator[str]:
    if "swap-space" in given:
        yield "swap-space has no effect, and the flag is gone from vLLM 0.18.0 on (vllm#36216): leave it out."


def _offload(given: Given, version: str) -> Iterator[str]:
    # vllm/model_executor/models/utils.py of 0.15.1.
    amount = given.get("cpu-offload-gb")
    if isinstance(amount, int | float) and amount > 0 and older(version, "0.16"):
        yield (
            "cpu-offload-gb stops in WSL with 'V1 CPU offloading requires uva (pin memory) support', as this vLLM pins "
            "no memory there: take a smaller model instead."
        )


def _sleep(given: Given, version: str) -> Iterator[str]:
    if given.get("enable-sleep-mode") is True:
        yield (
            "enable-sleep-mode rests on CUDA's virtual memory calls, which are weak in WSL (node-llama-cpp#610): stop "
            "the server instead, which gives all of the memory back."
        )


def _ray(given: Given, version: str) -> Iterator[str]:
    if given.get("distributed-executor-backend") == "ray" and not older(version, "0.32"):
        yield "distributed-executor-backend: ray needs the package ray, which vLLM no longer brings: install it too."


def _file(given: Given, version: str) -> Iterator[str]:
    if "config" in given:
        yield (
            "What stands in the file of config is not checked here, and 'name: false' in it is dropped, not negated: "
            "put the flags into the profile instead."
        )


def _elsewhere(given: Given, version: str) -> Iterator[str]:
    # vllm/model_executor/model_loader/weight_utils.py, get_lock: in that folder, else in /tmp.
    if "download-dir" in given:
        yield (
            "download-dir: a deploy downloads models into vllm_hf_home, and a server may not write to other folders, "
            "where vLLM makes its lock: leave it out, and set vllm_hf_home."
        )


def _foreign_code(given: Given, version: str) -> Iterator[str]:
    if given.get("trust-remote-code") is True:
        yield "trust-remote-code runs Python that comes with the model: pin its revision to a commit that was read."


_RULES: tuple[Callable[[Given, str], Iterator[str]], ...] = (
    _slow_awq,
    _fp8_cache,
    _whole_card,
    _no_effect,
    _offload,
    _sleep,
    _ray,
    _file,
    _elsewhere,
    _foreign_code,
)
