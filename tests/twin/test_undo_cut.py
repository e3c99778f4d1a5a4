"""An undo that is cut off at any step is ended by the next one, and what was there before is not lost on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.twin.undo_box import changed, snapshot, somebodys_twin
from tests.twin_deploys import ROOT, TWIN, right, run_pyinfra, told, twin_environment
from vengeance.twin.client import Twin

pytestmark = pytest.mark.full
NAME = "undo-cut"
STEPS = (
    "Tailscale forwards what it did before",
    "No vLLM server, and no key of one",
    "No Python environment with vLLM",
    "No CUDA toolkit, and no package source of NVIDIA's",
    "Settings of the distro, as they were",
    "Nothing keeps Ubuntu-24.04 up",
    "Settings of WSL's virtual machine, as they were",
    "Environment variables, as they were",
    "Starting operation: Ollama",
    "Windows sleeps as it did before",
    r"No folder C:\ProgramData\vengeance",
)
EVERY = 12
"""Requests between two that are cut."""


@pytest.fixture
def twin(twin_home: Path) -> Iterator[Twin]:
    with somebodys_twin(NAME) as twin:
        yield twin


def killed_at(step: str) -> None:
    """Run an undo and kill it as soon as it says that it begins a step."""
    command = [sys.executable, "-m", "pyinfra", str(TWIN), "deploys/undo.py", "--yes"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=twin_environment(NAME),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        if process.stdout is None:
            raise RuntimeError("The run has no output to read.")
        seen = any(step in line for line in process.stdout)
        process.send_signal(signal.SIGKILL)
    assert seen, f"the run never came to {step!r}"


def test_an_undo_that_is_killed_at_each_step_in_turn_comes_to_the_same_end(twin: Twin) -> None:
    before = snapshot(twin)
    right(run_pyinfra(NAME, "deploys/vengeance.py", "--yes"))
    for step in STEPS:
        killed_at(step)
    right(run_pyinfra(NAME, "deploys/undo.py", "--yes"))
    assert changed(run_pyinfra(NAME, "deploys/undo.py", "--yes")) == 0
    changed(run_pyinfra(NAME, "deploys/undo.py", "--yes", "--data", "delete=models,distro"))
    assert before.differences(snapshot(twin)) == []


@pytest.mark.parametrize("kind", ["cut_before", "cut_after"])
def test_an_undo_whose_connection_is_cut_at_each_twelfth_request_comes_to_the_same_end(twin: Twin, kind: str) -> None:
    before = snapshot(twin)
    right(run_pyinfra(NAME, "deploys/vengeance.py", "--yes"))
    all_of_it = ("deploys/undo.py", "--yes", "--data", "delete=models,distro")
    for arguments in (("deploys/undo.py", "--yes"), all_of_it):
        twin.fault(kind, request=5, times=None, every=EVERY)
        # It ends right, or with a sentence; the next one goes on from there.
        said = told(run_pyinfra(NAME, *arguments))
        twin.fault("clear")
        assert "Traceback" not in said
    right(run_pyinfra(NAME, *all_of_it))
    assert changed(run_pyinfra(NAME, *all_of_it)) == 0
    assert before.differences(snapshot(twin)) == []
