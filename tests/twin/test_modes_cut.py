"""A hand-over of the card that is cut off at any step is mended by the next one, whichever mode that asks for.

pyinfra is killed when it begins each step in turn, each run one step further than the one before, and the connection is
cut at every tenth request. With VENGEANCE_FULL set, each step and each tenth request has a box and a run of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.twin.modes_box import BATCH_MIB, IDLE_MIB, LARGE, PROFILE, ModesBox, modes_box, said
from tests.twin_deploys import ROOT, Finished, twin_environment
from tests.waiting import eventually

# A quarter of an hour; that the deploys are mended after a cut is shown by the others every time.
pytestmark = pytest.mark.full
STEPS = {
    "batch": (
        "The box can get into mode batch",
        "Mode: the model is there",
        "Mode: the card changes hands",
        "Ollama has no model on the card",
        "Mode: the memory is back",
        "The card is free",
        "Mode: vLLM starts",
        f"The server of {PROFILE} runs",
        "answers on port 8080 within",
        "Mode: the end of the way",
    ),
    "interactive": (
        "Mode: the card changes hands",
        "No other vLLM server runs",
        f"unit vllm-{PROFILE}.service: runs -> stopped",
        "Mode: the memory is back",
        "The card is free",
    ),
}
LAST = 80


@pytest.fixture(scope="module")
def made() -> Iterator[ModesBox]:
    with modes_box("cut-modes") as (box, _):
        yield box


@pytest.fixture
def box(made: ModesBox) -> ModesBox:
    """The box with nothing on its card but the desktop."""
    made.back()
    return made


def killed_at(box: ModesBox, mode: str, step: str, how: signal.Signals) -> None:
    """Run a hand-over and send it a signal as soon as it says that it begins a step."""
    process = subprocess.Popen(
        box.command(mode),
        cwd=ROOT,
        env={**twin_environment(box.twin.name), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process:
        printed = ""
        for line in process.stdout:
            printed += line
            if step in line:
                # All of it: a terminal that is closed, a machine that loses its power.
                os.killpg(process.pid, how)
                return
        pytest.fail(f"the hand-over never came to {step!r}:\n{printed[-3000:]}")


def mended(box: ModesBox, mode: str) -> None:
    """The next run gets into its mode, the one after it has nothing to do, and nothing is left of the one before."""
    box.into(mode)
    assert box.changes(mode) == []
    there = mode == "batch"
    assert box.active() == ("active" if there else "inactive")
    assert box.used == IDLE_MIB + (BATCH_MIB if there else 0)
    assert len(box.server_processes()) == (1 if there else 0)


@pytest.mark.timeout(300)
def test_batch_that_is_killed_one_step_further_each_time_is_mended_by_the_last_run(box: ModesBox) -> None:
    box.load(LARGE)
    for step in STEPS["batch"]:
        killed_at(box, "batch", step, signal.SIGKILL)
    mended(box, "batch")


@pytest.mark.timeout(300)
def test_interactive_that_is_killed_one_step_further_each_time_is_mended_by_the_last_run(box: ModesBox) -> None:
    box.into("batch")
    for step in STEPS["interactive"]:
        killed_at(box, "interactive", step, signal.SIGKILL)
    mended(box, "interactive")


@pytest.mark.timeout(200)
@pytest.mark.parametrize(("mode", "step"), [(mode, step) for mode, steps in STEPS.items() for step in steps])
def test_a_hand_over_that_is_killed_at_a_step_is_mended_by_the_next_run(box: ModesBox, mode: str, step: str) -> None:
    if mode == "batch":
        box.load(LARGE)
    else:
        box.into("batch")
    killed_at(box, mode, step, signal.SIGKILL)
    mended(box, mode)


def test_a_batch_that_is_killed_while_vllm_starts_can_be_taken_back(box: ModesBox) -> None:
    killed_at(box, "batch", "answers on port 8080 within", signal.SIGKILL)
    mended(box, "interactive")


@pytest.mark.timeout(300)
def test_a_game_that_begins_in_the_middle_is_told_by_name_and_vllm_is_not_started(box: ModesBox) -> None:
    box.load(LARGE)
    with subprocess.Popen(
        box.command("batch"),
        cwd=ROOT,
        env=twin_environment(box.twin.name),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        printed = ""
        for line in process.stderr:
            printed += line
            if "Ollama has no model on the card" in line:
                # It gets its memory as soon as Ollama's model has left.
                eventually(lambda: not box.loaded(), "the model's end")
                box.twin.card_hold("Game.exe", 6000)
    assert process.returncode == 1
    assert "The card of @winrm/vengeance is not free after 60 s: vLLM asks for 22599 MiB" in printed
    assert "Windows counts Game.exe (process " in printed
    assert "is where it was: no vLLM server runs, and Ollama loads a model when it is asked" in printed
    assert (box.images, box.server_processes()) == (["Game.exe"], [])


def test_ctrl_c_says_that_the_same_command_goes_on(box: ModesBox) -> None:
    process = subprocess.Popen(
        box.command("batch"),
        cwd=ROOT,
        env=twin_environment(box.twin.name),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    with process:
        for line in process.stderr:
            if "Mode: the card changes hands" in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        told = process.stderr.read()
    assert process.returncode == 130
    assert "The same command goes on where this stopped" in told
    mended(box, "batch")


def ended_well_or_with_a_sentence(finished: Finished) -> None:
    assert "Traceback" not in said(finished), said(finished)[-6000:]
    if finished.returncode != 0:
        assert "WinRM" in said(finished) or "connection" in said(finished).lower(), said(finished)[-6000:]


@pytest.mark.timeout(200)
@pytest.mark.parametrize("request_number", range(10, LAST, 10))
def test_a_hand_over_whose_connection_is_cut_is_mended_by_the_next_run(box: ModesBox, request_number: int) -> None:
    box.load(LARGE)
    box.twin.fault("cut_before" if request_number // 10 % 2 else "cut_after", request=request_number)
    finished = box.mode("batch")
    if box.twin.status()["faults"]:
        box.twin.fault("clear")
        assert finished.returncode == 0, said(finished)[-6000:]
        pytest.skip(f"the run has fewer requests than {request_number}")
    ended_well_or_with_a_sentence(finished)
    mended(box, "batch")


@pytest.mark.timeout(200)
@pytest.mark.parametrize("kind", ["cut_before", "cut_after"])
def test_a_hand_over_whose_every_tenth_request_is_cut_is_mended_by_the_next_run(box: ModesBox, kind: str) -> None:
    box.load(LARGE)
    box.twin.fault(kind, request=10, times=None, every=10)
    finished = box.mode("batch")
    box.twin.fault("clear")
    ended_well_or_with_a_sentence(finished)
    mended(box, "batch")


def test_a_server_that_dies_is_started_again_and_batch_finds_it(box: ModesBox) -> None:
    box.into("batch")
    (pid,) = box.server_processes()
    box.inside("kill", "-KILL", pid)
    eventually(lambda: box.active() != "active", "the end of the server")
    assert box.used == IDLE_MIB
    assert not box.shown()["settled"]
    mended(box, "batch")
