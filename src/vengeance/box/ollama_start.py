"""How Ollama is started: at boot by a task, or at logon by its tray app."""

from __future__ import annotations

import ntpath
import re
from typing import Literal

from vengeance.box import ollama_package

Start = Literal["boot", "logon"]
"""``boot``: a task runs the server alone, in session 0. ``logon``: the tray app starts it when the account signs in."""

# cmd.exe reads these in a task's command line also inside of quotes.
_CMD_SIGNS = re.compile(r'[%"\r\n\0]')


def check(start: str) -> None:
    """Check a way to start Ollama. Raises ValueError with a sentence."""
    if start not in ("boot", "logon"):
        raise ValueError(f"Ollama starts at boot or at logon, not {start!r}.")


def check_autostart(start: str, package: str, log: str) -> None:
    """Check that a package can be started so. Raises ValueError with a sentence.

    + log: full path of the log that the task's server writes
    """
    check(start)
    ollama_package.check_kind(package)
    if package == "zip" and start == "logon":
        raise ValueError("Ollama's zip has no tray app to start at logon: say start='boot', or package='setup'.")
    if not cmd_takes(log) or not re.match(r"[A-Za-z]:\\[^\\]+\\", log):
        raise ValueError(f'log is a full path in a folder, without % and ", not {log!r}.')


def cmd_takes(path: str) -> bool:
    """Tell whether cmd.exe reads a path in quotes as it is written."""
    return not _CMD_SIGNS.search(path)


def server_arguments(folder: str, log: str) -> str:
    """Return the arguments with which cmd.exe runs the server and keeps its log and the one before.

    + folder: where ollama.exe lies
    + log: full path of the log

    The command does not begin with a quote, as cmd.exe would take that off again (cmd /?).
    """
    stem, extension = ntpath.splitext(log)
    return (
        f'/d /c mkdir "{ntpath.dirname(log)}" 2>nul & move /y "{log}" "{stem}-1{extension}" >nul 2>nul & '
        f'"{folder}\\ollama.exe" serve >"{log}" 2>&1'
    )
