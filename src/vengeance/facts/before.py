"""What was there before the first change of each kind, on Windows and in the distro; ``operations.before`` keeps it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from vengeance.facts.windows import parse
from vengeance.powershell import Script
from vengeance.powershell import before as shapes

FOLDER = "/var/lib/vengeance/before"
"""In the distro: a file for each entry, which root alone can read."""

_READ = """\
for file in "$1"/*; do
  case $file in *.new) continue ;; esac
  [ -f "$file" ] && printf '%s %s\\n' "${file##*/}" "$(cat -- "$file")"
done
:
"""


def _entry(name: str, text: str) -> Any:  # noqa: ANN401
    try:
        return json.loads(text)
    except ValueError as error:
        raise FactProcessError(f"What is kept from before as {name!r} is {text[:200]!r}: {error}") from error


class OnWindows(FactBase["dict[str, Any]"]):
    """Returns what a Windows host had before the first change: name of the entry -> value.

    .. code:: python

        {"feature VirtualMachinePlatform": "Disabled", "variable machine OLLAMA_HOST": None}
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-Before", {})

    def process(self, output: list[str]) -> dict[str, Any]:
        found = parse("Get-Before", output, shapes.Before)
        return {name: _entry(name, text) for name, text in found["entries"].items()}


class InDistro(FactBase["dict[str, Any]"]):
    """Returns what a distro had before the first change: name of the entry -> value.

    .. code:: python

        {"wsl.conf": ["[boot]", "systemd=true"], "package gcc": None}
    """

    default = dict

    def command(self) -> StringCommand:
        return StringCommand("sh -c", QuoteString(_READ), "sh", QuoteString(FOLDER))

    def process(self, output: list[str]) -> dict[str, Any]:
        pairs = [line.split(" ", 1) for line in output if " " in line]
        return {unquote(name): _entry(unquote(name), text) for name, text in pairs}
