"""A WinRS shell and the commands in it, as WS-Management operations; retries what is safe to repeat."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from vengeance.winrm.connection import OPERATIONS_QUOTA, SHELLS_QUOTA, Connection, Rejected, Unreachable
from vengeance.winrm.errors import ConnectFailed, ConnectionLost, Fault, NothingYet, ShellLost, WireError

T = TypeVar("T")

CODE_PAGE_UTF8 = 65001
# A shell that nobody asks anything of is deleted by the box after so long: what a killed run leaves behind goes with
# it, and a run that was only slow finds its shell gone and opens another.
IDLE_TIMEOUT = "PT900.000S"
# For how long a connection that was lost is looked for again, in seconds.
RECONNECT_SECONDS = 30.0
# How long the end of a run waits for a shell that is only being opened, at a box that may never answer.
CLOSE_SECONDS = 3.0
# What says that a request surely was not handled: anything may be sent again after it.
UNREAD = (Rejected, Unreachable)


@dataclass(frozen=True)
class Command:
    """A command that was started, and the shell that it lives and dies with; both are the box's own ids."""

    shell: str
    id: str


@dataclass(frozen=True)
class Received:
    """What one Receive brought; ``exit_code`` is None while the command runs."""

    stdout: bytes
    stderr: bytes
    exit_code: int | None


def backoff_pauses(limit: float) -> Callable[[], bool]:
    """Return a function that sleeps a little longer each time and says False once ``limit`` seconds have passed."""
    started = time.monotonic()
    pause = 0.0

    def wait() -> bool:
        nonlocal pause
        if time.monotonic() - started + pause > limit:
            return False
        time.sleep(pause)
        pause = min(max(0.1, pause * 2), 5.0) * random.uniform(0.9, 1.1)  # noqa: S311
        return True

    return wait


def persistently(
    operation: Callable[[], T],
    limit: float = RECONNECT_SECONDS,
    losses: tuple[type[WireError], ...] = (ConnectionLost, Unreachable),
) -> T:
    """Repeat an operation that may be repeated until it gets through.

    + limit: seconds after which what the last try raised is raised
    + losses: what is worth another try
    """
    wait = backoff_pauses(limit)
    while True:
        try:
            return operation()
        except losses:
            if not wait():
                raise


def done_or_not(operation: Callable[[], T]) -> T:
    """Do an operation that has no more to wait for than its end: where its time ran out, it may have been done or not.

    Raises ConnectionLost then, as where the answer was cut.
    """
    try:
        return operation()
    except NothingYet as error:
        raise ConnectionLost(str(error)) from error


class Shell:
    """One WinRS shell, opened when first needed; threads and greenlets may share it.

    + connection: over which it is opened and closed
    + environment: variables of every command in it
    + on_replaced: called when another one was opened for a command, before that is started
    """

    def __init__(
        self, connection: Connection, environment: Mapping[str, str], on_replaced: Callable[[], None] = lambda: None
    ) -> None:
        self._connection = connection
        self._environment = dict(environment)
        self._on_replaced = on_replaced
        self._shell_id: str | None = None
        self._lock = threading.RLock()
        self._closed = False

    @property
    def is_open(self) -> bool:
        """Whether a shell was opened and not found lost since."""
        return self._shell_id is not None

    def open(self) -> str:
        """Open the shell if it is not; return its id. Raises ConnectFailed once it was closed for good."""
        with self._lock:
            if self._closed:
                raise ConnectFailed("the connection was closed while something still waited for it")
            if self._shell_id is None:
                self._shell_id = str(
                    done_or_not(
                        lambda: self._connection.perform(
                            lambda protocol: protocol.open_shell(
                                codepage=CODE_PAGE_UTF8, env_vars=self._environment, idle_timeout=IDLE_TIMEOUT
                            )
                        )
                    )
                )
                if self._closed:
                    self.close()
                    return self.open()
            return self._shell_id

    def start(self, line: str) -> Command:
        """Start a command line through cmd.exe with a pipe as its stdin.

        A shell that is gone, or that has run as many commands as it may, is replaced by a new one, once.
        Raises ConnectionLost when the command may or may not have been started.
        """
        shell_id = persistently(self.open)
        try:
            return self._start_in(shell_id, line, patient=False)
        except ShellLost:
            self._forget(shell_id)
        except Fault as fault:
            if fault.code not in (OPERATIONS_QUOTA, SHELLS_QUOTA):
                raise
            if self._forget(shell_id):
                self._delete(shell_id, self._connection)
        shell_id = persistently(self.open)
        self._on_replaced()
        return self._start_in(shell_id, line)

    def _start_in(self, shell_id: str, line: str, patient: bool = True) -> Command:
        command = persistently(
            lambda: done_or_not(
                lambda: self._connection.perform(
                    lambda protocol: protocol.run_command(
                        shell_id, line, console_mode_stdin=False, skip_cmd_shell=False
                    ),
                    patient,
                )
            ),
            losses=UNREAD,
        )
        return Command(shell_id, str(command))

    def has(self, command: Command) -> bool:
        """Whether a command was started in the shell that is open now."""
        return command.shell == self._shell_id

    def forget(self) -> None:
        """Have the next start open another shell: this one is known to be gone, as after a restart of Windows."""
        with self._lock:
            self._shell_id = None

    def _forget(self, shell_id: str) -> bool:
        """Have the next start open another shell, unless somebody else has seen to that already."""
        with self._lock:
            if self._shell_id != shell_id:
                return False
            self._shell_id = None
            return True

    def send(self, command: Command, data: bytes, end: bool = False, connection: Connection | None = None) -> None:
        """Give a command bytes on its stdin: all of them or, when this raises, perhaps none."""
        self._check(command)
        (connection or self._connection).perform(
            lambda protocol: protocol.send_command_input(command.shell, command.id, data, end)
        )

    def receive(self, command: Command, connection: Connection | None = None) -> Received:
        """Wait for output of a command. Raises NothingYet when there was none within the operation timeout."""
        self._check(command)
        stdout, stderr, code, done = (connection or self._connection).perform(
            lambda protocol: protocol.get_command_output_raw(command.shell, command.id)
        )
        return Received(stdout, stderr, (code & 0xFFFFFFFF) if done else None)

    def terminate(self, command: Command) -> None:
        """Kill a command; nothing happens when it or the shell is gone or the box does not answer."""
        if not self.has(command):
            return
        try:
            persistently(
                lambda: self._connection.perform(lambda p: p.cleanup_command(command.shell, command.id)), limit=2.0
            )
        except (WireError, NothingYet):
            return

    def close(self, connection: Connection | None = None) -> None:
        """Delete the shell for good, which kills all that runs in it; nothing happens when it is gone.

        + connection: another one to do it over, when this shell's own is waiting for something
        """
        self._closed = True
        if not self._lock.acquire(timeout=CLOSE_SECONDS):
            return
        shell_id, self._shell_id = self._shell_id, None
        self._lock.release()
        if shell_id is not None:
            self._delete(shell_id, connection or self._connection)

    @staticmethod
    def _delete(shell_id: str, over: Connection) -> None:
        try:
            persistently(
                lambda: over.perform(lambda p: p.close_shell(shell_id, close_session=False)),
                limit=2.0,
            )
        except (WireError, NothingYet):
            return

    def _check(self, command: Command) -> None:
        if not self.has(command):
            raise ShellLost("the shell is gone")
