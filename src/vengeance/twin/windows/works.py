"""Long work in the twin's Windows: what runner.ps1 and the scripts of powershell/work do, done to the twin's state.

A work runs as a powershell.exe that WMI started, in no WinRM shell. Its files lie where they do on a real box.

>>> def save_something(work: Work) -> dict[str, object]:
...     for done in range(3):
...         work.check()
...         work.progress({"bytes": done, "total": 3})
...     return {"changed": True}
>>> WORKS["Save-Something"] = save_something                        # doctest: +SKIP
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from vengeance.powershell import load
from vengeance.twin.windows.errors import Win32Error
from vengeance.twin.windows.program import Run

BASE = "C:\\ProgramData\\vengeance"
FOLDER = f"{BASE}\\work"
WMI_PID = 3412
_SAVE_EVERY = 1.0


class WorkFailed(Exception):
    """A work threw; the text is its sentence."""


@dataclass
class Work:
    """One piece of work that runs.

    name: the folder it lies in; input: what it was given; run: its powershell.exe
    """

    name: str
    input: dict[str, Any]
    run: Run
    _saved: float = field(default=float("-inf"), repr=False)

    def check(self) -> None:
        """End here when its process was ended: call it between steps, and where it waits."""
        self.run.job.check()

    def sleep(self, seconds: float) -> None:
        """Wait, unless its process is ended."""
        self.run.job.sleep(seconds)

    def progress(self, progress: dict[str, Any]) -> None:
        """Save-Progress: write down how far it is, at most once a second."""
        self.check()
        if time.monotonic() - self._saved < _SAVE_EVERY:
            return
        self._saved = time.monotonic()
        try:
            write_answer(self.run, self.name, "progress.json", progress)
        except Win32Error:
            return


Deed: TypeAlias = "Callable[[Work], dict[str, Any]]"

WORKS: dict[str, Deed] = {}
"""Name of a script of powershell/work -> what does it here; WorkFailed is what it throws."""


class Running:
    """Which works run, and in which process, as the locks on their files say it on Windows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pids: dict[str, int] = {}

    def take(self, name: str, pid: int) -> bool:
        """Lock it; False when another process has it."""
        with self._lock:
            return self._pids.setdefault(name.lower(), pid) == pid

    def leave(self, name: str, pid: int) -> None:
        """Unlock it, if this process has it."""
        with self._lock:
            if self._pids.get(name.lower()) == pid:
                del self._pids[name.lower()]

    def __contains__(self, name: str) -> bool:
        with self._lock:
            return name.lower() in self._pids


def folder_of(name: str) -> str:
    """The folder of a work."""
    return f"{FOLDER}\\{name}"


def write_answer(run: Run, name: str, file: str, data: object) -> None:
    """Write a JSON file of a work, in one step for its readers."""
    drive = run.windows.drive
    path = f"{folder_of(name)}\\{file}"
    drive.write(f"{path}.new", json.dumps(data, separators=(",", ":")).encode())
    drive.move(f"{path}.new", path, replace=True)


def read_answer(run: Run, name: str, file: str) -> Any:  # noqa: ANN401
    """A JSON file of a work, None when it is not there."""
    path = f"{folder_of(name)}\\{file}"
    if not run.windows.drive.is_file(path):
        return None
    data = run.windows.drive.read(path)
    return json.loads(data) if data else None


def runner(run: Run, name: str) -> int:
    """runner.ps1: do the work that lies in its folder, and write down how it ended."""
    running = run.windows.works
    if not running.take(name, run.pid):
        return 1
    # Windows closes the files of a process that is ended at once.
    run.job.on_stop(lambda: running.leave(name, run.pid))
    try:
        run.job.check()
        write_answer(run, name, "process.json", {"pid": run.pid})
        answer: dict[str, Any] = {"result": None, "error": None}
        try:
            given = read_answer(run, name, "input.json")
            answer["result"] = _deed(run, name)(Work(name, given, run))
            run.windows.deeds.scripted(f"work {name}", given, answer["result"])
        except WorkFailed as error:
            answer["error"] = str(error)
        except Win32Error as error:
            answer["error"] = error.dotnet.strip()
        run.job.check()
        write_answer(run, name, "result.json", answer)
    finally:
        running.leave(name, run.pid)
    return 0


def _deed(run: Run, name: str) -> Deed:
    text = run.windows.drive.read(f"{folder_of(name)}\\work.ps1").decode("utf-8-sig").strip()
    run.windows.events.script_block(run.pid, text)
    for known, deed in WORKS.items():
        if load(f"work/{known}").strip() == text:
            return deed
    raise WorkFailed(
        "the twin has no model of this work: it belongs into WORKS of src/vengeance/twin/windows/works.py, under the "
        "name of its script in src/vengeance/powershell/work"
    )
