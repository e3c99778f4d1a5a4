"""Acceptance: Ollama, with the seven sentences that the box was validated with, and how fast it is."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest
from testinfra.host import Host

from tests.box.conftest import Measure, unload
from tests.box.elsewhere import Elsewhere
from tests.waiting import until
from vengeance.verify.modules.ollama import Ollama

# What a runner leaves behind for some moments, and what a desktop takes meanwhile.
_SLACK_MIB = 400
_LEAVES_SECONDS = 60.0


class Asked(NamedTuple):
    """A question to a model that was not in memory: MiB of the card before, with it and after, the answer, the times.

    ``free_mib``: what was free of the card before; ``part_on_card``: of the model, 0 to 1
    ``stays``: how long the server said that the model would stay; ``left``: whether it went after a second of idleness
    """

    before_mib: int
    with_mib: int
    after_mib: int
    free_mib: int
    part_on_card: float
    answer: dict[str, Any]
    seconds: float
    stays: timedelta
    left: bool


@pytest.fixture(scope="module")
def asked(ollama_has_card: Ollama, windows: Host, small_model: str) -> Asked:
    """The smallest model is asked, has to be loaded for it, and leaves again a second after its last answer."""
    ollama, gpu = ollama_has_card, windows.gpu
    unload(ollama)
    before, free = gpu.used_mib, gpu.free_mib
    question = {"model": small_model, "prompt": "Why is the sky blue?", "stream": False, "options": {"num_predict": 64}}
    began = time.monotonic()
    answer = ollama.post("/api/generate", question)
    assert answer.status == 200, f"Ollama answers {answer}"
    seconds = time.monotonic() - began
    model, now = ollama.model(small_model), datetime.now(timezone.utc)
    assert model.expires_at is not None, f"{small_model} has answered and is not in memory"
    with_model = gpu.used_mib
    ollama.post("/api/generate", {**question, "options": {"num_predict": 1}, "keep_alive": "1s"})
    left = until(lambda: not ollama.loaded, _LEAVES_SECONDS, every=0.25)
    until(lambda: gpu.used_mib <= before + _SLACK_MIB, _LEAVES_SECONDS, every=0.25)
    return Asked(
        before, with_model, gpu.used_mib, free, model.part_on_card, answer.json, seconds, model.expires_at - now, left
    )


def test_ollama_runs_on_native_windows(
    windows: Host, ollama: Ollama, declared: dict[str, Any], measure: Measure
) -> None:
    """Ollama runs on native Windows, in the declared version."""
    measure("Ollama", ollama.version)
    assert ollama.version == declared["ollama_version"]
    serving = {one.pid for one in windows.socket(f"tcp://{declared['ollama_port']}").listeners}
    assert serving & {one.pid for one in windows.process.filter(image="ollama.exe")}, "another program has its port"


def test_the_card_is_detected(windows: Host, declared: dict[str, Any], measure: Measure) -> None:
    """The declared card is detected, with its whole memory."""
    gpu = windows.gpu
    measure("Card", gpu.name)
    measure("NVIDIA driver", gpu.driver_version)
    measure("CUDA of the driver", gpu.cuda_version)
    measure("VRAM", f"{gpu.total_mib} MiB")
    assert declared["gpu_name"] in gpu.name
    if "4090" in declared["gpu_name"]:
        assert gpu.total_mib == 24564


def test_keep_alive_works(asked: Asked, declared: dict[str, Any], measure: Measure) -> None:
    """OLLAMA_KEEP_ALIVE works: a model says when it expires, and that is as long as declared."""
    wanted = {**declared["ollama_machine_variables"], **declared["ollama_user_variables"]}.get(
        "OLLAMA_KEEP_ALIVE", "5m"
    )
    measure("A model stays for", f"{asked.stays.total_seconds():.0f} s")
    if wanted != "5m":
        pytest.skip(f"OLLAMA_KEEP_ALIVE is {wanted} here, and this sentence knows 5m")
    # A clock of the box that is some seconds off is not Ollama's fault.
    assert timedelta(minutes=4) < asked.stays < timedelta(minutes=6)


def test_models_load_on_demand_and_unload_after_the_idle_timeout(asked: Asked, measure: Measure) -> None:
    measure("First answer, the model loaded for it", f"{asked.seconds:.1f} s")
    assert asked.answer["response"]
    assert asked.part_on_card > 0, "it was loaded into main memory, and not onto the card"
    assert asked.left, f"it is still in memory {_LEAVES_SECONDS:g} s after its second of idleness"


def test_the_openai_api_answers(ollama_has_card: Ollama, small_model: str) -> None:
    """The OpenAI-compatible API responds correctly."""
    sent = {"model": small_model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16}
    answer = ollama_has_card.post("/v1/chat/completions", sent)
    assert answer.status == 200, f"it answers {answer}"
    assert answer.json["object"] == "chat.completion"
    message = answer.json["choices"][0]["message"]
    assert message["role"] == "assistant"
    assert message["content"].strip()
    assert answer.json["usage"]["completion_tokens"] > 0


def test_ollama_is_reached_from_another_machine(elsewhere: Elsewhere, ollama: Ollama, declared: dict[str, Any]) -> None:
    """Ollama is accessible from the cluster via Tailscale."""
    answer = elsewhere.get(declared["ollama_port"], "/api/version")
    assert answer.status == 200, str(answer)
    assert answer.json["version"] == ollama.version


def test_vram_returns_after_the_model_has_left(asked: Asked, measure: Measure) -> None:
    """VRAM returns to what it was after a model has left."""
    measure("VRAM idle", f"{asked.before_mib} MiB")
    measure("VRAM with Ollama's smallest model", f"{asked.with_mib} MiB")
    assert asked.with_mib > asked.before_mib, "the model took no memory of the card"
    assert asked.after_mib <= asked.before_mib + _SLACK_MIB


def test_every_declared_model_is_there(ollama: Ollama, declared: dict[str, Any]) -> None:
    """Every declared model is there, and those that are pinned are the pinned ones."""
    there = ollama.models
    for wanted in declared["ollama_models"]:
        name = wanted["name"]
        assert name in there, f"{name} has not been pulled; there are {', '.join(there)}"
        if wanted.get("digest"):
            assert there[name].digest == str(wanted["digest"]).removeprefix("sha256:"), f"{name} is another one"


@pytest.mark.advice
def test_a_model_is_loaded_whole(asked: Asked, small_model: str) -> None:
    """Ollama's smallest model is on the card alone, and not partly on the processor."""
    assert asked.part_on_card == 1, (
        f"{asked.part_on_card:.0%} of {small_model} are on the card: {asked.free_mib} MiB were free. "
        "python -m vengeance mode says who has it"
    )


@pytest.mark.advice
def test_ollama_is_fast_enough(asked: Asked, declared: dict[str, Any], small_model: str, measure: Measure) -> None:
    """Ollama makes tokens at least as fast as declared (ollama_lowest_tokens_per_second)."""
    # Its own counters, in nanoseconds: https://docs.ollama.com/api/usage
    rate = asked.answer["eval_count"] / asked.answer["eval_duration"] * 1e9
    measure(f"Ollama, {small_model}", f"{rate:.0f} tokens/s")
    lowest = declared["ollama_lowest_tokens_per_second"]
    assert rate >= lowest, f"{small_model} makes {rate:.0f} tokens/s, and {lowest} are declared as the lowest"
