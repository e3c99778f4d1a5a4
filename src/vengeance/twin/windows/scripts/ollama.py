"""The models of the scripts about Ollama; those that ask its server do so over the twin's network."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sqlite3
import time
import zipfile
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

from vengeance.powershell.ollama import (
    Answer,
    AppSettings,
    ArchiveChange,
    Installation,
    Log,
    Package,
    Presence,
    Process,
    ProcessName,
    Server,
    Settings,
    SettingsChange,
    Stopped,
    Storage,
)
from vengeance.twin.windows.errors import Win32Error
from vengeance.twin.windows.network import NetworkError
from vengeance.twin.windows.program import Run
from vengeance.twin.windows.scripts.model import Given, Model, ScriptFailed
from vengeance.twin.windows.state import RunningProcess
from vengeance.twin.windows.works import WORKS, Work, WorkFailed

_UNINSTALL = r"Software\Microsoft\Windows\CurrentVersion\Uninstall\{44E83376-CE68-45EB-8FC1-393500EB558C}_is1"
_MARK = "vengeance-version.txt"
_NAMES = ("ollama app.exe", "ollama.exe", "llama-server.exe")
_WRITABLE = ("expose", "browser", "auto_update_enabled", "context_length", "models")
_HEAD = 262_144
_TAIL = 4096
_ENDS_WITHIN = 30.0
_NO_ANSWER = "Unable to connect to the remote server"


def _profile(run: Run) -> str:
    return f"C:\\Users\\{run.windows.state.account(run.user)}"


def _name(process: RunningProcess) -> str:
    return process.image.rpartition("\\")[2]


def _processes(run: Run, name: str) -> list[RunningProcess]:
    """What runs under a name; of llama-server.exe only Ollama's own."""
    found = [each for each in list(run.windows.state.processes.values()) if _name(each).lower() == name]
    if name == "llama-server.exe":
        found = [each for each in found if each.image.lower().endswith("\\lib\\ollama\\llama-server.exe")]
    return found


# --- what is installed, and what runs ---


def get_installation(run: Run, given: Given) -> Installation:
    """Get-OllamaInstallation."""
    registry, drive = run.windows.registry, run.windows.drive

    def package(version: str, folder: str) -> Package:
        return {"version": version, "folder": folder, "complete": drive.is_file(f"{folder}\\ollama.exe")}

    key = f"HKU\\{run.windows.state.sid(run.user)}\\{_UNINSTALL}"
    folder = registry.text(key, "InstallLocation").rstrip("\\")
    setup = package(registry.text(key, "DisplayVersion"), folder) if folder else None
    archive = None
    if given.get("folder") is not None:
        folder = str(given["folder"]).rstrip("\\")
        if drive.is_file(f"{folder}\\{_MARK}"):
            archive = package(drive.read(f"{folder}\\{_MARK}").decode().strip(), folder)
    return {"setup": setup, "archive": archive}


def _log(run: Run, path: str) -> Log | None:
    try:
        with run.windows.drive.open_to_read(path) as file:
            head = file.read(_HEAD).decode("utf-8", "replace")
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            tail = file.read(_TAIL).decode("utf-8", "replace")
    except Win32Error:
        return None
    config = [line.strip() for line in head.split("\n") if 'msg="server config"' in line]
    listening = [line.strip() for line in head.split("\n") if 'msg="Listening on ' in line]
    last = [line.strip() for line in tail.split("\n") if line.strip()]
    return {
        "path": path,
        "config": config[-1] if config else None,
        "listening": listening[-1] if listening else None,
        "last": last[-1] if last else None,
    }


def get_server(run: Run, given: Given) -> Server:
    """Get-OllamaServer."""
    everything = run.windows.state.processes
    processes: list[Process] = []
    for each in [process for name in _NAMES for process in list(everything.values()) if _name(process).lower() == name]:
        parent = everything.get(each.parent)
        processes.append(
            {
                "pid": each.pid,
                "parent": each.parent,
                "parent_name": _name(parent) if parent is not None else None,
                "name": _name(each),
                "image": each.image,
                "command_line": each.command_line,
                "session": each.session,
                "started": each.started,
            }
        )
    return {
        "processes": processes,
        "app_log": _log(run, f"{_profile(run)}\\AppData\\Local\\Ollama\\server.log"),
        "boot_log": _log(run, str(given["boot_log"])),
        "signed_in": run.windows.sessions.session_of(run.user) is not None,
    }


def stop_ollama(run: Run, given: Given) -> Stopped:
    """Stop-Ollama."""

    def all_of(names: tuple[str, ...]) -> list[ProcessName]:
        return [{"pid": each.pid, "name": _name(each)} for name in names for each in _processes(run, name)]

    before = all_of(_NAMES)
    deadline = time.monotonic() + _ENDS_WITHIN
    for name in _NAMES:
        while left := _processes(run, name):
            if time.monotonic() > deadline:
                raise ScriptFailed(f"{name} (process {left[0].pid}) does not end.")
            for each in left:
                run.windows.kill(each.pid)
            run.job.sleep(0.02)
    return {"changed": bool(before), "before": before, "after": all_of(_NAMES), "reboot_required": False}


def expand_archive(run: Run, given: Given) -> ArchiveChange:
    """Expand-OllamaArchive."""
    drive = run.windows.drive
    folder, version = str(given["folder"]).rstrip("\\"), str(given["version"])
    if folder[1:3] != ":\\" or len(folder) < 4:
        raise ScriptFailed(f"'{folder}' is not a full path of a folder.")
    mark = f"{folder}\\{_MARK}"
    before = drive.read(mark).decode().strip() if drive.is_file(mark) else None
    if before is None and drive.is_directory(folder) and drive.entries(folder):
        raise ScriptFailed(
            f"'{folder}' holds files that were not put there by this script: empty it, or name another folder."
        )
    if before != version:
        fresh, old = f"{folder}.new", f"{folder}.old"
        try:
            for rest in (fresh, old):
                if drive.is_directory(rest):
                    drive.remove_directory(rest, tree=True)
            _unzip(run, str(given["archive"]), fresh)
            if not drive.is_file(f"{fresh}\\ollama.exe"):
                raise ScriptFailed(f"'{given['archive']}' holds no ollama.exe.")
            drive.write(f"{fresh}\\{_MARK}", version.encode())
            if drive.is_directory(folder):
                drive.move(folder, old)
            drive.move(fresh, folder)
            if drive.is_directory(old):
                drive.remove_directory(old, tree=True)
        except Win32Error as error:
            raise ScriptFailed(error.dotnet) from error
    after = drive.read(mark).decode().strip()
    return {"changed": before != after, "before": before, "after": after, "reboot_required": False}


def _unzip(run: Run, archive: str, folder: str) -> None:
    drive = run.windows.drive
    with zipfile.ZipFile(io.BytesIO(drive.read(archive))) as packed:
        drive.make_directory(folder)
        for entry in packed.infolist():
            path = f"{folder}\\" + entry.filename.replace("/", "\\").rstrip("\\")
            parent = path if entry.is_dir() else path.rpartition("\\")[0]
            if not drive.is_directory(parent):
                drive.make_directory(parent)
            if not entry.is_dir():
                drive.write(path, packed.read(entry))


# --- the tray app's settings and its link ---


def _database(run: Run) -> str:
    return f"{_profile(run)}\\AppData\\Local\\Ollama\\db.sqlite"


def _startup_link(run: Run) -> str:
    return f"{_profile(run)}\\AppData\\Roaming\\Microsoft\\Windows\\Start Menu\\Programs\\Startup\\Ollama.lnk"


@contextlib.contextmanager
def _open(run: Run, mode: str) -> Iterator[sqlite3.Connection]:
    place = run.windows.drive.lookup(_database(run))
    if place is None:
        raise sqlite3.OperationalError("unable to open database file")
    connection = sqlite3.connect(f"{place.as_uri()}?mode={mode}", uri=True, timeout=5, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def _settings(run: Run) -> AppSettings:
    with _open(run, "ro") as database:
        database.row_factory = sqlite3.Row
        row = database.execute("SELECT * FROM settings LIMIT 1").fetchone()
    if row is None:
        raise sqlite3.OperationalError("the table settings has no row")
    columns = dict(row)
    updates = columns.get("auto_update_enabled")
    return {
        "expose": bool(columns.get("expose")),
        "browser": bool(columns.get("browser")),
        "models": str(columns.get("models") or ""),
        "context_length": int(columns.get("context_length") or 0),
        "auto_update_enabled": None if "auto_update_enabled" not in columns else bool(updates),
    }


def get_settings(run: Run, given: Given) -> Settings:
    """Get-OllamaSettings."""
    windows = run.windows
    settings: AppSettings | None = None
    unreadable: str | None = None
    if windows.drive.is_file(_database(run)):
        try:
            if windows.add_type_blocked:
                raise sqlite3.OperationalError("Cannot add type. This program is blocked by group policy.")
            settings = _settings(run)
        except sqlite3.Error as error:
            unreadable = str(error)
    updates = windows.drive.lookup(f"{_profile(run)}\\AppData\\Local\\Ollama\\updates_v2")
    return {
        "database": _database(run),
        "settings": settings,
        "unreadable": unreadable,
        "startup_link": _startup_link(run),
        "starts_at_logon": windows.drive.is_file(_startup_link(run)),
        "update_staged": updates is not None and any(updates.rglob("*.exe")),
        "app_runs": bool(_processes(run, "ollama app.exe")),
    }


def set_settings(run: Run, given: Given) -> SettingsChange:
    """Set-OllamaSettings."""
    path = _database(run)
    if not run.windows.drive.is_file(path):
        raise ScriptFailed(f"Ollama's app has not made its database {path} yet: it has never run.")
    if _processes(run, "ollama app.exe"):
        raise ScriptFailed("Ollama's app runs, and would write over its settings: stop it first.")
    if run.windows.add_type_blocked:
        raise ScriptFailed("Cannot add type. This program is blocked by group policy.")
    changed = False
    before: dict[str, str] = {}
    after: dict[str, str] = {}

    def value(database: sqlite3.Connection, column: str) -> str:
        (found,) = database.execute(f"SELECT {column} FROM settings LIMIT 1").fetchone()  # noqa: S608
        return "" if found is None else str(found)

    for name, setting in given["settings"].items():
        if name not in _WRITABLE:
            raise ScriptFailed(f"Ollama's app has no setting '{name}' that is written here.")
        data = setting if isinstance(setting, str) else int(setting)
        try:
            with _open(run, "rw") as database:
                before[name] = value(database, name)
                if before[name] != str(data):
                    database.execute(f"UPDATE settings SET {name} = ?", (data,))  # noqa: S608
                    changed = True
                after[name] = value(database, name)
        except sqlite3.Error as error:
            raise ScriptFailed(f'Exception calling "Get" with "2" argument(s): "{error}"') from error
    return {"changed": changed, "before": before, "after": after, "reboot_required": False}


def set_startup(run: Run, given: Given) -> Presence:
    """Set-OllamaStartup."""
    drive, link = run.windows.drive, _startup_link(run)
    before = drive.is_file(link)
    if given["present"] and not before:
        source = f"{given['folder']}\\lib\\Ollama.lnk"
        if not drive.is_file(source):
            raise ScriptFailed(f"'{source}' is not there: this Ollama has no tray app to start.")
        folder = link.rpartition("\\")[0]
        if not drive.is_directory(folder):
            drive.make_directory(folder)
        drive.write(link, drive.read(source))
    if not given["present"] and before:
        drive.remove_file(link)
    after = drive.is_file(link)
    return {"changed": before != after, "before": before, "after": after, "reboot_required": False}


# --- the server, over HTTP ---


def _call(run: Run, given: Given, method: str, path: str, body: object = None, timeout: float = 60.0) -> HTTPResponse:
    """Send a request to the server; NetworkError or OSError when nobody answers."""
    address, port = str(given["address"]), int(given["port"])
    connection = HTTPConnection(address, port)
    connection.sock = run.windows.network.connect(address, port, timeout=timeout)
    data = None if body is None else json.dumps(body).encode()
    connection.request(method, path, data, {"Content-Type": "application/json", "Connection": "close"})
    return connection.getresponse()


def _read(run: Run, given: Given, question: str) -> list[dict[str, Any]]:
    """The models that /api/tags or /api/ps shows; ScriptFailed as GetResponse throws."""
    try:
        with _call(run, given, "GET", f"/api/{question}") as response:
            return list(json.loads(response.read()).get("models") or [])
    except (OSError, HTTPException) as error:
        raise ScriptFailed(f'Exception calling "GetResponse" with "0" argument(s): "{_NO_ANSWER}"') from error


def _has(models: list[dict[str, Any]], name: object) -> bool:
    return any(str(model.get("name")).lower() == str(name).lower() for model in models)


def get_answer(run: Run, given: Given) -> Answer:
    """Get-OllamaAnswer."""
    question = str(given["question"])
    if question not in ("version", "tags", "ps"):
        raise ScriptFailed(f"There is no question '{question}' to ask Ollama.")
    try:
        with _call(run, given, "GET", f"/api/{question}", timeout=15.0) as response:
            status, body = response.status, response.read().decode()
    except (NetworkError, OSError, HTTPException):
        return {"status": None, "body": None, "error": _NO_ANSWER}
    error = None if status < 400 else f"The remote server returned an error: ({status}) {response.reason}."
    return {"status": status, "body": body, "error": error}


def get_storage(run: Run, given: Given) -> Storage:
    """Get-OllamaStorage."""
    drive = run.windows.drive
    folder = str(given.get("folder") or "") or f"{_profile(run)}\\.ollama\\models"
    if not re.match(r"[A-Za-z]:|[\\/]", folder):
        raise ScriptFailed(f"'{folder}' is not a full path: begin with a drive, as in D:\\Models.")
    blobs, partial = f"{folder}\\blobs", 0
    for each in drive.entries(blobs) if drive.is_directory(blobs) else []:
        if "-partial-" in each.name:
            with contextlib.suppress(ValueError, Win32Error):
                partial += int(json.loads(drive.read(f"{blobs}\\{each.name}"))["Completed"])
    free = run.windows.machine.free_bytes
    return {"folder": folder, "free_bytes": free, "partial_bytes": partial}


def _change(run: Run, given: Given, method: str, path: str, body: object) -> None:
    try:
        with _call(run, given, method, path, body) as response:
            response.read()
            if response.status >= 400:
                raise ScriptFailed(
                    'Exception calling "GetResponse" with "0" argument(s): "The remote server returned an error: '
                    f'({response.status}) {response.reason}."'
                )
    except (OSError, HTTPException) as error:
        raise ScriptFailed(f'Exception calling "GetResponse" with "0" argument(s): "{_NO_ANSWER}"') from error


def stop_model(run: Run, given: Given) -> Presence:
    """Stop-OllamaModel."""
    model = given["model"]
    before = after = _has(_read(run, given, "ps"), model)
    if before:
        _change(run, given, "POST", "/api/generate", {"model": model, "keep_alive": 0, "stream": False})
        deadline = time.monotonic() + float(given["timeout"])
        while (after := _has(_read(run, given, "ps"), model)) and time.monotonic() < deadline:
            run.job.sleep(0.05)
    return {"changed": before and not after, "before": before, "after": after, "reboot_required": False}


def remove_model(run: Run, given: Given) -> Presence:
    """Remove-OllamaModel."""
    before = _has(_read(run, given, "tags"), given["model"])
    if before:
        _change(run, given, "DELETE", "/api/delete", {"model": given["model"]})
    after = _has(_read(run, given, "tags"), given["model"])
    return {"changed": before and not after, "before": before, "after": after, "reboot_required": False}


# --- the work that pulls ---


def _complaint(status: int, body: str) -> str:
    with contextlib.suppress(ValueError, AttributeError):
        if said := json.loads(body).get("error"):
            return str(said)
    return f"it answered with status {status}" + (f": {body[:300]}" if body else "")


class _Pull:
    def __init__(self, work: Work) -> None:
        self.work = work
        self.given = work.input
        self.layers: dict[str, tuple[int, int]] = {}
        self.attempt = 0
        self.error = ""

    @property
    def completed(self) -> int:
        return sum(done for done, _ in self.layers.values())

    def try_once(self) -> bool:
        """One request; whether it came to its end."""
        run = self.work.run
        stall = float(self.given["stall_seconds"])
        body = {"model": self.given["model"], "stream": True}
        with _call(run, self.given, "POST", "/api/pull", body, timeout=stall) as response:
            release = run.job.on_stop(_closing(response))
            try:
                return self._read_lines(run, response, stall)
            finally:
                release()

    def _read_lines(self, run: Run, response: HTTPResponse, stall: float) -> bool:
        if response.status >= 400:
            self.error = _complaint(response.status, response.read().decode(errors="replace").strip())
            return False
        quiet, seen = run.windows.clock.seconds(), -1
        while line := response.readline():
            self.work.check()
            if not line.strip():
                continue
            said = json.loads(line)
            if said.get("error"):
                self.error = str(said["error"])
                return False
            status = str(said.get("status", ""))
            if status == "success":
                return True
            if said.get("digest") and said.get("total"):
                self.layers[said["digest"]] = (int(said.get("completed") or 0), int(said["total"]))
            self.work.progress(
                {
                    "model": self.given["model"],
                    "status": status,
                    "completed": self.completed,
                    "total": sum(total for _, total in self.layers.values()),
                    "attempt": self.attempt,
                }
            )
            if self.completed != seen:
                quiet, seen = run.windows.clock.seconds(), self.completed
            if status.startswith("pulling ") and run.windows.clock.seconds() - quiet > stall:
                self.error = f"no byte came for {stall:.0f} seconds"
                return False
        self.error = "the server closed the connection before the end"
        return False


def _closing(response: HTTPResponse) -> Callable[[], None]:
    def close() -> None:
        with contextlib.suppress(OSError):
            response.close()

    return close


_KEPT = "What has come is kept: mend that, and run this again."


def save_model(work: Work) -> dict[str, Any]:
    """Save-OllamaModel."""
    pull, given = _Pull(work), work.input
    fruitless, best = 0, 0
    while True:
        pull.attempt += 1
        pull.error = ""
        try:
            if pull.try_once():
                break
        except (OSError, HTTPException, ValueError) as error:
            work.check()
            pull.error = error.text if isinstance(error, NetworkError) else str(error)
        fruitless += 1
        if pull.completed > best:
            fruitless, best = 0, pull.completed
        final = "file does not exist" in pull.error
        if final or fruitless >= int(given["fruitless"]):
            mend = "Is its name in ollama_models right?" if final else _KEPT
            raise WorkFailed(
                f"Ollama did not get the model {given['model']}, in {pull.attempt} attempts: {pull.error}. {mend}"
            )
        # The twin's clock does not wait for real; a moment is enough for the server to settle.
        work.sleep(min(0.05, float(given["pause_seconds"]) * (fruitless + 1)))
    try:
        models = _read(work.run, given, "tags")
    except ScriptFailed as error:
        raise WorkFailed(str(error)) from error
    found = [model for model in models if str(model["name"]).lower() == str(given["model"]).lower()]
    if not found:
        raise WorkFailed(f"Ollama pulled {given['model']}, and does not list it.")
    return {
        "model": found[0]["name"],
        "digest": found[0]["digest"],
        "size": found[0]["size"],
        "attempts": pull.attempt,
    }


WORKS["Save-OllamaModel"] = save_model

MODELS: dict[str, Model] = {
    "Get-OllamaInstallation": get_installation,
    "Get-OllamaServer": get_server,
    "Get-OllamaSettings": get_settings,
    "Set-OllamaSettings": set_settings,
    "Get-OllamaAnswer": get_answer,
    "Get-OllamaStorage": get_storage,
    "Stop-Ollama": stop_ollama,
    "Set-OllamaStartup": set_startup,
    "Expand-OllamaArchive": expand_archive,
    "Stop-OllamaModel": stop_model,
    "Remove-OllamaModel": remove_model,
}
"""Script name -> what does its work here."""
