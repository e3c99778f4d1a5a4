"""From a Windows that has just been set up to a box that stays up, by one command; read past all that the deploy wrote.

The tests stand in the order in which a person would do these things, and each leaves the box as the next expects it.
"""

from __future__ import annotations

import re

import pytest

from tests.bare.conftest import Peer, changes, tail
from tests.twin_deploys import Deploy, Finished
from tests.waiting import eventually
from vengeance.box.pins import pinned
from vengeance.twin.client import Twin

# tests/faults deploys a bare box with faults each time, tests/box looks at a deployed one.
pytestmark = pytest.mark.full
STAGES = ["preflight", "windows", "ollama", "wsl", "cuda", "vllm", "expose", "verify"]
DAY = 86_400


def both_answer(peer: Peer) -> bool:
    """Whether Ollama's port and vLLM's answer another machine of the tailnet, which is no part of the box."""
    return peer.version() == pinned("ollama") and peer.health() == 200


def await_both(peer: Peer) -> None:
    eventually(lambda: both_answer(peer), "an answer of both", 60, every=0.2)


@pytest.fixture(scope="module")
def plan(bare_twin: Twin, deploy: Deploy) -> tuple[Finished, dict[str, object], dict[str, object]]:
    """A plan of a bare box, with the state of its Windows before and after."""
    bare_twin.fault("clear")
    bare_twin.reset(bare=True)
    before = bare_twin.windows_state()
    finished = deploy("deploys/vengeance.py", "--dry")
    return finished, before, bare_twin.windows_state()


@pytest.fixture(scope="module")
def first(bare_twin: Twin, deploy: Deploy, plan: object) -> Finished:
    """The one command, on a bare box."""
    finished = deploy()
    assert finished.returncode == 0, tail(finished)
    return finished


@pytest.fixture(scope="module")
def up(first: Finished, peer: Peer) -> None:
    await_both(peer)


def test_the_plan_of_a_bare_box_shows_every_stage_and_changes_nothing(
    plan: tuple[Finished, dict[str, object], dict[str, object]],
) -> None:
    finished, before, after = plan
    assert finished.returncode == 0, tail(finished)
    said = finished.stdout + finished.stderr
    for stage in STAGES:
        assert f"Stage: {stage}" in said
        assert f"deploys/{stage}.py | " in said
    for part in ("registry", "sections", "users", "boot_time"):
        assert after[part] == before[part]


def test_one_command_brings_up_ollama_and_the_distro(up: None, first: Finished, bare_twin: Twin, peer: Peer) -> None:
    status = bare_twin.status()
    assert status["distro"]["registered"] == ["Ubuntu-24.04"]
    assert status["wsl"]["running"] == ["Ubuntu-24.04"]
    assert (
        bare_twin.distro_exec(["systemctl", "is-active", "vllm-qwen2.5-coder-32b"]).stdout.decode().strip() == "active"
    )
    assert set(peer.models()) == {"qwen2.5:72b", "deepseek-r1:32b", "deepseek-coder:33b", "qwen2.5:32b", "qwen2.5:3b"}


def test_the_box_restarts_once_and_before_what_needs_it(first: Finished) -> None:
    said = first.stdout + first.stderr
    assert len(re.findall(r"Windows restarts: ", said)) == 1
    order = [said.index(text) for text in ("feature VirtualMachinePlatform", "Windows restarts: ", "Windows is back")]
    assert order == sorted(order)
    assert said.index("Windows is back") < said.index("Starting operation: Stage: wsl")


def test_the_summary_tells_what_changed_and_lines_that_work(first: Finished, up: None, peer: Peer) -> None:
    said = first.stdout + first.stderr
    assert re.search(r"The box is as declared now: \d+ changes, ", said)
    urls = re.findall(r"curl .*?(http://\S+)", said)
    assert f"http://{peer.tailnet}:11434/api/version" in urls
    assert f"http://{peer.tailnet}:8080/v1/models" in urls


def test_the_second_run_changes_nothing(up: None, deploy: Deploy, bare_twin: Twin) -> None:
    boot = bare_twin.status()["boot_time"]
    finished = deploy()
    assert finished.returncode == 0, tail(finished)
    assert changes(finished) == 0, tail(finished)
    assert bare_twin.status()["boot_time"] == boot


def test_after_a_restart_with_nobody_logged_on_both_endpoints_answer(up: None, bare_twin: Twin, peer: Peer) -> None:
    bare_twin.reboot()
    assert bare_twin.status()["logged_on"] == []
    await_both(peer)
    assert bare_twin.status()["wsl"]["windows_session"] == 0


def test_after_a_logon_and_a_logoff_both_endpoints_answer(up: None, bare_twin: Twin, peer: Peer) -> None:
    servers = bare_twin.status()["ollama"]["servers"]
    bare_twin.logon()
    await_both(peer)
    bare_twin.logoff()
    await_both(peer)
    # The same server process, and the same virtual machine: nothing had to be brought back.
    assert bare_twin.status()["ollama"]["servers"] == servers


def test_after_72_hours_both_endpoints_answer(up: None, bare_twin: Twin, peer: Peer) -> None:
    before = bare_twin.status()
    bare_twin.advance(4 * DAY)
    after = bare_twin.status()
    assert both_answer(peer)
    assert after["ollama"]["servers"] == before["ollama"]["servers"]
    assert after["wsl"]["machine_starts"] == before["wsl"]["machine_starts"]


def test_a_stranger_reaches_neither_port(up: None, peer: Peer) -> None:
    assert peer.from_the_street(11434) is None
    assert peer.from_the_street(8080) is None


def test_a_lost_keepalive_is_brought_back_and_nothing_else(up: None, deploy: Deploy, bare_twin: Twin) -> None:
    lost = deploy("tests/bare/deploys/lose_the_keepalive.py", "--yes")
    assert lost.returncode == 0, tail(lost)
    assert "wsl ubuntu-24.04" not in bare_twin.windows_state()["sections"]["tasks"]
    finished = deploy()
    assert finished.returncode == 0, tail(finished)
    assert changes(finished) == 1, tail(finished)
    assert "wsl ubuntu-24.04" in bare_twin.windows_state()["sections"]["tasks"]
