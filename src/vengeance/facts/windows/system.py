"""Facts of Windows itself: version, boot, pending restart, limits of WinRM, features, power, services, registry."""

from __future__ import annotations

from pyinfra.api.facts import FactBase

from vengeance.facts.windows.answers import parse
from vengeance.powershell import Script, system, windows


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


class Feature(FactBase["str | None"]):
    """Returns the state of an optional feature as DISM names it, None where Windows has no feature of that name.

    + feature: its name, as ``Get-WindowsOptionalFeature -Online`` lists it

    ``EnablePending`` is not yet on: what the feature brings is there after a restart.

    .. code:: python

        "Disabled"
    """

    shell_executable = "ps"

    def command(self, feature: str) -> Script:
        return Script("Get-Feature", {"feature": feature})

    def process(self, output: list[str]) -> str | None:
        return parse("Get-Feature", output, system.Feature)["state"]


class Power(FactBase[system.Power]):
    """Returns whether Windows sleeps by itself: seconds without use, plugged in and on battery; 0 is never.

    .. code:: python

        {
            "sleep_ac_seconds": 1800,
            "sleep_dc_seconds": 900,
            "hibernate_ac_seconds": 10800,
            "hibernate_dc_seconds": 10800,
            "hibernate": True,
            "fast_startup": True,
        }
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-Power", {})

    def process(self, output: list[str]) -> system.Power:
        return parse("Get-Power", output, system.Power)


class Service(FactBase["system.Service | None"]):
    """Returns a service, None where there is none of that name.

    + service: its short name, as ``iphlpsvc``

    .. code:: python

        {
            "name": "iphlpsvc",
            "display_name": "IP Helper",
            "state": "Running",
            "start": "auto",
            "pid": 3412,
            "account": "LocalSystem",
            "command_line": "C:\\\\WINDOWS\\\\System32\\\\svchost.exe -k NetSvcs -p",
        }
    """

    shell_executable = "ps"

    def command(self, service: str) -> Script:
        return Script("Get-ServiceState", {"service": service})

    def process(self, output: list[str]) -> system.Service | None:
        return parse("Get-ServiceState", output, system.ServiceState)["service"]


class RegistryValue(FactBase[system.RegistryValue]):
    """Returns a value of the registry; ``kind`` and ``data`` are None where there is none.

    + key: begins with ``HKLM\\`` or ``HKCU\\`` (of the account that the connection signs in as)
    + value_name: "" is the default value of the key

    .. code:: python

        {"kind": "DWord", "data": 1}
    """

    shell_executable = "ps"

    def command(self, key: str, value_name: str) -> Script:
        return Script("Get-RegistryValue", {"key": key, "value_name": value_name})

    def process(self, output: list[str]) -> system.RegistryValue:
        return parse("Get-RegistryValue", output, system.RegistryValue)


class BootState(FactBase[system.BootState]):
    """Returns which boot this is, and whether Windows' start is over; ``uptime_seconds`` since the boot.

    .. code:: python

        {"boot_file_time": 134151091645000000, "uptime_seconds": 5021.337, "started": True}
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-BootState", {})

    def process(self, output: list[str]) -> system.BootState:
        return parse("Get-BootState", output, system.BootState)
