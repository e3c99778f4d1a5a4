"""Facts of a Windows host.

Each runs one shipped script. ``requires_command`` is never set: pyinfra wraps such a fact in POSIX shell.
"""

from __future__ import annotations

import json
from typing import TypeVar

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from vengeance.powershell import Script, windows

T = TypeVar("T")


def parse(script: str, output: list[str], shape: type[T]) -> T:
    """Read what a shipped script printed: one JSON text of the given shape.

    + script: the script's name, for the message
    + output: lines of its stdout
    + shape: the type that the JSON must have

    Raises FactProcessError when it is anything else.
    """
    text = "\n".join(output).strip()
    try:
        return check_type(json.loads(text), shape, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
    except (ValueError, TypeCheckError) as error:
        seen = text if len(text) <= 200 else text[:200] + "..."
        raise FactProcessError(
            f"{script}.ps1 should print one JSON text of the shape {shape.__name__} and printed {seen!r}: {error}"
        ) from error


class Os(FactBase[windows.Os]):
    """Returns which Windows this is.

    .. code:: python

        {
            "caption": "Microsoft Windows 11 Pro",
            "version": "10.0.26100",
            "build": 26100,
            "ubr": 4652,
            "edition": "Professional",
            "display_version": "24H2",
            "architecture": "AMD64",
            "hostname": "VENGEANCE",
            "domain": None,
            "install_date": "2026-01-22T18:03:11Z",
        }
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-Os", {})

    def process(self, output: list[str]) -> windows.Os:
        return parse("Get-Os", output, windows.Os)


class Boot(FactBase[windows.Boot]):
    """Returns when Windows was started; two boots differ in ``boot_file_time`` (100 ns steps since 1601).

    .. code:: python

        {
            "boot_time": "2026-02-09T07:12:44Z",
            "boot_file_time": 134151091645000000,
            "uptime_seconds": 5021,
        }
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-Boot", {})

    def process(self, output: list[str]) -> windows.Boot:
        return parse("Get-Boot", output, windows.Boot)


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


class PendingReboot(FactBase[windows.PendingReboot]):
    """Returns whether Windows waits for a restart, and for what.

    .. code:: python

        {"pending": True, "reasons": ["component_based_servicing"]}
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-PendingReboot", {})

    def process(self, output: list[str]) -> windows.PendingReboot:
        return parse("Get-PendingReboot", output, windows.PendingReboot)


class WsmanQuota(FactBase[windows.WsmanQuota]):
    """Returns the limits that WinRM sets to its clients; the units stand in the names.

    .. code:: python

        {
            "max_envelope_kb": 500,
            "max_timeout_ms": 60000,
            "max_shells_per_user": 30,
            "max_processes_per_shell": 25,
            "max_memory_per_shell_mb": 1024,
            "idle_timeout_ms": 7200000,
        }
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-WsmanQuota", {})

    def process(self, output: list[str]) -> windows.WsmanQuota:
        return parse("Get-WsmanQuota", output, windows.WsmanQuota)
