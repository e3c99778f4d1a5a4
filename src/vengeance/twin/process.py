"""What a program that runs in the twin looks like to whoever started it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Start:
    """One program start.

    command_line: the whole line, as a WinRS Command carries it (Command and Arguments joined by a blank)
    environment: variables of the shell it runs in; on Windows their names ignore case
    working_directory: Windows path
    user: the Windows account
    console_mode_stdin: WINRS_CONSOLEMODE_STDIN; False means that stdin is a plain pipe
    codepage: WINRS_CODEPAGE
    session: of the desktop it runs on, 0 for what has none; elevated: with the full token of an administrator
    """

    command_line: str
    environment: dict[str, str] = field(default_factory=dict)
    working_directory: str = "C:\\Users\\Steam"
    user: str = "Steam"
    console_mode_stdin: bool = True
    codepage: int = 437
    session: int = 0
    elevated: bool = True


class ProcessOutput:
    """Collects what a program prints until somebody takes it; every method may be called from any thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._pieces: list[tuple[str, bytes]] = []
        self._exit_code: int | None = None

    def write_stdout(self, data: bytes) -> None:
        """Append to the standard output."""
        self._append("stdout", data)

    def write_stderr(self, data: bytes) -> None:
        """Append to the standard error."""
        self._append("stderr", data)

    def _append(self, stream: str, data: bytes) -> None:
        if not data:
            return
        with self._condition:
            self._pieces.append((stream, data))
            self._condition.notify_all()

    def exit(self, code: int) -> None:
        """The program has ended with this code (an unsigned 32 bit number); only the first call counts."""
        with self._condition:
            if self._exit_code is None:
                self._exit_code = code & 0xFFFFFFFF
            self._condition.notify_all()

    @property
    def exit_code(self) -> int | None:
        """The exit code, None while the program runs."""
        with self._condition:
            return self._exit_code

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What is written and ended inside of this is seen together, not one after the other."""
        with self._condition:
            yield

    def take(self, limit: int, timeout: float | None) -> tuple[list[tuple[str, bytes]], int | None]:
        """Wait for output or the end, then take at most ``limit`` bytes of it.

        Returns (pieces of (stream, bytes) in order, exit code). The exit code is None while the program runs
        or while there is output left to take. An empty list with None means that ``timeout`` seconds passed.
        """
        with self._condition:
            self._condition.wait_for(lambda: bool(self._pieces) or self._exit_code is not None, timeout)
            taken: list[tuple[str, bytes]] = []
            while self._pieces and limit > 0:
                stream, data = self._pieces[0]
                if len(data) > limit:
                    taken.append((stream, data[:limit]))
                    self._pieces[0] = (stream, data[limit:])
                    limit = 0
                else:
                    taken.append((stream, data))
                    self._pieces.pop(0)
                    limit -= len(data)
            return taken, (None if self._pieces else self._exit_code)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end of the program and return its exit code, None if ``timeout`` seconds passed."""
        with self._condition:
            self._condition.wait_for(lambda: self._exit_code is not None, timeout)
            return self._exit_code


class Process(Protocol):
    """A running program."""

    def write(self, data: bytes) -> None:
        """Give it bytes on its standard input; ignored when it has ended or its input is closed."""

    def close_stdin(self) -> None:
        """End its standard input."""

    def terminate(self) -> None:
        """Kill it; it reports its exit through its output, and a second call does nothing."""


class Launcher(Protocol):
    """Starts programs: the Windows model for the WinRM server."""

    def start(self, start: Start, output: ProcessOutput) -> Process:
        """Start a program that prints into ``output``; a program that does not exist prints what cmd.exe says."""


@runtime_checkable
class ShellEnvironments(Protocol):
    """A launcher for which a shell's environment is settled when the shell is opened, as on Windows."""

    def shell_environment(self, user: str, variables: dict[str, str]) -> dict[str, str]:
        """All variables that programs in a shell opened now will find; ``variables`` are those that it was given."""
