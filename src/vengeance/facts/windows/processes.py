"""Facts of processes on Windows."""

from __future__ import annotations

from pyinfra.api.facts import FactBase

from vengeance.facts.windows.answers import parse
from vengeance.powershell import Script, system


class Processes(FactBase["list[system.Process]"]):
    """Returns the running processes of a program, on request with the environment that each was started with.

    + image: file name of the program, as ``ollama.exe``; case does not count
    + environment: whether to read the environments too

    Programs keep the environment they were started with, whatever the registry says since. ``environment`` is None
    where it could not be read, and ``environment_refused`` says why.

    .. code:: python

        [
            {
                "pid": 4120,
                "parent": 3412,
                "image": "ollama.exe",
                "path": "C:\\\\Users\\\\Steam\\\\AppData\\\\Local\\\\Programs\\\\Ollama\\\\ollama.exe",
                "session": 0,
                "started": "2026-02-09T07:13:02Z",
                "user": "VENGEANCE\\\\Steam",
                "command_line": "ollama.exe serve",
                "environment": {"OLLAMA_HOST": "0.0.0.0:11434"},
                "environment_refused": None,
            }
        ]
    """

    shell_executable = "ps"

    def command(self, image: str, environment: bool = False) -> Script:
        return Script("Get-ProcessList", {"image": image, "environment": environment})

    def process(self, output: list[str]) -> list[system.Process]:
        return parse("Get-ProcessList", output, system.ProcessList)["processes"]
