"""What Task Scheduler, logons, logoffs and the clock do in the twin, and what windows.scheduled_task makes of it.

What runs is read from the twin's process list, not from the scheduler that started it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.twin.linux_side import until
from tests.twin.windows_box import Box
from tests.twin.works_box import WorksHost
from tests.unit.operation_runs import Run as Operation
from tests.unit.operation_runs import run_operation
from vengeance.facts.windows import ScheduledTask
from vengeance.operations import windows as operations
from vengeance.powershell import Script
from vengeance.powershell.tasks import TaskDefinition
from vengeance.secret import Secret
from vengeance.twin.windows.model import Windows
from vengeance.twin.windows.pipes import Job
from vengeance.twin.windows.program import Run
from vengeance.twin.windows.state import RunningProcess, State
from vengeance.twin.windows.task_scheduler import DEFAULTS, LOGON_FAILURE, NOT_FOUND, REFUSED, TERMINATED

SERVER = "C:\\Tools\\server.exe"
HOUR = 3600.0
PASSWORD = Secret.of("right")
DECLARED: dict[str, Any] = {"task": "server", "command": SERVER, "password": PASSWORD, "running": True}


class Server:
    """A program that runs until it is ended, or told to end with a code."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.code: int | None = None

    def __call__(self, run: Run) -> int:
        if self.code is not None:
            return self.code
        self.jobs.append(run.job)
        run.job.sleep(1e9)
        return 0


class TaskBox(Box):
    """A Windows with a server program, on which operations run by the exact text of their scripts."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server = Server()
        self.equip(self.windows)

    def equip(self, windows: Windows) -> None:
        windows.add_program("server.exe", self.server)
        host = self.drive_c / "Tools/server.exe"
        host.parent.mkdir(exist_ok=True)
        host.write_bytes(b"MZ")
        windows.passwords.check = lambda user, password: password == "right"

    def script(self, name: str, given: dict[str, Any]) -> Any:
        """Run a shipped script as WinRM does; RuntimeError with what it says when it fails."""
        return self.change(Script(name, given))

    def change(self, script: Script) -> Any:
        """The same, with all that an operation has put into it."""
        good, out, err = WorksHost(self).run_script(script)
        if not good:
            raise RuntimeError(err.strip())
        return json.loads(out)

    def fact(self, task: str = "server", user: str | None = None) -> Any:
        return self.script("Get-Task", {"name": task, "user": user})

    def declare(self, **arguments: Any) -> Operation:
        """Run windows.scheduled_task and its scripts."""
        done = run_operation(operations.scheduled_task, {ScheduledTask: self.fact}, **{**DECLARED, **arguments})
        for command in done.commands:
            assert isinstance(command, Script)
            self.change(command)
        return done

    def running(self, image: str = SERVER) -> list[RunningProcess]:
        return [process for process in list(self.windows.state.processes.values()) if process.image == image]

    def registered(self, name: str = "server") -> TaskDefinition:
        """The definition as windows.json has it."""
        known = json.loads((self.folder / "windows.json").read_text())["sections"]["tasks"][name]
        definition: TaskDefinition = known["definition"]
        return definition

    def default_task(self, name: str = "plain", **changes: Any) -> None:
        """Register one as it becomes when only the program and the account are said."""
        definition: TaskDefinition = {
            **DEFAULTS,
            "command": SERVER,
            "user": "VENGEANCE\\Steam",
            "logon": "password",
            "triggers": ["boot"],
            **changes,  # type: ignore[typeddict-item]
        }
        self.windows.tasks.register(name, definition)

    def state(self, name: str = "server") -> tuple[str, int]:
        task = self.windows.tasks.get(name)
        assert task is not None
        return task["state"], task["last_result"]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[TaskBox]:
    box = TaskBox(tmp_path)
    yield box
    box.windows.stop_all()
    assert not box.faults


# --- rule 12: boot trigger, logon type, run level, no limit, priority, restart, no battery or idle conditions ---


def test_a_task_with_a_boot_trigger_runs_after_a_restart_with_nobody_logged_on(box: TaskBox) -> None:
    box.declare()
    before = {process.pid for process in box.running()}
    box.restart()
    assert until(lambda: len(box.running()) == 1)
    after = box.running()[0]
    assert after.pid not in before
    assert (after.user, after.session, box.windows.sessions.desktops) == ("Steam", 0, {})


@pytest.mark.parametrize("logon", ["password", "s4u"])
def test_logon_type_password_and_s4u_start_with_nobody_logged_on(box: TaskBox, logon: str) -> None:
    box.declare(logon=logon, password=PASSWORD if logon == "password" else None)
    assert until(lambda: len(box.running()) == 1)
    assert box.registered()["logon"] == logon


def test_logon_type_interactive_starts_only_while_its_user_is_signed_in(box: TaskBox) -> None:
    wanted: dict[str, Any] = {"logon": "interactive", "password": None, "trigger": "logon", "running": None}
    box.declare(**wanted)
    box.windows.tasks.start("server")
    assert (box.running(), box.state()) == ([], ("ready", REFUSED))
    session = box.windows.sessions.logon("Steam")
    assert until(lambda: [process.session for process in box.running()] == [session])
    box.windows.sessions.logoff("Steam")
    assert until(lambda: not box.running())
    with pytest.raises(RuntimeError, match="0x800710E0, Windows refused it: nobody is signed in on the desktop"):
        box.declare(**{**wanted, "running": True})


def test_run_level_highest_gives_the_full_token_and_the_default_does_not(box: TaskBox) -> None:
    box.declare()
    box.default_task()
    box.windows.tasks.start("plain")
    assert until(lambda: len(box.running()) == 2)
    assert sorted(process.elevated for process in box.running()) == [False, True]


def test_72_hours_neither_end_the_good_task_nor_spare_one_with_defaults(box: TaskBox) -> None:
    box.declare()
    box.default_task()
    box.windows.tasks.start("plain")
    assert until(lambda: len(box.running()) == 2)
    good = box.windows.tasks.pid("server")
    box.windows.clock.advance(72 * HOUR - 60)
    assert len(box.running()) == 2
    box.windows.clock.advance(120)
    assert until(lambda: [process.pid for process in box.running()] == [good])
    assert box.state("plain") == ("ready", TERMINATED)
    box.windows.clock.advance(72 * HOUR)
    assert [process.pid for process in box.running()] == [good]


def test_priority_5_is_a_normal_process_and_the_default_of_7_works_in_the_background(box: TaskBox) -> None:
    box.declare()
    box.default_task()
    box.windows.tasks.start("plain")
    assert until(lambda: len(box.running()) == 2)
    priorities = {process.pid: process.priority for process in box.running()}
    assert priorities[box.windows.tasks.pid("server") or 0] == "normal"
    assert priorities[box.windows.tasks.pid("plain") or 0] == "below normal"


def test_what_cannot_be_started_is_tried_again_and_again(box: TaskBox) -> None:
    program = box.drive_c / "Tools/server.exe"
    program.unlink()
    with pytest.raises(RuntimeError, match="was started and does not run: 0x80070002, the program was not found"):
        box.declare()
    assert box.state() == ("ready", NOT_FOUND)
    box.windows.clock.advance(HOUR)
    program.write_bytes(b"MZ")
    box.windows.clock.advance(901)
    assert until(lambda: len(box.running()) == 1)


def test_what_could_not_be_started_at_boot_is_tried_again(box: TaskBox) -> None:
    box.declare(running=None)
    program = box.drive_c / "Tools/server.exe"
    program.unlink()
    box.restart()
    assert (box.registered()["restart_count"], box.state()) == (255, ("ready", NOT_FOUND))
    box.windows.clock.advance(5 * HOUR)
    program.write_bytes(b"MZ")
    box.windows.clock.advance(901)
    assert until(lambda: len(box.running()) == 1)


@pytest.mark.parametrize("code", [0, 1, 0xFFFFFFFF])
def test_restart_on_failure_does_not_bring_back_a_program_that_has_ended(box: TaskBox, code: int) -> None:
    box.default_task(restart_count=255, restart_interval=60, time_limit=0)
    box.server.code = code
    box.windows.tasks.start("plain")
    assert until(lambda: box.state("plain") == ("ready", code))
    box.server.code = None
    box.windows.clock.advance(10 * HOUR)
    assert not box.running()


def test_a_task_without_a_stored_password_is_back_within_a_minute(box: TaskBox) -> None:
    box.declare(logon="s4u", password=None)
    assert until(lambda: len(box.running()) == 1)
    box.windows.kill(box.running()[0].pid)
    assert until(lambda: not box.running() and box.state()[0] == "ready")
    box.windows.clock.advance(61)
    assert until(lambda: len(box.running()) == 1)


@pytest.mark.parametrize("code", [0, 1, 0xFFFFFFFF])
def test_a_task_that_should_run_is_back_a_quarter_of_an_hour_after_its_program_has_ended(
    box: TaskBox, code: int
) -> None:
    box.declare()
    assert until(lambda: len(box.running()) == 1)
    box.windows.kill(box.running()[0].pid)
    assert until(lambda: not box.running() and box.state()[0] == "ready")
    box.server.code = code
    box.windows.clock.advance(901)
    assert until(lambda: box.state() == ("ready", code))
    box.server.code = None
    box.windows.clock.advance(901)
    assert until(lambda: len(box.running()) == 1)


def test_a_second_start_of_what_runs_is_ignored(box: TaskBox) -> None:
    box.declare()
    assert until(lambda: len(box.running()) == 1)
    pid = box.running()[0].pid
    box.windows.tasks.start("server")
    box.windows.clock.advance(24 * HOUR)
    assert [process.pid for process in box.running()] == [pid]
    assert box.windows.process_starts["server.exe"] == 1


def test_a_battery_neither_stops_nor_hinders_it_as_it_does_one_with_defaults(box: TaskBox) -> None:
    box.declare()
    box.default_task()
    box.windows.tasks.start("plain")
    assert until(lambda: len(box.running()) == 2)
    box.windows.tasks.set_on_battery(True)
    assert until(lambda: len(box.running()) == 1)
    box.windows.tasks.start("plain")
    assert box.state("plain") == ("ready", REFUSED)
    assert box.state()[0] == "running"
    box.restart()
    assert until(lambda: len(box.running()) == 1)
    assert (box.state()[0], box.state("plain")[0]) == ("running", "ready")


def test_it_waits_neither_for_idleness_nor_for_a_network(box: TaskBox) -> None:
    box.declare()
    assert box.registered()["conditions"] == []


# --- what logoff, a restart and the end of a task kill ---


def test_a_logoff_kills_what_runs_on_the_desktop_and_leaves_session_0(box: TaskBox) -> None:
    box.declare()
    box.default_task("desktop", logon="interactive", triggers=["logon VENGEANCE\\Steam"])
    session = box.windows.sessions.logon("Steam")
    box.windows.launch(SERVER, user="Steam", session=session)
    assert until(lambda: sorted(process.session for process in box.running()) == [0, session, session])
    box.windows.sessions.logoff("Steam")
    assert until(lambda: [process.session for process in box.running()] == [0])
    assert box.state("desktop") == ("ready", 0x40010004)
    assert box.state()[0] == "running"


def test_a_logon_trigger_is_for_its_own_user(box: TaskBox) -> None:
    box.windows.state.add_user("guest")
    box.declare(trigger="logon", running=None)
    box.windows.sessions.logon("guest")
    assert (box.running(), box.state()[0]) == ([], "ready")
    box.windows.sessions.logon("Steam")
    assert until(lambda: [process.session for process in box.running()] == [0])


def test_a_second_logon_of_the_same_person_is_the_same_session(box: TaskBox) -> None:
    sessions = box.windows.sessions
    first = sessions.logon("Steam")
    assert sessions.logon("steam") == first
    assert sessions.desktops == {first: "Steam"}
    sessions.logoff("Steam")
    assert sessions.logoff("Steam") is None
    assert sessions.logon("Steam") != first


def test_a_restart_ends_all_and_nobody_is_signed_in_after_it(box: TaskBox) -> None:
    box.default_task("by hand", triggers=[])
    box.windows.tasks.start("by hand")
    session = box.windows.sessions.logon("Steam")
    box.windows.launch(SERVER, user="Steam", session=session)
    assert until(lambda: len(box.running()) == 2)
    box.restart()
    assert (box.running(), box.windows.sessions.desktops) == ([], {})
    assert box.state("by hand")[0] == "ready"


def test_nothing_is_started_between_the_end_and_the_boot(box: TaskBox) -> None:
    box.declare()
    box.windows.stop_all()
    box.windows.clock.advance(HOUR)
    assert until(lambda: not box.running())
    assert box.state()[0] == "ready"


def test_the_end_of_a_task_leaves_what_its_program_has_started(box: TaskBox) -> None:
    wrapper = "C:\\Windows\\System32\\cmd.exe"
    box.default_task("wrapped", command=wrapper, arguments=f"/d /c {SERVER}")
    box.windows.tasks.start("wrapped")
    assert until(lambda: len(box.running()) == 1)
    done = box.run("schtasks /End /TN \\vengeance\\wrapped")
    assert done.code == 0
    assert box.state("wrapped") == ("ready", TERMINATED)
    assert (len(box.running()), box.running(wrapper)) == (1, [])
    box.windows.kill(box.running()[0].pid)
    assert until(lambda: not box.running())


@pytest.mark.parametrize("changes", [{"running": False}, {"present": False}, {"arguments": "/d /c exit 0 & x"}])
def test_the_operation_ends_a_task_with_all_that_it_has_started(box: TaskBox, changes: dict[str, Any]) -> None:
    wrapped: dict[str, Any] = {"command": "C:\\Windows\\System32\\cmd.exe", "arguments": f"/d /c {SERVER}"}
    box.declare(**wrapped)
    assert until(lambda: len(box.running()) == 1)
    server = box.running()[0].pid
    if "arguments" in changes:
        changes = {"arguments": f"/d /c {SERVER} --other"}
        box.declare(**{**wrapped, **changes})
        assert until(lambda: [process.pid != server for process in box.running()] == [True])
    else:
        box.declare(**{**wrapped, **changes})
        assert until(lambda: not box.running())


# --- a password that was changed ---


def test_a_password_that_was_changed_keeps_the_task_from_starting_until_it_is_declared_again(box: TaskBox) -> None:
    box.declare()
    assert until(lambda: len(box.running()) == 1)
    box.windows.clock.advance(HOUR)
    box.windows.passwords.changed("Steam")
    assert box.running(), "what runs goes on"
    box.restart()
    assert (box.running(), box.state()) == ([], ("ready", LOGON_FAILURE))
    box.windows.clock.advance(HOUR)
    assert not box.running()
    done = box.declare()
    assert any("its stored password is not the account's any more" in line for line in done.logged)
    assert until(lambda: len(box.running()) == 1)
    assert not box.declare().commands
    box.restart()
    assert until(lambda: len(box.running()) == 1)


def test_a_changed_password_is_stored_again_before_the_task_has_ever_failed(box: TaskBox) -> None:
    box.declare()
    assert until(lambda: len(box.running()) == 1)
    pid = box.running()[0].pid
    box.windows.clock.advance(HOUR)
    box.windows.passwords.changed("Steam")
    assert len(box.declare().commands) == 1
    assert [process.pid for process in box.running()] == [pid]
    assert not box.declare().commands
    box.restart()
    assert until(lambda: len(box.running()) == 1)


def test_two_tasks_with_an_old_password_do_not_lock_the_account(box: TaskBox) -> None:
    for name in ("one", "two"):
        box.declare(task=name)
    box.windows.clock.advance(HOUR)
    box.windows.passwords.changed("Steam")
    box.restart()
    box.windows.clock.advance(24 * HOUR)
    failed = sorted(box.windows.tasks.failed_logons)
    assert len(failed) > 100
    # Windows 11 locks it at the tenth, and counts from the beginning when the last one is ten minutes old.
    count = most = 0
    for before, now in zip([failed[0], *failed], failed, strict=False):
        count = 1 if now - before > 600 else count + 1
        most = max(most, count)
    assert most < 10


def test_a_password_that_is_not_the_accounts_is_not_stored(box: TaskBox) -> None:
    with pytest.raises(RuntimeError, match=r"is not that of VENGEANCE.Steam") as caught:
        box.declare(password=Secret.of("wrong one"))
    assert "wrong one" not in str(caught.value)
    assert box.fact()["task"] is None


def test_the_password_is_in_no_file_of_the_box(box: TaskBox) -> None:
    word = "a password like no other"
    box.windows.passwords.check = lambda user, password: password == word
    box.declare(password=Secret.of(word))
    files = [file for file in box.folder.rglob("*") if file.is_file()]
    assert box.folder / "windows.json" in files
    assert not [file for file in files if word.encode() in file.read_bytes()]


# --- the operation ---


def test_it_is_planned_done_proven_by_another_path_and_then_left_alone(box: TaskBox) -> None:
    wanted: dict[str, Any] = {
        "arguments": "--port 11434",
        "working_directory": "C:\\Tools",
        "description": "Serves.",
        "restart_interval": "PT1M",
    }
    done = box.declare(**wanted)
    assert done.logged == [f"task \\vengeance\\server: not there -> {SERVER} --port 11434"]
    assert until(lambda: [process.command_line for process in box.running()] == [f"{SERVER} --port 11434"])
    assert box.registered() == {
        "description": "Serves.",
        "command": SERVER,
        "arguments": "--port 11434",
        "working_directory": "C:\\Tools",
        "user": "VENGEANCE\\Steam",
        "logon": "password",
        "highest": True,
        "triggers": ["boot", "every 60"],
        "time_limit": 0,
        "priority": 5,
        "restart_count": 0,
        "restart_interval": 0,
        "on_battery": True,
        "instances": "ignore_new",
        "conditions": [],
        "enabled": True,
    }
    again = box.declare(**wanted)
    assert (again.commands, again.noops) == ([], ["task \\vengeance\\server is as it should be"])


def test_a_script_that_runs_twice_changes_nothing_the_second_time(box: TaskBox) -> None:
    done = run_operation(operations.scheduled_task, {ScheduledTask: box.fact}, **DECLARED)
    assert isinstance(done.commands[0], Script)
    first, second = (box.change(done.commands[0]) for _ in range(2))
    assert (first["changed"], second["changed"]) == (True, False)
    assert box.script("Remove-Task", {"name": "server"})["changed"] is True
    assert box.script("Remove-Task", {"name": "server"})["changed"] is False


def test_a_change_starts_a_running_task_anew(box: TaskBox) -> None:
    box.declare()
    assert until(lambda: len(box.running()) == 1)
    old = box.running()[0].pid
    box.declare(arguments="--other")
    assert until(lambda: [process.command_line for process in box.running()] == [f"{SERVER} --other"])
    assert box.running()[0].pid != old


def test_a_task_takes_the_variables_that_the_registry_has_when_it_starts(box: TaskBox) -> None:
    box.declare()
    assert until(lambda: len(box.running()) == 1)
    box.windows.registry.set("HKU\\" + box.windows.state.sid("Steam") + "\\Environment", "OLLAMA_DEBUG", "1")
    assert "OLLAMA_DEBUG" not in box.running()[0].environment
    box.restart()
    assert until(lambda: len(box.running()) == 1)
    assert box.running()[0].environment["OLLAMA_DEBUG"] == "1"


def test_what_somebody_has_changed_by_hand_is_put_right(box: TaskBox) -> None:
    box.declare()
    box.default_task("server")
    done = box.declare()
    assert {line.split(": ")[1].split(" ")[0] for line in done.logged} >= {"time_limit", "priority", "on_battery"}
    assert box.registered()["time_limit"] == 0


def test_the_account_may_be_written_in_three_ways(box: TaskBox) -> None:
    for user in ("Steam", ".\\steam", "VENGEANCE\\STEAM"):
        assert box.fact(user=user)["account"] == "VENGEANCE\\Steam"
    assert box.fact(user="nobody")["account"] is None
    assert box.fact(user="OTHERBOX\\Steam")["account"] is None


def test_tasks_are_there_after_the_twin_was_stopped(box: TaskBox) -> None:
    box.declare()
    box.windows.stop_all()
    assert until(lambda: not box.running())
    again = Windows(State(box.folder), log=box.faults.append)
    box.equip(again)
    again.boot()
    assert until(lambda: any(process.image == SERVER for process in again.state.processes.values()))
    again.stop_all()


def test_schtasks_shows_runs_and_ends_a_task(box: TaskBox) -> None:
    box.default_task()
    line = "/TN \\vengeance\\plain"
    assert "Ready" in box.run(f"schtasks /Query {line}").out
    assert box.run(f"schtasks /Run {line}").code == 0
    assert until(lambda: len(box.running()) == 1)
    assert "Running" in box.run(f"schtasks /Query {line}").out
    assert box.run(f"schtasks /End {line}").code == 0
    assert until(lambda: not box.running())
    assert box.run("schtasks /Run /TN \\vengeance\\absent").code == 1
