"""The models of the scripts about scheduled tasks."""

from __future__ import annotations

from typing import cast

from vengeance.powershell.tasks import ScheduledTask, TaskChange, TaskDefinition
from vengeance.twin.windows.program import Run
from vengeance.twin.windows.scripts.model import Given, Model, ScriptFailed
from vengeance.twin.windows.task_scheduler import LOGON_FAILURE, NOT_FOUND, REFUSED

# As Set-Task.ps1 puts them.
_REASONS = {
    NOT_FOUND: "the program was not found",
    LOGON_FAILURE: "its stored password is not that of its account",
    REFUSED: "Windows refused it: nobody is signed in on the desktop of its account, or a condition is not met",
}


def get_task(run: Run, given: Given) -> ScheduledTask:
    """Get-Task."""
    user = str(given.get("user") or run.user)
    state = run.windows.state
    domain, _, name = user.rpartition("\\")
    try:
        known = domain.lower() in ("", ".", state.hostname.lower())
        account = f"{state.hostname}\\{state.account(name)}" if known else None
    except KeyError:
        account = None
    return {"account": account, "task": run.windows.tasks.get(str(given.get("name")))}


def set_task(run: Run, given: Given) -> TaskChange:
    """Set-Task."""
    windows, tasks = run.windows, run.windows.tasks
    name, running, target = str(given["name"]), given.get("running"), cast(TaskDefinition, given["definition"])
    before = tasks.get(name)
    runs = before is not None and before["state"] == "running"
    same = before is not None and before["definition"] == target
    changed = not same or bool(given.get("renew"))
    if changed:
        user = target["user"].rpartition("\\")[2]
        if target["logon"] not in ("password", "s4u", "interactive"):
            raise ScriptFailed(f"A task signs in by password, s4u or interactive, not {target['logon']}.")
        if target["logon"] == "password" and not windows.passwords.check(user, str(given.get("secret") or "")):
            raise ScriptFailed(
                f"The password that was given for the task \\vengeance\\{name} is not that of {target['user']}."
            )
        tasks.register(name, target)
    again = changed and runs and running is not False and not same
    if runs and (again or running is False):
        tasks.stop(name, tree=True)
        changed = True
    if again or (running is True and not runs):
        tasks.start(name)
        tasks.wait_a_moment(name)
        changed = True
    after = tasks.get(name)
    if running is True and after is not None and after["state"] != "running":
        code = after["last_result"]
        reason = f", {_REASONS[code]}" if code in _REASONS else ""
        raise ScriptFailed(f"The task \\vengeance\\{name} was started and does not run: 0x{code:08X}{reason}.")
    return {"changed": changed, "before": before, "after": after, "reboot_required": False}


def remove_task(run: Run, given: Given) -> TaskChange:
    """Remove-Task."""
    tasks, name = run.windows.tasks, str(given["name"])
    before = tasks.get(name)
    if before is not None:
        tasks.stop(name, tree=True)
        tasks.remove(name)
    return {"changed": before is not None, "before": before, "after": None, "reboot_required": False}


MODELS: dict[str, Model] = {
    "Get-Task": get_task,
    "Set-Task": set_task,
    "Remove-Task": remove_task,
}
"""Script name -> what does its work here."""
