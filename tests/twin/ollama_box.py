"""A Windows model with Ollama on it, for tests: starts servers and tray apps, and asks them over real sockets."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any, NamedTuple

from tests.twin.windows_box import Box
from tests.waiting import eventually
from vengeance.box.pins import pinned
from vengeance.twin.ollama import setup
from vengeance.twin.windows.environment import Environment, block
from vengeance.twin.windows.model import Child
from vengeance.twin.windows.state import RunningProcess

FOLDER = "C:\\Ollama"
APP_FOLDER = "C:\\Users\\Steam\\AppData\\Local\\Programs\\Ollama"
DATA = "C:\\Users\\Steam\\AppData\\Local\\Ollama"
STARTUP = "C:\\Users\\Steam\\AppData\\Roaming\\Microsoft\\Windows\\Start Menu\\Programs\\Startup"
SMALL = "qwen2.5:3b"


class Answer(NamedTuple):
    """What came back over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The body as NDJSON."""
        return [json.loads(line) for line in self.body.splitlines()]


class OllamaBox(Box):
    """A Windows in a folder; Ollama's zip lies in C:\\Ollama."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.ollama = self.windows.ollama
        self.gpu = self.windows.gpu
        self.clock = self.windows.clock
        self.printed: list[bytes] = []
        setup.unpack(self.windows, FOLDER, pinned("ollama"))

    # --- processes ---

    def processes(self, name: str) -> list[RunningProcess]:
        """Those of an image's name."""
        found = list(self.windows.state.processes.values())
        return [one for one in found if one.image.rpartition("\\")[2].lower() == name]

    def serve(self, folder: str = FOLDER, wait: bool = True, **variables: str) -> Child:
        """Start ``ollama serve`` as a task does, and wait until it listens."""
        environment = block(self.windows.state, "Steam")
        environment.update(variables)
        child = self.windows.launch(
            f'"{folder}\\ollama.exe" serve', user="Steam", environment=environment, output=self.printed.append
        )
        if wait:
            eventually(lambda: self.listens(child.run.pid), "the server's listening")
        return child

    def listens(self, pid: int) -> bool:
        """Whether a process has a port, and its log says so."""
        server = self.ollama.servers.get(pid)
        ready = server is not None and server.ready.is_set()
        return ready and pid in [listener.pid for listener in self.windows.network.listeners]

    @property
    def log(self) -> str:
        """What the servers printed."""
        return b"".join(self.printed).decode()

    def install(self, version: str = pinned("ollama"), session: int = 0) -> int:
        """Run the installer as a work or a task does."""
        from vengeance.twin.ollama.package import setup_bytes

        self.windows.drive.write("C:\\Windows\\Temp\\OllamaSetup.exe", setup_bytes(version))
        child = self.windows.launch(
            '"C:\\Windows\\Temp\\OllamaSetup.exe" /VERYSILENT /NORESTART /SUPPRESSMSGBOXES',
            user="Steam",
            session=session,
        )
        child.wait(30)
        return child.output.exit_code if child.output.exit_code is not None else -1

    def start_app(
        self, words: str = "", session: int = 1, environment: Environment | None = None, wait: bool = True
    ) -> Child:
        """Start the tray app, as a person does by its icon, and its server with it."""
        child = self.windows.launch(
            f'"{APP_FOLDER}\\ollama app.exe" {words}'.strip(), user="Steam", session=session, environment=environment
        )
        if wait:
            self.await_server()
        return child

    def await_server(self) -> RunningProcess:
        """Let the tray app's second pass until its server listens."""

        def there() -> bool:
            self.clock.advance(0.1)
            return any(self.listens(one.pid) for one in self.processes("ollama.exe"))

        eventually(there, "the tray app's server")
        return self.processes("ollama.exe")[-1]

    def kill(self, name: str) -> None:
        """End every process of a name, and wait until it is off the list."""
        pids = [one.pid for one in self.processes(name)]
        for pid in pids:
            self.windows.kill(pid)
        eventually(lambda: not set(pids) & set(self.windows.state.processes), f"the end of {name}")

    # --- HTTP ---

    @property
    def url(self) -> str:
        """Where a client of this machine finds the server."""
        return f"http://{self.windows.network.real('127.0.0.1')}:11434"

    def ask(
        self,
        method: str,
        path: str,
        data: object = None,
        *,
        port: int = 11434,
        address: str = "127.0.0.1",
        source: str = "127.0.0.1",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request over a connection of its own; http.client's errors where the answer is cut."""
        connection = http.client.HTTPConnection("localhost", port, timeout=30)
        connection.sock = self.windows.network.connect(address, port, source)
        body = None if data is None else json.dumps(data).encode()
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def pull(self, model: str = SMALL) -> list[dict[str, Any]]:
        """Pull a model; what the server told."""
        return self.ask("POST", "/api/pull", {"model": model}).lines

    def have(self, *models: str) -> None:
        """Pull models and see that it worked."""
        for model in models or (SMALL,):
            last = self.pull(model)[-1]
            if last != {"status": "success"}:
                raise RuntimeError(f"pulling {model}: {last}")

    def load(self, model: str = SMALL, **fields: object) -> dict[str, Any]:
        """Load a model without asking it anything."""
        answer: dict[str, Any] = self.ask("POST", "/api/generate", {"model": model, **fields}).json
        return answer

    def loaded(self) -> dict[str, dict[str, Any]]:
        """Name -> entry of /api/ps."""
        return {one["name"]: one for one in self.ask("GET", "/api/ps").json["models"]}
