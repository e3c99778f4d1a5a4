"""The pipes between wsl.exe and a Linux program."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from vengeance.twin.process import ProcessOutput

_PIPE_SIZE = 1 << 20
_CHUNK = 1 << 16
# How much input may wait for a program that does not read it before the sender has to.
_BACKLOG = 4 << 20


def wide_pipe() -> tuple[int, int]:
    """A pipe (read end, write end) with room for 1 MiB where the system allows it."""
    read, write = os.pipe()
    with suppress(OSError):
        fcntl.fcntl(write, 1031, _PIPE_SIZE)  # F_SETPIPE_SZ
    return read, write


class Input:
    """The standard input of wsl.exe: what is written goes into a pipe in order, then its end."""

    def __init__(self) -> None:
        self.read_end, self._write_end = wide_pipe()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._ended = self._dropped = False
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, data: bytes) -> None:
        """Take bytes; waits while 4 MiB are waiting to be read. Ignored when the input has ended."""
        with self._condition:
            self._condition.wait_for(lambda: self._size < _BACKLOG or self._ended)
            if self._ended or not data:
                return
            self._waiting.append(data)
            self._size += len(data)
            self._wake()

    def close(self) -> None:
        """No more will come."""
        with self._condition:
            self._ended = True
            self._wake()

    def drop(self) -> None:
        """Nobody will read any more: forget what waits and close the pipe."""
        with self._condition:
            self._dropped = True
            self._waiting.clear()
            self._size = 0
        self.close()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._pump, daemon=True, name="wsl-input")
            self._thread.start()
        self._condition.notify_all()

    def _pump(self) -> None:
        os.set_blocking(self._write_end, False)
        room = select.poll()
        room.register(self._write_end, select.POLLOUT)
        try:
            while True:
                with self._condition:
                    self._condition.wait_for(lambda: bool(self._waiting) or self._ended)
                    if not self._waiting:
                        return
                    data = self._waiting.popleft()
                view = memoryview(data)
                while view and not self._dropped:
                    try:
                        view = view[os.write(self._write_end, view) :]
                    except BlockingIOError:
                        room.poll(100)  # not for ever: nobody may want this any more
                with self._condition:
                    self._size = max(0, self._size - len(data))
                    self._condition.notify_all()
        except OSError:
            pass  # the program has closed its input, or has ended
        finally:
            with self._condition:
                self._ended = True
                self._waiting.clear()
                self._condition.notify_all()
            os.close(self._write_end)


class Stop:
    """A flag that a poll can wait for."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._lock = threading.Lock()
        self._closed = False

    def fileno(self) -> int:
        """The end that becomes readable."""
        return self._read

    def set(self) -> None:
        """Raise the flag; more than once does nothing."""
        with self._lock:
            if not self._closed:
                os.write(self._write, b"x")

    def close(self) -> None:
        """Give the pipe back."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._read)
                os.close(self._write)


def relay(process: subprocess.Popen[bytes], stdout: int, stderr: int, output: ProcessOutput, stop: Stop) -> int | None:
    """Carry a program's output until it has ended; returns its exit code, None if ``stop`` was raised first.

    What background children print after the program's own end is lost, as with wsl.exe: its relay shuts the
    sockets down once the program has ended and what it wrote is through (init.cpp).
    """
    ended = os.pidfd_open(process.pid)
    sinks = {stdout: output.write_stdout, stderr: output.write_stderr}
    poller = select.poll()
    for handle in (*sinks, ended, stop.fileno()):
        poller.register(handle, select.POLLIN)
    try:
        while True:
            ready = dict(poller.poll())
            if stop.fileno() in ready:
                return None
            for handle in [one for one in sinks if one in ready]:
                data = os.read(handle, _CHUNK)
                if data:
                    sinks[handle](data)
                else:
                    poller.unregister(handle)
                    del sinks[handle]
            if ended in ready:
                for handle, sink in sinks.items():
                    _drain(handle, sink)
                return process.wait()
    finally:
        for handle in (ended, stdout, stderr):
            os.close(handle)


def _drain(handle: int, sink: Callable[[bytes], None]) -> None:
    os.set_blocking(handle, False)
    with suppress(BlockingIOError):
        while data := os.read(handle, _CHUNK):
            sink(data)
