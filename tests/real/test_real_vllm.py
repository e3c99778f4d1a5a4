"""A real vLLM on the twin, from a bare Windows to a completion on another machine; read past all that the deploy wrote.

The tests stand in the order in which a person would do these things, and each leaves the box as the next expects it.
Those that have the server start once more, half a minute each, are for ``make test-full``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bare.conftest import changes, tail
from tests.real.conftest import KEY, NAME, Elsewhere, mode
from tests.twin_deploys import ROOT, TWIN, Deploy, Finished, twin_environment
from tests.waiting import eventually
from vengeance.twin import tiny_model, vllm_cpu
from vengeance.twin.client import Twin

# A deploy of all from bare, with an installation of 2.5 GB.
pytestmark = pytest.mark.timeout(1200)

UNIT = "vllm-tiny.service"
SENTENCE = tiny_model.SENTENCE
STARTS = 400
"""Seconds that a start may take here; half a minute where nothing else runs."""


@pytest.fixture(scope="module")
def first(real_twin: Twin, deploy: Deploy) -> Finished:
    """The one command, on a bare box."""
    real_twin.reset(bare=True)
    finished = deploy(timeout=1000)
    assert finished.returncode == 0, tail(finished)
    return finished


def systemd(twin: Twin, what: str) -> str:
    """One property of the server's unit, as systemd has it."""
    return twin.distro_exec(["systemctl", "show", "-P", what, UNIT]).stdout.decode().strip()


def engines(twin: Twin) -> list[str]:
    """The processes of engines in the distro, whatever started them."""
    return twin.distro_exec(["pgrep", "-f", "^VLLM::EngineCore"]).stdout.decode().split()


def held(twin: Twin) -> int:
    """MiB of the card that programs in the distro have."""
    return sum(one["mib"] for one in twin.card()["holders"] if one["image"] == "python3")


def profiles(**changed: object) -> list[str]:
    """Arguments of pyinfra by which the profile of the tiny model is another one."""
    return ["--data", "vllm_profiles=" + json.dumps({"tiny": {**vllm_cpu.profile(), **changed}})]


def test_the_whole_deploy_from_bare_ends_with_a_completion_fetched_from_another_machine_of_the_tailnet(
    first: Finished, tailnet: Elsewhere
) -> None:
    assert tailnet.says("Who are you?") == SENTENCE
    # The deploy itself has fetched one too, and shows it.
    assert SENTENCE in first.stdout + first.stderr


def test_it_is_vllm_itself_that_serves_with_the_length_that_the_profile_says(
    first: Finished, tailnet: Elsewhere
) -> None:
    (model,) = tailnet.get("/v1/models", key=KEY).json["data"]
    assert (model["id"], model["max_model_len"], model["owned_by"]) == ("tiny", tiny_model.CONTEXT, "vllm")
    assert tailnet.get("/version").json["version"].startswith(vllm_cpu.VERSION)


def test_a_completion_is_cut_where_it_is_asked_to_be_and_the_metrics_count_its_tokens(
    first: Finished, tailnet: Elsewhere
) -> None:
    def generated() -> float:
        (line,) = re.findall(r"^vllm:generation_tokens_total\{.*\} (\S+)$", tailnet.get("/metrics").body, re.MULTILINE)
        return float(line)

    before = generated()
    asked = {"model": "tiny", "prompt": "def is_prime(n):", "max_tokens": 4}
    (choice,) = tailnet.get("/v1/completions", key=KEY, asked=asked).json["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("Hello from the tiny", "length")
    assert generated() == before + 4


def test_without_the_key_nothing_is_answered_but_the_health(first: Finished, tailnet: Elsewhere) -> None:
    asked = {"model": "tiny", "prompt": "?"}
    for key in (None, "another key"):
        assert tailnet.get("/v1/models", key=key).status == 401
        assert tailnet.get("/v1/completions", key=key, asked=asked).status == 401
    assert tailnet.get("/health").status == 200


def test_ollama_answers_the_tailnet_too(first: Finished, tailnet: Elsewhere) -> None:
    assert tailnet.get("/api/version", port=11434).status == 200


@pytest.mark.parametrize("place", ["lan", "stranger"])
@pytest.mark.parametrize("port", [8080, 11434])
def test_who_is_not_of_the_tailnet_reaches_neither_server(
    first: Finished, real_twin: Twin, place: str, port: int
) -> None:
    assert Elsewhere(real_twin, place).get("/", port=port).status == 0


def test_the_engine_holds_its_part_of_the_card(first: Finished, real_twin: Twin) -> None:
    assert held(real_twin) == int(real_twin.card()["total_mib"] * 0.5)


def test_the_server_runs_in_its_sandbox_and_the_key_is_on_no_command_line(first: Finished, real_twin: Twin) -> None:
    assert systemd(real_twin, "NoNewPrivileges") == "yes"
    assert systemd(real_twin, "ProtectSystem") == "strict"
    lines = real_twin.distro_exec(["ps", "-eo", "args"]).stdout.decode()
    assert "vllm serve" in lines
    assert KEY not in lines


def test_the_second_run_changes_nothing(first: Finished, deploy: Deploy, real_twin: Twin) -> None:
    server = systemd(real_twin, "MainPID")
    finished = deploy()
    assert finished.returncode == 0, tail(finished)
    assert changes(finished) == 0, tail(finished)
    assert systemd(real_twin, "MainPID") == server


@pytest.mark.full
def test_the_acceptance_list_holds_of_it_and_measures_how_fast_it_is(
    first: Finished, real_twin: Twin, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "vengeance",
        "verify",
        "--inventory",
        str(TWIN),
        "--json",
        "--report",
        str(tmp_path),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=twin_environment(NAME, "real"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    found = json.loads(done.stdout)
    assert done.returncode in (0, 2), found
    verdicts = {one["said"]: one["verdict"] for one in found["sentences"]}
    for said in (
        "The chat completions endpoint returns correct structured responses",
        "A coding prompt (prime numbers) gets an answer of many tokens",
        "Local curl returns a valid response",
        "Remote curl from another machine works via Tailscale",
    ):
        assert verdicts[said] == "holds", said
    assert found["measured"]["vLLM"].startswith(vllm_cpu.VERSION)
    assert re.fullmatch(r"\d+ tokens/s", found["measured"]["vLLM, tiny"])


def test_through_a_port_that_windows_forwards_the_tailnet_gets_in_and_the_lan_does_not(
    first: Finished, deploy: Deploy, real_twin: Twin, tailnet: Elsewhere
) -> None:
    finished = deploy("deploys/expose.py", "--yes", "--data", "expose=portproxy")
    assert finished.returncode == 0, tail(finished)
    try:
        assert tailnet.says() == SENTENCE
        assert Elsewhere(real_twin, "lan").get("/health").status == 0
        assert Elsewhere(real_twin, "stranger").get("/health").status == 0
    finally:
        back = deploy("deploys/expose.py", "--yes")
    assert back.returncode == 0, tail(back)
    assert tailnet.says() == SENTENCE


@pytest.mark.full
def test_a_killed_engine_ends_the_server_without_an_error_and_systemd_brings_both_back(
    first: Finished, real_twin: Twin, tailnet: Elsewhere
) -> None:
    restarts = int(systemd(real_twin, "NRestarts"))
    (engine,) = engines(real_twin)
    real_twin.distro_exec(["kill", "-KILL", engine])
    eventually(lambda: int(systemd(real_twin, "NRestarts")) > restarts, "a start by systemd", 120, every=0.5)
    # With Restart=on-failure it would have stayed away.
    said = real_twin.distro_exec(["journalctl", "-u", UNIT, "-o", "cat", "--no-pager"]).stdout.decode()
    assert "Failed with result" not in said
    eventually(lambda: tailnet.get("/health").status == 200, "an answer of the server", STARTS, every=0.5)
    assert tailnet.says() == SENTENCE
    assert engines(real_twin) != [engine]


@pytest.mark.full
def test_a_killed_server_leaves_no_engine_and_no_memory_of_the_card_behind(first: Finished, real_twin: Twin) -> None:
    (engine,) = engines(real_twin)
    real_twin.distro_exec(["systemctl", "kill", "--signal=KILL", "--kill-whom=main", UNIT])
    eventually(lambda: engine not in engines(real_twin), "the end of the engine", 60)
    eventually(lambda: held(real_twin) == 0, "the return of the memory", 20)


@pytest.mark.full
def test_a_cache_that_is_too_small_is_told_by_name_with_the_length_that_would_fit_and_mended_by_the_next_run(
    first: Finished, real_twin: Twin, deploy: Deploy, tailnet: Elsewhere
) -> None:
    flags = {"kv-cache-memory-bytes": "1G", "hf-overrides": json.dumps({"max_position_embeddings": 10_000_000})}
    finished = deploy("deploys/vllm.py", "--yes", *profiles(max_model_len=8_000_000, flags=flags))
    said = finished.stdout + finished.stderr
    assert finished.returncode != 0, tail(finished)
    # vLLM's own words, and what they are translated into.
    assert re.search(r"[\d.]+ GiB KV cache is needed, which is larger than the available KV cache memory \(1", said), (
        said
    )
    assert re.search(r"-> .*max_model_len = \d+", said), tail(finished)
    assert systemd(real_twin, "ActiveState") == "inactive"
    mended = deploy("deploys/vllm.py", "--yes")
    assert mended.returncode == 0, tail(mended)
    assert tailnet.says() == SENTENCE


@pytest.mark.full
def test_the_card_changes_hands_and_back(first: Finished, real_twin: Twin, tailnet: Elsewhere) -> None:
    away = mode("interactive")
    assert away.returncode == 0, tail(away)
    assert held(real_twin) == 0
    assert tailnet.get("/health").status == 0
    back = mode("batch")
    assert back.returncode == 0, tail(back)
    assert tailnet.says() == SENTENCE


@pytest.mark.full
def test_a_flag_that_this_version_does_not_have_ends_it_with_2_and_it_is_not_started_again(
    first: Finished, real_twin: Twin
) -> None:
    # The deploy refuses such a flag, so it is put there past it: 0.15.1 had --swap-space.
    place = f"/etc/systemd/system/{UNIT}.d/flag.conf"
    line = systemd(real_twin, "ExecStart")
    words = re.search(r"argv\[\]=(.*?) ;", line)
    assert words is not None, line
    text = f"[Service]\nExecStart=\nExecStart={words[1]} --swap-space 4\n"
    real_twin.distro_exec(["install", "-D", "-m", "644", "/dev/stdin", place], input=text.encode())
    try:
        real_twin.distro_exec(["systemctl", "daemon-reload"])
        real_twin.distro_exec(["systemctl", "restart", UNIT])
        eventually(lambda: systemd(real_twin, "ActiveState") == "failed", "the end of the server", 120, every=0.5)
        assert (systemd(real_twin, "ExecMainStatus"), systemd(real_twin, "NRestarts")) == ("2", "0")
    finally:
        real_twin.distro_exec(["rm", "-r", "--", f"/etc/systemd/system/{UNIT}.d"])
        real_twin.distro_exec(["systemctl", "daemon-reload"])
