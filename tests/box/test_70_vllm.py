"""Acceptance: vLLM, with the six sentences that the box was validated with, and how fast it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from testinfra.host import Host

from tests.box.conftest import Measure
from vengeance.verify.modules.vllm import Vllm

_PROMPT = "Write a Python function to check if a number is prime."
_ADDED = re.compile(r"^torch==([\w.]+)", re.MULTILINE)


class Answered(NamedTuple):
    """A chat: what came, and tokens and seconds that the server's own counters went up by, where it has them."""

    answer: dict[str, Any]
    tokens: float
    seconds: float


@pytest.fixture(scope="module")
def server(vllm_runs: Vllm) -> Vllm:
    """The server, which answers."""
    return vllm_runs


@pytest.fixture(scope="module")
def answered(server: Vllm) -> Answered:
    """The prompt about prime numbers; left out where the server computes nothing."""
    if not server.computes:
        pytest.skip(
            "this twin's vLLM is a stand-in that computes nothing; VENGEANCE_TWIN_VLLM=real makes it a real one"
        )
    before = server.counted
    sent = {"model": next(iter(server.served)), "messages": [{"role": "user", "content": _PROMPT}], "max_tokens": 256}
    answer = server.post("/v1/chat/completions", sent)
    assert answer.status == 200, f"it answers {answer}"
    after = server.counted
    return Answered(answer.json, after[0] - before[0], after[1] - before[1])


def journal(linux: Host, vllm: Vllm) -> str:
    """What the server has said since it was started last."""
    since = "$(systemctl show --property InvocationID --value %s)" % vllm.unit  # noqa: UP031
    return str(linux.check_output(f'journalctl --no-pager -o cat _SYSTEMD_INVOCATION_ID="{since}"'))


def test_the_card_is_detected_in_the_distro(linux: Host, windows: Host) -> None:
    """The card is detected via CUDA passthrough in WSL2."""
    assert linux.gpu.name == windows.gpu.name
    assert linux.gpu.total_mib == windows.gpu.total_mib


def test_vllm_is_installed_with_the_declared_pytorch(
    linux: Host, settings: dict[str, Any], inventory_file: Path, measure: Measure
) -> None:
    """vLLM is installed in the declared version, with its PyTorch."""
    packages = linux.pip.get_packages(pip_path=f"{settings['vllm_path']}/bin/pip")
    measure("vLLM", packages["vllm"]["version"])
    measure("PyTorch", packages["torch"]["version"])
    assert packages["vllm"]["version"].split("+")[0] == settings["vllm_version"]
    if settings["vllm_lock"] is not None:
        lock = (inventory_file.parent.parent / settings["vllm_lock"]).read_text(encoding="utf-8")
        declared = _ADDED.search(lock)
        assert declared is not None, f"{settings['vllm_lock']} has no torch"
        assert packages["torch"]["version"].split("+")[0] == declared[1]


def test_the_model_is_loaded(
    server: Vllm, linux: Host, windows: Host, profile: dict[str, Any], measure: Measure
) -> None:
    """The model of the chosen profile is loaded, with the declared length."""
    served = server.served
    name = profile.get("served_model_name") or profile["model"]
    assert name in served, f"{server.unit} serves {', '.join(served)}"
    if profile.get("max_model_len"):
        assert served[name] == profile["max_model_len"]
    measure("VRAM with vLLM", f"{windows.gpu.used_mib} MiB")
    told = re.search(r"Model loading took ([\d.]+ GiB)", journal(linux, server))
    if told is not None:
        measure("Weights of vLLM's model", told[1])


def test_the_server_answers_in_both(server: Vllm, windows: Host, linux: Host) -> None:
    """The server responds on http://localhost from both WSL2 and Windows."""
    for place, host in (("the distro", linux), ("Windows", windows)):
        answer = host.http.get(f"http://localhost:{server.port}/health")
        assert answer.status == 200, f"in {place}: {answer}"


def test_chat_completions_are_structured(answered: Answered) -> None:
    """The chat completions endpoint returns correct structured responses."""
    assert answered.answer["object"] == "chat.completion"
    (choice,) = answered.answer["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"].strip()
    assert choice["finish_reason"] in ("stop", "length")


def test_a_coding_prompt_gets_an_answer_of_many_tokens(
    answered: Answered, settings: dict[str, Any], measure: Measure
) -> None:
    """A coding prompt (prime numbers) gets an answer of many tokens."""
    made = answered.answer["usage"]["completion_tokens"]
    measure("Tokens of the answer about prime numbers", made)
    # The model of a twin knows one sentence.
    assert made >= (5 if settings["vllm_device"] == "cpu" else 50)


def test_the_servers_key_is_asked_for(server: Vllm, linux: Host, api_key: str | None) -> None:
    """Whoever has no key is refused."""
    if api_key is None:
        pytest.skip("no key is declared")
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert linux.http.get(f"{server.url}/v1/models", headers).status == 401


@pytest.mark.advice
def test_vllm_is_fast_enough(answered: Answered, settings: dict[str, Any], measure: Measure) -> None:
    """vLLM makes tokens at least as fast as declared (vllm_lowest_tokens_per_second)."""
    if answered.seconds <= 0:
        pytest.skip("the server's counters did not move")
    rate = answered.tokens / answered.seconds
    measure(f"vLLM, {settings['vllm_profile']}", f"{rate:.0f} tokens/s")
    lowest = settings["vllm_lowest_tokens_per_second"]
    assert rate >= lowest, f"it makes {rate:.0f} tokens/s, and {lowest} are declared as the lowest"
