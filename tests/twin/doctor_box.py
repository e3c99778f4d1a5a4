"""A deployed box whose Windows lives in this process, so that any fault can be planted in its state and taken back."""

from __future__ import annotations

import contextlib
import copy
import fcntl
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.config import Config
from pyinfra.api.state import State

from tests.twin_deploys import ROOT, TWIN, run_pyinfra
from tests.waiting import eventually
from vengeance.doctor.box import Box
from vengeance.doctor.findings import Finding
from vengeance.doctor.walk import Looked, walk
from vengeance.operations.stage import same_machine
from vengeance.twin.client import Twin
from vengeance.twin.daemon import Daemon
from vengeance.twin.distro.host import outside_prefix
from vengeance.twin.distro.ladder import BOOTS, NONE, rung, survey
from vengeance.twin.windows.scripts import MODELS
from vengeance.verify import inventory

DISTRO = "Ubuntu-24.04"
Changes = dict[str, dict[str, Any]]
"""``windows`` and ``inside`` -> settings that are declared otherwise."""


class Patient:
    """A twin of this process, deployed."""

    def __init__(self, name: str) -> None:
        self.twin = Twin(name)
        folder = self.twin.folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = (folder / "daemon.lock").open("a+")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()
        self.daemon = Daemon(name, folder, True)
        self._control = self.daemon.listen()

    @property
    def windows(self) -> Any:
        """Its Windows."""
        return self.daemon.windows

    @property
    def registry(self) -> Any:
        """The registry of its Windows."""
        return self.daemon.windows.registry

    @property
    def user_key(self) -> str:
        """The hive of the account."""
        return f"HKU\\{self.daemon.windows.state.sid('Steam')}"

    def deploy(self) -> None:
        """Everything that a deploy brings."""
        done = run_pyinfra(self.twin.name, "deploys/vengeance.py", "--yes")
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"[-6000:]

    def close(self) -> None:
        """End it."""
        self.daemon.stopped.set()
        self.daemon.run()
        self._control.close()
        self._lock.close()

    def inside(self, script: str) -> str:
        """Run a shell script in the distro, past WinRM and wsl.exe; what it prints."""
        command = [*outside_prefix(self.twin.folder, "root"), "sh", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def running(self) -> bool:
        """Whether the distro runs, by this machine's own tools."""
        with contextlib.suppress(Exception):
            outside_prefix(self.twin.folder, "root")
            return True
        return False

    def examined(self, changes: Changes | None = None) -> list[Looked]:
        """Walk along the chain with settings that differ from those of the inventory."""
        before = os.environ.get("VENGEANCE_TWIN")
        os.environ["VENGEANCE_TWIN"] = self.twin.name
        try:
            known = inventory.load(TWIN, ROOT / "group_data")
        finally:
            if before is None:
                del os.environ["VENGEANCE_TWIN"]
            else:
                os.environ["VENGEANCE_TWIN"] = before
        (windows,) = known.get_group("windows")
        (distro,) = known.get_group("wsl")
        for host, side in ((windows, "windows"), (distro, "inside")):
            for name, value in (changes or {}).get(side, {}).items():
                setattr(host.data, name, value)
        state = State(known, Config())  # type: ignore[no-untyped-call]
        assert same_machine(windows, distro)
        settings, inside = (host.data.dict() for host in (windows, distro))  # type: ignore[no-untyped-call]
        box = Box(windows, distro, TWIN, settings, inside)
        try:
            return walk(box)
        finally:
            del state

    def found(self, changes: Changes | None = None) -> list[Finding]:
        """The findings of that."""
        return [finding for one in self.examined(changes) for finding in one.findings]

    @contextlib.contextmanager
    def answering(self, script: str, change: Callable[[Any, dict[str, Any]], Any]) -> Iterator[None]:
        """Have the twin's Windows answer a script otherwise: ``change`` gets the answer and the question."""
        real = MODELS[script]

        def other(run: Any, given: Any) -> Any:
            answer = copy.deepcopy(real(run, given))
            changed = change(answer, dict(given))
            return answer if changed is None else changed

        MODELS[script] = other
        try:
            yield
        finally:
            MODELS[script] = real

    @contextlib.contextmanager
    def value(self, key: str, name: str, data: Any, kind: str = "String") -> Iterator[None]:
        """Have a value of the registry another one, None for none."""
        before = self.registry.get(key, name)
        self.registry.delete(key, name)
        if data is not None:
            self.registry.set(key, name, data, kind)
        try:
            yield
        finally:
            self.registry.delete(key, name)
            if before is not None:
                self.registry.set(key, name, before.data, before.kind)

    @contextlib.contextmanager
    def done_inside(self, do: str, undo: str) -> Iterator[None]:
        """Do something in the distro, and take it back."""
        self.inside(do)
        try:
            yield
        finally:
            self.inside(undo)

    @contextlib.contextmanager
    def file(self, path: str, data: bytes) -> Iterator[None]:
        """Have a file on C: with other bytes, or one that was not there; ``path`` from the drive's root on, with /."""
        place = self.twin.drive_c / path
        before = place.read_bytes() if place.exists() else None
        made = [parent for parent in place.parents if not parent.exists()]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        try:
            yield
        finally:
            if before is None:
                place.unlink()
                for folder in made:
                    folder.rmdir()
            else:
                place.write_bytes(before)

    @contextlib.contextmanager
    def server(self, profile: str) -> Iterator[None]:
        """Have the server of a profile run and answer."""
        unit = f"vllm-{profile}.service"
        self.inside(f"systemctl start {unit}")
        health = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/health || true"
        eventually(lambda: self.inside(health) == "200", "a server that answers", seconds=60)
        try:
            yield
        finally:
            self.inside(f"systemctl stop {unit}")


@contextlib.contextmanager
def patient(name: str) -> Iterator[Patient]:
    """A deployed box; skips where this machine cannot have a distro that boots in this process."""
    probe = Twin(name).folder
    probe.mkdir(mode=0o700, parents=True, exist_ok=True)
    reached = rung(survey(probe / "probe"))
    if reached == NONE or reached not in BOOTS:
        pytest.skip("needs namespaces and a writable cgroup tree, which this machine does not give")
    one = Patient(name)
    try:
        one.deploy()
        yield one
    finally:
        one.close()


class Relay:
    """Takes TLS with a certificate of its own and hands what comes on to a port of TLS behind it."""

    def __init__(self, certificate: Path, key: Path, port: int) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._behind = ssl.create_default_context()
        self._behind.check_hostname = False
        self._behind.verify_mode = ssl.CERT_NONE
        self._port = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no longer."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            self._context.wrap_socket(connection, server_side=True) as front,
            self._behind.wrap_socket(socket.create_connection(("127.0.0.1", self._port))) as back,
        ):
            back_again = threading.Thread(target=_pour, args=(back, front), daemon=True)
            back_again.start()
            _pour(front, back)
            back_again.join()


def _pour(source: ssl.SSLSocket, target: ssl.SSLSocket) -> None:
    """Hand on what comes until it ends, and hang up on both sides."""
    with contextlib.suppress(OSError, ValueError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        with contextlib.suppress(OSError):
            socket.socket.shutdown(each, socket.SHUT_RDWR)
