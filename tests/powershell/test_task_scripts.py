"""The scripts about scheduled tasks, run for real: Task Scheduler is a COM server that only Windows has."""

from __future__ import annotations

from typing import Any

from tests.powershell.test_powershell_scripts import answer, needs_windows, runs_pwsh


@runs_pwsh
@needs_windows
def test_a_task_comes_is_left_alone_and_goes() -> None:
    name = "test of scripts"
    account = answer("Get-Task", {"name": name, "user": None})["account"]
    definition = {
        "description": "Made by a test.",
        "command": "C:\\Windows\\System32\\PING.EXE",
        "arguments": "-t 127.0.0.1",
        "working_directory": "",
        "user": account,
        "logon": "s4u",
        "highest": True,
        "triggers": ["boot", f"logon {account}", "every 3600"],
        "time_limit": 0,
        "priority": 5,
        "restart_count": 3,
        "restart_interval": 60,
        "on_battery": True,
        "instances": "ignore_new",
        "conditions": [],
        "enabled": True,
    }
    given: dict[str, Any] = {
        "name": name,
        "definition": definition,
        "running": True,
        "renew": False,
    }
    try:
        said = answer("Set-Task", given)
        assert (said["changed"], said["before"], said["after"]["state"]) == (True, None, "running")
        assert answer("Get-Task", {"name": name, "user": None})["task"]["definition"] == definition
        assert answer("Set-Task", given)["changed"] is False
        said = answer("Set-Task", {**given, "definition": {**definition, "time_limit": 259200}, "running": False})
        assert (said["changed"], said["after"]["definition"]["time_limit"]) == (True, 259200)
        assert said["after"]["state"] == "ready"
    finally:
        assert answer("Remove-Task", {"name": name})["changed"] is True
    assert answer("Remove-Task", {"name": name})["changed"] is False
