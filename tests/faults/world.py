"""A run of pyinfra that is followed line by line, so that something happens to its world at a chosen moment."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.twin_deploys import ROOT, TWIN, twin_environment


@dataclass
class Run:
    """One run, finished.

    code: exit code; text: all that a person saw, without colours
    happened: how many of its moments came
    """

    code: int
    text: str
    happened: int

    @property
    def changes(self) -> list[str]:
        """The operations that changed something, or failed, from the table that pyinfra prints last."""
        rows = [line.strip().rsplit(None, 4) for line in self.text.partition("--> Results:")[2].splitlines()]
        return [row[0] for row in rows if len(row) == 5 and row[1].isdigit() and row[2:4] != ["-", "-"]]


@dataclass
class Follower:
    """Starts pyinfra on a twin and does something when it says what was waited for.

    + twin: name of the twin
    """

    twin: str
    arguments: Sequence[str] = ()

    def run(
        self,
        deploy: str,
        moments: Sequence[tuple[str, Callable[[subprocess.Popen[str]], object]]] = (),
        *arguments: str,
        timeout: float = 300,
    ) -> Run:
        """Run a deploy.

        + moments: what is to be said, and what is done then, in this order; each once
        + timeout: seconds until all of it is killed, which fails
        """
        command = [sys.executable, "-m", "pyinfra", str(TWIN), deploy, "--yes", *self.arguments, *arguments]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**twin_environment(self.twin), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        guard = threading.Timer(timeout, lambda: os.killpg(process.pid, signal.SIGKILL))
        guard.start()
        left = list(moments)
        text = ""
        try:
            with process:
                for line in process.stdout or ():
                    text += re.sub(r"\x1b\[[0-9;]*m", "", line)
                    while left and left[0][0] in text:
                        left.pop(0)[1](process)
        finally:
            guard.cancel()
        return Run(process.returncode, text, len(moments) - len(left))
