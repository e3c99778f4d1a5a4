"""The models of the scripts that start long work and tell how far it is."""

from __future__ import annotations

import json
import re
import time

from vengeance.powershell.work import Started
from vengeance.powershell.work import Work as WorkAnswer
from vengeance.twin.windows.errors import Win32Error
from vengeance.twin.windows.model import CannotStart
from vengeance.twin.windows.ownership import ADMINISTRATORS
from vengeance.twin.windows.program import POWERSHELL, Run
from vengeance.twin.windows.scripts.model import Given, Model, ScriptFailed
from vengeance.twin.windows.works import BASE, FOLDER, WMI_PID, folder_of, read_answer

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# How long Start-Work.ps1 waits for the lock of what it started.
_LOCKED_WITHIN = 60.0
_LEAST_FREE = 131_072


def _name(given: Given) -> str:
    name = str(given.get("name") or "")
    if not _NAME.fullmatch(name):
        raise ScriptFailed(f"'{name}' is no name of work: use letters, digits, '.', '_' and '-'.")
    return name


def start_work(run: Run, given: Given) -> Started:
    """Start-Work."""
    name = _name(given)
    drive, folder, ownership = run.windows.drive, folder_of(name), run.windows.ownership
    closed = (ownership.closed_for(BASE) or "").lower() == run.user.lower()
    if not closed or ownership.owner(BASE) != ADMINISTRATORS:
        raise ScriptFailed(
            f"{BASE} is not there, or others than administrators can write into it: nothing is started there. Run "
            "deploys/windows.py."
        )
    for path in (FOLDER, folder):
        if not drive.is_directory(path):
            drive.make_directory(path)
    last = read_answer(run, name, "start.json")
    if last is not None and last["token"] == given["token"]:
        return {"started": False, "joined": False, "pid": None}
    if name in run.windows.works:
        if drive.read(f"{folder}\\input.json").decode() != given["input"]:
            process = read_answer(run, name, "process.json")
            raise ScriptFailed(
                f"The work {name} runs already, with other settings. Wait for its end, or end it on the box: taskkill "
                f"/PID {process['pid'] if process else ''} /T /F"
            )
        return {"started": False, "joined": True, "pid": None}
    if drive.free_bytes is not None and drive.free_bytes < _LEAST_FREE:
        raise ScriptFailed(f"The disk C:\\ is full: {drive.free_bytes} bytes are free. Make room, then run it again.")
    for old in ("progress.json", "result.json", "process.json"):
        if drive.is_file(f"{folder}\\{old}"):
            drive.remove_file(f"{folder}\\{old}")
    try:
        for file, text in (
            ("runner.ps1", given["runner"]),
            ("work.ps1", given["text"]),
            ("input.json", given["input"]),
        ):
            drive.write(f"{folder}\\{file}", str(text).encode())
        start = {"token": given["token"], "work": given["work"]}
        drive.write(f"{folder}\\start.json", json.dumps(start, separators=(",", ":")).encode())
    except Win32Error as error:
        raise ScriptFailed(
            f'Exception calling "WriteAllText" with "3" argument(s): "{error.dotnet.strip()}"'
        ) from error
    line = f'"{POWERSHELL}" -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -File "{folder}\\runner.ps1"'
    try:
        child = run.windows.launch(line, user=run.user, elevated=run.elevated, cwd=folder, parent=WMI_PID)
    except CannotStart as error:
        raise ScriptFailed(f"Windows did not start the work {name} in the background: {error}") from error
    deadline = time.monotonic() + _LOCKED_WITHIN
    while name not in run.windows.works and not drive.is_file(f"{folder}\\result.json"):
        if child.wait(0) or time.monotonic() > deadline:
            break
        run.job.sleep(0.01)
    if name not in run.windows.works and not drive.is_file(f"{folder}\\result.json"):
        raise ScriptFailed(
            f"Windows started the work {name} as process {child.run.pid}, and it did not begin. Does a policy of this "
            "Windows forbid PowerShell scripts?"
        )
    return {"started": True, "joined": False, "pid": child.run.pid}


def get_work(run: Run, given: Given) -> WorkAnswer:
    """Get-Work."""
    name = _name(given)
    if not run.windows.drive.is_file(f"{folder_of(name)}\\input.json"):
        return {"state": "absent", "progress": None, "result": None, "error": None}
    running = name in run.windows.works
    ended = read_answer(run, name, "result.json")
    progress = read_answer(run, name, "progress.json")
    if ended is None:
        return {"state": "running" if running else "died", "progress": progress, "result": None, "error": None}
    state = "done" if ended["error"] is None else "failed"
    return {
        "state": "done" if state == "done" else "failed",
        "progress": progress,
        "result": ended["result"],
        "error": ended["error"],
    }


MODELS: dict[str, Model] = {
    "Start-Work": start_work,
    "Get-Work": get_work,
}
"""Script name -> what does its work here."""
