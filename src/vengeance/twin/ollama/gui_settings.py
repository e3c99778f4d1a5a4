"""The settings of the tray app's window, in a real SQLite database (ollama/ollama, app/store/database.go)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vengeance.twin.windows.drive import Drive

# Column -> its declaration, in the order of schema version 18.
_COLUMNS = {
    "id": "INTEGER PRIMARY KEY CHECK (id = 1)",
    "device_id": "TEXT NOT NULL DEFAULT ''",
    "has_completed_first_run": "BOOLEAN NOT NULL DEFAULT 0",
    "expose": "BOOLEAN NOT NULL DEFAULT 0",
    "survey": "BOOLEAN NOT NULL DEFAULT TRUE",
    "browser": "BOOLEAN NOT NULL DEFAULT 0",
    "models": "TEXT NOT NULL DEFAULT ''",
    "agent": "BOOLEAN NOT NULL DEFAULT 0",
    "tools": "BOOLEAN NOT NULL DEFAULT 0",
    "working_dir": "TEXT NOT NULL DEFAULT ''",
    "context_length": "INTEGER NOT NULL DEFAULT 0",
    "turbo_enabled": "BOOLEAN NOT NULL DEFAULT 0",
    "websearch_enabled": "BOOLEAN NOT NULL DEFAULT 0",
    "selected_model": "TEXT NOT NULL DEFAULT ''",
    "auto_update_enabled": "BOOLEAN NOT NULL DEFAULT 1",
    "schema_version": "INTEGER NOT NULL DEFAULT 18",
}


@dataclass(frozen=True)
class GuiSettings:
    """What the window has switches for; ``first_run_done`` is the app's own."""

    expose: bool = False
    browser: bool = False
    models: str = ""
    context_length: int = 0
    auto_update: bool = True
    first_run_done: bool = False


class Database:
    """db.sqlite of one account.

    drive: where it is; folder: ``%LOCALAPPDATA%\\Ollama``, which must be there
    """

    def __init__(self, drive: Drive, folder: str) -> None:
        self._file: Path = drive.place(f"{folder}\\db.sqlite")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._file, timeout=5.0)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
            with connection:
                connection.execute(f"CREATE TABLE IF NOT EXISTS settings ({columns})")
                connection.execute("INSERT OR IGNORE INTO settings (id) VALUES (1)")
            yield connection
        finally:
            connection.close()

    def read(self) -> GuiSettings:
        """The settings; a database that is not there is made."""
        with self._open() as connection:
            row = connection.execute(
                "SELECT expose, browser, models, context_length, auto_update_enabled, has_completed_first_run"
                " FROM settings WHERE id = 1"
            ).fetchone()
        expose, browser, models, length, update, done = row
        return GuiSettings(bool(expose), bool(browser), str(models), int(length), bool(update), bool(done))

    def write(self, **columns: Any) -> None:  # noqa: ANN401
        """Change columns, as the window does; ValueError for one that there is not."""
        for name in columns:
            if name not in _COLUMNS:
                raise ValueError(f"The settings have no {name!r}; they have {', '.join(_COLUMNS)}.")
        with self._open() as connection, connection:
            for name, value in columns.items():
                # The name is one of the columns above.
                connection.execute(f"UPDATE settings SET {name} = ? WHERE id = 1", (value,))  # noqa: S608
