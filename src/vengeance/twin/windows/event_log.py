"""What a Windows whose audit policies are switched on writes into its event logs about each command.

Only what could give a secret away is kept, by the number that Windows gives it:

4688    Security: a process was created, with its command line ("Include command line in process creation events")
4698    Security: a scheduled task was created, with its definition; the password of its account is no part of that
4103    PowerShell/Operational: a command was given this value for a parameter (module logging); calls of .NET methods
        and of functions that are in no module are not among them
4104    PowerShell/Operational: the text of a script block when it is compiled (script block logging)

WinRM's own operational log has no bodies of requests: the twin's request log shows all that it could.
https://learn.microsoft.com/windows-server/identity/ad-ds/manage/component-updates/command-line-process-auditing
https://learn.microsoft.com/previous-versions/windows/it-pro/windows-10/security/threat-protection/auditing/event-4698
https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_logging_windows
https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_group_policy_settings
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

PROCESS_CREATED = 4688
TASK_CREATED = 4698
PARAMETER_GIVEN = 4103
SCRIPT_BLOCK = 4104

FILE = "events.jsonl"


class EventLog:
    """The logs, as one JSON line an event in a file.

    file: where they are kept, appended
    now: the twin's clock
    """

    def __init__(self, file: Path, now: Callable[[], datetime]) -> None:
        self._file = file
        self._now = now
        self._lock = threading.Lock()
        self._seen: set[str] = set()

    def process_created(self, pid: int, parent: int, image: str, command_line: str, user: str) -> None:
        """Note that a program starts."""
        self._write(PROCESS_CREATED, pid=pid, parent=parent, image=image, command_line=command_line, user=user)

    def task_created(self, name: str, definition: object) -> None:
        """Note that a task was registered; definition: all of it but the password."""
        self._write(TASK_CREATED, name=name, definition=definition)

    def parameter_given(self, pid: int, command: str, parameter: str, value: str) -> None:
        """Note a value that a command of a module was given."""
        self._write(PARAMETER_GIVEN, pid=pid, command=command, parameter=parameter, value=value)

    def script_block(self, pid: int, text: str) -> None:
        """Note the text of a script; one that was noted before only by its id."""
        name = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        with self._lock:
            known = name in self._seen
            self._seen.add(name)
        self._write(SCRIPT_BLOCK, pid=pid, id=name, **({} if known else {"text": text}))

    def _write(self, event: int, **fields: object) -> None:
        line = json.dumps({"event": event, "time": self._now().isoformat(), **fields})
        with self._lock, self._file.open("a", encoding="ascii") as file:
            file.write(line + "\n")
