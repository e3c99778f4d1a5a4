"""Operations on scheduled tasks."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from typing import Any, Literal

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.box import scheduled_tasks as rules
from vengeance.connectors.settings import password_reader, winrm_data_meta
from vengeance.facts.windows.tasks import ScheduledTask
from vengeance.operations.refusal import refuse
from vengeance.powershell import Script
from vengeance.powershell.tasks import Task, TaskDefinition
from vengeance.secret import Secret


@operation()
def scheduled_task(
    task: str,
    command: str = "",
    arguments: str = "",
    present: bool = True,
    user: str | None = None,
    logon: Literal["s4u", "password", "interactive"] = "password",
    password: Secret | None = None,
    trigger: Literal["boot", "logon", "none"] = "boot",
    highest: bool = True,
    time_limit: str = "PT0S",
    priority: int = 5,
    restart_count: int | None = None,
    restart_interval: str | None = None,
    on_battery: bool = True,
    working_directory: str | None = None,
    running: bool | None = None,
    description: str = "",
) -> Generator[PyinfraCommand, None, None]:
    """
    Have a program started by Task Scheduler, in session 0 without anybody at the screen.

    + task: its name; it lies in Task Scheduler's folder \\vengeance
    + command: full path of the program, without quotes
    + arguments: the rest of its command line
    + present: whether the task should be there; one that goes is ended first
    + user: account that it runs as; None is the one of the connection
    + logon: ``password`` (stored by Windows at registration; give it again after it was changed), ``s4u`` (nothing is
      stored; no use of the network as that user, no encrypted files) or ``interactive`` (only while he is signed in)
    + password: None takes the connection's own
    + trigger: ``boot``, ``logon`` (of that user), or ``none``
    + highest: with the full token of an administrator
    + time_limit: after so long it is ended (ISO 8601); PT0S is never, Windows' own default is 72 hours
    + priority: 0 to 10; 4 to 6 are normal, Windows' own default 7 means background for CPU, disk and memory
    + restart_count: attempts when it cannot be started, 0 to 255; None is 255, or 0 where ``running=True`` sees to it
    + restart_interval: time between them, and with ``running=True`` between two looks whether it runs, PT1M to P31D;
      None is PT1M, or PT15M with a stored password: one that was changed since would lock the account if tried oftener
    + on_battery: whether it starts and goes on without mains
    + working_directory: full path; None is C:\\Windows\\System32
    + running: True starts it now and again whenever it has ended; False ends it, with what it has started; None leaves
      it as it is
    + description: what Task Scheduler shows to a person

    A task whose definition changes while it runs is started anew. A password that was changed after the task was
    registered is found by its date, and by a start that failed for it, and stored again.

    **Example:**

    .. code:: python

        windows.scheduled_task(
            name="Keep the distro running",
            task="wsl keepalive",
            command="C:\\\\Program Files\\\\WSL\\\\wsl.exe",
            arguments="-d Ubuntu-24.04 -u root --cd / --exec /usr/bin/sleep infinity",
            logon="password",
            running=True,
        )
    """
    try:
        rules.check_name(task)
        if present:
            if password is not None and not isinstance(password, Secret):
                raise ValueError("password is a vengeance.secret.Secret; a plain string would be printed by pyinfra.")
            rules.check_program(command, arguments, working_directory)
            rules.check_account(user, logon, trigger, password is not None)
            rules.check_limits(time_limit, priority, restart_count, restart_interval)
    except ValueError as error:
        raise OperationValueError(f"task {task!r}: {error}") from None
    found = host.get_fact(ScheduledTask, task=task, user=user)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    known = found["task"]
    if not present:
        if known is None:
            host.noop(f"there is no task \\vengeance\\{task}")
        else:
            yield Script("Remove-Task", {"name": task})
        return
    if found["account"] is None:
        yield refuse(
            f"{host.name} has no account {user}: a task runs as an account of the box. Look with: Get-LocalUser"
        )
        return
    repeats = running is True and rules.can_repeat(trigger, logon)
    count, interval = rules.restarts_of(restart_count, restart_interval, logon, repeats)
    wanted: TaskDefinition = {
        "description": description,
        "command": command,
        "arguments": arguments,
        "working_directory": working_directory or "",
        "user": found["account"],
        "logon": logon,
        "highest": highest,
        "triggers": rules.triggers_of(trigger, found["account"], interval if repeats else None),
        "time_limit": rules.seconds_of(time_limit),
        "priority": priority,
        "restart_count": count,
        "restart_interval": interval if count else 0,
        "on_battery": on_battery,
        "instances": "ignore_new",
        "conditions": [],
        "enabled": True,
    }
    renew = known is not None and logon == "password" and password_is_stale(known)
    if not _changes(task, known, wanted, running, renew):
        host.noop(f"task \\vengeance\\{task} is as it should be")
        return
    yield set_task(task, wanted, running, renew, _reveal(password) if logon == "password" else None)


def set_task(
    task: str,
    definition: TaskDefinition,
    running: bool | None,
    renew: bool = False,
    password: str | None = None,
) -> Script:
    """Return the script that registers a task, and starts or ends it.

    + task: its name
    + definition: as it should be; one that is there already so is left alone
    + running: whether it should run, None leaves that as it is
    + renew: whether its password is stored again
    + password: where Windows has to keep one
    """
    given: dict[str, Any] = {"name": task, "definition": {**definition}, "running": running, "renew": renew}
    return Script("Set-Task", given, password)


def password_is_stale(task: Task) -> bool:
    """Tell whether a task's stored password is older than the account's, or was refused since it was stored.

    + task: what ``ScheduledTask`` returned
    """
    if task["registered"] is None:
        return True
    stored = datetime.fromisoformat(task["registered"])
    if task["password_set"] is not None and datetime.fromisoformat(task["password_set"]) > stored:
        return True
    ran = task["last_run"]
    refused = task["state"] != "running" and task["last_result"] == rules.LOGON_FAILURE
    return refused and ran is not None and datetime.fromisoformat(ran) > stored


def _changes(task: str, known: Task | None, wanted: TaskDefinition, running: bool | None, renew: bool) -> bool:
    if known is None:
        host.log(f"task \\vengeance\\{task}: not there -> {wanted['command']} {wanted['arguments']}".rstrip())
        return True
    different = rules.differences(known["definition"], wanted)
    for key, (before, after) in different.items():
        host.log(f"task \\vengeance\\{task}: {key} {before!r} -> {after!r}")
    if renew:
        host.log(f"task \\vengeance\\{task}: its stored password is not the account's any more", logger.warning)
    moves = running is not None and running != (known["state"] == "running")
    if moves:
        said = "" if known["state"] == "running" else f" (last result 0x{known['last_result']:08X})"
        host.log(f"task \\vengeance\\{task}: {known['state']}{said} -> {'running' if running else 'not running'}")
    return bool(different) or renew or moves


def _reveal(password: Secret | None) -> str:
    data = {name: host.data.get(name) for name in winrm_data_meta}
    try:
        text = password.reveal() if password is not None else password_reader(data, host.name)()  # type: ignore[arg-type]
    except ValueError as error:
        raise OperationValueError(f"{error}; a task with logon='password' needs it, logon='s4u' does not.") from None
    if not text:
        raise OperationValueError(
            f"{host.name} signs in with {data['winrm_transport']}, so there is no password for Windows to keep: "
            "give the task a password=Secret..., or logon='s4u'."
        )
    return text
