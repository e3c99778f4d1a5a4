"""Commands that take minutes, and how a person is told meanwhile that they still run."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

from pyinfra.api.command import PyinfraCommand, StringCommand

from vengeance.box.downloads import time_text

if TYPE_CHECKING:
    from vengeance.winrm.frames import Live

TELL_EVERY = 15.0
"""Seconds between two lines."""
_LONGEST_LINE = 120


class LongCommand(StringCommand):
    """A shell command for a distro that takes minutes: the connector tells how long it runs and what it said last."""


def long_commands(commands: Iterable[PyinfraCommand | str]) -> Iterator[PyinfraCommand]:
    """Make the shell commands of an operation long ones.

    + commands: what the operation yields; what is no shell command stays as it is
    """
    for command in commands:
        if isinstance(command, str):
            yield LongCommand(command)
        elif type(command) is StringCommand:
            yield LongCommand(*command.bits, _separator=command.separator, **command.connector_arguments)
        else:
            yield command


class LastLine:
    """Remembers the last line with something in it that a command printed."""

    def __init__(self) -> None:
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")}
        self._partial = {"stdout": "", "stderr": ""}
        self.text = ""

    def take(self, live: Live) -> None:
        """Look at a piece of what it prints."""
        text = self._partial[live.stream] + self._decoders[live.stream].decode(live.data)
        # A bar that is drawn over and over returns to the start of its line.
        *lines, self._partial[live.stream] = text.replace("\r", "\n").split("\n")
        self.text = next((line.strip() for line in reversed(lines) if line.strip()), self.text)


@contextmanager
def told(say: Callable[[str], None], last: LastLine, every: float = TELL_EVERY) -> Iterator[None]:
    """Say every so often how long what is done within takes, and what it printed last.

    + say: takes a line for a person
    + last: gets what the command prints
    + every: seconds
    """
    begun, over = time.monotonic(), Event()

    def tell() -> None:
        while not over.wait(every):
            line = last.text if len(last.text) <= _LONGEST_LINE else last.text[:_LONGEST_LINE] + "..."
            say(f"still at it after {time_text(time.monotonic() - begun)}" + (f": {line}" if line else ""))

    teller = Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
