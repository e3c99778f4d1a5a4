"""What is said before each stage, and at the end of a deploy."""

from __future__ import annotations

import shlex
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.state import StateStage

from tests.unit.operation_runs import run_operation
from tests.unit.test_settings import DATA
from vengeance.box import stages, summary
from vengeance.box.pins import pinned
from vengeance.operations import reach, stage
from vengeance.operations import summary as operation

WINDOWS: dict[str, Any] = {**DATA["all"], **DATA["windows"]}
DISTRO: dict[str, Any] = {**DATA["all"], **DATA["wsl"]}


def said(name: str, side: str, **changed: object) -> str:
    (sentence,) = stages.sentences(name, [side], {**WINDOWS, **DISTRO, **changed})
    return sentence


# --- before a stage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "side"), [(name, side) for name, sides in stages.SENTENCES.items() for side in sides])
def test_each_stage_says_in_a_whole_sentence_what_it_does(name: str, side: str) -> None:
    sentence = said(name, side)
    assert sentence.endswith(".")
    assert sentence[0].islower(), "it goes on from: Stage NAME"
    assert "None" not in sentence


def test_the_sentences_follow_the_settings() -> None:
    assert f"Ollama {pinned('ollama')}," in said("ollama", "windows")
    assert "5 models (104.9 GB)" in said("ollama", "windows")
    assert "starts it with Windows, with nobody logged on" in said("ollama", "windows")
    assert "pull" not in said("ollama", "windows", ollama_models=[])
    assert "1 model (1.9 GB)" in said("ollama", "windows", ollama_models=[{"name": "qwen2.5:3b", "size_gb": 1.9}])
    assert "are deleted" in said("ollama", "windows", ollama_models_prune=True)
    assert "leaves CUDA's toolkit out" in said("cuda", "wsl", cuda_toolkit=False)
    coder = "downloads what is missing of Qwen/Qwen2.5-Coder-32B-Instruct-AWQ, and starts none"
    assert coder in said("vllm", "wsl")
    assert "download" not in said("vllm", "wsl", vllm_download=False)
    assert "8080 (vLLM) of the distro to the tailnet by `tailscale serve`" in said("expose", "windows")
    assert said("expose", "windows", expose="none").endswith("and nothing else.")


def test_a_stage_that_has_nothing_to_do_on_a_side_says_nothing() -> None:
    assert stages.sentences("cuda", ["windows", "@winrm"], WINDOWS) == []


def test_a_stage_that_there_is_not_is_refused() -> None:
    with pytest.raises(OperationValueError, match="no stage 'ollma'; there are preflight, windows, ollama"):
        run_operation(stage.begins, {}, of="ollma")


@pytest.mark.parametrize("at", [StateStage.Prepare, StateStage.Execute])
def test_a_host_of_neither_side_hears_nothing(at: StateStage) -> None:
    run = run_operation(stage.begins, {}, at, of="ollama")
    assert (run.commands, run.logged) == ([], [])


# --- at the end ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (3725, "1 h 02 min")],
)
def test_a_time_reads_well(seconds: float, text: str) -> None:
    assert summary.duration(seconds) == text


def test_the_summary_tells_changes_and_times_by_stage() -> None:
    done = [summary.Stage("preflight", 2.3, ()), summary.Stage("wsl", 190, ("WSL from its package", "The distro"))]
    assert list(summary.what_changed(done)) == [
        "The box is as declared now: 2 changes, 3 min 12 s.",
        "  preflight       2.3 s  no change",
        "  wsl        3 min 10 s  WSL from its package; The distro",
    ]
    assert list(summary.what_changed([summary.Stage("verify", 1, ())])) == [
        "The box is as declared; nothing had to be changed (1.0 s).",
        "  verify       1.0 s  no change",
    ]
    assert "1 change," in next(iter(summary.what_changed([summary.Stage("a", 1, ("b",))])))


CODER = "qwen2.5-coder-32b"


def test_the_lines_to_try_are_commands_with_the_boxs_address() -> None:
    lines = summary.to_try("100.98.226.75", WINDOWS, DISTRO)
    assert lines[0] == "curl http://100.98.226.75:11434/api/version"
    for line in lines:
        assert shlex.split(line)[0] == "curl"
    chat = shlex.split(lines[1])
    assert '"model": "qwen2.5:3b"' in chat[-1], "the smallest is there first"
    assert summary.to_try("fd7a::1", WINDOWS, None)[0] == "curl http://[fd7a::1]:11434/api/version"


def test_while_ollama_has_the_card_vllm_is_not_offered_and_the_other_way_round() -> None:
    assert all(":11434" in line for line in summary.to_try("a", WINDOWS, DISTRO))
    lines = summary.to_try("100.98.226.75", WINDOWS, DISTRO, CODER)
    assert lines[:2] == [
        "curl http://100.98.226.75:11434/api/version",
        'export VLLM_API_KEY="$(python -m vengeance key)"',
    ]
    assert lines[2] == 'curl -H "Authorization: Bearer $VLLM_API_KEY" http://100.98.226.75:8080/v1/models'
    assert '"model": "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ"' in shlex.split(lines[3])[-1]
    assert len(lines) == 4


def test_nothing_that_loads_a_model_is_offered_where_the_card_is_to_stay_free() -> None:
    lines = summary.to_try("100.98.226.75", WINDOWS, DISTRO, loads=False)
    assert lines == ["curl http://100.98.226.75:11434/api/version"]


def test_what_cannot_be_reached_is_not_offered() -> None:
    loopback = {**WINDOWS, "ollama_machine_variables": {"OLLAMA_HOST": "127.0.0.1:11434"}}
    assert summary.to_try("a", loopback, DISTRO) == []
    assert all(":11434" not in line for line in summary.to_try("a", loopback, DISTRO, CODER))
    assert all(":11434" in line for line in summary.to_try("a", {**WINDOWS, "expose": "none"}, DISTRO, CODER))
    assert all(":11434" in line for line in summary.to_try("a", WINDOWS, DISTRO, "not-declared-any-more"))
    assert len(summary.to_try("a", {**WINDOWS, "ollama_models": []}, None)) == 1


def test_no_key_is_named_where_none_is_asked_for() -> None:
    lines = summary.to_try("a", WINDOWS, {**DISTRO, "vllm_api_key": None}, CODER)
    assert lines[1] == "curl http://a:8080/v1/models"
    assert "VLLM_API_KEY" not in " ".join(lines)


def test_who_has_the_card_is_told_with_the_command_that_hands_it_over() -> None:
    assert "`python -m vengeance mode batch` gives it to vLLM" in summary.left_to_do("a", WINDOWS, DISTRO)[-1]
    left = summary.left_to_do("a", WINDOWS, DISTRO, serving=CODER)
    assert left[-1].startswith(f"vLLM has the card and serves {CODER}; `python -m vengeance mode interactive`")


def test_our_own_commands_are_told_the_inventory_that_they_would_not_take_by_themselves(tmp_path: Path) -> None:
    (tmp_path / "inventory").mkdir()
    for name in ("home", "twin"):
        (tmp_path / "inventory" / f"{name}.py").touch()
    assert operation.inventory_file(tmp_path, ["windows", "home", "@winrm"]) is None
    named = operation.inventory_file(tmp_path, ["windows", "twin", "@winrm"])
    lines = summary.to_try("a", WINDOWS, DISTRO, CODER, named)
    assert lines[1] == 'export VLLM_API_KEY="$(python -m vengeance key --inventory inventory/twin.py)"'
    left = summary.left_to_do("a", WINDOWS, DISTRO, inventory=named)
    assert "`python -m vengeance mode batch --inventory inventory/twin.py` gives it to vLLM" in left[-1]


def test_what_is_left_for_a_person_follows_the_settings() -> None:
    left = " ".join(summary.left_to_do("100.98.226.75", WINDOWS, DISTRO, "2027-02-01T08:00:00Z"))
    assert "leaves the tailnet on 2027-02-01" in left
    assert "Restart the box once, log nobody on" in left
    assert "change of the account's password" in left
    other = {**WINDOWS, "ollama_autostart": "logon", "task_logon": "s4u", "tailscale_wanted": False}
    assert summary.left_to_do("a", other, None) == [
        "After each restart of Windows somebody has to log on, or Ollama does not run."
    ]


def test_what_was_told_is_not_told_again_when_nothing_changed() -> None:
    assert summary.left_to_do("a", WINDOWS, DISTRO, changed=False) == []
    assert len(summary.left_to_do("a", WINDOWS, DISTRO, "2027-02-01T08:00:00Z", changed=False)) == 1


def test_many_changes_are_broken_into_lines_under_each_other() -> None:
    lines = list(summary.what_changed([summary.Stage("wsl", 1, tuple(f"change number {n}" for n in range(12)))]))[1:]
    assert len(lines) > 1
    assert all(len(line) <= 100 for line in lines)
    assert {len(line) - len(line.lstrip()) for line in lines[1:]} == {lines[0].index("change")}


# --- what this machine sees ---------------------------------------------------------------------------------


class Web(BaseHTTPRequestHandler):
    """Answers everything with 404, which is an answer."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_server_that_answers_anything_is_reached(port: int) -> None:
    run = run_operation(reach.answers, {}, port=port, address_of_box="127.0.0.1", within=0)
    assert run.commands == []
    assert run.logged == []
    assert run.noops == [f"http://127.0.0.1:{port}/ answers"]


def test_a_server_that_does_not_answer_this_machine_is_a_warning_and_no_failure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        run = run_operation(reach.answers, {}, port=port, address_of_box="127.0.0.1", within=0)
    assert run.commands == []
    (warned,) = run.logged
    assert f"http://127.0.0.1:{port}/ does not answer this machine" in warned
    assert "refused" in warned
    assert "in remote_addresses" in warned


def test_a_plan_asks_nobody() -> None:
    run = run_operation(reach.answers, {}, StateStage.Prepare, port=1, address_of_box="192.0.2.1")
    assert run.noops == ["asked when the deploy runs"]


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert reach.url_of("fd7a::1", 80, "/x") == "http://[fd7a::1]:80/x"
