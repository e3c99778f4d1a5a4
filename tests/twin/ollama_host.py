"""A Windows model with a pyinfra host for the operations on Ollama, and shorthands for the steps of its stage."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.twin.ollama_box import OllamaBox
from tests.twin.works_box import WorksHost
from tests.unit.operation_runs import Run
from vengeance.box.pins import pinned
from vengeance.operations import ollama, waiting, work
from vengeance.operations.ollama import pulls
from vengeance.operations.windows import installers
from vengeance.operations.work import run_work
from vengeance.twin.ollama import package

VERSION = pinned("ollama")
MACHINE = {"OLLAMA_HOST": "0.0.0.0:11434", "OLLAMA_CONTEXT_LENGTH": "4096"}
USER = {"OLLAMA_KEEP_ALIVE": "5m"}
MACHINE_KEY = r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
TINY = "qwen2.5:0.5b"


class OllamaHost(WorksHost):
    """The host of one box; what each step did stays in ``last``."""

    def __init__(self, folder: Path) -> None:
        self.there = OllamaBox(folder)
        super().__init__(self.there)
        self.windows = self.there.windows
        self.last = Run()
        self.user_key = f"HKU\\{self.windows.state.sid('Steam')}\\Environment"

    def do(self, operation: Any, **arguments: Any) -> bool:
        """Run an operation; whether it succeeded."""
        self.said.clear()
        good, self.last = self.run(operation, **arguments)
        return good

    @property
    def text(self) -> str:
        """All that the last operation said."""
        return "\n".join(self.said)

    @property
    def changed(self) -> bool:
        """Whether the last operation did anything."""
        return bool(self.last.commands)

    # --- the steps of the stage ---

    def offer(self, version: str = VERSION, kind: str = "OllamaSetup.exe", data: bytes | None = None) -> str:
        """Lay what would be downloaded where it would lie; returns its SHA-256."""
        drive, folder = self.windows.drive, f"{ollama.DOWNLOADS}\\ollama-{version}"
        data = package.setup_bytes(version) if data is None else data
        if not drive.is_directory(folder):
            drive.make_directory(folder)
        drive.write(f"{folder}\\{kind}", data)
        return hashlib.sha256(data).hexdigest()

    def install(self, version: str = VERSION, **arguments: Any) -> bool:
        """ollama.installed from a file that is downloaded already."""
        return self.do(ollama.installed, version=version, sha256=self.offer(version), **arguments)

    def set(self, machine: dict[str, str] | None = None, user: dict[str, str] | None = None, **arguments: Any) -> bool:
        """ollama.settings."""
        machine, user = (MACHINE if machine is None else machine), (USER if user is None else user)
        return self.do(ollama.settings, machine_variables=machine, user_variables=user, **arguments)

    def autostart(self, start: str = "boot", **arguments: Any) -> bool:
        """ollama.autostart, with a task that needs no password."""
        return self.do(ollama.autostart, start=start, logon="s4u", **arguments)

    def restart(self, start: str = "boot", **arguments: Any) -> bool:
        """ollama.restarted."""
        return self.do(ollama.restarted, start=start, **{"version": VERSION, "timeout": 20, **arguments})

    def pull(self, *models: str, **arguments: Any) -> bool:
        """ollama.models."""
        return self.do(ollama.models, models=[{"name": name} for name in models], timeout=60, **arguments)

    def stage(self, start: str = "boot", machine: dict[str, str] | None = None, **arguments: Any) -> list[bool]:
        """All but the models; whether each step changed something. Raises RuntimeError when one fails."""
        changed = []
        steps: list[Callable[[], bool]] = [
            self.install,
            lambda: self.set(machine, autostart=start, **arguments),
            lambda: self.autostart(start),
            lambda: self.restart(start),
        ]
        for step in steps:
            if not step():
                raise RuntimeError(self.text)
            changed.append(self.changed)
        return changed

    def time_passes(self) -> None:
        """Put the clock forward whenever a step looks at what runs, as the tray app waits a second here and there."""

        def half_a_second(script: str) -> None:
            if script == "Get-OllamaServer":
                self.there.clock.advance(0.5)

        self.before = half_a_second

    # --- what is there, read past the facts ---

    def variables(self, level: str) -> dict[str, str]:
        """Ollama's variables at a level of the registry."""
        key = MACHINE_KEY if level == "machine" else self.user_key
        values = self.windows.registry.values(key)
        return {value.name: str(value.data) for value in values if value.name.upper().startswith("OLLAMA")}

    @property
    def server_environment(self) -> dict[str, str]:
        """The block that the one running server was started with."""
        (server,) = self.there.processes("ollama.exe")
        return server.environment

    def reboot(self) -> None:
        """Windows restarts."""
        self.there.restart()


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often than on a real box, where each look is a request over the network."""
    monkeypatch.setattr(waiting, "LOOK_EVERY", 0.02)
    for module in (installers, pulls):
        monkeypatch.setattr(module, "run_work", partial(run_work, read_every=0.02))
    monkeypatch.setattr(work, "_TELL_EVERY", 0.0)
