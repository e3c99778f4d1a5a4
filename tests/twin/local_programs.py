"""A launcher for the WinRM server's tests that runs real programs of this machine: real pipes, real exit codes."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import threading

from vengeance.twin.process import Process, ProcessOutput, Start


def _script(command_line: str) -> str:
    """What sh is to run: the line, or the script in an encoded PowerShell line, which Ansible makes of all."""
    before, flag, encoded = command_line.partition(" -EncodedCommand ")
    if flag and before.lower().startswith("powershell"):
        return base64.b64decode(encoded).decode("utf-16-le")
    return command_line


class LocalProcess:
    """A program of this machine, started through sh."""

    def __init__(self, start: Start, output: ProcessOutput) -> None:
        self._child = subprocess.Popen(
            ["/bin/sh", "-c", _script(start.command_line)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **start.environment},
            start_new_session=True,
        )
        self._output = output
        readers = [
            threading.Thread(target=self._read, args=("stdout",), daemon=True),
            threading.Thread(target=self._read, args=("stderr",), daemon=True),
        ]
        for reader in readers:
            reader.start()
        threading.Thread(target=self._reap, args=(readers,), daemon=True).start()

    def _read(self, name: str) -> None:
        pipe = self._child.stdout if name == "stdout" else self._child.stderr
        assert pipe is not None
        write = self._output.write_stdout if name == "stdout" else self._output.write_stderr
        while data := os.read(pipe.fileno(), 65536):
            write(data)

    def _reap(self, readers: list[threading.Thread]) -> None:
        for reader in readers:
            reader.join()
        self._output.exit(self._child.wait())

    def write(self, data: bytes) -> None:
        assert self._child.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._child.stdin.write(data)
            self._child.stdin.flush()

    def close_stdin(self) -> None:
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            self._child.stdin.close()

    def terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)


class LocalPrograms:
    """Starts command lines with sh, and remembers every start."""

    def __init__(self) -> None:
        self.starts: list[Start] = []
        self.outputs: list[ProcessOutput] = []

    def start(self, start: Start, output: ProcessOutput) -> Process:
        self.starts.append(start)
        self.outputs.append(output)
        if start.command_line.startswith("no-such-program"):
            raise FileNotFoundError(start.command_line)
        return LocalProcess(start, output)
