"""Processes of Windows, by tasklist.exe and the places of its columns."""

from __future__ import annotations

import csv
from typing import NamedTuple

from testinfra.modules.base import InstanceModule


class Running(NamedTuple):
    """A process; ``session`` 0 is the one without a desktop, of services, tasks and WinRM."""

    image: str
    pid: int
    session: int


class Process(InstanceModule):  # type: ignore[misc]
    """What runs: ``host.process.filter(image="ollama.exe")``."""

    def filter(self, image: str | None = None, pid: int | None = None) -> list[Running]:
        """Return the processes of that file name and of that id; None does not ask for it."""
        rows = csv.reader(line for line in str(self.check_output("tasklist /fo csv /nh")).splitlines() if line.strip())
        found = [Running(row[0], int(row[1]), int(row[3])) for row in rows if len(row) >= 4 and row[1].isdigit()]
        return [
            one
            for one in found
            if (image is None or one.image.lower() == image.lower()) and (pid is None or one.pid == pid)
        ]

    def __repr__(self) -> str:
        return "<process>"
