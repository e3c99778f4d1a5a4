"""Facts of files on Windows."""

from __future__ import annotations

from pyinfra.api.facts import FactBase

from vengeance.facts.windows.answers import parse
from vengeance.powershell import Script, files, windows


class File(FactBase[windows.File]):
    """Returns what is at a full Windows path; ``size`` is in bytes.

    .. code:: python

        {
            "exists": True,
            "type": "file",
            "size": 41,
            "modified": "2026-02-09T07:12:44Z",
            "attributes": ["Archive"],
            "link_target": None,
        }
    """

    shell_executable = "ps"

    def command(self, path: str) -> Script:
        return Script("Get-File", {"path": path})

    def process(self, output: list[str]) -> windows.File:
        return parse("Get-File", output, windows.File)


class Sha256(FactBase["str | None"]):
    """Returns the SHA-256 of a file in lower-case hex, None when no file is at the full Windows path."""

    shell_executable = "ps"

    def command(self, path: str) -> Script:
        return Script("Get-Sha256", {"path": path})

    def process(self, output: list[str]) -> str | None:
        return parse("Get-Sha256", output, windows.Sha256)["sha256"]


class DirectoryAccess(FactBase[files.DirectoryAccess]):
    """Returns who can write into a directory, and the first of what in it belongs to somebody else.

    ``closed``: SYSTEM, administrators and the account that signs in may do all there, nobody else anything. The path
    may have variables of Windows in it.

    .. code:: python

        {
            "path": "C:\\\\ProgramData\\\\vengeance",
            "exists": True,
            "account": "VENGEANCE\\\\Steam",
            "closed": False,
            "foreign": [{"path": "C:\\\\ProgramData\\\\vengeance", "owner": "VENGEANCE\\\\Kid", "link": False}],
        }
    """

    shell_executable = "ps"

    def command(self, path: str) -> Script:
        return Script("Get-DirectoryAccess", {"path": path})

    def process(self, output: list[str]) -> files.DirectoryAccess:
        return parse("Get-DirectoryAccess", output, files.DirectoryAccess)
