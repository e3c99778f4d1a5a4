"""Facts of long work on the box."""

from __future__ import annotations

from pyinfra.api.facts import FactBase

from vengeance.facts.windows.answers import parse
from vengeance.powershell import Script, work


class Work(FactBase[work.Work]):
    """Returns how far a piece of long work is; ``state`` is absent, running, done, failed or died.

    .. code:: python

        {"state": "running", "progress": {"bytes": 1048576, "total": 4194304}, "result": None, "error": None}
    """

    shell_executable = "ps"

    def command(self, work_name: str) -> Script:
        return Script("Get-Work", {"name": work_name})

    def process(self, output: list[str]) -> work.Work:
        return parse("Get-Work", output, work.Work)
