"""Acceptance: the success criteria of the design with WSL2."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from testinfra.host import Host

from tests.box.conftest import Measure
from tests.box.elsewhere import Elsewhere
from tests.box.test_70_vllm import journal
from tests.waiting import until
from vengeance.verify.modules.vllm import Vllm

_CUDA_ERRORS = re.compile(r"CUDA error|CUDA out of memory|OutOfMemoryError|NVMLError|No CUDA GPUs|EngineCore failed")
_MANY_TOKENS = 400


@pytest.fixture(scope="module")
def server(vllm_runs: Vllm) -> Vllm:
    """The server, which answers."""
    return vllm_runs


def completion(server: Vllm, tokens: int) -> dict[str, Any]:
    """What is sent for a completion of so many tokens."""
    return {"model": next(iter(server.served)), "prompt": "def is_prime(n):", "max_tokens": tokens, "ignore_eos": True}


def test_nvidia_smi_shows_the_card_in_wsl2(linux: Host, declared: dict[str, Any]) -> None:
    """nvidia-smi shows the declared card in WSL2."""
    assert linux.gpu.is_there
    assert declared["gpu_name"] in linux.gpu.name


def test_vllm_starts_without_cuda_errors(server: Vllm, linux: Host, measure: Measure) -> None:
    """vLLM starts without CUDA errors, and at its first attempt."""
    said = journal(linux, server)
    assert _CUDA_ERRORS.findall(said) == []
    restarts = int(linux.check_output("systemctl show --property NRestarts --value %s", server.unit))
    measure("Restarts of vLLM", restarts)
    assert restarts == 0


def test_a_local_curl_gets_a_valid_response(server: Vllm) -> None:
    """Local curl returns a valid response."""
    answer = server.get("/v1/models")
    assert answer.status == 200, str(answer)
    assert answer.json["object"] == "list"
    assert answer.json["data"]


def test_a_remote_curl_works(server: Vllm, elsewhere: Elsewhere, declared: dict[str, Any], api_key: str | None) -> None:
    """Remote curl from another machine works via Tailscale."""
    if declared["expose"] == "none" or server.port not in declared["exposed_ports"]:
        pytest.skip(f"port {server.port} is not exposed (expose, exposed_ports)")
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    models = elsewhere.get(server.port, "/v1/models", headers)
    assert models.status == 200, str(models)
    assert [one["id"] for one in models.json["data"]] == list(server.served)
    answer = elsewhere.post(server.port, "/v1/completions", completion(server, 8), headers)
    if answer.status != 501:
        # 501 is what the twin's stand-in says of itself.
        assert answer.json["choices"][0]["text"]


def test_gpu_utilization_shows_during_inference(
    server: Vllm, linux: Host, elsewhere: Elsewhere, settings: dict[str, Any], api_key: str | None, measure: Measure
) -> None:
    """GPU utilization is visible during inference."""
    if settings["vllm_device"] != "cuda" or not server.computes:
        pytest.skip("this twin's vLLM computes nothing on a card")
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(elsewhere.post, server.port, "/v1/completions", completion(server, _MANY_TOKENS), headers)
        seen: list[int] = []

        def look() -> bool:
            seen.append(linux.gpu.utilization)
            return max(seen) > 0 or answer.done()

        until(look, 60, every=0.2)
        assert answer.result().status == 200, str(answer.result())
    measure("GPU utilization during inference", f"{max(seen)} %")
    assert max(seen) > 0
