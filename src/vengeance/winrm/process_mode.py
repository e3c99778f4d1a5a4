"""One process a command: the way without an agent. A cut connection leaves a command's outcome unknown."""

from __future__ import annotations

import time
from collections.abc import Callable

from vengeance.winrm.connection import Connection, Unreachable
from vengeance.winrm.errors import (
    CommandTimeout,
    ConnectionLost,
    Fault,
    InputClosed,
    NothingYet,
    OutcomeUnknown,
    ShellLost,
)
from vengeance.winrm.frames import Live
from vengeance.winrm.result import Result
from vengeance.winrm.shell import UNREAD, Command, Received, Shell, persistently

# stdin that goes with a command is small; files are sent by their own path.
_STDIN_PIECE_BYTES = 300_000
_UTF8_MARK = b"\xef\xbb\xbf"


class ProcessRunner:
    """Runs commands in a shell, each as its own process.

    + shell: where they run
    + reader: a connection of its own to wait for output on, so that others who use the shell's need not wait too
    """

    def __init__(self, shell: Shell, reader: Connection | None = None) -> None:
        self._shell = shell
        self._reader = reader

    def run(
        self,
        line: str,
        stdin: bytes | None,
        timeout: float | None,
        read_only: bool,
        on_live: Callable[[Live], None] | None,
    ) -> Result:
        """Run a command line; ``stdin`` None leaves its input open, so a program that reads would wait for ever.

        Raises OutcomeUnknown when the connection was cut and it is not known what became of the command, unless
        ``read_only``: then it is run again.
        """
        for attempt in (1, 2, 3):
            try:
                return self._run_once(line, stdin, timeout, on_live)
            except (ConnectionLost, ShellLost) as error:
                if not read_only or attempt == 3:
                    raise OutcomeUnknown(
                        f"the connection was lost ({error}) during a command: whether it was finished is not known. "
                        "Look at the box, then run again"
                    ) from error
        raise OutcomeUnknown("unreachable")

    def leave_running(self, line: str, stdin: bytes) -> tuple[Result, Command | None]:
        """Run a command line until it has printed a whole line, and leave it running in the shell.

        The command is None when it has ended instead. Raises ConnectionLost or ShellLost when it may be tried again.
        """
        command = self._shell.start(line)
        stdout = stderr = b""
        try:
            self._send_all(command, stdin)
            while True:
                try:
                    received = persistently(lambda: self._shell.receive(command, self._reader), losses=UNREAD)
                except NothingYet:
                    continue
                stdout, stderr = stdout + received.stdout, stderr + received.stderr
                if received.exit_code is not None:
                    return Result(received.exit_code, stdout.removeprefix(_UTF8_MARK), stderr), None
                if b"\n" in stdout:
                    return Result(0, stdout.removeprefix(_UTF8_MARK), stderr), command
        except BaseException:
            self._shell.terminate(command)
            raise

    def _run_once(
        self, line: str, stdin: bytes | None, timeout: float | None, on_live: Callable[[Live], None] | None
    ) -> Result:
        command = self._shell.start(line)
        try:
            if stdin is not None:
                self._send_all(command, stdin)
            result = self._collect(command, timeout, on_live)
        except BaseException as error:
            self._shell.terminate(command)
            if isinstance(error, Unreachable | Fault):
                raise ConnectionLost(str(error)) from error
            raise
        self._shell.terminate(command)
        return result

    def _send_all(self, command: Command, stdin: bytes) -> None:
        for start in range(0, len(stdin) or 1, _STDIN_PIECE_BYTES):
            piece = stdin[start : start + _STDIN_PIECE_BYTES]
            try:
                self._send(command, piece, end=start + len(piece) == len(stdin))
            except InputClosed:
                # A program may end without reading all that it was given.
                return

    def _send(self, command: Command, data: bytes, end: bool = False) -> None:
        try:
            persistently(lambda: self._shell.send(command, data, end), losses=UNREAD)
        except NothingYet:
            # The program did not read it in time, but it is on its way.
            return

    def _collect(
        self,
        command: Command,
        timeout: float | None,
        on_live: Callable[[Live], None] | None,
    ) -> Result:
        deadline = None if timeout is None else time.monotonic() + timeout
        stdout: list[bytes] = []
        stderr: list[bytes] = []
        while True:
            try:
                received = persistently(lambda: self._shell.receive(command, self._reader), losses=UNREAD)
            except NothingYet:
                received = Received(b"", b"", None)
            stdout.append(received.stdout)
            stderr.append(received.stderr)
            if on_live is not None:
                for stream, data in (("stdout", received.stdout), ("stderr", received.stderr)):
                    if data:
                        on_live(Live(0, stream, data))
            if received.exit_code is not None:
                # .NET writes a byte-order mark first when the code page is 65001 (pywinrm#111).
                return Result(received.exit_code, b"".join(stdout).removeprefix(_UTF8_MARK), b"".join(stderr))
            if deadline is not None and time.monotonic() > deadline:
                raise CommandTimeout(f"a command did not end within {timeout:g} s and was stopped")
