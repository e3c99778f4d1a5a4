"""A real WinRM server whose wsl.exe is this machine's own /bin/sh: the wire and the sh agent, and nothing else."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vengeance.twin.process import Process, ProcessOutput, Start
from vengeance.twin.wsman.accounts import Accounts
from vengeance.twin.wsman.server import ListenSettings, WsmanServer
from vengeance.winrm.client import WSL_EXE, AgentTexts, WinRMClient
from vengeance.winrm.settings import WinRMSettings

USER, PASSWORD = "Steam", "pässwörd & 'quotes'"
NO_POWERSHELL = AgentTexts("", "", "", "", "")
DISTRO, ROOT = "Local", "root"


class LocalSh:
    """The program behind wsl.exe's --exec, run here with pipes of its own; like WSL it outlives a killed wsl.exe."""

    def __init__(self, argv: list[str], start: Start, output: ProcessOutput) -> None:
        self._output = output
        self._child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, **start.environment},
            start_new_session=True,
        )
        self.pid = self._child.pid
        readers = [threading.Thread(target=self._pump, args=(name,), daemon=True) for name in ("stdout", "stderr")]
        for reader in readers:
            reader.start()
        threading.Thread(target=self._reap, args=(readers,), daemon=True).start()

    def _pump(self, name: str) -> None:
        pipe = getattr(self._child, name)
        write: Callable[[bytes], None] = getattr(self._output, f"write_{name}")
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(pipe.fileno(), 1 << 17):
                write(data)

    def _reap(self, readers: list[threading.Thread]) -> None:
        for reader in readers:
            reader.join()
        self._output.exit(self._child.wait())

    def write(self, data: bytes) -> None:
        assert self._child.stdin is not None
        view = memoryview(data)
        with contextlib.suppress(OSError, ValueError):
            while view:
                view = view[self._child.stdin.write(view) :]

    def close_stdin(self) -> None:
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            self._child.stdin.close()

    def terminate(self) -> None:
        self.close_stdin()
        self._output.exit(0xC000013A)

    def kill(self) -> None:
        """Kill the agent itself, as a crash would."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child.pid, signal.SIGKILL)


@dataclass
class LocalWsl:
    """Starts what follows ``--exec`` on the command line; remembers every start."""

    started: list[LocalSh] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def start(self, start: Start, output: ProcessOutput) -> Process:
        assert start.command_line.startswith(WSL_EXE), start.command_line
        self.lines.append(start.command_line)
        # The loader's own quotes are Windows' and hold nothing that POSIX would read otherwise, but "$".
        argv = shlex.split(start.command_line.split("--exec ", 1)[1].replace("$", "\\$"), posix=True)
        argv = [word.replace("\\$", "$") for word in argv]
        process = LocalSh(argv, start, output)
        self.started.append(process)
        return process


@dataclass
class Box:
    """The server, what it started, and clients for it."""

    server: WsmanServer
    wsl: LocalWsl
    clients: list[WinRMClient] = field(default_factory=list)

    def client(self, **changes: Any) -> WinRMClient:
        values: dict[str, Any] = {
            "host": "127.0.0.1",
            "user": USER,
            "password": lambda: PASSWORD,
            "port": self.server.http_port,
            "scheme": "http",
            **changes,
        }
        made = WinRMClient(WinRMSettings(**values), NO_POWERSHELL)
        self.clients.append(made)
        return made

    def fault(self, **rule: Any) -> None:
        self.server.faults.add(rule)

    def counted(self) -> dict[str, Any]:
        snapshot: dict[str, Any] = self.server.log.snapshot()
        self.server.log.reset()
        return snapshot


@pytest.fixture(scope="session")
def wire_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WsmanServer, LocalWsl]]:
    folder: Path = tmp_path_factory.mktemp("wire")
    accounts = Accounts(folder / "accounts")
    accounts.add(USER, PASSWORD)
    wsl = LocalWsl()
    server = WsmanServer(ListenSettings(folder=folder), accounts, wsl)
    server.start()
    yield server, wsl
    server.stop()


@pytest.fixture
def box(wire_server: tuple[WsmanServer, LocalWsl]) -> Iterator[Box]:
    server, wsl = wire_server
    wsl.started.clear()
    wsl.lines.clear()
    server.faults.clear()
    server.log.reset()
    made = Box(server, wsl)
    yield made
    server.faults.clear()
    for client in made.clients:
        client.close()
