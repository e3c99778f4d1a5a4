"""Two runs at once on one box: the second is refused before it changes anything, unless the first is dead."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.faults.world import Follower, Run
from tests.faults.worldly_table import RIGHT, record
from tests.twin_deploys import ROOT, TWIN, twin_environment
from tests.waiting import eventually
from vengeance.twin.client import Twin

NAME = "two-runs"
DEPLOY = "deploys/windows.py"
# Right after the box was taken.
AT = "Starting operation: Nobody else can put anything"
FILE = "faults/test_world_two_runs.py"


class Standing:
    """A run that has the box and stands still in the middle."""

    def __init__(self, deploy: str = DEPLOY) -> None:
        self._stopped = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._done: list[Run] = []
        self._thread = threading.Thread(target=self._run, args=(deploy,), daemon=True)
        self._thread.start()
        assert self._stopped.wait(60)

    def _run(self, deploy: str) -> None:
        self._done.append(Follower(NAME).run(deploy, [(AT, self._stop)]))
        self._stopped.set()

    def _stop(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        os.killpg(process.pid, signal.SIGSTOP)
        self._stopped.set()

    def end(self, how: signal.Signals = signal.SIGCONT) -> Run:
        """Let it go on, or kill it, and wait for its end."""
        assert self._process is not None
        os.killpg(self._process.pid, how)
        self._thread.join(60)
        return self._done[0]


@pytest.fixture(scope="module")
def twin(twin_home: object) -> Iterator[Twin]:
    made = Twin(NAME)
    made.up(distro=False, bare=True)
    yield made
    made.down()


@pytest.fixture
def standing(twin: Twin) -> Iterator[Callable[[], Standing]]:
    """Makes runs that stand still, and ends those that are left."""
    runs: list[Standing] = []

    def make() -> Standing:
        runs.append(Standing())
        return runs[-1]

    yield make
    for one in runs:
        if one._thread.is_alive():
            one.end(signal.SIGKILL)
    eventually(lambda: twin.status()["run_lock"] is None or twin.reboot(seconds=0.1), "the end of the lock")


def second(*arguments: str) -> Run:
    return Follower(NAME).run(DEPLOY, [], *arguments)


def holder(twin: Twin) -> int:
    """The process of the twin that has the box."""
    return int(twin.status()["run_lock"]["pid"])


def test_the_second_of_two_runs_is_refused_by_name_and_changes_nothing(
    twin: Twin, standing: Callable[[], Standing]
) -> None:
    first = standing()
    before, has_it = twin.windows_state(), holder(twin)
    refused = second()
    assert refused.code == 1
    found = re.search(r"another run is at work on this box \((.*)\), so nothing was changed\. Wait until", refused.text)
    assert found is not None, refused.text
    assert re.fullmatch(r"deploys/windows\.py, started by \S+ on \S+ at [\d -]+:\d\d UTC, process \d+", found[1])
    assert f"--data take_over={has_it}" in refused.text
    after = twin.windows_state()
    assert (after["registry"], after["sections"]) == (before["registry"], before["sections"])
    assert holder(twin) == has_it
    assert first.end().code == 0
    assert second().changes == []
    record(
        *("two runs at once", "the first is at work", "the second is told who has the box, and changes nothing"),
        *(
            "waits, or comes later, and ends right",
            FILE,
            "test_the_second_of_two_runs_is_refused_by_name_and_changes_nothing",
        ),
    )


def test_a_plan_says_who_has_the_box_and_those_that_only_read_take_nothing(
    twin: Twin, standing: Callable[[], Standing]
) -> None:
    first = standing()
    plan = subprocess.run(
        [sys.executable, "-m", "pyinfra", str(TWIN), DEPLOY, "--dry"],
        cwd=ROOT,
        env=twin_environment(NAME),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert plan.returncode == 0
    assert "another run is at work on this box" in plan.stdout + plan.stderr
    shown = subprocess.run(
        [sys.executable, "-m", "vengeance", "mode", "show", "--inventory", str(TWIN)],
        cwd=ROOT,
        env=twin_environment(NAME),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert shown.returncode == 0, shown.stderr
    assert "another run" not in shown.stdout + shown.stderr
    assert first.end().code == 0


def test_the_box_of_a_run_that_was_killed_is_had_by_the_next_at_once(
    twin: Twin, standing: Callable[[], Standing]
) -> None:
    first = standing()
    dead = holder(twin)
    first.end(signal.SIGKILL)
    assert holder(twin) == dead
    done = second()
    assert done.code == 0, done.text
    assert "a run that has died had the box: deploys/windows.py, started by" in done.text
    assert str(dead) not in twin.windows_state()["processes"]
    record(
        *("two runs at once", "the first was killed, on this machine", "the second takes the box, and ends right"),
        *("has nothing to do", FILE, "test_the_box_of_a_run_that_was_killed_is_had_by_the_next_at_once"),
    )


def test_a_run_whose_place_was_taken_stops_with_a_sentence(twin: Twin, standing: Callable[[], Standing]) -> None:
    first = standing()
    gone: list[Run] = []

    def wake_the_first(process: subprocess.Popen[str]) -> None:
        os.killpg(process.pid, signal.SIGSTOP)
        gone.append(first.end())
        os.killpg(process.pid, signal.SIGCONT)

    done = Follower(NAME).run(DEPLOY, [(AT, wake_the_first)], "--data", f"take_over={holder(twin)}")
    assert done.code == 0, done.text
    assert gone[0].code == 1
    assert "meanwhile another run has begun to work on it (deploys/windows.py, started by" in gone[0].text
    assert "Traceback" not in gone[0].text
    record(
        *("two runs at once", "the second is told to take the first's place", "the first stops with a sentence"),
        *(RIGHT, FILE, "test_a_run_whose_place_was_taken_stops_with_a_sentence"),
    )


def test_a_number_that_is_not_that_of_the_holder_takes_nobodys_place(
    twin: Twin, standing: Callable[[], Standing]
) -> None:
    first = standing()
    assert second("--data", f"take_over={holder(twin) + 1}").code == 1
    words = second("--data", "take_over=yes")
    assert words.code == 1
    assert "take_over is the number of the process that has the box" in words.text
    assert first.end().code == 0


def test_a_run_that_lost_its_box_to_a_restart_takes_it_again_and_goes_on(
    twin: Twin, standing: Callable[[], Standing]
) -> None:
    first = standing()
    twin.reboot(seconds=0.2)
    assert twin.status()["run_lock"] is None
    assert first.end().code == 0
    record(
        *("Windows restarts by itself", "between two operations", "takes the box again, and ends right"),
        *("has nothing to do", FILE, "test_a_run_that_lost_its_box_to_a_restart_takes_it_again_and_goes_on"),
    )
