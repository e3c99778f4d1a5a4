"""Scheduled tasks as data, and the operation on facts that a test gives."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pyinfra.api.exceptions import OperationValueError
from typeguard import check_type

from tests.unit.operation_runs import Run, run_operation
from vengeance.box import scheduled_tasks as rules
from vengeance.facts.windows import ScheduledTask
from vengeance.operations import windows
from vengeance.powershell import Script, load, tasks
from vengeance.secret import Secret

WORD = "correct horse battery"
ACCOUNT = "VENGEANCE\\Steam"
DECLARED: dict[str, Any] = {
    "task": "wsl keepalive",
    "command": "C:\\Program Files\\WSL\\wsl.exe",
    "arguments": "-d Ubuntu-24.04 -u root --cd / --exec /usr/bin/sleep infinity",
    "password": Secret.of(WORD),
    "running": True,
}
DEFINITION: tasks.TaskDefinition = {
    "description": "",
    "command": "C:\\Program Files\\WSL\\wsl.exe",
    "arguments": "-d Ubuntu-24.04 -u root --cd / --exec /usr/bin/sleep infinity",
    "working_directory": "",
    "user": ACCOUNT,
    "logon": "password",
    "highest": True,
    "triggers": ["boot", "every 900"],
    "time_limit": 0,
    "priority": 5,
    "restart_count": 0,
    "restart_interval": 0,
    "on_battery": True,
    "instances": "ignore_new",
    "conditions": [],
    "enabled": True,
}


def known(definition: dict[str, Any] | None = None, **changes: Any) -> tasks.ScheduledTask:
    task = {
        "definition": {**DEFINITION, **(definition or {})},
        "state": "running",
        "registered": "2026-02-09T07:12:44Z",
        "password_set": "2026-01-22T18:03:11Z",
        "last_run": "2026-02-09T07:13:02Z",
        "last_result": 0x41301,
        **changes,
    }
    return check_type({"account": ACCOUNT, "task": task}, tasks.ScheduledTask)


def run(found: tasks.ScheduledTask, **changes: Any) -> Run:
    return run_operation(windows.scheduled_task, {ScheduledTask: found}, **{**DECLARED, **changes})


def sent(done: Run) -> dict[str, Any]:
    assert len(done.commands) == 1
    command = done.commands[0]
    assert isinstance(command, Script)
    answer: dict[str, Any] = json.loads(command.parameters)
    return answer


@pytest.mark.parametrize(
    ("text", "seconds"), [("PT0S", 0), ("PT5M", 300), ("PT72H", 259200), ("P3D", 259200), ("P1DT1H1M1S", 90061)]
)
def test_a_duration_is_read(text: str, seconds: int) -> None:
    assert rules.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "P", "PT", "5m", "PT5", "72:00:00", "P1M", 5, None])
def test_what_is_no_duration_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="is no duration: write it as PT0S, PT5M"):
        rules.seconds_of(text)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"task": "a\\b"}, "is no name of a task"),
        ({"task": ""}, "is no name of a task"),
        ({"task": "end "}, "is no name of a task"),
        ({"command": ""}, "command is a full path without quotes"),
        ({"command": "wsl.exe"}, "command is a full path without quotes"),
        ({"command": '"C:\\a b.exe"'}, "command is a full path without quotes"),
        ({"working_directory": "models"}, "working_directory is a full path"),
        ({"arguments": "a\nb"}, "arguments is one line"),
        ({"arguments": ["a"]}, "arguments is one line"),
        ({"logon": "service"}, "logon is one of s4u, password, interactive, not 'service'"),
        ({"trigger": "daily"}, "trigger is one of boot, logon, none, not 'daily'"),
        ({"user": " "}, "user is the name of an account"),
        ({"user": "NT AUTHORITY\\SYSTEM"}, "user is a person's account, not NT AUTHORITY"),
        ({"user": "other", "password": None}, "needs that account's password"),
        ({"password": WORD}, "password is a vengeance.secret.Secret"),
        ({"logon": "s4u"}, "logon='s4u' uses no password"),
        ({"logon": "interactive", "password": None}, "which nobody is at boot"),
        ({"time_limit": "3 days"}, "'3 days' is no duration"),
        ({"time_limit": "PT5S"}, "time_limit is PT0S"),
        ({"priority": 11}, "priority is 0"),
        ({"priority": True}, "priority is 0"),
        ({"restart_count": 999}, "restart_count is 0 to 255, not 999"),
        ({"restart_interval": "PT30S"}, "restart_interval is PT1M to P31D"),
        ({"restart_interval": "P32D"}, "restart_interval is PT1M to P31D"),
    ],
)
def test_a_task_that_could_not_be_is_refused_before_anything_is_read(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OperationValueError, match=re.escape(sentence)) as caught:
        run({"account": None, "task": None}, **changes)
    assert WORD not in str(caught.value)


def test_a_password_that_nobody_gave_is_asked_for_in_a_sentence() -> None:
    with pytest.raises(OperationValueError, match=r"no password: set winrm_password_env.*logon='s4u' does not"):
        run({"account": ACCOUNT, "task": None}, password=None)


def test_a_password_that_cannot_be_read_is_asked_for_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PASSWORD", raising=False)
    with pytest.raises(OperationValueError, match="the environment variable NO_PASSWORD is not set"):
        run({"account": ACCOUNT, "task": None}, password=Secret.from_environment("NO_PASSWORD"))


def test_a_new_task_is_written_with_the_password_apart() -> None:
    done = run({"account": ACCOUNT, "task": None})
    given = sent(done)
    check_type(given, tasks.SetTaskInput)
    assert given == {
        "name": "wsl keepalive",
        "definition": DEFINITION,
        "running": True,
        "renew": False,
    }
    assert [command.secret for command in done.commands if isinstance(command, Script)] == [WORD]
    assert WORD not in "".join([*done.texts, *done.logged, str(done.commands), repr(done.commands)])


def test_a_task_that_is_as_it_should_be_is_left_alone() -> None:
    done = run(known())
    assert (done.commands, done.noops) == ([], ["task \\vengeance\\wsl keepalive is as it should be"])


@pytest.mark.parametrize(
    "definition",
    [
        {"time_limit": 259200},
        {"priority": 7},
        {"on_battery": False},
        {"restart_count": 255, "restart_interval": 60},
        {"triggers": ["boot"]},
        {"triggers": ["boot", "every 900", "other"]},
        {"logon": "s4u"},
        {"highest": False},
        {"conditions": ["idle"]},
        {"instances": "parallel"},
        {"enabled": False},
        {"user": "VENGEANCE\\other"},
        {"arguments": "-d Debian"},
    ],
)
def test_each_difference_is_seen_and_said(definition: dict[str, Any]) -> None:
    done = run(known(definition))
    assert sent(done)["definition"] == DEFINITION
    assert len(done.logged) == len(definition)
    for key in definition:
        assert any(f": {key} " in line and " -> " in line for line in done.logged)


def test_windows_does_not_tell_the_case_of_paths_and_accounts_apart() -> None:
    assert not run(known({"command": "c:\\program files\\wsl\\WSL.EXE", "user": "vengeance\\STEAM"})).commands


def test_a_task_that_has_ended_is_started() -> None:
    done = run(known(state="ready", last_result=0xFFFFFFFF))
    assert (sent(done)["running"], sent(done)["renew"]) == (True, False)
    assert done.logged == ["task \\vengeance\\wsl keepalive: ready (last result 0xFFFFFFFF) -> running"]


def test_a_task_that_should_not_run_is_ended_and_has_no_second_trigger() -> None:
    done = run(known(), running=False)
    given = sent(done)
    assert (given["running"], given["definition"]["triggers"]) == (False, ["boot"])


@pytest.mark.parametrize(
    ("changes", "stale"),
    [
        ({}, False),
        ({"password_set": "2026-02-10T00:00:00Z"}, True),
        ({"password_set": None}, False),
        ({"registered": None}, True),
        ({"state": "ready", "last_result": rules.LOGON_FAILURE}, True),
        # It was refused before the password was stored again, and has not been tried since.
        ({"state": "ready", "last_result": rules.LOGON_FAILURE, "last_run": "2026-02-09T07:00:00Z"}, False),
    ],
)
def test_a_stored_password_that_was_changed_is_stored_again(changes: dict[str, Any], stale: bool) -> None:
    found = known({"triggers": [], "restart_count": 255, "restart_interval": 900}, **changes)
    done = run(found, running=None, trigger="none")
    given = [json.loads(command.parameters) for command in done.commands if isinstance(command, Script)]
    assert [each["renew"] for each in given] == [True] * stale
    assert any("its stored password is not the account's any more" in line for line in done.logged) == stale


def test_a_task_without_a_stored_password_does_not_care_for_a_changed_one() -> None:
    found = known({"logon": "s4u", "triggers": ["boot", "every 60"]}, password_set="2026-02-10T00:00:00Z")
    done = run(found, logon="s4u", password=None)
    assert done.commands == []


@pytest.mark.parametrize(
    ("trigger", "logon", "running", "expected"),
    [
        ("boot", "s4u", True, ["boot", "every 60"]),
        ("boot", "s4u", None, ["boot"]),
        ("logon", "interactive", True, ["logon VENGEANCE\\Steam", "every 60"]),
        ("logon", "s4u", True, ["logon VENGEANCE\\Steam"]),
        ("none", "s4u", True, []),
    ],
)
def test_what_should_keep_running_has_a_second_trigger(
    trigger: str, logon: str, running: bool | None, expected: list[str]
) -> None:
    done = run({"account": ACCOUNT, "task": None}, trigger=trigger, logon=logon, running=running, password=None)
    assert sent(done)["definition"]["triggers"] == expected
    assert [command.secret for command in done.commands if isinstance(command, Script)] == [None]


def test_an_account_that_is_not_there_stops_that_host_with_a_sentence() -> None:
    done = run({"account": None, "task": None}, user="nobody")
    assert len(done.commands) == 1
    assert not isinstance(done.commands[0], Script)
    assert "somewhere has no account nobody" in str(done.commands[0].args)  # type: ignore[attr-defined]


def test_a_task_is_removed_once() -> None:
    gone = run_operation(windows.scheduled_task, {ScheduledTask: known()}, task="wsl keepalive", present=False)
    assert sent(gone) == {"name": "wsl keepalive"}
    again = run_operation(
        windows.scheduled_task, {ScheduledTask: {"account": ACCOUNT, "task": None}}, task="x", present=False
    )
    assert (again.commands, again.noops) == ([], ["there is no task \\vengeance\\x"])


def test_the_scripts_read_a_task_in_the_same_words() -> None:
    def functions(script: str) -> dict[str, str]:
        found = re.findall(r"^function ([A-Za-z-]+)(.*?)^}", load(script), re.MULTILINE | re.DOTALL)
        return dict(found)

    reading, setting, removing = functions("Get-Task"), functions("Set-Task"), functions("Remove-Task")
    assert reading.keys() < removing.keys() < setting.keys()
    for name, text in setting.items():
        assert reading.get(name, text) == text
        assert removing.get(name, text) == text


def test_the_scripts_know_every_field_in_the_order_of_the_contract() -> None:
    order = list(tasks.TaskDefinition.__annotations__)
    for script, block in (
        ("Get-Task", "return [ordered] @{\n        description"),
        ("Set-Task", "$target = [ordered]"),
    ):
        text = load(script)
        part = text[text.index(block) : text.index("\n}", text.index(block))]
        assert re.findall(r"^ +([a-z_]+) = ", part, re.MULTILINE)[: len(order)] == order
