"""What must be right on a box before anything is done to it: each check gives its findings, sentences with the mend.

What the deploys mend by themselves (no WSL, a feature that is off, a restart that waits) is no finding.
"""

from __future__ import annotations

import ntpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vengeance.box import versions, wslconfig

GB, GIB = 10**9, 2**30
# Windows with nothing else open, so that it does not begin to swap when the distro has taken all that it may.
WINDOWS_NEEDS_BYTES = 4 * GIB
# What must be left on a disk when all has been put there.
SPARE_BYTES = 5 * GB
# TLS and Tailscale's keys go by the time.
LARGEST_SKEW_SECONDS = 300
LOCAL_SYSTEM = "S-1-5-18"
# One shell for Windows and its distros, and one for a moment while something is ended or Windows restarts.
FEWEST_SHELLS = 3
# cmd and PowerShell, cmd and wsl.exe for each user of a distro, each with its console, and what a script starts.
FEWEST_PROCESSES = 12
# Windows PowerShell with a compiler in it takes 200 MB at times.
LEAST_SHELL_MB = 300
_UNLIMITED = 0


@dataclass(frozen=True)
class Room:
    """What is to be put into a folder of the box.

    + what: for the sentence
    + path: full Windows path of the folder
    + size: bytes of all of it
    + there: bytes that are in the folder already
    """

    what: str
    path: str
    size: int
    there: int

    @property
    def missing(self) -> int:
        """Bytes that are still to come."""
        return max(0, self.size - self.there)


def windows_version(caption: str, build: int, architecture: str, lowest: int) -> list[str]:
    """Compare the build of Windows, and refuse what is no 64-bit PC: NVIDIA has no driver for WSL there."""
    found = []
    if build < lowest:
        found.append(
            f"Windows is {caption}, build {build}, and build {lowest} is the lowest that will do. Open Settings, "
            "Windows Update, and install the newest version."
        )
    if architecture.upper() not in ("AMD64", "X86_64"):
        found.append(f"Windows runs on {architecture}, and CUDA in WSL needs AMD64 (x64): it takes another machine.")
    return found


def account(name: str, sid: str, elevated: bool, full_token_over_network: bool) -> list[str]:
    """Refuse an account that cannot administer Windows, or that WSL does not work for."""
    if sid == LOCAL_SYSTEM:
        # microsoft/WSL, LxssUserSessionFactory.cpp: WSL_E_LOCAL_SYSTEM_NOT_SUPPORTED
        return [
            f"The connection signs in as {name}, for which WSL does not work: set winrm_user to a local administrator."
        ]
    if elevated:
        return []
    if not full_token_over_network:
        return [
            f"{name} has no administrator's rights over the network. In an elevated PowerShell on the box: "
            r"New-ItemProperty -Path HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System "
            "-Name LocalAccountTokenFilterPolicy -Value 1 -PropertyType DWord -Force"
        ]
    return [
        f"{name} is no administrator. In an elevated PowerShell on the box: "
        f"Add-LocalGroupMember -SID S-1-5-32-544 -Member '{name}'"
    ]


def virtualization(in_firmware: bool, hypervisor: bool) -> list[str]:
    """Refuse a machine whose firmware has virtualisation off, which no command of Windows can switch on.

    Behind a hypervisor the firmware's answer is hidden, and having one is proof enough.
    """
    if in_firmware or hypervisor:
        return []
    return [
        "Virtualisation is off in the firmware, and without it there is no WSL 2. Restart into the firmware (shutdown "
        "/r /fw /t 0), switch on SVM Mode (AMD) or Intel VT-x, and save."
    ]


def graphics(gpus: Sequence[Mapping[str, object]], failure: str | None, name: str, lowest: str) -> list[str]:
    """Compare the card's name and the driver's version; the driver of Windows is the distro's, too."""
    if not gpus:
        return [
            f"No NVIDIA card is to be seen ({failure or 'nvidia-smi.exe lists none'}). Install NVIDIA's driver "
            f"{lowest} or newer (https://www.nvidia.com/drivers), and restart."
        ]
    names = [str(gpu["name"]) for gpu in gpus]
    right = next((gpu for gpu in gpus if name.lower() in str(gpu["name"]).lower()), None)
    if right is None:
        return [
            f"The card is {' and '.join(names)}, and gpu_name is {name!r}: is this the right box? Else set gpu_name."
        ]
    driver = str(right["driver_version"])
    if versions.numbers(driver) < versions.numbers(lowest):
        return [
            f"NVIDIA's driver is {driver}, and {lowest} is the lowest that will do (driver_lowest). Install a newer "
            "one on Windows (https://www.nvidia.com/drivers), never in the distro."
        ]
    if right.get("driver_model") == "TCC":
        # microsoft/WSL#11865; nvidia-smi -h: -dm 0 is WDDM.
        return [
            f"The card {right['name']} is in TCC mode, in which WSL does not see it. On the box, as administrator: "
            "nvidia-smi -dm 0; then restart Windows."
        ]
    return []


def memory(total: int, processors: int, settings: Mapping[str, Mapping[str, wslconfig.Value]]) -> list[str]:
    """Compare what ``.wslconfig`` gives to the distro with what the machine has; bytes."""
    machine = settings.get("wsl2", {})
    found = []
    if "memory" in machine:
        wanted = wslconfig.size_in_bytes(str(machine["memory"]))
        most = total - WINDOWS_NEEDS_BYTES
        if wanted > most:
            found.append(
                f"wslconfig gives the distro {machine['memory']} of memory, and the box has {total / GIB:.0f} GB, of "
                f"which Windows needs {WINDOWS_NEEDS_BYTES // GIB}: set [wsl2] memory to {max(1, most // GIB)}GB or "
                "less."
            )
    count = machine.get("processors")
    if isinstance(count, int) and count > processors:
        found.append(
            f"wslconfig gives the distro {count} processors, and the box has {processors}: set [wsl2] processors to "
            f"{processors} or less."
        )
    return found


def room(disks: Iterable[Mapping[str, object]], rooms: Iterable[Room]) -> list[str]:
    """Compare what is to be put on each disk with what is free there."""
    by_drive: dict[str, list[Room]] = {}
    for one in rooms:
        by_drive.setdefault(ntpath.splitdrive(one.path)[0].upper(), []).append(one)
    free = {str(disk["drive"]).upper(): int(str(disk["free_bytes"])) for disk in disks}
    found = []
    for drive, wanted in by_drive.items():
        missing = sum(one.missing for one in wanted)
        parts = " and ".join(f"{one.missing / GB:.0f} GB for {one.what}" for one in wanted if one.missing)
        if drive not in free:
            paths = " and ".join(one.path for one in wanted)
            found.append(f"The box has no disk {drive} for {paths}: name one that it has (OLLAMA_MODELS, distro_path).")
        elif missing and missing + SPARE_BYTES > free[drive]:
            found.append(
                f"{drive} has {free[drive] / GB:.0f} GB free, and {(missing + SPARE_BYTES) / GB:.0f} GB are needed: "
                f"{parts}, and {SPARE_BYTES // GB} to spare. Make room, take models out of ollama_models, or name "
                "another disk (OLLAMA_MODELS, distro_path)."
            )
    return found


def limits(quota: Mapping[str, int], envelope_kb: int) -> list[str]:
    """Refuse limits of WinRM that are too low to work under; 0 is none.

    Defaults and documents disagree (https://learn.microsoft.com/windows/win32/winrm/quotas), so only what would surely
    fail is refused.
    """
    found = []
    if quota["max_envelope_kb"] < envelope_kb:
        found.append(
            f"WinRM takes messages of {quota['max_envelope_kb']} kB, and winrm_envelope_kb is {envelope_kb}. In an "
            rf"elevated PowerShell on the box: Set-Item WSMan:\localhost\MaxEnvelopeSizekb {envelope_kb}"
        )
    for name, setting, least, good in (
        ("max_shells_per_user", "MaxShellsPerUser", FEWEST_SHELLS, 30),
        ("max_processes_per_shell", "MaxProcessesPerShell", FEWEST_PROCESSES, 25),
        ("max_memory_per_shell_mb", "MaxMemoryPerShellMB", LEAST_SHELL_MB, 1024),
    ):
        if _UNLIMITED < quota[name] < least:
            found.append(
                f"WinRM's {setting} is {quota[name]}, too low to work under. In an elevated PowerShell on the box: "
                rf"Set-Item WSMan:\localhost\Shell\{setting} {good}; Restart-Service WinRM"
            )
    return found


def clock(ahead_seconds: float) -> list[str]:
    """Refuse a clock that is far from this machine's."""
    if abs(ahead_seconds) <= LARGEST_SKEW_SECONDS:
        return []
    where = "ahead of" if ahead_seconds > 0 else "behind"
    return [
        f"The box's clock is {_duration(abs(ahead_seconds))} {where} this machine's, and certificates are refused "
        "then. On the box, as administrator: Start-Service W32Time; w32tm /resync /force"
    ]


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def port(number: int, listeners: Iterable[Mapping[str, object]], own: Iterable[str]) -> list[str]:
    """Refuse a port that another program than the wanted one listens on.

    + own: file names of the programs that may
    """
    programs = {name.lower() for name in own}
    found = []
    for one in listeners:
        process = str(one["process"] or "").lower()
        name = process if process.endswith(".exe") else f"{process}.exe"
        if name not in programs:
            found.append(
                f"Port {number} of {one['address']} is taken by {one['process'] or 'a program'} (process "
                f"{one['pid']}). End that program, or set ollama_port and OLLAMA_HOST to another port."
            )
    return found
