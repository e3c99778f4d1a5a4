"""Ollama as a part of the twin's Windows: its programs, what can be fetched, and what is to go wrong."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from vengeance.twin.ollama import package, published
from vengeance.twin.ollama.app import Update, ollama_app, start_menu_folder
from vengeance.twin.ollama.cli import ollama_exe
from vengeance.twin.ollama.gui_settings import Database
from vengeance.twin.ollama.pulls import Fault, Faults
from vengeance.twin.ollama.runners import Load, llama_server
from vengeance.twin.ollama.server import Server
from vengeance.twin.ollama.setup import ollama_setup, uninstall
from vengeance.twin.windows.environment import block
from vengeance.twin.windows.errors import Win32Error

if TYPE_CHECKING:
    from vengeance.twin.ollama.app import App
    from vengeance.twin.windows.model import Windows
    from vengeance.twin.windows.program import Run


class Ollama:
    """What the twin knows of Ollama.

    registry: the models that can be pulled; faults: what goes wrong with pulls
    servers: the servers that run, by process id; apps: the tray apps, by process id
    update: a newer version that the tray app finds, None when it has the newest
    broken_apps: so many starts of the tray app that never start a server
    """

    def __init__(self, windows: Windows) -> None:
        self.registry = published.Registry()
        self.faults = Faults()
        self.loads: dict[int, Load] = {}
        self.servers: dict[int, Server] = {}
        self.apps: dict[int, App] = {}
        self.apps_lock = threading.Lock()
        self.broken_apps = 0
        self._windows = windows
        self._from_link: set[int] = set()
        for name, program in (
            (package.SERVER, ollama_exe),
            (package.APP, ollama_app),
            ("llama-server.exe", llama_server(lambda: self.loads)),
            ("OllamaSetup.exe", ollama_setup),
            (package.UNINSTALLER, uninstall),
        ):
            windows.add_program(name, program)
        windows.sessions.at_logon.append(self._logon)
        windows.at_shutdown.append(windows.gpu.clear)

    def server_begins(self, run: Run, server: Server) -> None:
        """A server has started; the tray app that started it is told."""
        self.servers[run.pid] = server
        process = self._windows.state.processes.get(run.pid)
        app = self.apps.get(process.parent) if process is not None else None
        if app is not None:
            app.server_begins(run.pid)

    # --- logon ---

    def _logon(self, user: str, session: int) -> None:
        """Explorer opens what lies in the account's Startup folder."""
        from vengeance.twin.windows.model import CannotStart

        drive = self._windows.drive
        environment = block(self._windows.state, user)
        try:
            target = package.link_target(drive.read(f"{start_menu_folder(environment)}\\Startup\\Ollama.lnk"))
        except Win32Error:
            return
        if target is None:
            return
        self._from_link.add(session)
        with contextlib.suppress(CannotStart):
            self._windows.launch(f'"{target}"', user=user, session=session, elevated=False, environment=environment)

    def started_from_link(self, session: int) -> bool:
        """Whether the app that starts in a session was opened by its link in the Startup folder; it asks once."""
        if session in self._from_link:
            self._from_link.discard(session)
            return True
        return False

    # --- what a person does to it ---

    @property
    def update(self) -> Update | None:
        """The newer version that is offered."""
        version = self._windows.state.section("ollama").get("update")
        return Update(str(version)) if version else None

    def offer(self, version: str | None) -> None:
        """Publish a newer version for the tray app's update checks; None takes it back."""
        self._windows.state.section("ollama")["update"] = version
        self._windows.state.save()

    def change_settings(self, user: str, **columns: Any) -> None:  # noqa: ANN401
        """Change settings in the window of a person's tray app, which starts its server anew.

        Names are those of the database. Raises ValueError for one that there is not, and where no app has run.
        """
        folder = f"C:\\Users\\{user}\\AppData\\Local\\Ollama"
        if not self._windows.drive.is_file(f"{folder}\\db.sqlite"):
            raise ValueError(f"The tray app of {user} has never run, so it has no settings yet.")
        Database(self._windows.drive, folder).write(**columns)
        for app in list(self.apps.values()):
            if app.run.user == user:
                app.restart_server()

    def status(self) -> dict[str, Any]:
        """What ``status`` of the twin tells: models that can be pulled, servers that run, faults."""
        models = {}
        for name in self.registry.names:
            found = self.registry.find(name)
            if found is not None:
                models[name] = {"digest": found.digest, "size": found.shape.size}
        servers = [
            {
                "pid": pid,
                "version": server.version,
                "address": str(server.variables.address),
                "real": f"http://{self._windows.network.real('127.0.0.1')}:{server.variables.address.port}",
            }
            for pid, server in list(self.servers.items())
        ]
        return {"models": models, "servers": servers, "faults": self.faults.snapshot()}

    def fault(self, how: str, percent: float = 50.0, times: int = 1) -> None:
        """Have something go wrong: the kinds of ``pulls.Fault``; ``busy`` for requests that find the queue full, and
        ``no_server`` for starts of the tray app without a server. ``clear`` ends all. Raises ValueError."""
        if how == "clear":
            self.faults.clear()
            self.broken_apps = 0
        elif how == "busy":
            for server in list(self.servers.values()):
                server.busy = times
        elif how == "no_server":
            self.broken_apps = times
        else:
            self.faults.add(Fault(how, percent, times))
