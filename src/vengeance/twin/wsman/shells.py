"""Shells and their commands: what a ShellId and a CommandId stand for."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from vengeance.twin.process import Launcher, Process, ProcessOutput, Start
from vengeance.twin.wsman import errors
from vengeance.twin.wsman.accounts import Account
from vengeance.twin.wsman.limits import Limits
from vengeance.twin.wsman.soap import new_id
from vengeance.twin.wsman.waiting import Waiter

# XML around one piece of output (element, attributes, GUID) and around a whole ReceiveResponse, rounded up
STREAM_OVERHEAD = 110
ANSWER_OVERHEAD = 2048
# Output that is kept for a client that does not receive, bytes; then the program waits, as it does at a full pipe
_MOST_HELD = 4 * 1024 * 1024


class _ShellOutput(ProcessOutput):
    """Output that wakes the Receives that wait for it, and holds up a program that prints faster than it is read."""

    def __init__(self) -> None:
        super().__init__()
        self._wakers: list[Callable[[], None]] = []
        self._wakers_lock = threading.Lock()
        self._room = threading.Condition()
        self._held = 0
        self._unlimited: set[int] = set()
        self._released = False

    def write_stdout(self, data: bytes) -> None:
        self._await_room(len(data))
        super().write_stdout(data)
        self.wake()

    def write_stderr(self, data: bytes) -> None:
        self._await_room(len(data))
        super().write_stderr(data)
        self.wake()

    def exit(self, code: int) -> None:
        super().exit(code)
        self.wake()

    def take(self, limit: int, timeout: float | None) -> tuple[list[tuple[str, bytes]], int | None]:
        pieces, code = super().take(limit, timeout)
        if pieces:
            with self._room:
                self._held -= sum(len(data) for _, data in pieces)
                self._room.notify_all()
        return pieces, code

    def release(self) -> None:
        """Hold nothing up any more: nobody will read."""
        with self._room:
            self._released = True
            self._room.notify_all()
        self.wake()

    @contextlib.contextmanager
    def unlimited(self) -> Iterator[None]:
        """Let this thread write as much as it likes, for it is one that a waiting client depends on."""
        thread = threading.get_ident()
        self._unlimited.add(thread)
        try:
            yield
        finally:
            self._unlimited.discard(thread)

    @property
    def waiting(self) -> int:
        """How many Receives wait."""
        with self._wakers_lock:
            return len(self._wakers)

    def wake(self) -> None:
        """Wake the waiting Receives."""
        with self._wakers_lock:
            wakers = list(self._wakers)
        for waker in wakers:
            waker()

    @contextlib.contextmanager
    def waking(self, waiter: Waiter) -> Iterator[None]:
        """Wake ``waiter`` at everything that happens in the meantime."""
        with self._wakers_lock:
            self._wakers.append(waiter.wake)
        try:
            yield
        finally:
            with self._wakers_lock:
                self._wakers.remove(waiter.wake)

    def _await_room(self, size: int) -> None:
        with self._room:
            if threading.get_ident() not in self._unlimited:
                self._room.wait_for(lambda: self._held < _MOST_HELD or self._released)
            self._held += size


@dataclass(frozen=True)
class Received:
    """What one Receive takes: pieces of (stream, bytes) in order, and the exit code once all is taken."""

    pieces: list[tuple[str, bytes]]
    exit_code: int | None


class Command:
    """One command of a shell."""

    def __init__(self, command_id: str) -> None:
        self.id = command_id
        self.output = _ShellOutput()
        self.process: Process | None = None
        self._left: deque[tuple[str, bytes]] = deque()
        self._exit_code: int | None = None
        self._lock = threading.Lock()
        self._input: queue.SimpleQueue[tuple[bytes, bool, threading.Event] | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._aborted = False
        self._completed = False

    def receive(self, envelope_size: int, timeout: float, waiter: Waiter) -> Received:
        """Wait for output or the end, and take what fits.

        envelope_size: bytes that the whole answer may have
        timeout: OperationTimeout, seconds; the fault 2150858793 when it passes without output
        """
        deadline = time.monotonic() + timeout
        with self.output.waking(waiter):
            while True:
                if self._completed:
                    raise errors.unknown_command()
                if self._aborted:
                    raise errors.operation_aborted()
                received = self._take(envelope_size - ANSWER_OVERHEAD)
                if received.pieces or received.exit_code is not None:
                    self._completed = received.exit_code is not None
                    return received
                left = deadline - time.monotonic()
                if left <= 0:
                    raise errors.operation_timeout()
                waiter.wait(left)

    def _take(self, room: int) -> Received:
        pieces: list[tuple[str, bytes]] = []
        with self._lock:
            while True:
                if not self._left:
                    taken, code = self.output.take(max(1, room * 3 // 4), 0)
                    self._left.extend(taken)
                    if code is not None:
                        self._exit_code = code
                if not self._left:
                    return Received(pieces, self._exit_code)
                stream, data = self._left[0]
                fits = (room - STREAM_OVERHEAD) // 4 * 3
                if fits <= 0:
                    return Received(pieces, None)
                if len(data) > fits:
                    self._left[0] = (stream, data[fits:])
                    data = data[:fits]
                else:
                    self._left.popleft()
                pieces.append((stream, data))
                room -= STREAM_OVERHEAD + (len(data) + 2) // 3 * 4

    def send(self, data: bytes, end: bool, timeout: float) -> None:
        """Give the program input, in the order of the calls; the fault "The pipe has been ended" when it has ended.

        timeout: OperationTimeout, seconds. When the program does not take the input within it the fault is 1460, yet
            the input is not taken back: a client that sends it again sends it twice, as on Windows
        """
        if self._completed:
            raise errors.unknown_command()
        if self.process is None or self.output.exit_code is not None:
            raise errors.pipe_ended()
        written = threading.Event()
        with self._lock:
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, args=(self.process,), daemon=True)
                self._writer.start()
            self._input.put((data, end, written))
        if not written.wait(timeout):
            raise errors.input_timeout()

    def _write(self, process: Process) -> None:
        while (item := self._input.get()) is not None:
            data, end, written = item
            with self.output.unlimited():
                if data:
                    process.write(data)
                if end:
                    process.close_stdin()
            written.set()

    def interrupt(self) -> None:
        """Ctrl-C: the program ends, and its end is received like any other."""
        self.output.release()  # terminate() may wait for a thread that a full output holds up
        if self.process is not None:
            self.process.terminate()

    def abort(self) -> None:
        """Kill the program and end the Receives that wait for it."""
        self._aborted = True
        self._input.put(None)
        self.output.release()  # terminate() may wait for a thread that a full output holds up
        if self.process is not None:
            self.process.terminate()


@dataclass
class Shell:
    """One shell.

    environment: the variables that the client gave it
    working_directory: Windows path; codepage: WINRS_CODEPAGE
    idle_seconds: after so long without a request the shell dies
    """

    id: str
    owner: Account
    client_ip: str
    environment: dict[str, str]
    working_directory: str
    codepage: int
    idle_seconds: float
    block: dict[str, str] | None = None
    input_streams: str = "stdin"
    output_streams: str = "stdout stderr"
    created: float = field(default_factory=time.monotonic)
    touched: float = field(default_factory=time.monotonic)
    operations: int = 0
    commands: dict[str, Command] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def command(self, command_id: str | None) -> Command:
        """The command of this id, or the fault of an unknown one."""
        if not command_id:
            raise errors.invalid_parameter()
        with self.lock:
            command = self.commands.get(command_id.upper())
        if command is None:
            raise errors.unknown_command()
        return command

    def run(
        self, line: str, console_mode_stdin: bool, launcher: Launcher, limits: Limits, command_id: str | None
    ) -> Command:
        """Start a command line; the fault 2150859174 when the shell has had its share of operations."""
        with self.lock:
            if self.operations >= limits.max_operations_per_shell:
                raise errors.too_many_operations(limits.max_operations_per_shell)
            self.operations += 1
            command = Command((command_id or new_id()).upper())
            self.commands[command.id] = command
        start = Start(
            command_line=line,
            environment=dict(self.environment if self.block is None else self.block),
            working_directory=self.working_directory,
            user=self.owner.name,
            console_mode_stdin=console_mode_stdin,
            codepage=self.codepage,
        )
        try:
            with command.output.unlimited():
                command.process = launcher.start(start, command.output)
        except OSError as error:
            with self.lock:
                self.commands.pop(command.id, None)
            if isinstance(error, NotADirectoryError):
                raise errors.directory_invalid() from error
            raise errors.file_not_found() from error
        return command

    def forget(self, command: Command) -> None:
        """Terminate a command and its id. The count of operations stays, as on Windows."""
        with self.lock:
            self.commands.pop(command.id, None)
        command.abort()

    def snapshot(self) -> dict[str, object]:
        """The shell as a JSON object."""
        with self.lock:
            commands = list(self.commands.values())
        return {
            "id": self.id,
            "owner": self.owner.name,
            "operations": self.operations,
            "commands": [command.id for command in commands],
            "waiting": sum(command.output.waiting for command in commands),
        }

    def close(self) -> None:
        """Kill everything that runs in the shell."""
        with self.lock:
            commands = list(self.commands.values())
            self.commands.clear()
        for command in commands:
            command.abort()


class Shells:
    """All the shells of the server."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._shells: dict[str, Shell] = {}
        self._lock = threading.Lock()

    def add(self, shell: Shell) -> None:
        """Register a new shell; the fault 2150859173 when its owner has too many."""
        with self._lock:
            owned = sum(1 for other in self._shells.values() if other.owner.sid == shell.owner.sid)
            if owned >= self._limits.max_shells_per_user:
                raise errors.too_many_shells(self._limits.max_shells_per_user)
            self._shells[shell.id] = shell

    def find(self, shell_id: str | None, account: Account) -> Shell:
        """The shell of this id, whatever the connection; the fault of an unknown or foreign one."""
        with self._lock:
            shell = self._shells.get((shell_id or "").upper())
        if shell is None:
            raise errors.unknown_shell(shell_id)
        if shell.owner.sid != account.sid:
            raise errors.access_denied()
        shell.touched = time.monotonic()
        return shell

    def remove(self, shell: Shell) -> None:
        """Delete a shell with everything in it."""
        with self._lock:
            self._shells.pop(shell.id, None)
        shell.close()

    def reap(self) -> None:
        """Delete the shells whose idle time is over."""
        now = time.monotonic()
        with self._lock:
            idle = [shell for shell in self._shells.values() if now - shell.touched > shell.idle_seconds]
        for shell in idle:
            self.remove(shell)

    def close(self) -> None:
        """Delete them all."""
        with self._lock:
            shells = list(self._shells.values())
            self._shells.clear()
        for shell in shells:
            shell.close()

    def snapshot(self) -> list[dict[str, object]]:
        """The shells as JSON objects: id, owner, operations, ids of the commands, number of waiting Receives."""
        with self._lock:
            shells = list(self._shells.values())
        return [shell.snapshot() for shell in shells]
