"""``ollama serve``: one server process, from its first log line to its end."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from vengeance.twin.ollama import logs, package, published, variables
from vengeance.twin.ollama.api import Api, Gone, host_allowed
from vengeance.twin.ollama.http1 import TEXT, Request, Response, as_json, serve
from vengeance.twin.ollama.openai import OpenAi
from vengeance.twin.ollama.pulls import Pulls
from vengeance.twin.ollama.runners import MIB, Load, Runners, default_context
from vengeance.twin.ollama.store import Store
from vengeance.twin.windows.errors import Win32Error
from vengeance.twin.windows.network import ANY, LAN, LOOPBACK, Listener, NetworkError
from vengeance.twin.windows.pipes import Killed

if TYPE_CHECKING:
    from vengeance.twin.ollama.pulls import Faults
    from vengeance.twin.windows.program import Run

_FAILED = 1
_GIB = 1024 * MIB


class Server:
    """One running server.

    run: its process; registry, faults: where pulls come from, and what goes wrong with them
    loads: where a llama-server.exe finds what it is to take
    Raises Win32Error when the folder for models cannot be made.
    """

    def __init__(self, run: Run, registry: published.Registry, faults: Faults, loads: dict[int, Load]) -> None:
        self.run = run
        self.clock = run.windows.clock
        folder = run.image.rpartition("\\")[0]
        self.version = package.version_of(run.windows.drive, run.image) or package.VERSION
        self.home = run.environment.get("USERPROFILE", f"C:\\Users\\{run.user}")
        self.variables = variables.read(run.environment, self.home)
        self.ready = threading.Event()
        self.stopping = threading.Event()
        self.busy = 0
        self._log_lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        self.store = Store(run.windows.drive, self.variables.models, self.clock.now, registry.shape_of)
        self.pulls = Pulls(self.store, registry, faults, self.clock)
        self.runners = Runners(run, folder, self.variables, loads)
        self._api = Api(self)
        self._openai = OpenAi(self._api)

    # --- life ---

    def log(self, source: str, message: str, level: str = "INFO", **values: object) -> None:
        """Write a line to the standard error."""
        text = logs.line(self.clock.now(), source, message, level, **values)
        self._write(text)

    def _write(self, text: str) -> None:
        # Requests are answered in threads of their own, which may outlive the process by a moment.
        with self._log_lock, contextlib.suppress(Killed):
            self.run.stderr(text.encode() + b"\n")

    def serve(self) -> int:
        """Run until it is asked to end or is killed; returns the exit code."""
        for warning in self.variables.warnings:
            self._write(f"time={logs.local_time(self.clock.now(), 3)} level=WARN source=config.go:318 {warning}")
        self.log("routes.go:1845", "server config", env=variables.config_map(self.variables))
        self._make_key()
        if not self.variables.no_prune:
            removed = self.store.prune()
            self.log("images.go:489", f"total blobs: {self.store.count}")
            self.log("images.go:496", f"total unused blobs removed: {len(removed)}")
        try:
            listener = self._listen()
        except NetworkError as error:
            shown = f"{self.variables.address.host}:{self.variables.address.port}"
            self.run.error(f"Error: listen tcp {shown}: bind: {error.text}")
            return _FAILED
        except LookupError as error:
            self.run.error(f"Error: listen tcp: {error}")
            return _FAILED
        release = self.run.job.on_stop(self._killed)
        try:
            self._say_ready()
            self.ready.set()
            self.stopping.wait()
            self.run.job.check()
            self.runners.stop()
            return 0
        finally:
            release()
            self.stop()
            listener.close()
            self.pulls.stop()
            self._hang_up()

    def stop(self) -> None:
        """Ask it to end, as Ctrl-Break does: it unloads its models first."""
        self.stopping.set()
        self.ready.set()

    def _killed(self) -> None:
        # Whoever kills the server alone leaves its llama-server.exe behind; the end of a job takes all.
        parent = next((p.parent for p in list(self.run.windows.state.processes.values()) if p.pid == self.run.pid), 0)
        if self.run.windows.is_ending(parent):
            self.runners.stop()
        else:
            self.runners.abandon()
        self.stop()
        self._hang_up()

    def _hang_up(self) -> None:
        with self._connections_lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _make_key(self) -> None:
        drive = self.run.windows.drive
        key = f"{self.home}\\.ollama\\id_ed25519"
        try:
            if not drive.is_file(key):
                if not drive.is_directory(f"{self.home}\\.ollama"):
                    drive.make_directory(f"{self.home}\\.ollama")
                self.log("auth.go:47", f"Couldn't find '{key}'. Generating new private key.")
                drive.write(key, b"The twin's Ollama signs nothing: this file is no key.\r\n")
                drive.write(f"{key}.pub", b"The twin's Ollama signs nothing: this file is no key.\r\n")
        except Win32Error as error:
            self.log("auth.go:52", f"couldn't initialise key: {error.system}", "WARN")

    def _listen(self) -> Listener:
        address = self.variables.address
        return self.run.windows.network.listen(
            pid=self.run.pid,
            image=self.run.image,
            address=ANY if address.everywhere else self._resolve(address.host),
            port=address.port,
            serve=self._connected,
        )

    def _resolve(self, host: str) -> str:
        low = host.lower()
        if low in ("localhost", "::1"):
            return LOOPBACK
        if low == self.run.windows.state.hostname.lower():
            return LAN
        if not all(part.isdigit() for part in host.split(".")):
            raise LookupError(f"lookup {host}: no such host")
        return host

    def _say_ready(self) -> None:
        address, gpu = self.variables.address, self.run.windows.gpu
        shown = f"[::]:{address.port}" if address.everywhere else f"{self._resolve(address.host)}:{address.port}"
        self.log("routes.go:1898", f"Listening on {shown} (version {self.version})")
        self.log("runner.go:67", "discovering available GPUs...")
        total = gpu.total_mib * MIB if gpu.present else 0
        if gpu.present:
            self.log(
                "types.go:42",
                "inference compute",
                id=gpu.uuid,
                filter_id="",
                library="CUDA",
                compute="8.9",
                name=gpu.name,
                description=gpu.name,
                libdirs="ollama,cuda_v13",
                driver=gpu.cuda,
                pci_id="0000:01:00.0",
                type="discrete",
                total=f"{total / _GIB:.1f} GiB",
                available=f"{gpu.free_mib * MIB / _GIB:.1f} GiB",
            )
        else:
            self.log("types.go:60", "inference compute", id="cpu", library="cpu", compute="", name="cpu")
        self.log(
            "routes.go:1948",
            "vram-based default context",
            total_vram=f"{total / _GIB:.1f} GiB",
            default_num_ctx=default_context(gpu),
        )

    # --- requests ---

    def too_busy(self) -> bool:
        """Whether a request finds the queue full."""
        if self.busy > 0:
            self.busy -= 1
            return True
        return False

    def _connected(self, connection: socket.socket, peer: str) -> None:
        # The port is open a moment before the log says so, and nobody is answered before that.
        self.ready.wait()
        with self._connections_lock:
            if self.stopping.is_set():
                return
            self._connections.add(connection)
        try:
            serve(connection, peer, self.answer)
        finally:
            with self._connections_lock:
                self._connections.discard(connection)

    def answer(self, request: Request) -> Response:
        """Answer one request, with the line in the log that Gin writes for it."""
        response = self._answer(request)
        moment = self.clock.now().astimezone(logs.ZONE)
        line = f"[GIN] {moment:%Y/%m/%d - %H:%M:%S} | {response.status} | {'1ms':>13} | {request.peer:>15} | "
        self._write(f'{line}{request.method:<8} "{request.path}"')
        return response

    def _answer(self, request: Request) -> Response:
        hostname = self.run.windows.state.hostname
        if self.variables.address.loopback and not host_allowed(request.headers.get("host", ""), hostname):
            return Response(403, b"", "")
        api = self._openai if request.path.startswith("/v1/") else self._api
        try:
            return api.answer(request)
        except Gone:
            return Response(404, b"404 page not found", TEXT)
        except Win32Error as error:
            return as_json({"error": error.system}, 500)
