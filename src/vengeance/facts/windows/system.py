"""Facts of Windows itself: version, boot, pending restart, the limits of WinRM."""

from __future__ import annotations

from pyinfra.api.facts import FactBase

from vengeance.facts.windows.answers import parse
from vengeance.powershell import Script, windows


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
