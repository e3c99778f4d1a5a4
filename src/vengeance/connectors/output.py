"""Bytes of a command -> pyinfra's CommandOutput, shown while they come when that is asked for."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pyinfra.api.output import echo
from pyinfra.connectors.util import CommandOutput, OutputLine

if TYPE_CHECKING:
    from vengeance.winrm.frames import Live
    from vengeance.winrm.result import Result


def text_lines(data: bytes) -> list[str]:
    """Return the lines of some output without their ends; bytes that are no UTF-8 become U+FFFD."""
    text = data.decode("utf-8", errors="replace")
    if not text:
        return []
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def command_output(result: Result) -> CommandOutput:
    """Return everything a command printed: its standard output, then its standard error."""
    return CommandOutput(
        [OutputLine("stdout", line) for line in text_lines(result.stdout)]
        + [OutputLine("stderr", line) for line in text_lines(result.stderr)]
    )


def succeeded(code: int, success_codes: Iterable[int] | None) -> bool:
    """Say whether an exit code is one of those that count as success; -1 and 4294967295 are the same to Windows."""
    return code in {wanted & 0xFFFFFFFF for wanted in success_codes or (0,)}


class LivePrinter:
    """Prints whole lines as they arrive, and at the end whatever had not arrived by then.

    + prefix: of each line, pyinfra's ``[host] ``
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")}
        self._partial = {"stdout": "", "stderr": ""}
        self._printed = {"stdout": 0, "stderr": 0}

    def take(self, live: Live) -> None:
        """Print the lines that this piece completes."""
        text = self._partial[live.stream] + self._decoders[live.stream].decode(live.data)
        *lines, self._partial[live.stream] = text.split("\n")
        for line in lines:
            self._print(live.stream, line)

    def finish(self, output: CommandOutput) -> None:
        """Print what is left: the answer holds everything, so nothing is lost with a cut connection."""
        for stream, lines in (("stdout", output.stdout_lines), ("stderr", output.stderr_lines)):
            for line in lines[self._printed[stream] :]:
                self._print(stream, line)

    def _print(self, stream: str, line: str) -> None:
        text = line.removesuffix("\r")
        echo(f"{self._prefix}{text}", err=True)
        self._printed[stream] += 1
