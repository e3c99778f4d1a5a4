"""Ollama's log files and log lines (Go's slog, text form)."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from datetime import datetime, timedelta, timezone

from vengeance.twin.windows.drive import Drive
from vengeance.twin.windows.errors import Win32Error

# The box stands somewhere; Go prints local time with its offset, and whoever reads it must not take it for UTC.
ZONE = timezone(timedelta(hours=2))
_KEPT = 5
_PLAIN = re.compile(r'[^\s"=\\]+')


def local_time(moment: datetime, digits: int = 7) -> str:
    """A moment as Go prints it in JSON on Windows, whose clock has steps of 100 ns."""
    here = moment.astimezone(ZONE)
    fraction = f"{here.microsecond:06d}0"[:digits]
    return f"{here:%Y-%m-%dT%H:%M:%S}.{fraction}+02:00"


def utc_time(moment: datetime) -> str:
    """The same in UTC."""
    here = moment.astimezone(timezone.utc)
    return f"{here:%Y-%m-%dT%H:%M:%S}.{here.microsecond:06d}0Z"


def line(moment: datetime, source: str, message: str, level: str = "INFO", **values: object) -> str:
    """One line of slog's text handler, without its end; values with blanks are quoted as Go quotes them."""
    words = [f"time={local_time(moment, 3)}", f"level={level}", f"source={source}", f"msg={_quoted(message)}"]
    words += [f"{name.rstrip('_')}={_quoted(str(value))}" for name, value in values.items()]
    return " ".join(words)


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def rotate(drive: Drive, path: str) -> None:
    """Move ``server.log`` to ``server-1.log`` and so on; five old ones stay (app/logrotate)."""
    stem, _, extension = path.rpartition(".")
    with contextlib.suppress(Win32Error):
        drive.remove_file(f"{stem}-{_KEPT}.{extension}")
    for number in range(_KEPT - 1, 0, -1):
        with contextlib.suppress(Win32Error):
            drive.move(f"{stem}-{number}.{extension}", f"{stem}-{number + 1}.{extension}", replace=True)
    with contextlib.suppress(Win32Error):
        drive.move(path, f"{stem}-1.{extension}", replace=True)


class LogFile:
    """A file that is appended to; every method may be called from any thread, and a full disk loses lines."""

    def __init__(self, drive: Drive, path: str) -> None:
        self._drive = drive
        self._path = path
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Append bytes."""
        with self._lock, contextlib.suppress(Win32Error), self._drive.open_to_write(self._path, append=True) as file:
            file.write(data)
