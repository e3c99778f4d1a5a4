"""Facts of environment variables."""

from __future__ import annotations

from pyinfra.api.facts import FactBase

from vengeance.facts.windows.answers import parse
from vengeance.powershell import Script, windows


class Environment(FactBase[windows.Environment]):
    """Returns environment variables as the registry holds them, not expanded.

    + names: the variables to read, all of them by default; case does not count

    ``user`` is the account that the connection signs in as.

    .. code:: python

        {
            "machine": {"OLLAMA_HOST": {"value": "0.0.0.0:11434", "kind": "String"}},
            "user": {"OLLAMA_KEEP_ALIVE": {"value": "5m", "kind": "String"}},
        }
    """

    shell_executable = "ps"

    def command(self, names: list[str] | None = None) -> Script:
        return Script("Get-Environment", {"names": None if names is None else [*names]})

    def process(self, output: list[str]) -> windows.Environment:
        return parse("Get-Environment", output, windows.Environment)
