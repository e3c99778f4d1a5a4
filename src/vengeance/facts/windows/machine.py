"""Facts of the machine under Windows, and of the account that signs in."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TypedDict

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from vengeance.facts.windows.answers import parse
from vengeance.powershell import Script, system


class Hardware(FactBase[system.Hardware]):
    """Returns processor, memory, virtualisation and fixed disks.

    .. code:: python

        {
            "processor": "AMD Ryzen 9 7950X 16-Core Processor",
            "logical_processors": 32,
            "memory_bytes": 68437245952,
            "firmware_virtualization": True,
            "hypervisor_present": False,
            "disks": [{"drive": "C:", "size_bytes": 999650168832, "free_bytes": 812345118720, "file_system": "NTFS"}],
        }
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-Hardware", {})

    def process(self, output: list[str]) -> system.Hardware:
        return parse("Get-Hardware", output, system.Hardware)


class Gpu(FactBase["system.Gpu | None"]):
    """Returns the first NVIDIA card as its driver sees it, None where there is no driver or no card.

    .. code:: python

        {
            "name": "NVIDIA GeForce RTX 4090",
            "driver_version": "591.86",
            "memory_mib": 24564,
            "memory_used_mib": 1893,
            "memory_free_mib": 22238,
            "driver_model": "WDDM",
        }
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-Gpu", {})

    def process(self, output: list[str]) -> system.Gpu | None:
        return next(iter(parse("Get-Gpu", output, system.Gpus)["gpus"]), None)


class Gpus(FactBase[system.Gpus]):
    """Returns all NVIDIA cards, and why there are none.

    .. code:: python

        {"gpus": [], "failure": "C:\\\\WINDOWS\\\\System32\\\\nvidia-smi.exe is not there"}
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-Gpu", {})

    def process(self, output: list[str]) -> system.Gpus:
        return parse("Get-Gpu", output, system.Gpus)


class Account(FactBase[system.Account]):
    """Returns the account that the connection signs in as.

    .. code:: python

        {
            "name": "VENGEANCE\\\\Steam",
            "sid": "S-1-5-21-1004336348-1177238915-682003330-1001",
            "elevated": True,
            "microsoft_account": False,
            "profile": "C:\\\\Users\\\\Steam",
            "full_token_over_network": True,
        }
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-Account", {})

    def process(self, output: list[str]) -> system.Account:
        return parse("Get-Account", output, system.Account)


class Clock(TypedDict):
    """The clock of a Windows host; ``ahead_seconds`` of this machine's, negative when it is behind."""

    utc: str
    ahead_seconds: float


class SystemClock(FactBase[Clock]):
    """Returns the clock of Windows and how far it is from the one of this machine; a second is within its error.

    .. code:: python

        {"utc": "2026-02-09T07:12:44.1234567Z", "ahead_seconds": 0.31}
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-SystemClock", {})

    def process(self, output: list[str]) -> Clock:
        text = parse("Get-SystemClock", output, system.SystemClock)["utc"]
        try:
            # Windows counts to 100 ns, Python to a microsecond.
            seconds, _, fraction = text.removesuffix("Z").partition(".")
            there = datetime.fromisoformat(f"{seconds}.{fraction[:6]:0<6}+00:00")
        except ValueError as error:
            raise FactProcessError(f"Get-SystemClock.ps1 printed {text!r}, which is no date: {error}") from error
        return {"utc": text, "ahead_seconds": round((there - datetime.now(timezone.utc)).total_seconds(), 2)}


class FolderSizes(FactBase["dict[str, int | None]"]):
    """Returns the bytes in some folders by the path that was asked for; None where there is no folder.

    + paths: full Windows paths, in which %NAME% stands for the account's variables

    .. code:: python

        {"%USERPROFILE%\\\\.ollama\\\\models": 1929912432, "C:\\\\WSL": None}
    """

    shell_executable = "ps"

    def command(self, paths: list[str]) -> Script:
        self.paths = [*paths]
        return Script("Get-FolderSize", {"paths": [*self.paths]})

    def process(self, output: list[str]) -> dict[str, int | None]:
        folders = parse("Get-FolderSize", output, system.FolderSize)["folders"]
        return {asked: folder["bytes"] for asked, folder in zip(self.paths, folders, strict=True)}
