"""What a program of the Windows model is given, and what it gives back."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from vengeance.twin.windows import arguments
from vengeance.twin.windows.environment import Environment
from vengeance.twin.windows.pipes import InputPipe, Job

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows

SYSTEM32 = "C:\\Windows\\System32"
CMD = f"{SYSTEM32}\\cmd.exe"
POWERSHELL = f"{SYSTEM32}\\WindowsPowerShell\\v1.0\\powershell.exe"
WSL = "C:\\Program Files\\WSL\\wsl.exe"
INBOX_WSL = f"{SYSTEM32}\\wsl.exe"

Writer: TypeAlias = Callable[[bytes], None]


@dataclass
class Console:
    """What the programs of one command share.

    codepage: of what they print, WINRS_CODEPAGE until ``chcp`` changes it
    mode_stdin: WINRS_CONSOLEMODE_STDIN
    hold_nothing: have what is printed passed on at once from now on
    """

    codepage: int = 437
    mode_stdin: bool = True
    hold_nothing: Callable[[], None] = lambda: None

    @property
    def codec(self) -> str:
        """Python's name of the code page."""
        return codec(self.codepage) or "cp437"


def codec(codepage: int) -> str | None:
    """Python's name of a code page, None when there is none."""
    if codepage == 65001:
        return "utf-8"
    if codepage == 20127:
        return "ascii"
    if codepage == 28591:
        return "latin-1"
    try:
        return codecs.lookup(f"cp{codepage}").name
    except LookupError:
        return None


@dataclass
class Run:
    """One run of a program.

    windows: where it runs; job: with which it is ended
    image: full path of the program; arguments: the rest of its command line, as it was typed
    cwd: current directory, full path; user: account name
    stdin, stdout, stderr: standard streams
    session: 0 is the one of services, tasks and WinRM; elevated: with the full token of an administrator
    priority: class of the process, which those that it starts inherit
    """

    windows: Windows
    job: Job
    image: str
    arguments: str
    environment: Environment
    cwd: str
    user: str
    stdin: InputPipe
    stdout: Writer
    stderr: Writer
    console: Console
    pid: int = 0
    session: int = 0
    elevated: bool = True
    priority: str = "normal"

    @property
    def argv(self) -> list[str]:
        """The arguments without the program's name, as C programs get them."""
        return arguments.split(self.arguments)

    def print(self, text: str = "") -> None:
        """Print a line on the standard output, in the console's code page."""
        self.stdout((text + "\r\n").encode(self.console.codec, "replace"))

    def error(self, text: str) -> None:
        """Print a line on the standard error."""
        self.stderr((text + "\r\n").encode(self.console.codec, "replace"))


Program: TypeAlias = Callable[[Run], int]
