"""Long work on the box: it outlives the connection that asked for it, and says how it ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.twin.windows_box import Box
from tests.twin.works_box import WorksHost, json_of
from tests.unit.operation_runs import Run
from tests.waiting import eventually
from vengeance.facts.windows import Work as WorkFact
from vengeance.operations import work as work_module
from vengeance.operations.work import name_of, run_work
from vengeance.twin.windows.works import WMI_PID, WORKS, Work, WorkFailed

FOLDER = "/".join(("ProgramData", "vengeance", "work", "trial"))
# Any script of powershell/work will do: the tests say what it does.
SCRIPT = "Save-Download"


class Trial:
    """A work that waits until it is told to go on."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.inputs: list[dict[str, Any]] = []
        self.sentence: str | None = None

    def __call__(self, work: Work) -> dict[str, Any]:
        self.inputs.append(work.input)
        work.progress({"step": 1})
        self.begun.release()
        while not self.go.is_set():
            work.sleep(0.005)
        if self.sentence is not None:
            raise WorkFailed(self.sentence)
        return {"answer": 42}


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    one = Trial()
    monkeypatch.setitem(WORKS, SCRIPT, one)
    yield one
    one.go.set()


@pytest.fixture
def there(tmp_path: Path) -> WorksHost:
    return WorksHost(Box(tmp_path))


def wish(given: int = 1, **options: Any) -> Any:
    settings: dict[str, Any] = {
        "say": lambda progress: f"at step {progress['step']}",
        "timeout": 60,
        "read_every": 0.01,
    }
    return run_work("trial", SCRIPT, {"given": given}, **{**settings, **options})


def do(there: WorksHost, command: Any) -> bool:
    with there.pyinfra(Run()) as (state, host):
        return bool(command.execute(state, host, {}))


def in_background(there: WorksHost, command: Any) -> tuple[threading.Thread, list[bool]]:
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: ended.append(do(there, command)), daemon=True)
    thread.start()
    return thread, ended


def test_work_is_done_and_its_result_comes_back(there: WorksHost, trial: Trial) -> None:
    trial.go.set()
    results: list[Any] = []
    assert do(there, wish(check=lambda host, result: results.append(result)))
    assert results == [{"answer": 42}]
    assert json_of(there.box, f"{FOLDER}/result.json") == {"result": {"answer": 42}, "error": None}
    assert trial.inputs == [{"given": 1}]


def test_work_runs_outside_of_every_winrm_shell(there: WorksHost, trial: Trial) -> None:
    thread, ended = in_background(there, wish())
    assert trial.begun.acquire(timeout=20)
    (process,) = there.box.windows.state.processes.values()
    assert process.parent == WMI_PID
    assert process.image.endswith("powershell.exe")
    assert process.session == 0
    assert "given" not in process.command_line
    trial.go.set()
    thread.join(20)
    assert ended == [True]


def test_a_line_is_printed_of_what_the_work_said_last(
    there: WorksHost, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_module, "_TELL_EVERY", 0.0)
    there.before = lambda script: trial.go.set() if "at step 1" in there.said else None
    assert do(there, wish())
    assert "at step 1" in there.said


def test_work_that_windows_does_not_let_begin_is_said(
    there: WorksHost, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vengeance.twin.windows.works.runner", lambda run, name: 1)
    assert not do(there, wish())
    assert "it did not begin. Does a policy" in there.said[-1]


def test_a_sentence_that_work_throws_fails_the_host(there: WorksHost, trial: Trial) -> None:
    trial.sentence = "the disk is made of cheese"
    trial.go.set()
    assert not do(there, wish())
    assert there.said[-1] == "somewhere: the disk is made of cheese"


def test_a_lost_connection_is_made_again_and_the_work_started_once(there: WorksHost, trial: Trial) -> None:
    cuts = iter([OSError("cut"), None, OSError("cut"), OSError("cut")])

    def before(script: str) -> None:
        error = next(cuts, None)
        if error is not None:
            raise error
        if there.scripts.count("Get-Work") > 3:
            trial.go.set()

    there.before = before
    assert do(there, wish())
    assert len(trial.inputs) == 1
    assert sum("connection is lost" in text for text in there.said) == 1


def test_a_start_whose_answer_was_lost_is_not_repeated(there: WorksHost, trial: Trial) -> None:
    trial.go.set()
    real, lost = there.run_script, iter([True])

    def answer_lost(script: Any) -> tuple[bool, str, str]:
        answer = real(script)
        if script.script == "Start-Work" and next(lost, False):
            there.box.windows.state.processes.clear()
            raise OSError("the answer got lost")
        return answer

    there.run_script = answer_lost  # type: ignore[method-assign]
    assert do(there, wish())
    assert len(trial.inputs) == 1


def test_a_second_run_joins_work_that_still_runs(there: WorksHost, trial: Trial) -> None:
    first, ended = in_background(there, wish())
    assert trial.begun.acquire(timeout=20)
    other = WorksHost(there.box)
    other.before = lambda script: trial.go.set() if other.scripts.count("Get-Work") > 2 else None
    assert do(other, wish())
    first.join(20)
    assert ended == [True]
    assert len(trial.inputs) == 1
    assert any("does that already" in text for text in other.said)


def test_other_settings_do_not_join_work_that_runs(there: WorksHost, trial: Trial) -> None:
    first, _ = in_background(there, wish())
    assert trial.begun.acquire(timeout=20)
    other = WorksHost(there.box)
    assert not do(other, wish(given=2))
    assert "runs already, with other settings" in other.said[-1]
    assert "taskkill /PID" in other.said[-1]
    trial.go.set()
    first.join(20)


def test_work_that_a_restart_of_windows_ended_is_said_to_have_died_and_runs_again(
    there: WorksHost, trial: Trial
) -> None:
    thread, ended = in_background(there, wish())
    assert trial.begun.acquire(timeout=20)
    # Start-Work has seen it run, and is not looking any more.
    eventually(lambda: "Get-Work" in there.scripts, "the first look at the work")
    there.box.windows.stop_all()
    there.box.windows.state.boot()
    thread.join(20)
    assert ended == [False]
    assert "Windows was restarted" in there.said[-1]
    assert there.fact(WorkFact, work_name="trial")["state"] == "died"
    trial.go.set()
    assert do(there, wish())
    assert there.fact(WorkFact, work_name="trial")["state"] == "done"
    assert len(trial.inputs) == 2


def test_work_that_takes_too_long_goes_on_by_itself(there: WorksHost, trial: Trial) -> None:
    assert not do(there, wish(timeout=0))
    assert "goes on by itself" in there.said[-1]
    assert there.fact(WorkFact, work_name="trial")["state"] == "running"


def test_work_that_nobody_started_is_absent(there: WorksHost) -> None:
    assert there.fact(WorkFact, work_name="nothing")["state"] == "absent"


def test_a_name_tells_works_apart_and_stays_a_file_name() -> None:
    one, other = name_of("C:\\a\\Setup.exe", "x"), name_of("C:\\a\\Setup.exe", "y")
    assert one != other == name_of("C:\\a\\Setup.exe", "y")
    assert set(one) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")
    with pytest.raises(ValueError, match="no name of work"):
        run_work("..\\up", SCRIPT, {}, say=str, timeout=1)


def test_work_that_stands_still_is_told_as_such(
    there: WorksHost, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_module, "_TELL_EVERY", 0.0)
    monkeypatch.setattr(work_module, "_STILL_AFTER", 0.02)
    there.before = lambda script: trial.go.set() if any("nothing new" in line for line in there.said) else None
    assert do(there, wish())
    assert "at step 1" in there.said
    assert "at step 1, nothing new for 0 s" in there.said


def test_a_box_that_stays_away_fails_its_host_with_a_sentence(
    there: WorksHost, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_module, "_AWAY_AT_MOST", 0.0)

    def before(script: str) -> None:
        raise OSError("nothing listens there: is the box on?")

    there.before = before
    assert not do(there, wish())
    assert there.said[-1] == "somewhere: nothing listens there: is the box on?"


def test_a_full_disk_is_said_before_any_work_begins(there: WorksHost, trial: Trial) -> None:
    there.box.windows.state.set_free_bytes(20_000)
    assert not do(there, wish())
    assert "The disk C:\\ is full: 20000 bytes are free. Make room" in there.said[-1]
    assert trial.inputs == []
