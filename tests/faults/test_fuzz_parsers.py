"""A parser answers whatever it is given, or refuses it in the way that it documents; what was written is read back."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.faults.fuzzing import FULL, examples, odd_text
from vengeance.box import (
    downloads,
    firewall,
    installers,
    model_config,
    model_store,
    ollama_environment,
    ollama_models,
    ollama_server,
    python_packages,
    registry_values,
    scheduled_tasks,
    systemd_unit,
    unit_environment,
    versions,
    vllm_environment,
    vllm_faults,
    vllm_profiles,
    windows_environment,
    windows_paths,
    wsl_conf,
    wslconfig,
)

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parents[2] / "templates"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
LONG = "9" * 5000

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | odd_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(odd_text, inner, max_size=4),
    max_leaves=8,
)


def sentence(error: Exception) -> str:
    """What a person is told: there is something, on one line, and short enough to read."""
    said = str(error)
    assert said.strip()
    assert "Traceback" not in said
    return said


READERS: list[Callable[[str], object]] = [
    versions.numbers,
    wslconfig.parse,
    wslconfig.timeouts,
    lambda text: wslconfig.parse_machine(text.split("\n")),
    lambda text: wslconfig.differences("f", text, {"wsl2": {"memory": "1GB"}}),
    vllm_faults.explain,
    lambda text: vllm_faults.explain(text, vllm_faults.Settings("p", "m", 8080, 0.9, 256, False, "/p", "u")),
    ollama_server.address,
    ollama_server.where_to_ask,
    ollama_server.effective,
    ollama_server.listening,
    unit_environment.why_not_started,
    lambda text: installers.same_version(text, "1.2"),
    lambda text: windows_environment.changes({text: text}, {text: "a"}),
]
"""What reads what a box says: it takes everything."""

REFUSERS: list[Callable[[str], object]] = [
    wslconfig.size_in_bytes,
    unit_environment.settings,
    systemd_unit.word,
    lambda text: systemd_unit.variables({"A": text}),
    lambda text: systemd_unit.variables({text: "a"}),
    windows_paths.check,
    windows_paths.check_file,
    registry_values.check_key,
    lambda text: registry_values.check_value(text, "String", text),
    lambda text: registry_values.check_value("a", text, 1),
    windows_environment.check_name,
    lambda text: windows_environment.check_value("A", text),
    scheduled_tasks.check_name,
    scheduled_tasks.seconds_of,
    lambda text: scheduled_tasks.check_program(text, text, text),
    lambda text: firewall.parse("rule", text),
    firewall.check_rule,
    lambda text: firewall.scope([text]),
    lambda text: firewall.profiles(text),
    downloads.check_url,
    downloads.check_proxy,
    downloads.check_sha256,
    installers.check_product,
    installers.check_product_code,
    installers.check_version,
    lambda text: installers.command_line([text]),
    lambda text: installers.msi_command_line(text, {"A": text}, "C:\\a.log"),
    model_config.parse,
    model_config.total_size,
    lambda text: model_store.check(text, text, text),
    model_store.check_token,
    ollama_environment.check_name,
    lambda text: ollama_environment.check_value("OLLAMA_HOST", text),
    lambda text: ollama_environment.check_value("OLLAMA_KEEP_ALIVE", text),
    ollama_models.full_name,
    python_packages.parse_requirement,
    lambda text: vllm_environment.parse_lock(text, "file"),
    lambda text: vllm_profiles.parse(text, {"model": text, "port": 1}),
    lambda text: vllm_profiles.parse("a", {text: text}),
]
"""What checks or reads what a person has written: it takes it, or raises ValueError."""


@pytest.mark.timeout(900 if FULL else 60)
@pytest.mark.parametrize("read", range(len(READERS)))
@examples(25, 1000)
@given(text=odd_text)
@example(text=LONG)
@example(text=f"[wsl2]\nvmIdleTimeout={LONG}")
@example(text=f"MemTotal: {LONG} kB\nSwapTotal: 1 kB\nprocessor : 0")
@example(text=f"http://a:{LONG}")
@example(text="a prompt of many words " * 1000)
def test_what_a_box_says_is_read_whatever_it_is(read: int, text: str) -> None:
    READERS[read](text)


@pytest.mark.parametrize("refuse", range(len(REFUSERS)))
@examples(25, 1000)
@given(text=odd_text)
@example(text=LONG)
@example(text="[" * 100_000)
@example(text="(" * 1000)
@example(text=f"PT{LONG}S")
@example(text='{"metadata": {"total_size": Infinity}}')
def test_what_a_person_writes_is_taken_or_refused_in_a_sentence(refuse: int, text: str) -> None:
    try:
        REFUSERS[refuse](text)
    except ValueError as error:
        sentence(error)


ENOUGH = {
    "model_type": "llama",
    "num_attention_heads": 8,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "vocab_size": 100,
}
KEYS = [
    *ENOUGH,
    "num_key_value_heads", "head_dim", "tie_word_embeddings", "attention_bias", "dtype", "torch_dtype",
    "max_position_embeddings", "rope_scaling", "rope_parameters", "text_config", "kv_lora_rank", "layer_types",
    "sliding_window", "use_sliding_window", "vision_config", "num_experts", "mlp_bias", "quantization_config",
]  # fmt: skip
INNER = ["quant_method", "bits", "w_bit", "group_size", "zero_point", "rope_type", "type", "factor", "config_groups",
         "modules_to_not_convert", "ignore", "original_max_position_embeddings", "weights", "num_bits"]  # fmt: skip
WORDS = ["awq", "gptq", "fp8", "compressed-tensors", "yarn", "linear", "full_attention", "float16", 4, 8, 0, -1, 2**70]
values = st.recursive(
    st.sampled_from(WORDS) | st.none() | st.booleans() | st.integers() | st.floats() | odd_text,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(INNER), inner, max_size=4)
        | st.dictionaries(odd_text, inner, max_size=2)
    ),
    max_leaves=8,
)


@examples(150, 2000)
@given(changed=st.dictionaries(st.sampled_from(KEYS), values, max_size=5))
@example(changed={"layer_types": 5})
@example(changed={"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": float("inf")}})
@example(changed={"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": float("nan")}})
def test_a_config_of_a_model_is_read_or_refused_in_a_sentence(changed: dict[str, Any]) -> None:
    for text in (json.dumps({**ENOUGH, **changed}), json.dumps(changed)):
        try:
            read = model_config.parse(text)
            model_config.weight_bytes(read)
        except ValueError as error:
            sentence(error)


settings_of_wslconfig = st.dictionaries(
    st.sampled_from(sorted(wslconfig.SETTINGS)) | odd_text,
    st.dictionaries(
        st.sampled_from(sorted({key for keys in wslconfig.SETTINGS.values() for key in keys})) | odd_text,
        st.sampled_from(["24GB", "D:\\wsl\\swap.vhdx", "nat", "gradual", 0, -1, 5000]) | anything,
        max_size=3,
    ),
    max_size=2,
)


@examples(150, 2000)
@given(settings=settings_of_wslconfig)
@example(settings={"wsl2": {"kernelCommandLine": "a\x85b"}})
@example(settings={"wsl2": {"kernelCommandLine": " a"}})
@example(settings={"wsl2": {"kernelCommandLine": '"a"'}})
def test_what_is_written_to_wslconfig_is_what_is_read_from_it(settings: dict[str, dict[str, Any]]) -> None:
    try:
        texts = wslconfig.texts(settings)
    except ValueError as error:
        sentence(error)
        return
    written = TEMPLATES.get_template("wslconfig.j2").render(settings=texts)
    assert wslconfig.parse(written) == {
        section.lower(): {key.lower(): text for key, text in values.items()}
        for section, values in texts.items()
        if values
    }
    assert wslconfig.differences(".wslconfig", written, texts) == [".wslconfig: the same settings, written anew"]


@examples(150, 2000)
@given(words=st.lists(odd_text, max_size=4))
def test_a_command_line_in_a_unit_is_read_back_as_it_was(words: list[str]) -> None:
    try:
        written = systemd_unit.lines(["/bin/program", *words])
    except ValueError as error:
        sentence(error)
        return
    line = " ".join(written)
    assert "\n" not in line
    # Double quotes and backslashes mean the same to systemd and to a shell; specifiers and variables are doubled.
    read = [re.sub(r"([%$])\1", r"\1", word) for word in shlex.split(line)]
    assert read == ["/bin/program", *words]


@examples(150, 2000)
@given(
    settings=st.dictionaries(
        st.sampled_from(sorted(wsl_conf.SETTINGS)) | odd_text,
        st.dictionaries(
            st.sampled_from(sorted({key for keys in wsl_conf.SETTINGS.values() for key in keys})) | odd_text,
            anything,
            max_size=3,
        ),
        max_size=2,
    )
)
def test_wsl_conf_is_checked_whatever_is_declared(settings: dict[str, dict[str, Any]]) -> None:
    try:
        wsl_conf.check(settings)
    except ValueError as error:
        sentence(error)
