"""The WinRM server of the twin: listeners for http and https, and a thread for each connection."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import struct
import threading
from dataclasses import dataclass
from pathlib import Path

from vengeance.twin.process import Launcher
from vengeance.twin.wsman.accounts import Accounts
from vengeance.twin.wsman.certificate import Certificate, ensure_certificate
from vengeance.twin.wsman.config import config_xml
from vengeance.twin.wsman.connection import Connection, Endpoint
from vengeance.twin.wsman.faults import FaultPlan
from vengeance.twin.wsman.limits import Limits
from vengeance.twin.wsman.log import RequestLog
from vengeance.twin.wsman.service import ShellService
from vengeance.twin.wsman.shells import Shells

_REAP_SECONDS = 0.5
_HANDSHAKE_SECONDS = 10.0


@dataclass(frozen=True)
class ListenSettings:
    """Where the server listens.

    folder: where the https certificate is kept
    http_port, https_port: TCP ports; 0 chooses one, None leaves the listener out
    address: of this machine only, because the twin is no server for others
    hostname: name in the certificate
    """

    folder: Path
    http_port: int | None = 0
    https_port: int | None = 0
    address: str = "127.0.0.1"
    hostname: str = "VENGEANCE"


class _Listener:
    """A listening port that can be taken away for a while."""

    def __init__(self, address: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.address = address
        self.port = port
        self.tls = tls
        self._sock: socket.socket | None = None
        self._lock = threading.Lock()

    def open(self) -> socket.socket:
        with self._lock:
            if self._sock is None:
                sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                try:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    sock.bind((self.address, self.port))
                    sock.listen(128)
                except OSError:
                    sock.close()
                    raise
                self.port = sock.getsockname()[1]
                self._sock = sock
            return self._sock

    def close(self) -> None:
        with self._lock:
            sock, self._sock = self._sock, None
        if sock is not None:
            # shutdown wakes the thread in accept(), which close alone does not
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


class WsmanServer:
    """The WinRM service.

    listen: ports and folder; accounts: who may sign in; launcher: starts the programs of the commands
    faults, log, limits: may be read and changed by the caller while the server runs
    """

    def __init__(
        self,
        listen: ListenSettings,
        accounts: Accounts,
        launcher: Launcher,
        faults: FaultPlan | None = None,
        log: RequestLog | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._listen = listen
        self.accounts = accounts
        self.faults = faults if faults is not None else FaultPlan()
        self.log = log if log is not None else RequestLog()
        self.limits = limits if limits is not None else Limits()
        self._launcher = launcher
        self._ports = {"http": listen.http_port, "https": listen.https_port}
        self._certificate: Certificate | None = None
        self._listeners: list[_Listener] = []
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._numbers = itertools.count(1)
        self._shells = Shells(self.limits)
        self.faults.watch_refusal(self._refuse)

    @property
    def http_port(self) -> int | None:
        """The port of the http listener, None when there is none."""
        return self._ports["http"]

    @property
    def https_port(self) -> int | None:
        """The port of the https listener, None when there is none."""
        return self._ports["https"]

    @property
    def certificate(self) -> Certificate:
        """The https certificate."""
        if self._certificate is None:
            self._certificate = ensure_certificate(self._listen.folder, self._listen.hostname)
        return self._certificate

    @property
    def certificate_sha256(self) -> str:
        """SHA-256 of the certificate's DER form, lower-case hex."""
        return self.certificate.sha256

    @property
    def shells(self) -> Shells:
        """The open shells."""
        return self._shells

    def start(self) -> None:
        """Open the ports and serve; after a stop() on the same ports. OSError when a port is taken."""
        if self._listeners:
            return
        self._stopping = threading.Event()
        self._shells = Shells(self.limits)
        service = ShellService(
            self._launcher,
            self.limits,
            self._shells,
            lambda: config_xml(self.limits, self.http_port, self.https_port),
        )
        endpoint = Endpoint(self.accounts, self.limits, self.faults, self.log, service)
        listeners: list[_Listener] = []
        try:
            for scheme, port in self._ports.items():
                if port is None:
                    continue
                listener = _Listener(self._listen.address, port, self._tls() if scheme == "https" else None)
                listener.open()
                listeners.append(listener)
                self._ports[scheme] = listener.port
        except OSError as error:
            for listener in listeners:
                listener.close()
            raise OSError(
                error.errno,
                f"The twin's WinRM server cannot listen on {self._listen.address}:{port}: {error.strerror}. "
                "Stop what uses the port, or choose another one.",
            ) from error
        self._listeners = listeners
        for listener in listeners:
            self._spawn(self._accept, listener, endpoint, self._stopping)
        self._spawn(self._reap, self._shells, self._stopping)

    def stop(self) -> None:
        """Close the ports, cut every connection, kill every shell: what a reboot does to clients."""
        self._stopping.set()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.close()
        with self._lock:
            sockets, threads = list(self._sockets), self._threads
            self._threads = []
        for sock in sockets:
            with contextlib.suppress(OSError):
                # the plain socket's shutdown: that of an SSLSocket would take TLS away from under its thread
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        self._shells.close()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(timeout=2)

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate.certificate, self.certificate.key)
        return context

    def _spawn(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        with self._lock:
            self._threads = [other for other in self._threads if other.is_alive()]
            self._threads.append(thread)
        thread.start()

    def _refuse(self) -> None:
        for listener in self._listeners:
            listener.close()

    def _accept(self, listener: _Listener, endpoint: Endpoint, stopping: threading.Event) -> None:
        while not stopping.is_set():
            if self.faults.refused_for() > 0:
                listener.close()
                stopping.wait(min(0.02, self.faults.refused_for()))
                continue
            try:
                sock, peer = listener.open().accept()
            except OSError:
                stopping.wait(0.02)
                continue
            if self.faults.refused_for() > 0:
                _reset(sock)
                continue
            if stopping.is_set():
                sock.close()
                return
            self._spawn(self._serve, sock, peer[0], listener.tls, endpoint)

    def _serve(self, sock: socket.socket, peer: str, tls: ssl.SSLContext | None, endpoint: Endpoint) -> None:
        self.log.connection_opened()
        with self._lock:
            self._sockets.add(sock)
        plain = sock
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                sock.settimeout(_HANDSHAKE_SECONDS)
                sock = tls.wrap_socket(sock, server_side=True)
                with self._lock:
                    self._sockets.discard(plain)
                    self._sockets.add(sock)
            Connection(sock, peer, next(self._numbers), tls is not None, endpoint).serve()
        except OSError:
            pass  # a client that does not like the certificate, or has gone during the handshake
        finally:
            with self._lock:
                self._sockets.discard(plain)
                self._sockets.discard(sock)
            sock.close()

    def _reap(self, shells: Shells, stopping: threading.Event) -> None:
        while not stopping.wait(_REAP_SECONDS):
            shells.reap()


def _reset(sock: socket.socket) -> None:
    """Close a connection with a TCP reset, as near to a refusal as an accepted connection can get."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
