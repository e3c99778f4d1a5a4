"""What ``python -m vengeance mode show`` prints of a box, whole or not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.unit.test_modes import BATCH, IDLE, LOADED, PROFILE
from tests.unit.test_settings import DATA
from vengeance.cli.mode import Found, as_json, report
from vengeance.facts.ollama import LoadedModel

WINDOWS = {**DATA["all"], **DATA["windows"]}
DISTRO = {**DATA["all"], **DATA["wsl"]}
MIB = 2**20


def model(mib: int, on_card: int, expires_at: str = "2026-02-09T08:17:44.123456789+01:00") -> LoadedModel:
    return {"size": mib * MIB, "size_vram": on_card * MIB, "expires_at": expires_at, "context_length": 4096}


HERE = Found("@winrm/vengeance", IDLE, {}, WINDOWS, DISTRO)


def text(found: Found) -> str:
    return "\n".join(report(found))


def test_a_box_at_rest_is_in_two_modes_and_says_what_the_third_would_take() -> None:
    lines = text(HERE)
    assert lines.startswith("@winrm/vengeance is in mode interactive, and in images as well.")
    assert "Ollama  answers, and has no model in memory" in lines
    assert "vLLM    does not run; there are the profiles llama-3.1-8b, qwen2.5-coder-32b" in lines
    assert f"batch        would start the vLLM server {PROFILE}; wait until it answers" in lines


@pytest.mark.parametrize(
    ("expires_at", "leaves"),
    [
        ("2026-02-09T08:17:44.123456789+01:00", "leaves at 08:17:44 (UTC+01:00)"),
        ("2026-02-09T07:17:44Z", "leaves at 07:17:44 (UTC)"),
        ("2318-05-21T09:10:11.9+02:00", "stays"),
        ("soon", "leaves at soon"),
    ],
)
def test_a_loaded_model_is_told_with_its_size_and_when_it_leaves(expires_at: str, leaves: str) -> None:
    found = replace(HERE, seen=LOADED, loaded={"qwen2.5:32b": model(19100, 19100, expires_at)})
    assert f"Ollama  qwen2.5:32b: 19,100 MiB, on the card, {leaves}" in text(found)
    assert "llama-server.exe (4120): qwen2.5:32b 19,100 MiB" in text(found)


def test_how_much_of_a_model_is_on_the_card_is_told() -> None:
    found = replace(HERE, loaded={"a:1": model(47000, 20000), "b:1": model(2000, 0)})
    assert "a:1: 47,000 MiB, 20,000 on the card, " in text(found)
    assert "b:1: 2,000 MiB, none of it on the card, " in text(found)


def test_batch_is_told_with_the_model_and_the_port() -> None:
    lines = text(replace(HERE, seen=BATCH))
    assert lines.startswith("@winrm/vengeance is in mode batch.\n")
    assert f"vLLM    {PROFILE}: Qwen/Qwen2.5-Coder-32B-Instruct-AWQ on port 8080, active, answers" in lines
    assert f"vmmemWSL (380): vLLM with {PROFILE}" in lines
    assert f"interactive  would stop the vLLM server {PROFILE}; wait until" in lines


def test_what_is_missing_of_a_box_is_told_and_no_failure() -> None:
    bare = replace(HERE, seen=replace(IDLE, card=None, models=None, servers=None), loaded=None)
    lines = text(bare)
    assert "is in mode interactive, but not quite." in lines
    assert lines.count("The driver shows no NVIDIA card: run nvidia-smi") == 1
    assert "The driver shows no NVIDIA card" in text(replace(HERE, seen=replace(BATCH, card=None)))
    assert "Ollama  does not answer" in lines
    assert "vLLM    does not run: the distro does not" in lines
    assert "batch        is refused: The driver shows no NVIDIA card" in lines
    assert "is not to be had: the inventory has no distro" in text(replace(bare, inside={}))
    assert "vLLM    is not installed" in text(replace(HERE, seen=replace(IDLE, servers=())))


@pytest.mark.parametrize("seen", [IDLE, LOADED, BATCH, replace(IDLE, card=None, models=None, servers=None)])
def test_the_same_is_to_be_had_as_json(seen: object) -> None:
    found = replace(HERE, seen=seen)  # type: ignore[arg-type]
    shown = json.loads(json.dumps(as_json(found)))
    assert shown["box"] == "@winrm/vengeance"
    assert shown["mode"] == ("batch" if seen is BATCH else "interactive")
    if seen is BATCH:
        assert [one["mib"] for one in shown["servers"]] == [0, 22598]
        assert shown["card"] == {
            "name": "NVIDIA GeForce RTX 4090",
            "total": 24564,
            "used": 24498,
            "free": 66,
            "unnamed": 900,
        }
