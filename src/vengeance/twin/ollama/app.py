"""``ollama app.exe``: the icon beside the clock, which starts the server and keeps it, and updates itself."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vengeance.twin.clock import Alarm
from vengeance.twin.ollama import logs, package
from vengeance.twin.ollama.gui_settings import Database, GuiSettings
from vengeance.twin.windows.errors import Win32Error

if TYPE_CHECKING:
    from vengeance.twin.windows.program import Run

# app/server/server.go and app/updater/updater.go
_RESTART_SECONDS = 1.0
_FIRST_CHECK_SECONDS = 3.0
_CHECK_SECONDS = 3600.0
_PORT_TAKEN = 1
_STAGE = "updates_v2"
_MARKER = "upgraded"


@dataclass(frozen=True)
class Update:
    """A newer version that is offered."""

    version: str


def start_menu_folder(environment: Mapping[str, str]) -> str:
    """The account's own Programs folder of the start menu."""
    return f"{environment.get('APPDATA', '')}\\Microsoft\\Windows\\Start Menu\\Programs"


def ollama_app(run: Run) -> int:
    """ollama app.exe."""
    words = run.argv
    if "serve" in words:
        run.error("serve command not supported, use ollama")
        return 1
    if {"version", "-v", "--version"} & set(words):
        run.print(package.version_of(run.windows.drive, run.image) or package.VERSION)
        return 0
    hidden = bool({"hidden", "-j", "--hide"} & set(words)) or run.windows.ollama.started_from_link(run.session)
    return App(run, hidden, "--fast-startup" in words).main()


class App:
    """One running tray app; it takes the environment of its process for good.

    run: its process; hidden: no window; fast: nothing that takes long, so no update
    """

    def __init__(self, run: Run, hidden: bool, fast: bool) -> None:
        self.run = run
        self.folder = f"{run.environment.get('LOCALAPPDATA', '')}\\Ollama"
        self.program_folder = run.image.rpartition("\\")[0]
        self._drive = run.windows.drive
        self._clock = run.windows.clock
        self._hidden = hidden
        self._fast = fast
        self._quit = threading.Event()
        self._lock = threading.RLock()
        self._alarms: list[Alarm] = []
        self._server_pid: int | None = None
        self._log: logs.LogFile | None = None
        self._reaped = False

    def log(self, source: str, message: str, level: str = "INFO", **values: object) -> None:
        """Write a line to app.log."""
        if self._log is not None:
            self._log.write(logs.line(self._clock.now(), source, message, level, **values).encode() + b"\n")

    def main(self) -> int:
        """Run until it quits or is killed; returns the exit code."""
        ollama = self.run.windows.ollama
        if not self._drive.is_directory(self.folder):
            self._drive.make_directory(self.folder)
        logs.rotate(self._drive, f"{self.folder}\\app.log")
        self._log = logs.LogFile(self._drive, f"{self.folder}\\app.log")
        version = package.version_of(self._drive, self.run.image) or package.VERSION
        self.log("app_windows.go:273", "starting Ollama", app=self.program_folder, version=version)
        if self._drive.is_file(f"{self.folder}\\{_MARKER}"):
            self._after_upgrade()
        with ollama.apps_lock:
            # It looks for the window of another one, and sees those of its own desktop only.
            if any(app.run.session == self.run.session for app in ollama.apps.values()):
                self.log("app_windows.go:81", "existing instance found, exiting")
                return 0
            ollama.apps[self.run.pid] = self
        release = self.run.job.on_stop(self._killed)
        try:
            database = Database(self._drive, self.folder)
            settings = database.read()
            if self._hidden and self._staged() and self._upgrade_at_startup(settings):
                return 0
            if ollama.broken_apps > 0:
                # ollama#12691, #18507: the icon is there, and no server ever is.
                ollama.broken_apps -= 1
            else:
                self.log("app.go:235", "starting ollama server")
                self._clean_up_previous()
                logs.rotate(self._drive, f"{self.folder}\\server.log")
                self._later(_RESTART_SECONDS, self._start_server)
            if not settings.first_run_done:
                database.write(has_completed_first_run=1)
                self._make_link()
            self._later(_FIRST_CHECK_SECONDS, self._check_for_update)
            self._quit.wait()
            self.run.job.check()
            return 0
        finally:
            release()
            with ollama.apps_lock:
                ollama.apps.pop(self.run.pid, None)

    def restart_server(self) -> None:
        """What the window does when a setting changes."""
        if not self._stop_server():
            self._later(_RESTART_SECONDS, self._start_server)

    def _killed(self) -> None:
        # Its server goes on without it; the next app finds it by ollama.pid.
        with self.run.windows.ollama.apps_lock:
            self.run.windows.ollama.apps.pop(self.run.pid, None)
        self._stop_alarms()
        self._quit.set()

    def _later(self, seconds: float, deed: Callable[[], None]) -> None:
        def unless_over() -> None:
            if not self._quit.is_set() and not self.run.job.stopped:
                deed()

        with self._lock:
            self._alarms = [alarm for alarm in self._alarms if not alarm.cancelled]
            self._alarms.append(self._clock.later(seconds, unless_over))

    def _stop_alarms(self) -> None:
        with self._lock:
            for alarm in self._alarms:
                alarm.cancel()
            self._alarms.clear()

    # --- the server ---

    def _clean_up_previous(self) -> None:
        path = f"{self.folder}\\ollama.pid"
        try:
            pid = int(self._drive.read(path))
        except (Win32Error, ValueError):
            return
        server = self.run.windows.ollama.servers.get(pid)
        if server is not None:
            self.log("server.go:104", "detected previous ollama process, cleaning up", pid=pid)
            server.stop()
        with contextlib.suppress(Win32Error):
            self._drive.remove_file(path)

    def _environment(self, settings: GuiSettings) -> dict[str, str]:
        """The app's own block, with what the window was told laid over it (app/server/server.go, cmd)."""
        changes: dict[str, str] = {"OLLAMA_NO_CLOUD": self.run.environment.get("OLLAMA_NO_CLOUD", "0")}
        if settings.expose:
            changes["OLLAMA_HOST"] = "0.0.0.0"  # noqa: S104
        if settings.browser:
            changes["OLLAMA_ORIGINS"] = "*"
        if settings.models:
            if self._drive.is_directory(settings.models):
                changes["OLLAMA_MODELS"] = settings.models
            else:
                self.log(
                    "server.go:218", "models path not accessible, clearing models setting", "WARN", path=settings.models
                )
                Database(self._drive, self.folder).write(models="")
        if settings.context_length > 0:
            changes["OLLAMA_CONTEXT_LENGTH"] = str(settings.context_length)
        return changes

    def _start_server(self) -> None:
        from vengeance.twin.windows.model import CannotStart

        windows = self.run.windows
        with self._lock:
            if self._server_pid in windows.ollama.servers:
                return
        environment = self.run.environment.copy()
        environment.update(self._environment(Database(self._drive, self.folder).read()))
        # It looks for "ollama" beside itself, which is not there (ollama.exe is), and so takes the one of its PATH.
        image = windows.find_program("ollama", self.program_folder, environment)
        log = logs.LogFile(self._drive, f"{self.folder}\\server.log")
        try:
            if image is None:
                raise CannotStart('exec: "ollama": executable file not found in %PATH%')
            windows.launch(
                f'"{image}" serve',
                user=self.run.user,
                session=self.run.session,
                elevated=self.run.elevated,
                environment=environment,
                cwd=self.program_folder,
                parent=self.run.pid,
                output=log.write,
                on_exit=self._server_ended,
            )
        except CannotStart as error:
            self.log("server.go:176", "ollama exited", "ERROR", err=str(error))

    def server_begins(self, pid: int) -> None:
        """Its server has the number ``pid``, which the next app will want to know."""
        self._server_pid = pid
        with contextlib.suppress(Win32Error):
            self._drive.write(f"{self.folder}\\ollama.pid", str(pid).encode())

    def _server_ended(self, code: int) -> None:
        if self._quit.is_set() or self.run.job.stopped:
            return
        if code == _PORT_TAKEN and not self._reaped:
            # It would kill other servers that it finds with wmic, which Windows 11 24H2 does not have.
            self._reaped = True
        else:
            self.log("server.go:196", "ollama exited", "ERROR", err=f"exit status {code}")
        self._later(_RESTART_SECONDS, self._start_server)

    def _stop_server(self) -> bool:
        server = self.run.windows.ollama.servers.get(self._server_pid or 0)
        if server is None:
            return False
        server.stop()
        return True

    # --- first run, updates ---

    def _make_link(self) -> None:
        folder = f"{start_menu_folder(self.run.environment)}\\Startup"
        try:
            data = self._drive.read(f"{self.program_folder}\\{package.LINK}")
            if not self._drive.is_directory(folder):
                self._drive.make_directory(folder)
            if not self._drive.is_file(f"{folder}\\Ollama.lnk"):
                self._drive.write(f"{folder}\\Ollama.lnk", data)
                self.log("app_windows.go:247", "Created Startup shortcut", shortcut=f"{folder}\\Ollama.lnk")
        except Win32Error as error:
            self.log("app_windows.go:218", "unable to create login shortcut", "WARN", error=error.system)

    def _after_upgrade(self) -> None:
        self._hidden = True
        with contextlib.suppress(Win32Error):
            self._drive.remove_file(f"{self.folder}\\{_MARKER}")
        with contextlib.suppress(Win32Error):
            self._drive.remove_directory(f"{self.folder}\\{_STAGE}", tree=True)

    def _staged(self) -> str | None:
        """The installer of an update that lies ready."""
        folder = f"{self.folder}\\{_STAGE}"
        if not self._drive.is_directory(folder):
            return None
        for entry in self._drive.entries(folder):
            path = f"{folder}\\{entry.name}\\OllamaSetup.exe"
            if entry.is_directory and self._drive.is_file(path):
                return path
        return None

    def _upgrade_at_startup(self, settings: GuiSettings) -> bool:
        from vengeance.twin.windows.model import CannotStart

        if self._fast:
            self.log("app.go:346", "deferring pending update for fast startup")
            return False
        if not settings.auto_update:
            self.log("app.go:353", "auto-update disabled, skipping automatic upgrade at startup")
            return False
        installer = self._staged()
        self.log("updater_windows.go:121", "upgrade starting", installer=installer)
        self._drive.write(f"{self.folder}\\{_MARKER}", b"")
        options = "/SP /SILENT /NOCANCEL /CLOSEAPPLICATIONS /FORCECLOSEAPPLICATIONS /VERYSILENT /SUPPRESSMSGBOXES"
        try:
            self.run.windows.launch(
                f'"{installer}" {options} /LOG="{self.folder}\\upgrade.log"',
                user=self.run.user,
                session=self.run.session,
                elevated=self.run.elevated,
                environment=self.run.environment.copy(),
                parent=self.run.pid,
            )
        except CannotStart as error:
            self.log("app.go:360", "unable to perform upgrade at startup", error=str(error))
            return False
        return True

    def _check_for_update(self) -> None:
        self._later(_CHECK_SECONDS, self._check_for_update)
        if not Database(self._drive, self.folder).read().auto_update:
            return
        update = self.run.windows.ollama.update
        version = package.version_of(self._drive, self.run.image) or package.VERSION
        if update is None or update.version == version:
            return
        folder = f"{self.folder}\\{_STAGE}\\{update.version}"
        path = f"{folder}\\OllamaSetup.exe"
        url = f"https://github.com/ollama/ollama/releases/download/v{update.version}/OllamaSetup.exe"
        self.log("updater.go:131", f"New update available at {url}")
        try:
            if self._drive.is_file(path):
                self.log("updater.go:181", "update already downloaded", bundle=path)
                return
            if self._drive.is_directory(f"{self.folder}\\{_STAGE}"):
                self._drive.remove_directory(f"{self.folder}\\{_STAGE}", tree=True)
            self._drive.make_directory(folder)
            self._drive.write(path, package.setup_bytes(update.version))
        except Win32Error as error:
            self.log("updater.go:301", "failed to download new release", "ERROR", error=error.system)
            return
        self.log("updater.go:231", f"new update downloaded {path}")
