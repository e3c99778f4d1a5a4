"""The JSON of the scripts about scheduled tasks."""

from __future__ import annotations

from typing import Literal, TypedDict

TaskState = Literal["unknown", "disabled", "queued", "ready", "running"]


class TaskDefinition(TypedDict):
    """What a task is; the scripts compare it as a whole, so the order of the keys is part of it.

    ``user``: ``COMPUTER\\name``; ``logon``: s4u, password, interactive, or another that was not made by us
    ``triggers``: ``boot``, ``logon COMPUTER\\name``, ``every SECONDS``, or ``other`` for one that was not made by us
    ``time_limit`` and ``restart_interval`` in seconds, 0 is none
    ``instances``: what a start does while it runs; ``conditions``: what must hold: idle, network
    """

    description: str
    command: str
    arguments: str
    working_directory: str
    user: str
    logon: str
    highest: bool
    triggers: list[str]
    time_limit: int
    priority: int
    restart_count: int
    restart_interval: int
    on_battery: bool
    instances: str
    conditions: list[str]
    enabled: bool


class Task(TypedDict):
    """A registered task; times in UTC, None for never.

    ``registered``: when it was last written; ``password_set``: when the password of its account was last changed
    ``last_result``: HRESULT or exit code, 0 to 4294967295
    """

    definition: TaskDefinition
    state: TaskState
    registered: str | None
    password_set: str | None
    last_run: str | None
    last_result: int


class TaskInput(TypedDict):
    """Input of Get-Task; ``user`` None asks for the account that the script runs as."""

    name: str
    user: str | None


class ScheduledTask(TypedDict):
    """Output of Get-Task; ``account`` None when there is no such user, ``task`` None when there is no such task."""

    account: str | None
    task: Task | None


class SetTaskInput(TypedDict):
    """Input of Set-Task; ``running`` None leaves that as it is, ``renew`` writes it even when nothing differs.

    The password of a task that stores one is the script's ``Secret``.
    """

    name: str
    definition: TaskDefinition
    running: bool | None
    renew: bool


class RemoveTaskInput(TypedDict):
    """Input of Remove-Task."""

    name: str


class TaskChange(TypedDict):
    """Output of Set-Task and Remove-Task."""

    changed: bool
    before: Task | None
    after: Task | None
    reboot_required: bool


INPUT: dict[str, type] = {
    "Get-Task": TaskInput,
    "Set-Task": SetTaskInput,
    "Remove-Task": RemoveTaskInput,
}
"""Script name -> type of its input."""

OUTPUT: dict[str, type] = {
    "Get-Task": ScheduledTask,
    "Set-Task": TaskChange,
    "Remove-Task": TaskChange,
}
"""Script name -> type of its output."""
