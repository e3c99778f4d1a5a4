"""A Windows model without its WinRM server, for tests: runs command lines and hands back what they printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import eventually
from vengeance.twin.process import Process, ProcessOutput, Start
from vengeance.twin.windows.model import Windows
from vengeance.twin.windows.state import State


@dataclass(frozen=True)
class Done:
    """What a command line did."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        """The standard output as text with LF."""
        return self.stdout.decode().replace("\r\n", "\n")

    @property
    def err(self) -> str:
        """The standard error as text with LF."""
        return self.stderr.decode().replace("\r\n", "\n")


class Box:
    """A Windows in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.drive_c = folder / "drive_c"
        self.restarts: list[bool] = []
        self.faults: list[str] = []
        self.windows = Windows(State(folder), restart=self.restarts.append, log=self.faults.append)

    def start(
        self,
        line: str,
        *,
        codepage: int = 65001,
        user: str = "Steam",
        cwd: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> tuple[Process, ProcessOutput]:
        """Start a command line as WinRM does."""
        output = ProcessOutput()
        start = Start(line, dict(environment or {}), cwd or f"C:\\Users\\{user}", user, False, codepage)
        return self.windows.start(start, output), output

    def run(
        self,
        line: str,
        stdin: bytes | None = b"",
        *,
        codepage: int = 65001,
        cwd: str = "",
        timeout: float = 20.0,
        environment: Mapping[str, str] | None = None,
    ) -> Done:
        """Run a command line to its end; ``stdin`` None leaves its input open."""
        process, output = self.start(line, codepage=codepage, cwd=cwd, environment=environment)
        if stdin is not None:
            process.write(stdin)
            process.close_stdin()
        if output.wait(timeout) is None:
            process.terminate()
            raise TimeoutError(f"{line!r} did not end within {timeout:g} s.")
        done = collect(output)
        if self.faults:
            raise RuntimeError(self.faults[0])
        return done

    def restart(self) -> None:
        """Windows ends, with all that runs, and starts again; nobody is logged on."""
        self.windows.stop_all()
        eventually(lambda: not self.windows.state.processes, "the end of all processes")
        self.windows.state.boot()
        self.windows.boot()


def collect(output: ProcessOutput) -> Done:
    """Take all that a program has printed."""
    pieces, code = output.take(1 << 30, 0)
    out = b"".join(data for stream, data in pieces if stream == "stdout")
    err = b"".join(data for stream, data in pieces if stream == "stderr")
    return Done(-1 if code is None else code, out, err)
