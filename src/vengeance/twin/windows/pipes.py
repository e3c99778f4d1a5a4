"""The standard streams of the programs in the Windows model."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from vengeance.twin.process import ProcessOutput

# A writer waits when so many bytes are unread; a real pipe holds less, but a Send must not be split by it.
_CAPACITY = 4 * 1024 * 1024


class Killed(Exception):
    """The program that does this has been ended from outside."""


class PipeClosed(Killed):
    """Nobody reads what this program writes any more."""


class Job:
    """A program with all that it starts, ended together."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._endings: list[Callable[[], None]] = []
        self._background = 0
        # Its first program was ended alone; what that has started goes on until it ends by itself.
        self.orphaned = False

    @property
    def has_background(self) -> bool:
        """Whether something that was left behind still runs in it."""
        with self._lock:
            return self._background > 0

    def leave_behind(self, count: int) -> None:
        """Count a background program: 1 when it starts, -1 when it ends."""
        with self._lock:
            self._background += count

    @property
    def stopped(self) -> bool:
        """Whether it has been ended from outside."""
        return self._stopped.is_set()

    def check(self) -> None:
        """Raise Killed when it has been ended."""
        if self._stopped.is_set():
            raise Killed

    def sleep(self, seconds: float) -> None:
        """Wait; Killed when it is ended meanwhile."""
        if self._stopped.wait(seconds):
            raise Killed

    def on_stop(self, ending: Callable[[], None]) -> Callable[[], None]:
        """Call this when the job is ended, at once when it already is; returns what takes the wish back."""
        with self._lock:
            if not self._stopped.is_set():
                self._endings.append(ending)
                return lambda: self._forget(ending)
        ending()
        return lambda: None

    def _forget(self, ending: Callable[[], None]) -> None:
        with self._lock:
            if ending in self._endings:
                self._endings.remove(ending)

    def stop(self) -> None:
        """End it; a second call does nothing."""
        with self._lock:
            if self._stopped.is_set():
                return
            self._stopped.set()
            endings, self._endings = self._endings, []
        for ending in endings:
            ending()


class InputPipe:
    """A standard input: bytes put in at one end and taken out at the other."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._closed = False
        self._abandoned = False

    def write(self, data: bytes, timeout: float | None = None) -> None:
        """Put bytes in; waits while much is unread, at most ``timeout`` seconds.

        Raises PipeClosed when nobody will read them.
        """
        if not data:
            return
        with self._condition:
            self._condition.wait_for(lambda: self._size < _CAPACITY or self._abandoned, timeout)
            if self._abandoned:
                raise PipeClosed
            if self._closed:
                return
            self._pieces.append(bytes(data))
            self._size += len(data)
            self._condition.notify_all()

    def close(self) -> None:
        """No more bytes will come."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def abandon(self) -> None:
        """Nobody will read any more: what is in it is dropped, readers find its end."""
        with self._condition:
            self._abandoned = True
            self._closed = True
            self._pieces.clear()
            self._size = 0
            self._condition.notify_all()

    def wake(self) -> None:
        """Have readers look at their ``unless`` again."""
        with self._condition:
            self._condition.notify_all()

    def read(self, limit: int = 65536, unless: Callable[[], bool] = lambda: False) -> bytes:
        """Take what is there, at most ``limit`` bytes, waiting for some; b"" at the end, or when ``unless`` says so."""
        with self._condition:
            self._condition.wait_for(lambda: bool(self._pieces) or self._closed or unless())
            if not self._pieces or unless():
                return b""
            piece = self._pieces.popleft()
            if len(piece) > limit:
                self._pieces.appendleft(piece[limit:])
                piece = piece[:limit]
            self._taken(len(piece))
            return piece

    def read_all(self) -> bytes:
        """Everything up to the end."""
        pieces = []
        while piece := self.read(1 << 20):
            pieces.append(piece)
        return b"".join(pieces)

    def read_exactly(self, count: int) -> bytes:
        """So many bytes; fewer only at the end."""
        pieces = []
        while count > 0 and (piece := self.read(count)):
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def read_line(self) -> bytes:
        """Up to and with the next LF; what is left at the end, b"" after it."""
        pieces: list[bytes] = []
        with self._condition:
            while True:
                self._condition.wait_for(lambda: bool(self._pieces) or self._closed)
                if not self._pieces:
                    return b"".join(pieces)
                piece = self._pieces.popleft()
                end = piece.find(b"\n") + 1
                if end and end < len(piece):
                    self._pieces.appendleft(piece[end:])
                    piece = piece[:end]
                self._taken(len(piece))
                pieces.append(piece)
                if end:
                    return b"".join(pieces)

    def _taken(self, count: int) -> None:
        self._size -= count
        self._condition.notify_all()


class ForwardingOutput(ProcessOutput):
    """Passes on what a program prints, and remembers its end.

    stdout, stderr: take the bytes; on_exit: called when the program has ended
    """

    def __init__(
        self,
        stdout: Callable[[bytes], None],
        stderr: Callable[[bytes], None],
        on_exit: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._stdout = stdout
        self._stderr = stderr
        self._on_exit = on_exit

    def write_stdout(self, data: bytes) -> None:
        """Pass it on."""
        self._stdout(data)

    def write_stderr(self, data: bytes) -> None:
        """Pass it on."""
        self._stderr(data)

    def exit(self, code: int) -> None:
        """Remember the exit code and wake who waits."""
        super().exit(code)
        self._on_exit()


class Outlet:
    """Holds a command's output back for a moment, so that a short command's output and end arrive together.

    Windows answers a short command with one Receive that has all of it (recorded: test_winrs_standard).
    """

    HOLD_SECONDS = 0.02
    HOLD_BYTES = 32_768

    def __init__(self, output: ProcessOutput) -> None:
        self._output = output
        self._lock = threading.RLock()
        self._pieces: list[tuple[str, bytes]] = []
        self._size = 0
        self._direct = False
        self._passed_on = False
        self._timer: threading.Timer | None = None

    def write(self, stream: str, data: bytes) -> None:
        """Take bytes for ``stdout`` or ``stderr``."""
        with self._lock:
            self._pieces.append((stream, data))
            self._size += len(data)
            if self._direct or self._size >= self.HOLD_BYTES:
                self.flush()
            elif self._timer is None:
                self._timer = threading.Timer(self.HOLD_SECONDS, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Pass on what is held."""
        with self._lock:
            timer, self._timer = self._timer, None
            if timer is not None:
                timer.cancel()
            pieces, self._pieces, self._size = self._pieces, [], 0
            self._passed_on = self._passed_on or bool(pieces)
            for stream, data in pieces:
                (self._output.write_stdout if stream == "stdout" else self._output.write_stderr)(data)

    def hold_nothing(self) -> None:
        """Pass everything on at once from now on: a protocol is spoken, or somebody else prints."""
        with self._lock:
            self._direct = True
            self.flush()

    def finish(self, code: int) -> None:
        """Pass on what is held together with the end of the command."""
        with self._lock:
            if self._passed_on:
                # It may have to wait for a reader now, which must not happen within at_once().
                self.flush()
                self._output.exit(code)
            else:
                with self._output.at_once():
                    self.flush()
                    self._output.exit(code)
            # What a background program prints later is not held.
            self._direct = True
