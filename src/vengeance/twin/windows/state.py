"""What the Windows of a twin remembers, in JSON files of its state folder.

windows.json    host name, accounts, boot time, registry, limits of the disk
processes.json  what runs, each with the environment that it was started with
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from vengeance.box.pins import pinned
from vengeance.twin.windows.drive import Drive
from vengeance.twin.windows.features import finish_pending
from vengeance.twin.windows.registry import CURRENT_VERSION, ENVIRONMENT, LXSS, Registry

HOSTNAME = "VENGEANCE"
USER = "Steam"
BUILD = 26100
UPDATE_REVISION = 4652
CAPTION = "Microsoft Windows 11 Pro"
WSL_FOLDER = "C:\\Program Files\\WSL\\"
WSL_VERSION = f"{pinned('wsl')}.0"
WSL_PRODUCT_CODE = pinned("wsl", "product_code")
MACHINE_SID = "S-1-5-21-1004336348-1177238915-682003330"
# FILETIME counts 100 ns steps from here.
_FILE_TIME_EPOCH = datetime(1601, 1, 1, tzinfo=timezone.utc)


def write_json(path: Path, data: object, indent: int | None = 1) -> None:
    """Write a file that only its owner may read, in one step for whoever reads it.

    indent: None for a file that is written often: without indentation the encoder is several times faster
    """
    text = json.dumps(data, ensure_ascii=False, indent=indent)
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        # Windows keeps halves of UTF-16 pairs, which JSON writes in ASCII alone.
        raw = json.dumps(data, indent=indent).encode()
    new = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(raw)
    os.replace(new, path)


def read_json(path: Path) -> dict[str, Any]:
    """Read such a file; {} when there is none, ValueError with a sentence when it is damaged."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be read ({error}): bring the twin back to new with 'python -m vengeance.twin reset'."
        ) from error
    return data


def file_time(moment: datetime) -> int:
    """A moment as FILETIME: 100 ns steps since 1601-01-01 UTC."""
    return (moment - _FILE_TIME_EPOCH) // timedelta(microseconds=1) * 10


def to_text(moment: datetime) -> str:
    """A moment as the shipped scripts print it: whole seconds, UTC, with Z."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def machine_time() -> datetime:
    """The time of the machine that the twin runs on, UTC."""
    return datetime.now(timezone.utc)


@dataclass
class RunningProcess:
    """One process; ``started`` is ISO 8601 UTC, ``image`` a full Windows path, ``session`` 0 has no desktop.

    ``priority``: its class, as ``normal`` and ``below normal``
    """

    pid: int
    parent: int
    image: str
    command_line: str
    user: str
    started: str
    environment: dict[str, str] = field(default_factory=dict)
    session: int = 0
    elevated: bool = True
    priority: str = "normal"


class State:
    """The state of one Windows, loaded from its folder or made new.

    folder: the twin's state folder; C: is its subfolder drive_c
    bare: a new one is a Windows right after its set-up: no WSL, no feature for it. One that is there stays as it is
    now: the twin's clock
    """

    def __init__(self, folder: Path, bare: bool = False, now: Callable[[], datetime] = machine_time) -> None:
        self.folder = folder
        self.bare = bare
        self.now = now
        self.file = folder / "windows.json"
        self.processes_file = folder / "processes.json"
        self._quiet = True
        self.hostname = HOSTNAME
        self.users: dict[str, str] = {USER: f"{MACHINE_SID}-1001"}
        self.boot_time = now()
        self.install_date = self.boot_time
        self.registry = Registry(self.save)
        # One lock for both: each change of the registry saves the state, and each save reads the registry.
        self._lock = self.registry.lock
        self.processes: dict[int, RunningProcess] = {}
        self._sections: dict[str, dict[str, Any]] = {}
        (folder / "drive_c").mkdir(parents=True, exist_ok=True)
        self.drive = Drive(folder / "drive_c")
        known = read_json(self.file)
        if known:
            self.users = dict(known["users"])
            self.boot_time = datetime.fromisoformat(known["boot_time"])
            self.install_date = datetime.fromisoformat(known["install_date"])
            self.drive.free_bytes = known["disk_free_bytes"]
            self.registry.load(known["registry"])
            self.bare = known["bare"]
            self._sections = known["sections"]
        else:
            self._install()
        self._quiet = False
        self.save()
        self.save_processes()

    def save(self) -> None:
        """Write windows.json; it holds no secret."""
        with self._lock:
            if self._quiet:
                return
            write_json(
                self.file,
                {
                    "hostname": self.hostname,
                    "users": self.users,
                    "boot_time": self.boot_time.isoformat(),
                    "install_date": self.install_date.isoformat(),
                    "disk_free_bytes": self.drive.free_bytes,
                    "registry": self.registry.to_json(),
                    "bare": self.bare,
                    "sections": self._sections,
                },
            )

    def section(self, name: str) -> dict[str, Any]:
        """What one part of Windows remembers, as JSON; new ones are empty. ``save`` after each change."""
        with self._lock:
            return self._sections.setdefault(name, {})

    def save_processes(self) -> None:
        """Write processes.json."""
        with self._lock:
            write_json(self.processes_file, {"processes": [vars(p) for p in self.processes.values()]}, indent=None)

    def process_started(self, process: RunningProcess) -> None:
        """Add a process to the list."""
        with self._lock:
            self.processes[process.pid] = process
            self.save_processes()

    def process_ended(self, pid: int) -> None:
        """Take a process off the list."""
        with self._lock:
            if self.processes.pop(pid, None) is not None:
                self.save_processes()

    def boot(self) -> None:
        """Windows has started: a new boot time, no processes, and what waited for a restart is done."""
        with self._lock:
            # Two boots are never within the same second, or the whole-second boot time would not tell them apart.
            self.boot_time = max(self.now(), self.boot_time + timedelta(seconds=1))
            self.processes.clear()
            self._quiet = True
            try:
                self._finish_pending()
            finally:
                self._quiet = False
            self.save()
            self.save_processes()

    def set_free_bytes(self, free: int | None) -> None:
        """Limit what may still be written to C:, bytes; None takes the limit away."""
        self.drive.free_bytes = free
        self.save()

    def sid(self, user: str) -> str:
        """The security identifier of an account; KeyError when there is none of that name."""
        for name, sid in self.users.items():
            if name.lower() == user.lower():
                return sid
        raise KeyError(user)

    def account(self, user: str) -> str:
        """The name of an account as it was made."""
        for name in self.users:
            if name.lower() == user.lower():
                return name
        raise KeyError(user)

    def add_user(self, user: str) -> str:
        """Add a local administrator with a profile; returns its SID, also when it is there already."""
        with self._lock:
            try:
                return self.sid(user)
            except KeyError:
                pass
            sid = self.users[user] = f"{MACHINE_SID}-{1001 + len(self.users)}"
            self._make_profile(user, sid)
            self.save()
            return sid

    def _finish_pending(self) -> None:
        registry = self.registry
        registry.delete_key(r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending")
        registry.delete_key(r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired")
        registry.delete_key(r"HKLM\SOFTWARE\vengeance\RebootRequired")
        registry.delete(r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager", "PendingFileRenameOperations")
        names = r"HKLM\SYSTEM\CurrentControlSet\Control\ComputerName"
        self.hostname = registry.text(f"{names}\\ComputerName", "ComputerName") or self.hostname
        registry.set(f"{names}\\ActiveComputerName", "ComputerName", self.hostname)
        finish_pending(self.section("features"))

    # --- a Windows 11 as it is after its set-up; WSL's package is installed unless it is a bare one ---

    def _install(self) -> None:
        # The values of a Windows 11 24H2; ProductName says Windows 10 there too.
        registry = self.registry
        for name, data in (
            ("ProductName", "Windows 10 Pro"),
            ("EditionID", "Professional"),
            ("DisplayVersion", "24H2"),
            ("CurrentBuild", str(BUILD)),
            ("CurrentBuildNumber", str(BUILD)),
            ("CurrentVersion", "6.3"),
            ("InstallationType", "Client"),
        ):
            registry.set(CURRENT_VERSION, name, data)
        registry.set(CURRENT_VERSION, "UBR", UPDATE_REVISION, "DWord")
        registry.set(CURRENT_VERSION, "InstallDate", int(self.install_date.timestamp()), "DWord")
        names = r"HKLM\SYSTEM\CurrentControlSet\Control\ComputerName"
        for key in ("ComputerName", "ActiveComputerName"):
            registry.set(f"{names}\\{key}", "ComputerName", self.hostname)
        registry.create(r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon\AutoLogonChecked")
        registry.set(
            r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System",
            "LocalAccountTokenFilterPolicy",
            1,
            "DWord",
        )
        for name, data in (
            ("ComSpec", "%SystemRoot%\\system32\\cmd.exe"),
            ("DriverData", "C:\\Windows\\System32\\Drivers\\DriverData"),
            (
                "Path",
                "%SystemRoot%\\system32;%SystemRoot%;%SystemRoot%\\System32\\Wbem;"
                "%SYSTEMROOT%\\System32\\WindowsPowerShell\\v1.0\\;%SYSTEMROOT%\\System32\\OpenSSH\\",
            ),
            (
                "PSModulePath",
                "%ProgramFiles%\\WindowsPowerShell\\Modules;%SystemRoot%\\system32\\WindowsPowerShell\\v1.0\\Modules",
            ),
            ("TEMP", "%SystemRoot%\\TEMP"),
            ("TMP", "%SystemRoot%\\TEMP"),
            ("windir", "%SystemRoot%"),
        ):
            registry.set(ENVIRONMENT, name, data, "ExpandString" if "%" in data else "String")
        for name, data in (
            ("NUMBER_OF_PROCESSORS", "32"),
            ("OS", "Windows_NT"),
            ("PATHEXT", ".COM;.EXE;.BAT;.CMD;.VBS;.VBE;.JS;.JSE;.WSF;.WSH;.MSC"),
            ("PROCESSOR_ARCHITECTURE", "AMD64"),
            ("PROCESSOR_IDENTIFIER", "AMD64 Family 25 Model 97 Stepping 2, AuthenticAMD"),
            ("PROCESSOR_LEVEL", "25"),
            ("PROCESSOR_REVISION", "6102"),
            ("USERNAME", "SYSTEM"),
        ):
            registry.set(ENVIRONMENT, name, data)
        for folder in (
            "Program Files (x86)",
            "Program Files\\Common Files",
            "ProgramData",
            "System Volume Information",
            "Users\\Default",
            "Users\\Public",
            "Windows\\System32\\drivers\\etc",
            "Windows\\System32\\WindowsPowerShell\\v1.0",
            "Windows\\System32\\OpenSSH",
            "Windows\\System32\\Wbem",
            "Windows\\Temp",
        ):
            (self.drive.folder / folder.replace("\\", "/")).mkdir(parents=True, exist_ok=True)
        hosts = self.drive.folder / "Windows/System32/drivers/etc/hosts"
        hosts.write_bytes(b"# localhost name resolution is handled within DNS itself.\r\n")
        for user, sid in self.users.items():
            self._make_profile(user, sid)
        if not self.bare:
            self.install_wsl(WSL_VERSION)

    def install_wsl(self, version: str) -> None:
        """What WSL's package leaves behind (microsoft/WSL, msipackage/package.wix.in); version: as ``2.7.11.0``."""
        registry = self.registry
        for name, data in (
            ("InstallLocation", WSL_FOLDER),
            ("ProductCode", WSL_PRODUCT_CODE),
            ("Version", version),
        ):
            registry.set(f"HKLM\\{LXSS}\\MSI", name, data)
        product = f"HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Uninstall\\{WSL_PRODUCT_CODE}"
        registry.set(product, "DisplayName", "Windows Subsystem for Linux")
        registry.set(product, "DisplayVersion", version)
        (self.drive.folder / "Program Files/WSL").mkdir(parents=True, exist_ok=True)
        path = registry.text(ENVIRONMENT, "Path")
        folder = WSL_FOLDER.rstrip("\\")
        if folder not in path.split(";"):
            registry.set(ENVIRONMENT, "Path", f"{path.rstrip(';')};{folder}", "ExpandString")

    def remove_wsl(self) -> None:
        """What is left when WSL's package is uninstalled: nothing of the package's own."""
        registry = self.registry
        registry.delete_key(f"HKLM\\{LXSS}\\MSI")
        folder = WSL_FOLDER.rstrip("\\")
        path = registry.text(ENVIRONMENT, "Path").split(";")
        registry.set(ENVIRONMENT, "Path", ";".join(part for part in path if part != folder), "ExpandString")
        shutil.rmtree(self.drive.folder / "Program Files/WSL", ignore_errors=True)

    def _make_profile(self, user: str, sid: str) -> None:
        for folder in ("AppData/Local/Temp", "AppData/Local/Microsoft/WindowsApps", "AppData/Roaming", "Desktop"):
            (self.drive.folder / "Users" / user / folder).mkdir(parents=True, exist_ok=True)
        key = f"HKU\\{sid}\\Environment"
        path = "%USERPROFILE%\\AppData\\Local\\Microsoft\\WindowsApps;"
        self.registry.set(key, "Path", path, "ExpandString")
        for name in ("TEMP", "TMP"):
            self.registry.set(key, name, "%USERPROFILE%\\AppData\\Local\\Temp", "ExpandString")
