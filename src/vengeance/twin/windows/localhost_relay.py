"""WSL's localhost forwarding: what listens in the distro is reached at the box's 127.0.0.1, by wslrelay.exe.

TCP only, whether it listens on 0.0.0.0 or on 127.0.0.1 there, and for programs of the box alone (microsoft/WSL,
localhost relay). The address that the distro has at the moment does not matter, which is why a portproxy to 127.0.0.1
works after the distro has got another one.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Protocol

from vengeance.twin.forwarding import carry
from vengeance.twin.windows.network import LOOPBACK, Listener, NetworkError

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows

PROGRAM = "C:\\Program Files\\WSL\\wslrelay.exe"
PID = 9012
# How often it is looked for new listeners; in WSL the kernel tells.
_SECONDS = 0.25


class Guests(Protocol):
    """The distros that run."""

    def listening(self) -> set[int]:
        """TCP ports that something in one of them listens on."""

    @property
    def shares_network(self) -> bool:
        """Whether their network is this machine's own."""

    def reach(self, port: int) -> socket.socket:
        """Connect to such a port; OSError when nobody answers."""


class LocalhostRelay:
    """The relay of one Windows."""

    def __init__(self, windows: Windows, guests: Guests | None = None) -> None:
        self._windows = windows
        self._guests = guests
        self._lock = threading.Lock()
        self._listeners: dict[int, Listener] = {}
        self._ended = threading.Event()
        if guests is not None:
            windows.network.before_connect.append(self.look)
            windows.network.beyond = self._beyond
            windows.at_boot.append(self._start)
            windows.at_shutdown.append(self._stop)

    def _start(self) -> None:
        self._ended = ended = threading.Event()

        def watch() -> None:
            while not ended.wait(_SECONDS):
                self.look()

        threading.Thread(target=watch, name="wslrelay", daemon=True).start()

    def _stop(self) -> None:
        self._ended.set()
        with self._lock:
            self._listeners.clear()

    def look(self) -> None:
        """Listen for what listens in the distros now."""
        if self._guests is None or self._ended.is_set():
            return
        wanted = self._guests.listening()
        with self._lock:
            for port in [port for port in self._listeners if port not in wanted]:
                self._listeners.pop(port).close()
            for port in wanted - set(self._listeners):
                try:
                    self._listeners[port] = self._windows.network.listen(
                        pid=PID,
                        image=PROGRAM,
                        address=LOOPBACK,
                        port=port,
                        serve=lambda connection, peer, port=port: self._forward(connection, port),  # type: ignore[misc]
                    )
                except (NetworkError, OSError):
                    # Somebody on the box has it: then the distro's is not reached, as in WSL.
                    continue

    def _beyond(self, port: int) -> socket.socket:
        """Where the distros share this machine's network there is nothing to see, only to try."""
        if self._guests is None or not self._guests.shares_network:
            raise OSError
        return self._guests.reach(port)

    def _forward(self, connection: socket.socket, port: int) -> None:
        if self._guests is None:
            return
        try:
            other = self._guests.reach(port)
        except OSError:
            return
        with other:
            carry(connection, other)
