"""``ollama.exe``: the server, and the commands that ask one."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vengeance.twin.ollama import package, variables
from vengeance.twin.ollama.server import Server
from vengeance.twin.windows.errors import Win32Error
from vengeance.twin.windows.network import LOOPBACK, NetworkError

if TYPE_CHECKING:
    from vengeance.twin.windows.program import Run

_FAILED = 1
_WAIT_SECONDS = 5.0
_USAGE = """Large language model runner

Usage:
  ollama [flags]
  ollama [command]

Available Commands (those that the twin models):
  serve       Start Ollama
  show        Show information for a model
  stop        Stop a running model
  pull        Pull a model from a registry
  list        List models
  ps          List running models
  rm          Remove a model
"""


class _NoServer(Exception):
    """Nobody answers at OLLAMA_HOST."""


def ollama_exe(run: Run) -> int:
    """ollama.exe."""
    words = run.argv
    command = words[0] if words else ""
    if command in ("serve", "start"):
        return _serve(run)
    if command in ("-v", "--version"):
        return _version(run)
    deeds = {"list": _list, "ls": _list, "ps": _ps, "stop": _stop, "pull": _pull, "rm": _rm, "show": _show}
    deed = deeds.get(command)
    if deed is None:
        if command in ("", "help", "-h", "--help"):
            run.print(_USAGE.replace("\n", "\r\n"))
            return 0
        run.error(f'Error: unknown command "{command}" for "ollama"')
        return _FAILED
    try:
        try:
            return deed(run, words[1:])
        except _NoServer:
            # The command line tool starts the tray app, and with it the server, by itself (cmd/start_windows.go).
            _start_app(run)
            return deed(run, words[1:])
    except _NoServer as error:
        run.error(f"Error: {error}")
        return _FAILED


def _serve(run: Run) -> int:
    ollama = run.windows.ollama
    try:
        server = Server(run, ollama.registry, ollama.faults, ollama.loads)
    except Win32Error as error:
        run.error(f"Error: mkdir {error.path}: {error.system}")
        return _FAILED
    ollama.server_begins(run, server)
    try:
        return server.serve()
    finally:
        ollama.servers.pop(run.pid, None)


def _version(run: Run) -> int:
    own = package.version_of(run.windows.drive, run.image) or package.VERSION
    try:
        _, answer = _ask(run, "GET", "/api/version")
    except _NoServer:
        run.print("Warning: could not connect to a running Ollama instance")
        run.print(f"Warning: client version is {own}")
        return 0
    run.print(f"ollama version is {answer['version']}")
    if answer["version"] != own:
        run.print(f"Warning: client version is {own}")
    return 0


def _start_app(run: Run) -> None:
    folder = run.image.rpartition("\\")[0]
    app = f"{folder}\\{package.APP}"
    if not run.windows.drive.is_file(app):
        raise _NoServer("could not connect to ollama server, run 'ollama serve' to start it")
    child = run.windows.launch(
        f'"{app}" --hide --fast-startup',
        user=run.user,
        session=run.session,
        elevated=run.elevated,
        environment=run.environment.copy(),
        parent=run.pid,
    )
    # It belongs to the job of the shell that it was started from.
    run.job.on_stop(child.terminate)
    waited = 0.0
    while waited < _WAIT_SECONDS:
        run.job.sleep(0.1)
        waited += 0.1
        try:
            _ask(run, "GET", "/api/version")
        except _NoServer:
            continue
        return
    raise _NoServer("timed out waiting for server to start")


class _Connection(http.client.HTTPConnection):
    def __init__(self, run: Run) -> None:
        address, _ = variables.parse_address(run.environment.get("OLLAMA_HOST", ""))
        super().__init__(address.host or LOOPBACK, address.port)
        self._run = run
        self._to = LOOPBACK if address.everywhere or address.loopback else address.host

    def connect(self) -> None:
        self.sock: socket.socket = self._run.windows.network.connect(self._to, self.port, timeout=None)


def _open(run: Run, method: str, path: str, data: object = None) -> http.client.HTTPResponse:
    connection = _Connection(run)
    body = None if data is None else json.dumps(data).encode()
    try:
        connection.request(method, path, body, {"Host": f"localhost:{connection.port}"})
        return connection.getresponse()
    except (NetworkError, OSError, http.client.HTTPException) as error:
        raise _NoServer("could not connect to ollama server, run 'ollama serve' to start it") from error


def _ask(run: Run, method: str, path: str, data: object = None) -> tuple[int, dict[str, Any]]:
    response = _open(run, method, path, data)
    body = response.read()
    return response.status, json.loads(body) if body.strip() else {}


def _lines(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    while line := response.readline():
        if line.strip():
            yield json.loads(line)


def _size(count: int) -> str:
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= size:
            value = count / size
            return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    return f"{count} B"


def _list(run: Run, words: list[str]) -> int:
    _, answer = _ask(run, "GET", "/api/tags")
    run.print(f"{'NAME':<24} {'ID':<16} {'SIZE':<10} MODIFIED")
    for one in answer["models"]:
        run.print(f"{one['name']:<24} {one['digest'][:12]:<16} {_size(one['size']):<10} {one['modified_at']}")
    return 0


def _ps(run: Run, words: list[str]) -> int:
    _, answer = _ask(run, "GET", "/api/ps")
    run.print(f"{'NAME':<24} {'ID':<16} {'SIZE':<10} {'PROCESSOR':<16} {'CONTEXT':<10} UNTIL")
    for one in answer["models"]:
        share = round(100 * one["size_vram"] / one["size"])
        where = {0: "100% CPU", 100: "100% GPU"}.get(share, f"{100 - share}%/{share}% CPU/GPU")
        name, context = one["name"], one["context_length"]
        size = _size(one["size"])
        run.print(f"{name:<24} {one['digest'][:12]:<16} {size:<10} {where:<16} {context:<10} {one['expires_at']}")
    return 0


def _stop(run: Run, words: list[str]) -> int:
    model = words[0] if words else ""
    status, answer = _ask(run, "POST", "/api/generate", {"model": model, "keep_alive": 0, "stream": False})
    if status == http.client.OK:
        return 0
    unknown = status == http.client.NOT_FOUND
    run.error(f'Error: couldn\'t find model "{model}" to stop' if unknown else f"Error: {answer.get('error')}")
    return _FAILED


def _pull(run: Run, words: list[str]) -> int:
    response = _open(run, "POST", "/api/pull", {"model": words[0] if words else ""})
    last = ""
    try:
        for line in _lines(response):
            run.job.check()
            if "error" in line:
                run.error(f"Error: {line['error']}")
                return _FAILED
            if line["status"] != last:
                last = line["status"]
                run.error(last)
    except (OSError, ValueError, http.client.HTTPException):
        run.error("Error: unexpected EOF")
        return _FAILED
    return 0 if last == "success" else _FAILED


def _rm(run: Run, words: list[str]) -> int:
    for model in words:
        status, answer = _ask(run, "DELETE", "/api/delete", {"model": model})
        if status != http.client.OK:
            run.error(f"Error: {answer.get('error')}")
            return _FAILED
        run.print(f"deleted '{model}'")
    return 0


def _show(run: Run, words: list[str]) -> int:
    status, answer = _ask(run, "POST", "/api/show", {"model": words[0] if words else ""})
    if status != http.client.OK:
        run.error(f"Error: {answer.get('error')}")
        return _FAILED
    run.print("  Model")
    for name, value in answer["details"].items():
        if isinstance(value, str) and value:
            run.print(f"    {name.replace('_', ' '):<20} {value}")
    return 0
