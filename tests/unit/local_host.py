"""A pyinfra host that is this machine: what an operation yields is really run, as the user who runs the tests."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pyinfra.api.command import FileUploadCommand, FunctionCommand, StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.connectors.util import CommandOutput, OutputLine

from tests.unit.operation_runs import Run, no_connection

USER = getpass.getuser()


class LocalHost:
    """Runs commands by sh; ``before`` is told of each and may raise to cut the run off.

    said: what was logged; commands: what was run
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.commands: list[str] = []
        self.before: Callable[[str], None] = lambda command: None

    def shell(self, command: Any) -> tuple[bool, CommandOutput]:
        """What ``host.run_shell_command`` gives."""
        text = command.get_raw_value() if isinstance(command, StringCommand) else str(command)
        done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        lines = [OutputLine("stdout", line) for line in done.stdout.splitlines()]
        lines += [OutputLine("stderr", line) for line in done.stderr.splitlines()]
        return done.returncode == 0, CommandOutput(lines)

    def fact(self, cls: type[FactBase[Any]], **arguments: Any) -> Any:
        """A fact's value, read here."""
        known = {name: value for name, value in arguments.items() if not name.startswith("_")}
        fact = cls()
        good, output = self.shell(fact.command(**known))
        assert good, output.stderr
        return fact.process(output.stdout_lines) if output.stdout_lines else None

    def run(self, operation: Any, **arguments: Any) -> tuple[bool, Run]:
        """Run an operation with its commands; whether all of them succeeded, and what it did."""
        run = Run()
        with no_connection({}, run) as state:
            host = state.inventory.get_host("somewhere")
            state.cwd = str(self.folder)
            with (
                patch.object(host, "get_fact", self.fact),
                patch.object(host, "run_shell_command", lambda command, **_: self.shell(command)),
                patch.object(host, "log", lambda message, log_func=None: self.said.append(message)),
                patch.object(host, "log_styled", lambda message, **_: self.said.append(message)),
            ):
                for command in operation._inner(**arguments):
                    run.commands.append(command)
                    if not self._execute(state, host, command):
                        return False, run
        return True, run

    def _execute(self, state: Any, host: Any, command: Any) -> bool:
        if isinstance(command, FunctionCommand):
            return command.execute(state, host, {}) is not False
        if isinstance(command, FileUploadCommand):
            Path(command.dest).write_text(command.src.getvalue())  # type: ignore[union-attr]
            return True
        self.before(str(command))
        self.commands.append(str(command))
        good, output = self.shell(command)
        if not good:
            self.said.append(output.stderr)
        return good
