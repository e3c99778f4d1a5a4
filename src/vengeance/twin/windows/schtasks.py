"""schtasks.exe of the twin's Windows: /Query of one task as a table, as /V /FO CSV or as /XML, /Run and /End.

Modelled from https://learn.microsoft.com/windows-server/administration/windows-commands/schtasks-query and the schema
of a task, https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-schema. /XML says UTF-16 at its head and
writes the console's code page, as the real one does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from vengeance.powershell.tasks import Task, TaskDefinition
    from vengeance.twin.windows.program import Run

FOLDER = "\\vengeance"
_FAILED = 1
_LOGONS = {"password": "Password", "s4u": "S4U", "interactive": "InteractiveToken"}
_INSTANCES = {
    "parallel": "Parallel", "queue": "Queue", "ignore_new": "IgnoreNew", "stop_existing": "StopExisting",
}  # fmt: skip
_START = "2026-01-01T00:00:00"


def schtasks(run: Run) -> int:
    """schtasks.exe."""
    words = run.argv
    low = [word.lower().replace("-", "/", 1) for word in words]
    path = words[low.index("/tn") + 1] if "/tn" in low[:-1] else ""
    folder, _, name = path.rpartition("\\")
    tasks = run.windows.tasks
    verb = low[0] if low else ""
    if verb not in ("/query", "/run", "/end") or not path:
        run.error("ERROR: Invalid syntax. The twin models /Query, /Run and /End with /TN.")
        return _FAILED
    known = tasks.get(name)
    if known is None or folder.strip("\\").lower() != FOLDER.strip("\\"):
        run.error("ERROR: The system cannot find the file specified.")
        return _FAILED
    if verb == "/run":
        tasks.start(name)
        run.print(f'SUCCESS: Attempted to run the scheduled task "{path}".')
    elif verb == "/end":
        tasks.stop(name)
        run.print(f'SUCCESS: The scheduled task "{path}" has been terminated successfully.')
    elif "/xml" in low:
        run.print(_xml(path, known).replace("\n", "\r\n"))
    elif "/fo" in low[:-1] and low[low.index("/fo") + 1] == "csv" and "/v" in low:
        _list(run, path, known, heads="/nh" not in low)
    else:
        run.print(f"\r\nFolder: {FOLDER}")
        run.print(f"{'TaskName':<40} {'Next Run Time':<22} Status")
        run.print(f"{'=' * 40} {'=' * 22} {'=' * 15}")
        run.print(f"{name[:40]:<40} {'N/A':<22} {known['state'].capitalize()}")
    return 0


def _list(run: Run, path: str, task: Task, heads: bool) -> None:
    """One row for each trigger, as the real one has it."""
    definition = task["definition"]
    # Results above 2^31 are negative there.
    result = task["last_result"] if task["last_result"] < 2**31 else task["last_result"] - 2**32
    columns = {
        "HostName": run.windows.state.hostname,
        "TaskName": path,
        "Next Run Time": "N/A",
        "Status": task["state"].capitalize(),
        "Logon Mode": "Interactive only" if definition["logon"] == "interactive" else "Interactive/Background",
        "Last Run Time": task["last_run"] or "11/30/1999 12:00:00 AM",
        "Last Result": str(result),
        "Author": "N/A",
        "Task To Run": f"{definition['command']} {definition['arguments']}".strip(),
        "Start In": definition["working_directory"] or "N/A",
        "Comment": definition["description"] or "N/A",
        "Scheduled Task State": "Enabled" if definition["enabled"] else "Disabled",
    }
    if heads:
        run.print(",".join(f'"{name}"' for name in columns))
    for _ in definition["triggers"] or [""]:
        run.print(",".join('"{}"'.format(value.replace('"', '""')) for value in columns.values()))


def _duration(seconds: int) -> str:
    return f"PT{seconds // 60}M" if seconds and seconds % 60 == 0 else f"PT{seconds}S"


def _trigger(trigger: str) -> str:
    kind, _, rest = trigger.partition(" ")
    if kind == "boot":
        return "<BootTrigger><Enabled>true</Enabled></BootTrigger>"
    if kind == "logon":
        return f"<LogonTrigger><Enabled>true</Enabled><UserId>{escape(rest)}</UserId></LogonTrigger>"
    repetition = f"<Repetition><Interval>{_duration(int(rest))}</Interval></Repetition>"
    return f"<TimeTrigger>{repetition}<StartBoundary>{_START}</StartBoundary><Enabled>true</Enabled></TimeTrigger>"


def _xml(path: str, task: Task) -> str:
    one: TaskDefinition = task["definition"]
    yes = {True: "true", False: "false"}
    restart = (
        f"\n    <RestartOnFailure>\n      <Interval>{_duration(one['restart_interval'])}</Interval>"
        f"\n      <Count>{one['restart_count']}</Count>\n    </RestartOnFailure>"
        if one["restart_count"]
        else ""
    )
    folder = f"\n      <WorkingDirectory>{escape(one['working_directory'])}</WorkingDirectory>"
    arguments = f"\n      <Arguments>{escape(one['arguments'])}</Arguments>"
    return f"""<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.4" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Date>{task["registered"]}</Date>
    <Description>{escape(one["description"])}</Description>
    <URI>{escape(path)}</URI>
  </RegistrationInfo>
  <Principals>
    <Principal id="Author">
      <UserId>{escape(one["user"])}</UserId>
      <LogonType>{_LOGONS[one["logon"]]}</LogonType>
      <RunLevel>{"HighestAvailable" if one["highest"] else "LeastPrivilege"}</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <DisallowStartIfOnBatteries>{yes[not one["on_battery"]]}</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>{yes[not one["on_battery"]]}</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>{_duration(one["time_limit"])}</ExecutionTimeLimit>
    <MultipleInstancesPolicy>{_INSTANCES[one["instances"]]}</MultipleInstancesPolicy>
    <Enabled>{yes[one["enabled"]]}</Enabled>
    <RunOnlyIfIdle>{yes["idle" in one["conditions"]]}</RunOnlyIfIdle>
    <RunOnlyIfNetworkAvailable>{yes["network" in one["conditions"]]}</RunOnlyIfNetworkAvailable>{restart}
    <Priority>{one["priority"]}</Priority>
  </Settings>
  <Triggers>
    {"".join(_trigger(each) for each in one["triggers"])}
  </Triggers>
  <Actions Context="Author">
    <Exec>
      <Command>{escape(one["command"])}</Command>{arguments if one["arguments"] else ""}{
        folder if one["working_directory"] else ""
    }
    </Exec>
  </Actions>
</Task>"""
