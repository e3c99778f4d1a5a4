"""Facts of Ollama on a Windows host.

The server is asked by the box itself, at 127.0.0.1 by default: nothing of it need be reachable from here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from vengeance.box import ollama_server
from vengeance.box.ollama_faults import RunningServer
from vengeance.facts.windows.answers import parse
from vengeance.powershell import Script, ollama

BOOT_LOG = r"C:\ProgramData\vengeance\ollama\server.log"
"""Where a server that a task starts writes its output; the one before lies beside it as server-1.log."""

# Windows shows the start of a process in whole seconds, and the server's clock is the same one.
_CLOCKS_AGREE = timedelta(seconds=2)


class Installation(FactBase[ollama.Installation]):
    """Returns which Ollama is installed: ``setup`` by its installer, ``archive`` from the zip in a folder.

    + folder: where the zip would lie, None to ask for the installer alone

    .. code:: python

        {
            "setup": {
                "version": "0.34.1",
                "folder": "C:\\\\Users\\\\Steam\\\\AppData\\\\Local\\\\Programs\\\\Ollama",
                "complete": True,
            },
            "archive": None,
        }
    """

    shell_executable = "ps"

    def command(self, folder: str | None = None) -> Script:
        return Script("Get-OllamaInstallation", {"folder": folder})

    def process(self, output: list[str]) -> ollama.Installation:
        return parse("Get-OllamaInstallation", output, ollama.Installation)


class ServerFact(TypedDict):
    """What of Ollama runs; ``last_words`` is the end of the log of the server that a task starts."""

    signed_in: bool
    app_runs: bool
    servers: list[RunningServer]
    processes: list[ollama.Process]
    last_words: str | None


class Server(FactBase[ServerFact]):
    """Returns what of Ollama runs, and the environment that each server really works with, from its own log.

    + boot_log: log of the server that the boot task starts

    ``started_by`` is ``app`` for the tray app's server, ``task`` for the one of the boot task, else ``other``.
    ``signed_in``: the account of the connection has a desktop.

    .. code:: python

        {
            "signed_in": False,
            "app_runs": False,
            "servers": [
                {
                    "pid": 4242,
                    "session": 0,
                    "started_by": "task",
                    "environment": {"OLLAMA_HOST": "http://0.0.0.0:11434", "OLLAMA_KEEP_ALIVE": "5m0s"},
                    "listening": "[::]:11434",
                    "version": "0.34.1",
                }
            ],
            "processes": [],
            "last_words": None,
        }
    """

    shell_executable = "ps"

    def command(self, boot_log: str = BOOT_LOG) -> Script:
        return Script("Get-OllamaServer", {"boot_log": boot_log})

    def process(self, output: list[str]) -> ServerFact:
        found = parse("Get-OllamaServer", output, ollama.Server)
        return {
            "signed_in": found["signed_in"],
            "app_runs": any(each["name"].lower() == "ollama app.exe" for each in found["processes"]),
            "servers": [_server(each, found) for each in found["processes"] if _is_server(each)],
            "processes": found["processes"],
            "last_words": found["boot_log"]["last"] if found["boot_log"] else None,
        }


def _is_server(process: ollama.Process) -> bool:
    words = process["command_line"].lower().split()
    return process["name"].lower() == "ollama.exe" and "serve" in words


def _server(process: ollama.Process, found: ollama.Server) -> RunningServer:
    parent = (process["parent_name"] or "").lower()
    by: Literal["app", "task", "other"] = "other"
    if parent == "ollama app.exe":
        by = "app"
    elif parent == "cmd.exe" and process["session"] == 0:
        by = "task"
    log = {"app": found["app_log"], "task": found["boot_log"], "other": None}[by]
    config, listening = (log["config"], log["listening"]) if log else (None, None)
    mine = config is not None and _written_by(process, config)
    where = ollama_server.listening(listening) if mine and listening else None
    return {
        "pid": process["pid"],
        "session": process["session"],
        "started_by": by,
        "environment": ollama_server.effective(config) if mine and config else None,
        "listening": where[0] if where else None,
        "version": where[1] if where else None,
    }


def _written_by(process: ollama.Process, line: str) -> bool:
    """Whether a line of the log is of this process, not of one that ran before it."""
    written = ollama_server.written(line)
    started = datetime.fromisoformat(process["started"].replace("Z", "+00:00"))
    return written is not None and written >= started - _CLOCKS_AGREE


class Settings(FactBase[ollama.Settings]):
    """Returns the settings of the tray app: those its window keeps, its link in the Startup folder, staged updates.

    .. code:: python

        {
            "database": "C:\\\\Users\\\\Steam\\\\AppData\\\\Local\\\\Ollama\\\\db.sqlite",
            "settings": {
                "expose": False,
                "browser": False,
                "models": "",
                "context_length": 0,
                "auto_update_enabled": True,
            },
            "unreadable": None,
            "startup_link": "C:\\\\...\\\\Startup\\\\Ollama.lnk",
            "starts_at_logon": True,
            "update_staged": False,
            "app_runs": False,
        }
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-OllamaSettings", {})

    def process(self, output: list[str]) -> ollama.Settings:
        return parse("Get-OllamaSettings", output, ollama.Settings)


class Storage(FactBase[ollama.Storage]):
    """Returns the room for models, in bytes; ``partial_bytes`` is what unfinished pulls hold already.

    + folder: the server's OLLAMA_MODELS, None for the one in the account's profile

    .. code:: python

        {"folder": "C:\\\\Users\\\\Steam\\\\.ollama\\\\models", "free_bytes": 812345678901, "partial_bytes": 0}
    """

    shell_executable = "ps"

    def command(self, folder: str | None = None) -> Script:
        return Script("Get-OllamaStorage", {"folder": folder})

    def process(self, output: list[str]) -> ollama.Storage:
        return parse("Get-OllamaStorage", output, ollama.Storage)


def _body(output: list[str], question: str) -> dict[str, Any] | None:
    """What the server said to a question, None when nobody answered."""
    answer = parse("Get-OllamaAnswer", output, ollama.Answer)
    if answer["status"] is None:
        return None
    try:
        body = json.loads(answer["body"] or "")
    except ValueError:
        body = None
    if answer["status"] != 200 or not isinstance(body, dict):
        raise FactProcessError(
            f"what answers at Ollama's port is not Ollama: /api/{question} gave status {answer['status']} and "
            f"{(answer['body'] or '')[:200]!r}"
        )
    return body


def _entries(body: dict[str, Any], question: str, keys: Sequence[tuple[str, type]]) -> list[dict[str, Any]]:
    # A server without models says null in old versions.
    entries = body.get("models") or []
    for entry in entries:
        for key, kind in keys:
            if not isinstance(entry.get(key), kind):
                raise FactProcessError(f"/api/{question} should give {key} as {kind.__name__} for each model: {entry}")
    return list(entries)


class Version(FactBase["str | None"]):
    """Returns the version of the server that answers, as ``0.34.1``; None when nobody does.

    + address, port: where to ask, seen from the box
    """

    shell_executable = "ps"

    def command(self, address: str = ollama_server.LOOPBACK, port: int = ollama_server.PORT) -> Script:
        return Script("Get-OllamaAnswer", {"address": address, "port": port, "question": "version"})

    def process(self, output: list[str]) -> str | None:
        body = _body(output, "version")
        return None if body is None else str(body.get("version"))


class InstalledModel(TypedDict):
    """A model that a server has; ``size`` in bytes, ``digest`` of its manifest."""

    digest: str
    size: int


class Models(FactBase["dict[str, InstalledModel] | None"]):
    """Returns the models that a server has; None when no server answers.

    + address, port: where to ask, seen from the box

    .. code:: python

        {"qwen2.5:3b": {"digest": "357c53fb659c...", "size": 1929912432}}
    """

    shell_executable = "ps"

    def command(self, address: str = ollama_server.LOOPBACK, port: int = ollama_server.PORT) -> Script:
        return Script("Get-OllamaAnswer", {"address": address, "port": port, "question": "tags"})

    def process(self, output: list[str]) -> dict[str, InstalledModel] | None:
        body = _body(output, "tags")
        if body is None:
            return None
        entries = _entries(body, "tags", (("name", str), ("digest", str), ("size", int)))
        return {entry["name"]: {"digest": entry["digest"], "size": entry["size"]} for entry in entries}


class LoadedModel(TypedDict):
    """A model in memory; bytes, and when it leaves (RFC 3339). All on the card: ``size_vram`` equals ``size``."""

    size: int
    size_vram: int
    expires_at: str
    context_length: int | None


class Loaded(FactBase["dict[str, LoadedModel] | None"]):
    """Returns the models that a server has in memory; None when no server answers.

    + address, port: where to ask, seen from the box

    .. code:: python

        {
            "qwen2.5:3b": {
                "size": 2600000000,
                "size_vram": 2600000000,
                "expires_at": "2026-02-09T08:17:44.1+01:00",
                "context_length": 4096,
            }
        }
    """

    shell_executable = "ps"

    def command(self, address: str = ollama_server.LOOPBACK, port: int = ollama_server.PORT) -> Script:
        return Script("Get-OllamaAnswer", {"address": address, "port": port, "question": "ps"})

    def process(self, output: list[str]) -> dict[str, LoadedModel] | None:
        body = _body(output, "ps")
        if body is None:
            return None
        keys = (("name", str), ("size", int), ("size_vram", int), ("expires_at", str))
        return {
            entry["name"]: {
                "size": entry["size"],
                "size_vram": entry["size_vram"],
                "expires_at": entry["expires_at"],
                "context_length": entry.get("context_length"),
            }
            for entry in _entries(body, "ps", keys)
        }
