"""``python -m vengeance vram``: what it reads, what it prints, and how it ends."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from vengeance.box import model_config
from vengeance.cli import main

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(model_config.__file__).parent / "models"
HOME = ["--inventory", str(ROOT / "inventory" / "home.py")]
QWEN = "qwen2.5-coder-32b-instruct-awq"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["vram", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = run(capsys, *arguments, "--json")
    (found,) = json.loads(out)
    return code, found


def project(folder: Path, profiles: str, inventory: str = 'wsl = ["@wsl/box/Ubuntu"]') -> list[str]:
    """The arguments for a project with an inventory and group data of its own."""
    text = f'vllm_profiles = {profiles}\nvllm_version = "0.15.1"\nvllm_variables = {{}}\n'
    for name, content in (("inventory/home.py", inventory), ("group_data/wsl.py", text)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return ["--inventory", str(folder / "inventory" / "home.py")]


def folder_with(folder: Path, **changed: Any) -> Path:
    """A folder with the config.json of Llama 3.1 8B, changed."""
    values = json.loads((MODELS / "llama-3.1-8b-instruct.json").read_text(encoding="utf-8"))["config"]
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**values, **changed}), encoding="utf-8")
    return folder


def test_every_profile_of_the_group_data_fits(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *HOME)
    assert (code, err) == (0, "")
    verdicts = dict(re.findall(r"^(\S+): (.+)$", out, re.MULTILINE))
    assert verdicts == {"qwen2.5-coder-32b": "fits", "llama-3.1-8b": "fits", "mistral-small-24b": "fits"}


def test_a_profile_is_told_with_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *HOME, "--profile", "qwen2.5-coder-32b", "--held-mib", "1900")
    assert (code, err) == (0, "")
    assert "2048 tokens, 0.92 of the card, 256 requests at once, no CUDA graphs, vLLM 0.15.1" in out
    rows = {
        match[1].strip(): match[2].split()
        for match in re.finditer(r"^  (.+?) {2,}((?:-?[\d.]+ GiB ?\s*)+)$", out, re.MULTILINE)
    }
    assert rows["card"] == ["23.99", "GiB"]
    assert rows["budget of vLLM"] == ["22.07", "GiB"]
    assert rows["weights"] == ["18.00", "GiB", "18.18", "GiB"]
    assert rows["one request of 2048 tokens"] == ["0.50", "GiB"]
    assert rows["free when vLLM starts"] == ["22.13", "GiB"]
    assert "256 KiB" in out
    assert "\x1b" not in out


def test_the_bar_is_the_card(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, *HOME, "--profile", "qwen2.5-coder-32b")
    match = re.search(r"^  \[(.*)\]$", out, re.MULTILINE)
    assert match is not None
    assert len(match[1]) == 72
    assert re.fullmatch(r"d+w+o+\?+k+\.*", match[1])
    # 18.18 of 23.99 GiB.
    assert match[1].count("w") == pytest.approx(18.18 / 23.99 * 72, abs=1)


def test_flags_win_over_the_profile_and_what_does_not_fit_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, *HOME, "--profile", "qwen2.5-coder-32b", "--no-enforce-eager")
    assert code == 1
    assert "qwen2.5-coder-32b: does not fit" in out
    assert "Cheapest change: --enforce-eager (fits then)." in out


def test_what_is_too_close_ends_with_0_and_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *HOME, "--profile", "qwen2.5-coder-32b", "--max-model-len", "4K")
    assert code == 0
    assert "too close to call" in out
    assert "Cheapest change: --max-num-seqs 16 (fits then)." in out
    assert "'Available KV cache memory' in its log decides" in out
    assert err.startswith("warning: qwen2.5-coder-32b is too close to call: 4096 tokens need 1.00 GiB of KV cache.")


def test_a_model_that_is_known_here_needs_no_inventory(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--max-model-len", "2048", "--gpu-memory-utilization", "0.92", "--enforce-eager"]
    for name in (QWEN, "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ", str(tmp_path / "config.json")):
        values = json.loads((MODELS / f"{QWEN}.json").read_text(encoding="utf-8"))["config"]
        (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")
        code, found = as_json(capsys, "--model", name, *flags)
        assert code == 0
        assert (found["verdict"], found["lever"], found["why"]) == ("fits", None, [])
        assert (found["kv_need"], found["kv_per_token"]) == (2048 * 262144, 262144)


@pytest.mark.parametrize("indexed", [True, False])
def test_the_weights_in_a_folder_are_taken_from_its_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, indexed: bool
) -> None:
    model = folder_with(tmp_path / "model", model_type="qwen2_moe", num_experts=60)
    code, _, err = run(capsys, "--model", str(model))
    assert code == 64
    assert "mixture of experts (num_experts). Give the size of its *.safetensors files" in err
    for number in (1, 2):
        (model / f"model-{number}.safetensors").write_bytes(b"\0" * 1000)
    if indexed:
        index = {"metadata": {"total_size": 7 << 30}, "weight_map": {}}
        (model / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    code, found = as_json(capsys, "--model", str(model), "--max-model-len", "4096", "--enforce-eager")
    assert code == 0
    assert found["weights"][0] == (7 << 30 if indexed else 2000)
    assert as_json(capsys, "--model", str(model), "--weights-mib", "30000")[1]["weights"][0] == 30000 << 20


def test_a_colour_is_for_a_terminal_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    _, out, _ = run(capsys, "--model", QWEN)
    assert "\x1b[31mdoes not fit\x1b[0m" in out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run(capsys, "--model", QWEN)[1]


@pytest.mark.parametrize(("text", "tokens"), [("2048", 2048), ("2k", 2000), ("2K", 2048), ("auto", 16)])
def test_a_length_is_read_as_vllm_reads_it(capsys: pytest.CaptureFixture[str], text: str, tokens: int) -> None:
    assert as_json(capsys, "--model", QWEN, "--max-model-len", text)[1]["tokens"] == tokens


def test_auto_says_how_many_tokens_fit(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, *HOME, "--profile", "mistral-small-24b", "--max-model-len", "auto")
    assert code == 0
    assert "as many tokens as fit" in out
    assert re.search(r"longest context: +surely \d{5} tokens", out)


def test_a_larger_card_and_another_version_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    _, found = as_json(capsys, "--model", QWEN, "--card-mib", "49140", "--vllm-version", "0.33.0", "--enforce-eager")
    assert found["card"] == 49140 << 20
    assert found["budget"] == pytest.approx(0.92 * (49140 << 20), abs=1)
    assert found["verdict"] == "fits"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "nobody/nothing"], "none of the models that are known here: llama-3.1-8b-instruct"),
        (["--profile", "qwen", *HOME], "there is no profile 'qwen' among vllm_profiles; there are qwen2.5-coder-32b"),
        (["--inventory", "no/such.py"], "There is no inventory no/such.py"),
        (["--model", QWEN, "--gpu-memory-utilization", "92"], "over 0 and up to 1, not 92"),
        (["--model", QWEN, "--max-model-len", "1000000"], "more than the 32768 tokens that this model can"),
        (["--model", QWEN, "--held-mib", "-5"], "held is none"),
    ],
)
def test_what_cannot_be_told_ends_with_64_and_a_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (64, "")
    assert sentence in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model", QWEN, "--profile", "qwen2.5-coder-32b"],
        ["--model", QWEN, "--max-model-len", "many"],
        ["--model", QWEN, "--max-model-len", "K"],
        ["--model", QWEN, "--max-num-seqs", "1.5"],
    ],
)
def test_a_wrong_command_ends_with_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["vram", *arguments])
    assert ended.value.code == 64
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "sentence"),
    [("{", "config.json: This config.json is no JSON"), ("{}", "config.json: This config.json has no model_type")],
)
def test_a_broken_config_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, config: str, sentence: str
) -> None:
    code, _, err = run(capsys, "--model", str(tmp_path))
    assert (code, err) == (64, f"There is no {tmp_path / 'config.json'}.\n")
    (tmp_path / "config.json").write_text(config, encoding="utf-8")
    code, _, err = run(capsys, "--model", str(tmp_path))
    assert code == 64
    assert sentence in err


def test_a_profile_with_an_unknown_model_says_how_it_can_be_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    where = project(tmp_path, '{"mine": {"model": "me/mine", "port": 1}}')
    code, _, err = run(capsys, *where)
    assert code == 64
    assert "The config.json of me/mine, which mine serves, is not known here" in err
    assert "python -m vengeance vram --model FOLDER" in err


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ('"flags": {"cpu-offload-gb": 4.0}', "What --cpu-offload-gb of mine does to the memory is not known here"),
        ('"pipeline_parallel_size": 2', "mine spreads its layers over several cards"),
    ],
)
def test_a_profile_whose_memory_is_not_known_here_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, flags: str, sentence: str
) -> None:
    where = project(tmp_path, f'{{"mine": {{"model": "{QWEN}", "port": 1, {flags}}}}}')
    code, _, err = run(capsys, *where)
    assert code == 64
    assert sentence in err


def test_flags_and_variables_of_a_profile_count(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    profile = (
        f'{{"mine": {{"model": "{QWEN}", "port": 1, "max_model_len": 2048, "flags": {{"kv_cache_dtype": "fp8"}}, '
        '"variables": {"VLLM_USE_FLASHINFER_SAMPLER": "1"}}}'
    )
    _, found = as_json(capsys, *project(tmp_path, profile))
    assert found["kv_per_token"] == 128 * 1024
    _, native = as_json(capsys, "--model", QWEN, "--max-model-len", "2048")
    assert found["activations"][0] < native["activations"][0]
    assert found["activations"][1] == native["activations"][1]


@pytest.mark.parametrize(
    ("inventory", "sentence"),
    [("wsl = [", "cannot be read"), ('windows = ["@winrm/box"]', "has no host with vllm_profiles")],
)
def test_an_inventory_that_will_not_do_is_told_in_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, inventory: str, sentence: str
) -> None:
    code, _, err = run(capsys, *project(tmp_path, "{}", inventory))
    assert code == 64
    assert sentence in err
