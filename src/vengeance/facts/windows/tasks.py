"""Facts of scheduled tasks."""

from __future__ import annotations

from pyinfra.api.facts import FactBase

from vengeance.facts.windows.answers import parse
from vengeance.powershell import Script, tasks


class ScheduledTask(FactBase[tasks.ScheduledTask]):
    """Returns a task in the folder \\vengeance of Task Scheduler, and the account that a user's name means.

    + task: its name
    + user: name of an account; None is the one that the connection signs in as

    .. code:: python

        {
            "account": "VENGEANCE\\Steam",      # None when there is no such account
            "task": {                           # None when there is no such task
                "definition": {
                    "description": "", "command": "C:\\Program Files\\WSL\\wsl.exe", "arguments": "-d Ubuntu-24.04 ...",
                    "working_directory": "", "user": "VENGEANCE\\Steam", "logon": "password", "highest": True,
                    "triggers": ["boot", "every 900"], "time_limit": 0, "priority": 5, "restart_count": 0,
                    "restart_interval": 0, "on_battery": True, "instances": "ignore_new", "conditions": [],
                    "enabled": True,
                },
                "state": "running",
                "registered": "2026-02-09T07:12:44Z",
                "password_set": "2026-01-22T18:03:11Z",
                "last_run": "2026-02-09T07:13:02Z",
                "last_result": 267009,          # 0x41301: it runs
            },
        }
    """

    shell_executable = "ps"

    def command(self, task: str, user: str | None = None) -> Script:
        return Script("Get-Task", {"name": task, "user": user})

    def process(self, output: list[str]) -> tasks.ScheduledTask:
        return parse("Get-Task", output, tasks.ScheduledTask)
