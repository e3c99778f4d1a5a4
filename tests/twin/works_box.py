"""A Windows model and a pyinfra host that reaches it without WinRM, for tests of operations that do long work."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pyinfra.api.command import FileUploadCommand, FunctionCommand
from pyinfra.api.facts import FactBase
from pyinfra.api.host import Host
from pyinfra.connectors.util import CommandOutput, OutputLine

from tests.twin.windows_box import Box
from tests.unit.operation_runs import Run, no_connection
from vengeance.powershell import Script, load
from vengeance.twin.windows.environment import block
from vengeance.twin.windows.pipes import InputPipe, Job
from vengeance.twin.windows.powershell import execute_script
from vengeance.twin.windows.program import POWERSHELL, Console
from vengeance.twin.windows.program import Run as WindowsRun


class WorksHost:
    """Runs shipped scripts on the box as the connector would; ``before`` may raise to cut a request off.

    said: what was logged; scripts: the names of the scripts that were asked for
    """

    def __init__(self, box: Box, user: str = "Steam") -> None:
        self.box = box
        self.user = user
        self.said: list[str] = []
        self.scripts: list[str] = []
        self.before: Callable[[str], None] = lambda script: None

    def run_script(self, script: Script) -> tuple[bool, str, str]:
        """Whether it worked, what it printed, and its errors."""
        self.scripts.append(script.script)
        self.before(script.script)
        windows = self.box.windows
        run = WindowsRun(
            windows=windows,
            job=Job(),
            image=POWERSHELL,
            arguments="",
            environment=block(windows.state, self.user),
            cwd=f"C:\\Users\\{self.user}",
            user=self.user,
            stdin=InputPipe(),
            stdout=lambda data: None,
            stderr=lambda data: None,
            console=Console(),
        )
        out: list[str] = []
        err: list[str] = []
        done = execute_script(run, load(script.script), script.parameters, out.append, err.append, script.secret or "")
        return not done.failed and done.code == 0, "".join(out), "".join(err)

    def run_shell_command(self, command: Any, **_: Any) -> tuple[bool, CommandOutput]:
        """What ``host.run_shell_command`` gives."""
        good, out, err = self.run_script(command)
        lines = [OutputLine("stdout", line) for line in out.splitlines()]
        lines += [OutputLine("stderr", line) for line in err.splitlines()]
        return good, CommandOutput(lines)

    def fact(self, cls: type[FactBase[Any]], **arguments: Any) -> Any:
        """A fact's value, read from the box."""
        known = {name: value for name, value in arguments.items() if not name.startswith("_")}
        fact = cls()
        good, out, err = self.run_script(fact.command(**known))  # type: ignore[arg-type]
        if not good:
            raise RuntimeError(err)
        return fact.process(out.splitlines())

    @contextmanager
    def pyinfra(self, run: Run) -> Iterator[tuple[Any, Host]]:
        """A pyinfra host whose commands and facts come from the box."""
        with no_connection({}, run) as state:
            host = state.inventory.get_host("somewhere")
            with (
                patch.object(host, "get_fact", self.fact),
                patch.object(host, "run_shell_command", self.run_shell_command),
                patch.object(host, "log", lambda message, log_func=None: self.said.append(message)),
                patch.object(host, "log_styled", lambda message, **_: self.said.append(message)),
            ):
                yield state, host

    def run(self, operation: Any, **arguments: Any) -> tuple[bool, Run]:
        """Run an operation with its commands; whether all of them succeeded, and what it did."""
        run = Run()
        with self.pyinfra(run) as (state, host):
            for command in operation._inner(**arguments):
                run.commands.append(command)
                if not self._execute(state, host, command):
                    return False, run
        return True, run

    def _execute(self, state: Any, host: Host, command: Any) -> bool:
        if isinstance(command, FunctionCommand):
            return command.execute(state, host, {}) is not False
        if isinstance(command, FileUploadCommand):
            source: Any = command.src
            data = Path(source).read_bytes() if isinstance(source, str) else source.read()
            self.box.windows.drive.write(command.dest, data.encode() if isinstance(data, str) else data)
            return True
        good, _, err = self.run_script(command)
        if not good:
            self.said.append(err)
        return good


def json_of(box: Box, path: str) -> Any:
    """A JSON file of the box, read past Windows."""
    return json.loads((box.drive_c / path).read_text())
