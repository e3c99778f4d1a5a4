"""A box is deployed on a Windows that had settings of its own, and taken back: its state is then what it was.

The tests stand in the order of what a person would do, on one twin that is deployed once.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.twin.undo_box import DISTRO, Snapshot, changed, snapshot, somebodys_twin
from tests.twin_deploys import ROOT, Finished, right, run_pyinfra, told
from vengeance.twin.client import Twin
from vengeance.verify import inventory

NAME = "undo"
_DECLARED = inventory.group_data(ROOT / "group_data")["wsl"]
_CHOSEN = _DECLARED["vllm_profile"]
# One model of each is enough to be taken back.
LITTLE = (
    "--data",
    'ollama_models=[{"name": "qwen2.5:3b", "size_gb": 1.9}]',
    "--data",
    "vllm_profiles=" + json.dumps({_CHOSEN: _DECLARED["vllm_profiles"][_CHOSEN]}),
)


@pytest.fixture(scope="module")
def twin(twin_home: Path) -> Iterator[Twin]:
    with somebodys_twin(NAME) as twin:
        yield twin


@pytest.fixture(scope="module")
def before(twin: Twin) -> Snapshot:
    return snapshot(twin)


@pytest.fixture(scope="module")
def deployed(twin: Twin, before: Snapshot) -> Snapshot:
    right(run_pyinfra(NAME, "deploys/vengeance.py", "--yes", *LITTLE))
    return snapshot(twin)


def undo(*arguments: str) -> Finished:
    return run_pyinfra(NAME, "deploys/undo.py", "--yes", *arguments)


def inside(twin: Twin, script: str) -> str:
    """What a shell script prints in the distro, past WinRM and wsl.exe."""
    done: subprocess.CompletedProcess[bytes] = twin.distro_exec(["sh", "-c", script], capture_output=True)
    return done.stdout.decode().strip()


@pytest.fixture(scope="module")
def kept(twin: Twin, deployed: Snapshot) -> Finished:
    """All stages taken back, with nothing named that is to be deleted."""
    finished = undo()
    right(finished)
    return finished


@pytest.fixture(scope="module")
def gone(twin: Twin, kept: Finished) -> Finished:
    """The same again, with all named that can be deleted."""
    finished = undo("--data", "delete=models,distro")
    right(finished)
    return finished


def test_a_plan_says_what_it_would_take_back_and_changes_nothing(deployed: Snapshot, twin: Twin) -> None:
    said = right(run_pyinfra(NAME, "deploys/undo.py", "--dry"))
    for sentence in (
        "Tailscale's port 8080: 127.0.0.1:8080 -> 127.0.0.1:9000",
        "firewall rule vengeance-ollama: (there) -> (removed)",
        "unit vllm-qwen2.5-coder-32b.service: as it was -> (removed)",
        "package cuda-toolkit-12-4: 12.4.1-1 -> (not installed)",
        "machine variable OLLAMA_KEEP_ALIVE: '5m' -> '24h'",
        "user variable OLLAMA_HOST: (not set) -> '127.0.0.1:11434'",
        "port 11434: set aside -> free for all",
        "sleeps after 60 min plugged in, sleeps after 10 min on battery, can hibernate, Fast Startup on",
        f'{DISTRO} stays, with its disk; --data "delete=distro" deletes it',
    ):
        assert sentence in said
    assert "Undo of ollama: " in said
    assert snapshot(twin).differences(deployed) == []


def test_what_took_hours_to_come_stays_with_what_it_runs_on(kept: Finished, twin: Twin) -> None:
    said = told(kept)
    assert said.count('; --data "delete=models" deletes them') == 2
    assert twin.status()["distro"]["registered"] == [DISTRO]
    assert twin.windows_state()["sections"]["features"]["VirtualMachinePlatform"] == "Enabled"
    assert list((twin.drive_c / "Users/Steam/.ollama/models/manifests").rglob("3b"))
    assert inside(twin, "ls -d /home/steam/.cache/huggingface/hub/models--*") != ""


def test_of_what_was_done_in_the_distro_the_user_alone_is_left(kept: Finished, twin: Twin) -> None:
    assert inside(twin, "ls -d /etc/vllm /var/lib/vllm /var/cache/vllm /home/steam/vllm-env /usr/local/cuda") == ""
    assert inside(twin, "ls /etc/systemd/system | grep vllm") == ""
    assert inside(twin, "dpkg-query -W -f '${Package} ${db:Status-Status}\\n' | grep cuda") == ""
    assert inside(twin, "ls /etc/apt/sources.list.d/ | grep cuda; ls /etc/wsl.conf") == ""
    assert inside(twin, "find /home/steam -name token -o -name 'token.*'") == ""
    assert inside(twin, "ls /var/lib/vengeance/before") == "user%20steam"
    assert inside(twin, "id -nu steam") == "steam"


def test_a_second_undo_changes_nothing(kept: Finished) -> None:
    assert changed(undo()) == 0


def test_after_all_is_taken_back_windows_is_as_it_was(gone: Finished, before: Snapshot, twin: Twin) -> None:
    assert before.differences(snapshot(twin)) == []
    assert not any((twin.drive_c / folder).exists() for folder in ("WSL", "ProgramData/vengeance", "Program Files/WSL"))


@pytest.mark.full
def test_an_undo_of_what_is_taken_back_changes_nothing(gone: Finished) -> None:
    assert changed(undo("--data", "delete=models,distro")) == 0


@pytest.mark.full
def test_what_was_taken_back_is_deployed_again(gone: Finished, twin: Twin) -> None:
    assert changed(run_pyinfra(NAME, "deploys/vengeance.py", "--yes")) > 20
    assert changed(run_pyinfra(NAME, "deploys/vengeance.py", "--yes")) == 0
