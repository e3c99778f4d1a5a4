"""Task Scheduler: starts programs at boot, at logon and again and again, and ends them.

What it does not do, because the tasks of this project do not ask for it: other triggers, queues, several instances.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from vengeance.powershell.tasks import Task, TaskDefinition
from vengeance.twin.clock import Alarm
from vengeance.twin.windows.model import CannotStart, Child
from vengeance.twin.windows.program import SYSTEM32
from vengeance.twin.windows.schtasks import schtasks
from vengeance.twin.windows.sessions import SERVICES
from vengeance.twin.windows.state import to_text

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows

# https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-error-and-success-constants and winerror.h
RUNNING = 0x00041301
NEVER_RAN = 0x00041303
TERMINATED = 0x00041306
ENDED_BY_LOGOFF = 0x40010004
NOT_FOUND = 0x80070002
LOGON_FAILURE = 0x8007052E
REFUSED = 0x800710E0

DEFAULTS: TaskDefinition = {
    "description": "",
    "command": "",
    "arguments": "",
    "working_directory": "",
    "user": "",
    "logon": "interactive",
    "highest": False,
    "triggers": [],
    "time_limit": 72 * 3600,
    "priority": 7,
    "restart_count": 0,
    "restart_interval": 0,
    "on_battery": False,
    "instances": "ignore_new",
    "conditions": [],
    "enabled": True,
}
"""What Task Scheduler takes for what nobody says: it ends after 72 hours, runs in the background, and on mains only."""

# https://learn.microsoft.com/windows/win32/taskschd/tasksettings-priority
_PRIORITIES = (
    *("realtime", "high", "above normal", "above normal"),
    *("normal", "normal", "normal"),
    *("below normal", "below normal", "idle", "idle"),
)


@dataclass
class _Instance:
    """One run of a task; ``result`` is what it ends with when it does not end by itself."""

    child: Child
    session: int
    result: int | None = None
    limit: Alarm | None = None


@dataclass
class _Waiting:
    """What the clock will do for a task."""

    retries: int = 0
    retry: Alarm | None = None
    repeats: list[Alarm] = field(default_factory=list)

    def cancel(self) -> None:
        for alarm in [*self.repeats, *([self.retry] if self.retry else [])]:
            alarm.cancel()
        self.repeats, self.retry, self.retries = [], None, 0


class TaskScheduler:
    """The tasks in the folder \\vengeance; every method may be called from any thread.

    failed_logons: when a task could not sign in, in seconds of the twin's clock: each counts for the account's lockout
    """

    def __init__(self, windows: Windows) -> None:
        self.failed_logons: list[float] = []
        self._windows = windows
        self._lock = threading.RLock()
        self._tasks: dict[str, dict[str, Any]] = windows.state.section("tasks")
        self._instances: dict[str, _Instance] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._on_battery = False
        self._up = True
        windows.at_boot.append(self._boot)
        windows.at_shutdown.append(self._shut_down)
        windows.sessions.at_logon.append(self._logged_on)
        windows.sessions.at_logoff.append(self._logging_off)
        windows.add_program(f"{SYSTEM32}\\schtasks.exe", schtasks)
        windows.place_program(f"{SYSTEM32}\\schtasks.exe")

    # --- what is registered ---

    def names(self) -> list[str]:
        """The names of all tasks."""
        with self._lock:
            return [str(task["name"]) for task in self._tasks.values()]

    def get(self, name: str) -> Task | None:
        """A task as it is now, None when there is none."""
        with self._lock:
            known = self._tasks.get(name.lower())
            if known is None:
                return None
            definition = cast(TaskDefinition, {**known["definition"]})
            runs = name.lower() in self._instances
            return {
                "definition": definition,
                "state": "running" if runs else "ready" if definition["enabled"] else "disabled",
                "registered": known["registered"],
                "password_set": self._windows.passwords.set_at(self._user(definition)),
                "last_run": known["last_run"],
                "last_result": known["last_result"],
            }

    def register(self, name: str, definition: TaskDefinition) -> None:
        """Write a task; one that runs goes on as it was started. A password has been checked before."""
        with self._lock:
            known = self._tasks.get(name.lower(), {"last_run": None, "last_result": NEVER_RAN})
            self._tasks[name.lower()] = {
                **known,
                "name": known.get("name", name),
                "definition": {**definition},
                "registered": to_text(self._windows.clock.now()),
                "password_edition": self._windows.passwords.edition(self._user(definition)),
            }
            self._windows.state.save()
            self._windows.events.task_created(name, definition)
            self._wait_anew(name)

    def remove(self, name: str) -> None:
        """Take a task away; one that runs goes on."""
        with self._lock:
            self._waiting.pop(name.lower(), _Waiting()).cancel()
            self._instances.pop(name.lower(), None)
            self._tasks.pop(name.lower(), None)
            self._windows.state.save()

    def _user(self, definition: TaskDefinition) -> str:
        return definition["user"].rpartition("\\")[2]

    def _definition(self, name: str) -> TaskDefinition:
        return cast(TaskDefinition, self._tasks[name.lower()]["definition"])

    # --- starting ---

    def start(self, name: str, again: bool = False) -> None:
        """Start a task, if it does not run and may; what came of it is its last result.

        again: it could not be started before, and this is one of the attempts that its settings grant
        """
        with self._lock:
            known = self._tasks.get(name.lower())
            if known is None or not self._up or not known["definition"]["enabled"]:
                return
            if name.lower() in self._instances:
                return
            definition = self._definition(name)
            result = self._try(name, definition)
            known["last_run"] = to_text(self._windows.clock.now())
            known["last_result"] = result
            self._windows.state.save()
            waiting = self._waiting.setdefault(name.lower(), _Waiting())
            if not again:
                waiting.retries = 0
            if result != RUNNING and waiting.retries < definition["restart_count"]:
                # Only what could not be started is tried again; a program that has ended, with any code, is not.
                waiting.retries += 1
                if waiting.retry is not None:
                    waiting.retry.cancel()
                waiting.retry = self._windows.clock.later(
                    definition["restart_interval"], lambda: self.start(name, again=True)
                )

    def _try(self, name: str, definition: TaskDefinition) -> int:
        windows, user = self._windows, self._user(definition)
        if self._on_battery and not definition["on_battery"]:
            return REFUSED
        session = windows.sessions.session_of(user) if definition["logon"] == "interactive" else SERVICES
        if session is None:
            return REFUSED
        stored = self._tasks[name.lower()]["password_edition"]
        if definition["logon"] == "password" and stored != windows.passwords.edition(user):
            self.failed_logons.append(windows.clock.seconds())
            return LOGON_FAILURE
        command = definition["command"]
        instance: _Instance | None = None
        ready = threading.Event()

        def ended(code: int) -> None:
            ready.wait()
            if instance is not None:
                self._ended(name, instance, code)

        try:
            child = windows.launch(
                f'"{command}" {definition["arguments"]}'.rstrip(),
                user=user,
                session=session,
                elevated=definition["highest"],
                cwd=definition["working_directory"] or SYSTEM32,
                priority=_PRIORITIES[definition["priority"]],
                on_exit=ended,
            )
        except CannotStart:
            return NOT_FOUND
        instance = self._instances[name.lower()] = _Instance(child, session)
        if definition["time_limit"]:
            instance.limit = windows.clock.later(definition["time_limit"], lambda: self._end(name, instance))
        ready.set()
        return RUNNING

    def _ended(self, name: str, instance: _Instance, code: int) -> None:
        with self._lock:
            if self._instances.get(name.lower()) is not instance:
                return
            del self._instances[name.lower()]
            if instance.limit is not None:
                instance.limit.cancel()
            known = self._tasks.get(name.lower())
            if known is not None:
                known["last_result"] = code if instance.result is None else instance.result
                self._windows.state.save()

    def wait_a_moment(self, name: str) -> None:
        """Let a program that fails at once fail."""
        with self._lock:
            instance = self._instances.get(name.lower())
        if instance is not None:
            instance.child.output.wait(0.1)

    # --- ending ---

    def stop(self, name: str, tree: bool = False) -> None:
        """End the program of a task, as Task Scheduler does: what that has started goes on, unless ``tree``."""
        with self._lock:
            instance = self._instances.get(name.lower())
        if instance is not None:
            if tree:
                instance.result = TERMINATED
                self._windows.kill_tree(instance.child.run.pid)
                instance.child.terminate()
                self._ended(name, instance, TERMINATED)
            else:
                self._end(name, instance)

    def _end(self, name: str, instance: _Instance) -> None:
        with self._lock:
            if self._instances.get(name.lower()) is not instance:
                return
            instance.result = TERMINATED
        self._windows.end_alone(instance.child)
        self._ended(name, instance, TERMINATED)

    def pid(self, name: str) -> int | None:
        """Process id of a task's program, None when it does not run."""
        with self._lock:
            instance = self._instances.get(name.lower())
            return None if instance is None else instance.child.run.pid

    # --- what happens around it ---

    def set_on_battery(self, on_battery: bool) -> None:
        """The mains go or come back; a UPS counts as a battery."""
        with self._lock:
            self._on_battery = on_battery
            ends = [
                (name, instance)
                for name, instance in self._instances.items()
                if on_battery and not self._definition(name)["on_battery"]
            ]
        for name, instance in ends:
            self._end(name, instance)

    def _each(self, wanted: Callable[[list[str]], bool]) -> list[str]:
        with self._lock:
            return [str(task["name"]) for task in self._tasks.values() if wanted(task["definition"]["triggers"])]

    def _boot(self) -> None:
        self._up = True
        for name in self.names():
            with self._lock:
                self._wait_anew(name)
        for name in self._each(lambda triggers: "boot" in triggers):
            self.start(name)

    def _shut_down(self) -> None:
        with self._lock:
            self._up = False
            for waiting in self._waiting.values():
                waiting.cancel()
            instances, self._instances = self._instances, {}
            for name, instance in instances.items():
                if instance.limit is not None:
                    instance.limit.cancel()
                self._tasks[name]["last_result"] = ENDED_BY_LOGOFF
            self._windows.state.save()

    def _logged_on(self, user: str, session: int) -> None:
        trigger = f"logon {self._windows.state.hostname}\\{user}".lower()
        for name in self._each(lambda triggers: trigger in [one.lower() for one in triggers]):
            self.start(name)

    def _logging_off(self, user: str, session: int) -> None:
        with self._lock:
            for instance in self._instances.values():
                if instance.session == session:
                    instance.result = ENDED_BY_LOGOFF

    def _wait_anew(self, name: str) -> None:
        waiting = self._waiting.setdefault(name.lower(), _Waiting())
        waiting.cancel()
        for trigger in self._definition(name)["triggers"]:
            if trigger.startswith("every "):
                self._repeat(name, waiting, float(trigger.removeprefix("every ")))

    def _repeat(self, name: str, waiting: _Waiting, seconds: float) -> None:
        def again() -> None:
            self.start(name)
            with self._lock:
                waiting.repeats.remove(alarm)
                self._repeat(name, waiting, seconds)

        alarm = self._windows.clock.later(seconds, again)
        waiting.repeats.append(alarm)
