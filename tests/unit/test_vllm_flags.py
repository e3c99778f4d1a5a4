"""vLLM's flags: what each version takes, what is refused and with which mend, what is only remarked on."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.command import FileUploadCommand

from tests.unit.operation_runs import run_operation
from vengeance.box import vllm_flags, vllm_profiles
from vengeance.box.vllm_flags.changes import GONE, QUANTIZATION_GONE
from vengeance.box.vllm_variables import needed_variables, unknown_variables
from vengeance.operations import vllm
from vengeance.verify import inventory

ROOT = Path(__file__).resolve().parents[2]
OLD, NEW, NEWEST = "0.15.1", "0.32.0", "0.33.0"


def refusal(flags: dict[str, Any], version: str | None) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the text is what is asked for)
        vllm_flags.arguments(flags, version)
    return str(caught.value)


# --- the tables -----------------------------------------------------------------------------------------------


def test_there_is_a_table_of_each_version_that_the_project_speaks_of() -> None:
    assert {OLD, NEW, NEWEST} <= set(vllm_flags.versions_known())
    assert inventory.group_data(ROOT / "group_data")["wsl"]["vllm_version"] in vllm_flags.versions_known()


@pytest.mark.parametrize(("version", "count"), [(OLD, 207), (NEW, 316), (NEWEST, 320)])
def test_a_table_has_every_option_of_its_version(version: str, count: int) -> None:
    # Counted in vLLM's own parser; the model's name, which is no option, is not among them.
    assert len(vllm_flags.table_for(version).flags) == count


@pytest.mark.parametrize("version", [OLD, NEW, NEWEST])
def test_every_switch_that_is_not_a_mark_has_an_opposite_in_its_version(version: str) -> None:
    table = vllm_flags.table_for(version)
    assert all(bool(flag.off) == (flag.kind == "switch") for flag in table.flags.values())
    prefixes = {one.split("-")[0] for flag in table.flags.values() for one in flag.off[:1]}
    assert prefixes == ({"no"} if version != NEWEST else {"no", "disable", "enable"})


@pytest.mark.parametrize(
    ("version", "judge"),
    [
        *(("0.15.1", None), ("0.15.1+twin", None), ("0.32.0+cpu", None), (None, None)),
        *(("0.15.0", OLD), ("0.1.0", OLD), ("0.20.0", OLD), ("0.32.1", NEW), ("0.40.0", NEWEST)),
    ],
)
def test_a_version_without_a_table_is_judged_by_the_newest_before_it(version: str | None, judge: str | None) -> None:
    assert vllm_flags.judged_by(version) == judge
    if judge is not None:
        assert vllm_flags.table_for(version).version == judge


def test_a_refusal_says_which_table_judged_and_how_to_make_the_right_one() -> None:
    said = refusal({"max-model-length": 1}, "0.20.0")
    assert "vLLM 0.20.0 has no table of its own here and is judged by that of 0.15.1" in said
    assert "make vllm-flags VERSION=0.20.0" in said
    assert "no table" not in refusal({"max-model-length": 1}, OLD)
    # A value out of its range is wrong in every version.
    assert "no table" not in refusal({"port": 0}, "0.20.0")


# --- names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "version", "sentence"),
    [
        ({"max-model-length": 1}, OLD, "no flag --max-model-length. The nearest one is --max-model-len."),
        ({"gpu-mem": 0.9}, OLD, "It is short for --gpu-memory-utilization: write that."),
        ({"tp": 1}, OLD, "--tp is short for --tensor-parallel-size: write that."),
        ({"q": "awq"}, NEW, "--q is short for --quantization"),
        ({"shutdown-timeout": 30}, OLD, "no flag --shutdown-timeout in 0.15.1; 0.32.0 has it."),
        ({"sleep-mode-backend": "x"}, NEW, "no flag --sleep-mode-backend in 0.32.0; 0.33.0 has it."),
        ({"disable-prefix-caching": True}, OLD, "write enable-prefix-caching: False."),
        ({"disable-prefix-caching": True}, NEW, "write enable-prefix-caching: False."),
        ({"disable-prefix-caching": True}, NEWEST, "opposite of --enable-prefix-caching: write enable-prefix-caching"),
        ({"no-enable-prefix-caching": True}, OLD, "write enable-prefix-caching: False."),
        ({"enable-custom-all-reduce": True}, OLD, "write disable-custom-all-reduce: False."),
        ({"disable-log-requests": True}, NEW, "leave it out: requests are not logged"),
        ({"disable-log-requests": True}, "0.18.0", "no flag --disable-log-requests from 0.18.0 on"),
        ({"calculate-kv-scales": True}, "0.29.0", "judged by that of 0.15.1"),
        ({"calculate-kv-scales": True}, NEW, "scales of an fp8 cache come from the model's files"),
        ({"disable-frontend-multiprocessing": True}, NEW, "vllm#37612"),
        ({"override-attention-dtype": "x"}, NEW, "no flag --override-attention-dtype in 0.32.0, though 0.15.1 had it"),
        ({"swap-space": 4.0}, NEW, "no flag --swap-space from 0.18.0 on (vllm#36216): leave it out"),
        ({"swap-space": 4.0}, "0.18.0", "no flag --swap-space from 0.18.0 on"),
        ({"guided-decoding-backend": "xgrammar"}, OLD, 'write structured-outputs-config: {"backend": ...}'),
        ({"task": "embed"}, OLD, "write runner: pooling"),
        ({"worker-use-ray": True}, OLD, "write distributed-executor-backend: ray"),
        ({"max-num-seqs": 4, "max_num_seqs": 8}, OLD, "--max-num-seqs is given twice"),
        (
            {"gpu-memory-utilization": 0.9, "device-memory-utilization": 0.8},
            NEW,
            "--gpu-memory-utilization is given twice",
        ),
        ({"hf-token": None}, OLD, "Use HF_TOKEN instead"),
    ],
)
def test_a_name_that_a_version_does_not_have_is_refused_with_the_right_one(
    flags: dict[str, Any], version: str, sentence: str
) -> None:
    assert sentence in refusal(flags, version)


def test_a_flag_that_is_only_gone_later_is_taken() -> None:
    assert vllm_flags.arguments({"swap-space": 4}, "0.17.1") == ["--swap-space", "4"]
    assert vllm_flags.arguments({"calculate-kv-scales": True}, "0.27.1") == ["--calculate-kv-scales"]


@pytest.mark.parametrize("version", [OLD, NEW, NEWEST])
def test_what_is_advised_instead_of_a_flag_that_is_gone_is_there(version: str) -> None:
    advised = {word for change in GONE.values() for word in re.findall(r"[a-z]+(?:-[a-z]+)+", change.instead)}
    assert {"kv-offloading-size", "max-cudagraph-capture-size", "speculative-config"} <= advised
    assert advised | {"runner", "convert"} <= vllm_flags.table_for(version).flags.keys()


@pytest.mark.parametrize("name", sorted(GONE))
def test_a_flag_that_is_said_to_be_gone_is_gone(name: str) -> None:
    flag, opposite = vllm_flags.table_for(NEW).spelled(name)
    assert flag is None or opposite


@pytest.mark.parametrize("name", sorted(QUANTIZATION_GONE))
def test_a_quantization_that_is_said_to_be_gone_is_gone(name: str) -> None:
    assert name in vllm_flags.table_for(OLD).quantization
    assert name not in vllm_flags.table_for(NEW).quantization


# --- values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "version", "words"),
    [
        ({"enable-prefix-caching": False}, OLD, ["--no-enable-prefix-caching"]),
        ({"enable-prefix-caching": False}, NEW, ["--no-enable-prefix-caching"]),
        ({"enable-prefix-caching": False}, NEWEST, ["--disable-prefix-caching"]),
        ({"enforce-eager": False}, NEWEST, ["--no-enforce-eager"]),
        ({"device-memory-utilization": 0.9}, NEW, ["--gpu-memory-utilization", "0.9"]),
        ({"allowed-origins": ["https://a"]}, OLD, ["--allowed-origins", '["https://a"]']),
        ({"limit-mm-per-prompt": {"image": 0}}, OLD, ["--limit-mm-per-prompt", '{"image": 0}']),
        ({"cudagraph-capture-sizes": [1, 2]}, NEW, ["--cudagraph-capture-sizes", "1", "2"]),
        ({"middleware": ["a.b", "c.d"]}, OLD, ["--middleware", "a.b", "--middleware", "c.d"]),
        ({"max-num-batched-tokens": "2K"}, OLD, ["--max-num-batched-tokens", "2K"]),
        ({"seed": -1}, OLD, ["--seed", "-1"]),
        ({"root-path": "-x"}, OLD, ["--root-path=-x"]),
        ({"reasoning-parser": "none"}, NEWEST, ["--reasoning-parser", "none"]),
    ],
)
def test_a_value_becomes_words(flags: dict[str, Any], version: str, words: list[str]) -> None:
    assert vllm_flags.arguments(flags, version) == words


@pytest.mark.parametrize(
    ("flags", "version", "sentence"),
    [
        ({"quantization": "awq-marlin"}, OLD, "The nearest one is awq_marlin"),
        ({"quantization": "gguf"}, NEW, "it is a plug-in from 0.24.0 on (vllm-gguf-plugin)"),
        ({"quantization": "bitblas"}, NEW, "without the flag vLLM reads it from the model's own config"),
        ({"quantization": "fp_quant"}, NEW, "write allow-deprecated-quantization: True as well"),
        ({"kv-cache-dtype": "fp4"}, OLD, "is one of auto, bfloat16, fp8,"),
        ({"kv-cache-dtype": "int8_per_token_head"}, OLD, "not int8_per_token_head"),
        ({"kv-cache-dtype": "fp4"}, NEWEST, "is one of auto, bfloat16, float16"),
        ({"dtype": "fp16"}, OLD, "The nearest one is"),
        ({"max-num-batched-tokens": "auto"}, OLD, "takes a length such as 2048 or 2K"),
        ({"max-model-len": 0}, OLD, "--max-model-len is at least 1, not 0."),
        ({"max-num-seqs": 0}, OLD, "--max-num-seqs is at least 1, not 0."),
        ({"tensor-parallel-size": 0}, OLD, "--tensor-parallel-size is at least 1, not 0."),
        ({"pipeline-parallel-size": -1}, NEW, "--pipeline-parallel-size is at least 1, not -1."),
        ({"gpu-memory-utilization": 92}, OLD, "between 0 and 1, not 92"),
        ({"port": 65536}, OLD, "--port goes from 1 to 65535, not 65536."),
        ({"master-port": 0}, OLD, "--master-port goes from 1 to 65535, not 0."),
        ({"watermark": 1.0}, NEW, "--watermark is below 1, not 1.0."),
        ({"cpu-offload-gb": -1}, OLD, "--cpu-offload-gb is at least 0, not -1."),
        ({"speculative-config": "{model: x}"}, NEW, "takes JSON"),
        ({"served-model-name": ["a", "-b"]}, OLD, "begins with a dash"),
        ({"tool-call-parser": "herms"}, OLD, "The nearest one is hermes."),
        ({"tool-call-parser": "minimax"}, NEW, "no --tool-call-parser minimax. The nearest one is minimax_m"),
        ({"reasoning-parser": "gemma4"}, OLD, "no --reasoning-parser gemma4"),
        ({"enable-auto-tool-choice": True}, OLD, "--enable-auto-tool-choice needs --tool-call-parser too"),
        ({"enable-log-outputs": True}, NEW, "--enable-log-outputs needs --enable-log-requests too"),
    ],
)
def test_a_value_that_vllm_would_stop_at_is_refused_before(flags: dict[str, Any], version: str, sentence: str) -> None:
    assert sentence in refusal(flags, version)


def test_a_plug_in_brings_names_of_its_own() -> None:
    flags: dict[str, Any] = {
        "tool-call-parser": "mine",
        "tool-parser-plugin": "/opt/mine.py",
        "enable-auto-tool-choice": True,
    }
    assert vllm_flags.arguments(flags, OLD)[:2] == ["--tool-call-parser", "mine"]


# --- remarks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "version", "sentence"),
    [
        ({"quantization": "awq"}, OLD, "forces vLLM's slow kernel"),
        ({"kv_cache_dtype": "fp8"}, OLD, "attention-backend: TRITON_ATTN"),
        ({"gpu-memory-utilization": 0.95}, OLD, "leaves 1228 MiB of 24564"),
        ({"swap-space": 4}, OLD, "no effect"),
        ({"cpu-offload-gb": 4}, OLD, "requires uva"),
        ({"enable-sleep-mode": True}, NEW, "weak in WSL"),
        ({"distributed-executor-backend": "ray"}, NEW, "package ray"),
        ({"distributed-executor-backend": "rai"}, NEW, "works only where a plug-in adds it"),
        ({"config": "/etc/vllm.yaml"}, OLD, "is dropped, not negated"),
        ({"download-dir": "/srv/models"}, OLD, "set vllm_hf_home"),
        ({"trust-remote-code": True}, OLD, "pin its revision"),
        ({"disable-log-requests": True}, OLD, "--disable-log-requests is deprecated in vLLM 0.15.1"),
        ({"disable-cascade-attn": True}, NEW, "--disable-cascade-attn is deprecated in vLLM 0.32.0"),
        ({"port": 8080}, "0.20.0", "judged by the table of vLLM 0.15.1"),
    ],
)
def test_what_works_and_is_seldom_meant_is_remarked_on(flags: dict[str, Any], version: str, sentence: str) -> None:
    vllm_flags.arguments(flags, version)
    (said,) = vllm_flags.remarks(flags, version)
    assert sentence in said


@pytest.mark.parametrize(
    ("flags", "version"),
    [
        ({"quantization": "awq"}, NEW),
        ({"quantization": "awq_marlin", "gpu-memory-utilization": 0.92, "enforce-eager": True}, OLD),
        ({"kv-cache-dtype": "fp8"}, NEW),
        ({"kv-cache-dtype": "fp8", "attention-backend": "TRITON_ATTN"}, OLD),
        ({"distributed-executor-backend": "my.own.Executor"}, OLD),
        ({"swap-space": None}, OLD),
        ({"trust-remote-code": False}, OLD),
        ({}, None),
    ],
)
def test_what_is_in_order_is_not_remarked_on(flags: dict[str, Any], version: str | None) -> None:
    assert vllm_flags.remarks(flags, version) == []


# --- variables ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "needed"),
    [
        (None, {}),
        ("0.15.1", {}),
        ("0.20.2", {}),
        ("0.21.0", {"VLLM_USE_FLASHINFER_SAMPLER": "0"}),
        ("0.23.0", {"VLLM_USE_V2_MODEL_RUNNER": "0", "VLLM_USE_FLASHINFER_SAMPLER": "0"}),
        ("0.24.0", {"VLLM_WSL2_ENABLE_PIN_MEMORY": "1", "VLLM_USE_FLASHINFER_SAMPLER": "0"}),
        ("0.29.0", {"VLLM_WSL2_ENABLE_PIN_MEMORY": "1", "VLLM_USE_FLASHINFER_SAMPLER": "0"}),
        ("0.30.0", {"VLLM_USE_FLASHINFER_SAMPLER": "0"}),
        ("0.33.0", {"VLLM_USE_FLASHINFER_SAMPLER": "0"}),
    ],
)
def test_a_version_gets_the_variables_that_it_needs_in_wsl(version: str | None, needed: dict[str, str]) -> None:
    assert needed_variables(version) == needed
    assert "VLLM_USE_FLASHINFER_SAMPLER" not in needed_variables(version, nvcc=True)


@pytest.mark.parametrize("version", [OLD, NEW, NEWEST])
def test_a_needed_variable_is_one_that_the_version_reads(version: str) -> None:
    assert set(needed_variables(version)) <= vllm_flags.table_for(version).variables


def test_a_variable_that_a_version_does_not_read_is_told() -> None:
    assert unknown_variables(["HF_HOME", "VLLM_NO_USAGE_STATS"], OLD) == []
    (said,) = unknown_variables(["VLLM_WSL2_ENABLE_PIN_MEMORY"], OLD)
    assert said.startswith("vLLM 0.15.1 does not read VLLM_WSL2_ENABLE_PIN_MEMORY. The nearest one is VLLM_")
    assert unknown_variables(["VLLM_WSL2_ENABLE_PIN_MEMORY"], NEW) == []


def test_a_server_gets_what_its_version_needs_and_what_is_declared_wins() -> None:
    profile = vllm_profiles.Profile("p", "m", 8080, variables={"A": "profile"})
    declared = {"A": "all", "VLLM_USE_FLASHINFER_SAMPLER": "1"}
    assert vllm_profiles.environment(profile, declared, "0.24.0") == {
        "VLLM_WSL2_ENABLE_PIN_MEMORY": "1",
        "VLLM_USE_FLASHINFER_SAMPLER": "1",
        "A": "profile",
    }
    assert vllm_profiles.environment(profile, {}, "0.24.0", device="cpu") == {"A": "profile"}


def test_the_file_of_a_server_has_what_its_version_needs_and_the_remarks_are_told() -> None:
    arguments: dict[str, Any] = {
        "profile": "p",
        "settings": {"model": "m/m", "port": 8080, "gpu_memory_utilization": 0.95},
        "path": "/home/steam/vllm-env",
        "user": "steam",
    }
    texts = {}
    for version, device in ((OLD, "cuda"), (NEW, "cuda"), (NEW, "cpu")):
        run = run_operation(vllm.server, {}, **arguments, version=version, device=device)
        uploads = [one for one in run.commands if isinstance(one, FileUploadCommand) and one.dest == "/etc/vllm/p.env"]
        texts[version, device] = "".join(one.src.getvalue() for one in uploads if isinstance(one.src, StringIO))
        assert any("leaves 1228 MiB of 24564" in line for line in run.logged)
    wanted = 'VLLM_USE_FLASHINFER_SAMPLER="0"\n'
    assert [wanted in text for text in texts.values()] == [False, True, False]


def test_a_profile_is_remarked_on_with_its_fields_flags_and_variables() -> None:
    profile = vllm_profiles.Profile(
        "p", "m", 8080, quantization="awq", flags={"swap_space": 4}, variables={"VLLM_NO_USAGE_STAT": "1"}
    )
    slow, swap, unknown = vllm_profiles.remarks(profile, {"VLLM_NO_USAGE_STATS": "1", "HF_HOME": "/x"}, OLD)
    assert "slow kernel" in slow
    assert swap.startswith("swap-space has no effect")
    assert unknown == "vLLM 0.15.1 does not read VLLM_NO_USAGE_STAT. The nearest one is VLLM_NO_USAGE_STATS."


def test_the_shipped_profiles_leave_nothing_to_remark_on() -> None:
    wsl = inventory.group_data(ROOT / "group_data")["wsl"]
    for name, settings in wsl["vllm_profiles"].items():
        for version in vllm_flags.versions_known():
            profile = vllm_profiles.parse(name, settings, version)
            assert vllm_profiles.remarks(profile, wsl["vllm_variables"], version) == []


def test_the_files_of_the_tables_can_be_compared_line_by_line() -> None:
    for version in vllm_flags.versions_known():
        text = (ROOT / "src/vengeance/box/vllm_flags" / f"{version}.json").read_text(encoding="ascii")
        flags = [line for line in text.splitlines() if line.startswith('  "')]
        assert len(flags) == len(json.loads(text)["options"])
