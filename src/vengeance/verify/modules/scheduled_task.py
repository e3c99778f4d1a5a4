"""Scheduled tasks of Windows, by schtasks.exe: the XML of a task, and the columns of its list by their places.

The schema: https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-schema. The words of a list depend on the
language of Windows, its result is a number: SCHED_S_TASK_RUNNING is 0x41301.
"""

from __future__ import annotations

import csv
import re
from functools import cached_property
from xml.etree import ElementTree

from testinfra.modules.base import Module

RUNNING = 0x41301
FOLDER = "vengeance"
_SPACE = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
_LAST_RESULT = 6
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


class ScheduledTask(Module):  # type: ignore[misc]
    """A task: ``host.scheduled_task("wsl Ubuntu-24.04").survives_logoff``.

    + name: in the folder ``vengeance``, or with its folder: ``\\\\Microsoft\\\\Windows\\\\...``
    """

    def __init__(self, name: str) -> None:
        self.path = name if name.startswith("\\") else f"\\{FOLDER}\\{name}"

    @property
    def exists(self) -> bool:
        """Whether it is registered."""
        return bool(self.run("schtasks /query /tn %s", self.path).rc == 0)

    @cached_property
    def _task(self) -> ElementTree.Element:
        text = str(self.check_output("schtasks /query /tn %s /xml", self.path))
        # It is said to be UTF-16, and comes in the code page of the shell.
        return ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))  # noqa: S314 from the box itself

    def _text(self, path: str, default: str = "") -> str:
        found = self._task.find(path, _SPACE)
        return default if found is None or found.text is None else found.text.strip()

    def _is(self, path: str, default: bool) -> bool:
        return self._text(path, str(default)).lower() == "true"

    @property
    def command(self) -> str:
        """The program that it starts."""
        return self._text("t:Actions/t:Exec/t:Command").strip('"')

    @property
    def arguments(self) -> str:
        """Its arguments, as one text."""
        return self._text("t:Actions/t:Exec/t:Arguments")

    @property
    def user(self) -> str:
        """Whose it is: ``COMPUTER\\\\name``, or a SID."""
        return self._text("t:Principals/t:Principal/t:UserId")

    @property
    def logon(self) -> str:
        """How it signs in: ``Password``, ``S4U``, ``InteractiveToken``, ..."""
        # The schema's default where nothing is written is that of a person's desktop.
        return self._text("t:Principals/t:Principal/t:LogonType", "InteractiveToken")

    @property
    def is_enabled(self) -> bool:
        """Whether it may start at all."""
        return self._is("t:Settings/t:Enabled", True)

    @property
    def runs_elevated(self) -> bool:
        """Whether it has the full token of an administrator."""
        return self._text("t:Principals/t:Principal/t:RunLevel") == "HighestAvailable"

    @property
    def starts_at_boot(self) -> bool:
        """Whether it starts with Windows, before anybody logs on."""
        return self._task.find("t:Triggers/t:BootTrigger", _SPACE) is not None and self.is_enabled

    @property
    def survives_logoff(self) -> bool:
        """Whether it runs with nobody logged on, and no logoff ends it."""
        return self.logon in ("Password", "S4U")

    @property
    def runs_on_battery(self) -> bool:
        """Whether it starts without mains, and goes on without them; a UPS counts as a battery."""
        return not (
            self._is("t:Settings/t:DisallowStartIfOnBatteries", True)
            or self._is("t:Settings/t:StopIfGoingOnBatteries", True)
        )

    @property
    def waits_for_nothing(self) -> bool:
        """Whether it starts although the machine is in use or has no network."""
        return not (
            self._is("t:Settings/t:RunOnlyIfIdle", False) or self._is("t:Settings/t:RunOnlyIfNetworkAvailable", False)
        )

    @property
    def time_limit(self) -> int:
        """Seconds after which it is ended, 0 for none; the schema's default is three days."""
        found = _DURATION.fullmatch(self._text("t:Settings/t:ExecutionTimeLimit", "PT72H"))
        if found is None:
            raise NotImplementedError(f"{self.path}: a time limit of months or years is not understood")
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds

    @property
    def priority(self) -> int:
        """0 (highest) to 10 (idle); 4 to 6 are normal, the schema's default is 7."""
        return int(self._text("t:Settings/t:Priority", "7"))

    @property
    def last_result(self) -> int:
        """The exit code or HRESULT of its last run, 0 to 4294967295."""
        text = str(self.check_output("schtasks /query /tn %s /v /fo csv /nh", self.path))
        first = next(csv.reader(line for line in text.splitlines() if line.strip()))
        return int(first[_LAST_RESULT]) % 2**32

    @property
    def is_running(self) -> bool:
        """Whether its program runs now."""
        return self.last_result == RUNNING

    def __repr__(self) -> str:
        return f"<scheduled_task {self.path}>"
