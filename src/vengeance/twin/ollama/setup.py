"""OllamaSetup.exe, its uninstaller, and the zip (ollama/ollama, app/ollama.iss)."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from vengeance.twin.ollama import package
from vengeance.twin.ollama.app import start_menu_folder
from vengeance.twin.windows.errors import Win32Error

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows
    from vengeance.twin.windows.program import Run

_PROGRAMS = (package.APP, package.SERVER, "llama-server.exe")
_FAILED = 1
# Inno Setup: the disk was full, or a file could not be replaced.
_ABORTED = 5


def uninstall_key(windows: Windows, user: str) -> str:
    """The key of the installed program, in the hive of the account that installed it."""
    products = "Software\\Microsoft\\Windows\\CurrentVersion\\Uninstall"
    return f"HKU\\{windows.state.sid(user)}\\{products}\\{package.APP_ID}_is1"


def end_programs(windows: Windows) -> None:
    """What the installer does first: ``taskkill /f /t`` of everything that is Ollama's, whoever uses it."""
    for name in _PROGRAMS:
        for process in list(windows.state.processes.values()):
            if process.image.rpartition("\\")[2].lower() == name:
                windows.kill(process.pid)


def install(windows: Windows, run: Run, version: str, folder: str | None = None, start_app: bool = True) -> int:
    """What OllamaSetup.exe does, silent or not; returns its exit code.

    run: the installer's own process, whose account, session and environment it works with
    folder: of /DIR; None is where it lies already, else ``%LOCALAPPDATA%\\Programs\\Ollama``
    start_app: the ``[Run]`` entry has no ``skipifsilent``, so the tray app starts after a silent set-up too
    """
    key = uninstall_key(windows, run.user)
    known = windows.registry.text(key, "InstallLocation").rstrip("\\")
    local = run.environment.get("LOCALAPPDATA", f"C:\\Users\\{run.user}\\AppData\\Local")
    target = (folder or known or f"{local}\\Programs\\Ollama").rstrip("\\")
    end_programs(windows)
    try:
        if windows.drive.is_directory(f"{target}\\lib"):
            windows.drive.remove_directory(f"{target}\\lib", tree=True)
        package.lay_down(windows.drive, target, package.setup_files(version, target))
        menu = start_menu_folder(run.environment)
        package.lay_down(windows.drive, menu, {"Ollama.lnk": package.link_bytes(f"{target}\\{package.APP}")})
    except Win32Error as error:
        run.error(f"Setup: {error.path}: {error.system}")
        return _ABORTED
    registry = windows.registry
    uninstaller = f'"{target}\\{package.UNINSTALLER}"'
    for name, text in (
        ("DisplayName", f"Ollama version {version}"),
        ("DisplayVersion", version),
        ("DisplayIcon", f"{target}\\app.ico"),
        ("Publisher", "Ollama"),
        ("InstallLocation", f"{target}\\"),
        ("UninstallString", uninstaller),
        ("QuietUninstallString", f"{uninstaller} /SILENT"),
        ("URLInfoAbout", "https://ollama.com/"),
    ):
        registry.set(key, name, text)
    _extend_path(windows, run.user, target)
    _write_log(run, version, target)
    if start_app:
        _start_app(windows, run, target)
    return 0


def unpack(windows: Windows, folder: str, version: str) -> None:
    """What unpacking ollama-windows-amd64.zip leaves: files, and nothing that starts. Win32Error on a full disk."""
    package.lay_down(windows.drive, folder, package.zip_files(version))


def _extend_path(windows: Windows, user: str, folder: str) -> None:
    key = f"HKU\\{windows.state.sid(user)}\\Environment"
    path = windows.registry.text(key, "Path")
    if folder.lower() not in path.lower().split(";"):
        windows.registry.set(key, "Path", f"{path.rstrip(';')};{folder}".lstrip(";"), "ExpandString")


def _write_log(run: Run, version: str, target: str) -> None:
    temp = run.environment.get("TEMP", "C:\\Windows\\Temp")
    day = f"{run.windows.clock.now():%Y-%m-%d}"
    with contextlib.suppress(Win32Error):
        number = 1
        while run.windows.drive.is_file(f"{temp}\\Setup Log {day} #{number:03}.txt"):
            number += 1
        text = f"{day} Setup version: Inno Setup version 6.4.3\r\n{day} Ollama {version} in {target}\r\n"
        run.windows.drive.write(f"{temp}\\Setup Log {day} #{number:03}.txt", text.encode())


def _start_app(windows: Windows, run: Run, target: str) -> None:
    from vengeance.twin.windows.model import CannotStart

    environment = run.environment.copy()
    environment["PATH"] = f"{target};{environment.get('PATH', '')}"
    with contextlib.suppress(CannotStart):
        child = windows.launch(
            f'"{target}\\{package.APP}"',
            user=run.user,
            session=run.session,
            elevated=run.elevated,
            environment=environment,
            cwd=target,
            parent=run.pid,
        )
        # In a WinRM shell it belongs to the shell's job, and goes with it.
        run.job.on_stop(child.terminate)


def ollama_setup(run: Run) -> int:
    """OllamaSetup.exe, of the version that its file tells."""
    version = package.version_of(run.windows.drive, run.image)
    if version is None:
        run.error("Setup: The setup files are corrupted. Please obtain a new copy of the program.")
        return _FAILED
    folder = re.search(r'/DIR=(?:"([^"]+)"|(\S+))', run.arguments, re.IGNORECASE)
    return install(run.windows, run, version, (folder[1] or folder[2]) if folder else None)


def uninstall(run: Run) -> int:
    """unins000.exe: models stay, the app's own files go."""
    windows = run.windows
    folder = run.image.rpartition("\\")[0]
    if package.version_of(windows.drive, run.image) is None:
        return _FAILED
    end_programs(windows)
    windows.registry.delete_key(uninstall_key(windows, run.user))
    menu = start_menu_folder(run.environment)
    for link in (f"{menu}\\Ollama.lnk", f"{menu}\\Startup\\Ollama.lnk"):
        with contextlib.suppress(Win32Error):
            windows.drive.remove_file(link)
    for path in (folder, f"{run.environment.get('LOCALAPPDATA', '')}\\Ollama"):
        with contextlib.suppress(Win32Error):
            windows.drive.remove_directory(path, tree=True)
    return 0
