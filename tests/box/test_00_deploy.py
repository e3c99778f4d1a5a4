"""The deploy itself, run on the twin by pyinfra's command line: its order, a second run, and what it says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.state import State

from tests.box.conftest import only_host
from tests.faults.secret_places import leaks, search_the_distro
from tests.faults.secret_search import Search
from tests.twin_deploys import Deploy
from vengeance.secret import Secret
from vengeance.twin.client import Twin
from vengeance.twin.vendors import hub

pytestmark = pytest.mark.deploys
ROOT = Path(__file__).resolve().parents[2]
STAGES = ["preflight", "windows", "ollama", "wsl", "cuda", "vllm", "expose", "verify"]


@pytest.fixture(scope="module")
def second_run(deployed: None, run_deploy: Deploy) -> dict[str, Any]:
    finished = run_deploy("deploys/vengeance.py", "--yes", "--json")
    assert finished.returncode == 0, finished.stderr
    return dict(json.loads(finished.stdout)["results"])


def test_a_second_run_changes_nothing(second_run: dict[str, Any]) -> None:
    changed = [each["name"] for each in second_run["operations"] if each["success"]]
    assert changed == []
    assert second_run["totals"]["error"] == 0
    assert second_run["totals"]["no_change"] == second_run["totals"]["hosts"] > 15


def test_the_stages_follow_each_other_on_both_hosts(second_run: dict[str, Any]) -> None:
    names = [each["name"] for each in second_run["operations"]]
    assert [name for name in names if name.startswith("Stage: ")] == [f"Stage: {stage}" for stage in STAGES]
    stage = ""
    assert names.pop() == "Summary"
    assert names.pop(0) == "No other run is at work on this box"
    for name in names:
        if name.startswith("Stage: "):
            stage = name.removeprefix("Stage: ")
        else:
            assert name.startswith(f"deploys/{stage}.py | "), f"{name} runs in the stage {stage}"


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_runs_on_its_own(deployed: None, run_deploy: Deploy, stage: str) -> None:
    finished = run_deploy(f"deploys/{stage}.py", "--yes", "--json")
    assert finished.returncode == 0, finished.stderr
    totals = json.loads(finished.stdout)["results"]["totals"]
    assert (totals["success"], totals["error"]) == (0, 0)


def test_a_plan_of_what_is_there_shows_no_change(deployed: None, run_deploy: Deploy) -> None:
    finished = run_deploy("deploys/vengeance.py", "--json")
    assert finished.returncode == 0, finished.stderr
    plan = json.loads(finished.stdout)["plan"]
    assert {each["name"]: each["hosts_with_change"] for each in plan if each["hosts_with_change"]} == {}


def secrets_of(box: State) -> dict[str, str]:
    found = {"WinRM password": only_host(box, "windows").data.winrm_password}
    found["vLLM key"] = only_host(box, "wsl").data.vllm_api_key
    return {name: secret.reveal() for name, secret in found.items() if isinstance(secret, Secret)}


def test_the_first_run_shows_before_and_after_of_the_variables(first_run: subprocess.CompletedProcess[str]) -> None:
    assert "machine variable OLLAMA_HOST: (not set) -> '0.0.0.0:11434'" in first_run.stderr
    assert "machine variable OLLAMA_KEEP_ALIVE: (not set) -> '5m'" in first_run.stderr


def test_the_first_run_leaves_its_secrets_only_where_they_are_meant_to_be(
    first_run: subprocess.CompletedProcess[str], box: State, twin: Twin
) -> None:
    said = first_run.stdout + first_run.stderr
    assert "systemd-analyze verify" in said, "the commands are in it"
    search = Search({**secrets_of(box), "hub token": hub.TOKEN})
    found = search.text("what was said", said.encode())
    found += search.folder(twin.folder, leave_out=[twin.folder / "linux"])
    found += search_the_distro(twin, search, since=(twin.folder / "daemon.lock").stat().st_mtime)
    assert leaks(found) == []
    assert {"vLLM key", "hub token"} <= {one.name for one in found}, "the search finds them where they are"


@pytest.mark.parametrize(
    "arguments",
    [
        ("debug-inventory",),
        ("debug-inventory", "--json"),
        ("deploys/vengeance.py", "--json"),
        ("deploys/vengeance.py", "--dry", "--diff", "--debug"),
    ],
)
def test_no_listing_or_plan_holds_a_secret(
    deployed: None, run_deploy: Deploy, box: State, arguments: tuple[str, ...]
) -> None:
    finished = run_deploy(*arguments)
    assert finished.returncode == 0, finished.stderr
    said = finished.stdout + finished.stderr
    assert "vengeance" in said
    for name, secret in secrets_of(box).items():
        shown = secret in said
        assert not shown, f"{name} is shown by {' '.join(arguments)}"


def test_no_secret_lies_in_the_files_of_the_project(box: State) -> None:
    password = secrets_of(box)["WinRM password"]
    for file in [*ROOT.glob("inventory/*.py"), *ROOT.glob("group_data/*.py"), *ROOT.glob("templates/*")]:
        lies_there = password in file.read_text(encoding="utf-8")
        assert not lies_there, file
