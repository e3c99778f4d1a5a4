"""A profile that cannot fit on the card stops the deploy before anything of it; the fact is run on real files."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.command import FunctionCommand
from pyinfra.api.exceptions import FactProcessError, OperationValueError
from pyinfra.api.state import StateStage

from tests.unit.operation_runs import Run, run_operation
from vengeance.box import model_config
from vengeance.facts.cuda import Passthrough
from vengeance.facts.vllm import ModelFiles, ModelFilesState
from vengeance.operations import vllm

MODELS = Path(model_config.__file__).parent / "models"
QWEN: dict[str, Any] = {
    "model": "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ",
    "quantization": "awq_marlin",
    "port": 8080,
    "gpu_memory_utilization": 0.92,
    "max_model_len": 2048,
    "enforce_eager": True,
}
HF_HOME = "/home/steam/.cache/huggingface"


def seen(mib: int = 24564, used: int = 1893, count: int = 1) -> dict[str, Any]:
    """What the distro sees of the card."""
    card = {
        "name": "NVIDIA GeForce RTX 4090",
        "driver_version": "591.86",
        "memory_mib": mib,
        "memory_used_mib": used,
    }
    return {"cards": [card] * count}


def config_of(name: str, **changed: Any) -> str:
    values = json.loads((MODELS / f"{name}.json").read_text(encoding="utf-8"))["config"]
    return json.dumps({**values, **changed})


def fits(
    settings: dict[str, Any],
    card: Any = None,
    files: ModelFilesState | None = None,
    stage: StateStage = StateStage.Execute,
    **others: Any,
) -> Run:
    facts = {Passthrough: card or seen(), ModelFiles: files}
    return run_operation(
        vllm.fits, facts, stage, profile="mine", settings=settings, hf_home=HF_HOME, version="0.15.1", **others
    )


def refusal(run: Run) -> str:
    (command,) = run.commands
    assert isinstance(command, FunctionCommand)
    (sentence,) = command.args
    return str(sentence)


def test_the_profile_that_was_proved_fits_and_changes_nothing() -> None:
    run = fits(QWEN)
    assert (run.commands, run.logged) == ([], [])
    (noop,) = run.noops
    assert "18.00 to 18.18 GiB of weights, 0.50 GiB of KV cache needed" in noop
    assert noop.endswith("fits")


@pytest.mark.parametrize(
    ("changed", "card", "words"),
    [
        ({"enforce_eager": False}, seen(), ["CUDA graphs take 0.44", '"enforce_eager": True (fits then)']),
        (
            {"gpu_memory_utilization": 0.85, "max_model_len": 4096},
            seen(),
            ["4096 tokens need 1.00 GiB", '"max_num_seqs": 16, "gpu_memory_utilization": 0.92'],
        ),
        ({"gpu_memory_utilization": 0.95}, seen(), ["is free. Windows may hold 1.20 GiB of the 23.99 GiB"]),
        ({}, seen(mib=16376), ["RTX 4090, 16376 MiB", "No setting of vLLM changes that"]),
    ],
)
def test_a_profile_that_cannot_fit_is_refused_with_the_numbers_and_what_mends_it(
    changed: dict[str, Any], card: Any, words: list[str]
) -> None:
    run = fits({**QWEN, **changed}, card)
    sentence = refusal(run)
    assert sentence.startswith("mine does not fit on the card of somewhere (NVIDIA GeForce RTX 4090, ")
    assert all(each in sentence for each in words), sentence
    assert run.noops == []


def test_a_plan_says_it_too() -> None:
    run = fits({**QWEN, "enforce_eager": False}, stage=StateStage.Prepare)
    assert run.logged == [refusal(run)]


def test_what_is_too_close_to_call_is_warned_of_and_goes_on() -> None:
    run = fits({**QWEN, "max_model_len": 4096})
    assert run.commands == []
    (warning,) = run.logged
    assert "mine fits is too close to call on the card of somewhere" in warning
    assert "4096 tokens need 1.00 GiB of KV cache" in warning
    assert '"max_num_seqs": 16 (fits then)' in warning
    assert len(run.noops) == 1


@pytest.mark.parametrize("used", [1893, 600, 21000])
def test_a_model_that_ollama_holds_now_is_not_in_the_way(used: int) -> None:
    assert fits(QWEN, seen(used=used)).commands == []
    assert fits(QWEN, seen(used=used)).logged == []


def test_the_downloaded_models_own_files_count() -> None:
    longer = config_of("qwen2.5-coder-32b-instruct-awq", num_hidden_layers=96)
    assert "27.0" in refusal(fits(QWEN, files={"config": longer, "weights": 29 * 10**9}))
    unknown = {**QWEN, "model": "me/mine"}
    llama: ModelFilesState = {"config": config_of("llama-3.1-8b-instruct"), "weights": None}
    assert fits({**unknown, "quantization": None}, files=llama).noops[0].endswith("fits")


def test_a_broken_config_is_said_and_the_one_known_here_is_taken() -> None:
    run = fits(QWEN, files={"config": "{", "weights": None})
    assert "is no JSON" in run.logged[0]
    assert run.noops[0].endswith("fits")


def test_what_cannot_be_judged_is_said_and_goes_on() -> None:
    run = fits({**QWEN, "model": "me/mine"})
    assert (run.commands, run.logged) == ([], [])
    assert "cannot be told before me/mine is downloaded" in run.noops[0]
    moe: ModelFilesState = {"config": config_of("llama-3.1-8b-instruct", num_experts=8), "weights": None}
    run = fits({**QWEN, "model": "me/mine"}, files=moe)
    assert run.commands == []
    assert "cannot be told: The weights of this model cannot be counted" in run.logged[0]
    run = fits({**QWEN, "flags": {"cpu-offload-gb": 4.0}})
    assert "What --cpu-offload-gb of mine does to the memory is not known here" in run.logged[0]


@pytest.mark.parametrize("card", [{"cards": []}, None])
def test_without_a_card_it_is_said_that_nobody_looked(card: Any) -> None:
    run = run_operation(vllm.fits, {Passthrough: card}, profile="mine", settings=QWEN, hf_home=HF_HOME)
    assert run.commands == []
    assert "somewhere shows no card yet" in run.noops[0]


def test_a_server_on_the_processor_takes_nothing_of_the_card() -> None:
    run = fits({**QWEN, "enforce_eager": False}, device="cpu")
    assert run.commands == []
    assert "computes on the processor" in run.noops[0]


def test_more_cards_than_there_are_cannot_hold_it() -> None:
    sentence = refusal(fits({**QWEN, "tensor_parallel_size": 2}))
    assert "mine is spread over 2 cards (tensor_parallel_size), and somewhere has 1" in sentence
    assert fits({**QWEN, "tensor_parallel_size": 2}, seen(count=2)).commands == []


def test_a_wrong_profile_ends_the_run() -> None:
    with pytest.raises(OperationValueError, match="mine has no field max_model_length"):
        fits({**QWEN, "max_model_length": 2048})


# --- The fact ---------------------------------------------------------------------------------------------------------


def asked(model: str, hf_home: Path, revision: str | None = None) -> ModelFilesState | None:
    command = ModelFiles().command(model=model, hf_home=str(hf_home), revision=revision).get_raw_value()
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return ModelFiles().process(done.stdout.splitlines())


def downloaded(hf_home: Path, commit: str = "1ed0a614", branch: str = "main") -> Path:
    repository = hf_home / "hub" / "models--me--mine"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / branch).write_text(commit, encoding="utf-8")
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(f'{{"model_type": "{commit}", "x": "ü\'$"}}\n', encoding="utf-8")
    return snapshot


def test_the_files_of_a_model_in_the_cache_are_read(tmp_path: Path) -> None:
    home = tmp_path / "a home"
    assert asked("me/mine", home) is None
    snapshot = downloaded(home)
    assert asked("me/mine", home) == {"config": '{"model_type": "1ed0a614", "x": "ü\'$"}\n', "weights": None}
    # As a link, for that is what the cache has.
    (home / "blob").write_bytes(b"\0" * 4321)
    (snapshot / "model.safetensors").symlink_to(home / "blob")
    found = asked("me/mine", home)
    assert found is not None
    assert found["weights"] == 4321


def test_the_size_of_all_weights_is_that_of_the_index_also_when_some_are_missing(tmp_path: Path) -> None:
    snapshot = downloaded(tmp_path)
    index = {"metadata": {"total_size": 19327300608}, "weight_map": {"a": "model-00001-of-00005.safetensors"}}
    (snapshot / "model-00001-of-00005.safetensors").write_bytes(b"\0")
    for indent in (None, 2):
        (snapshot / "model.safetensors.index.json").write_text(json.dumps(index, indent=indent), encoding="utf-8")
        found = asked("me/mine", tmp_path)
        assert found is not None
        assert found["weights"] == 19327300608
    (snapshot / "model.safetensors.index.json").write_text("{}", encoding="utf-8")
    found = asked("me/mine", tmp_path)
    assert found is not None
    assert found["weights"] is None


def test_a_revision_is_a_branch_or_a_commit(tmp_path: Path) -> None:
    downloaded(tmp_path, "c0ffee", "main")
    downloaded(tmp_path, "beef", "other")
    for revision, commit in ((None, "c0ffee"), ("other", "beef"), ("beef", "beef")):
        found = asked("me/mine", tmp_path, revision)
        assert found is not None
        assert json.loads(found["config"])["model_type"] == commit
    assert asked("me/mine", tmp_path, "none") is None


def test_a_model_in_a_folder_of_the_distro_is_read_there(tmp_path: Path) -> None:
    snapshot = downloaded(tmp_path)
    found = asked(str(snapshot), tmp_path / "elsewhere")
    assert found is not None
    assert "1ed0a614" in found["config"]


@pytest.mark.parametrize("junk", [[], ["config e30="], ["config !", "end"], ["weights much", "end"], ["?", "end"]])
def test_an_answer_that_is_none_is_refused(junk: list[str]) -> None:
    with pytest.raises(FactProcessError):
        ModelFiles().process(junk)
