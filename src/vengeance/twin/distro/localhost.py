"""WSL's localhost forwarding: a port of this machine's loopback that leads to the distro's loopback.

In WSL wslrelay.exe does this for every TCP port that something in the distro listens on (0.0.0.0 or 127.0.0.1, no
UDP). The twin does it for the ports it is asked for, because here the ports belong to somebody's real machine.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.network import NatNetwork
from vengeance.twin.forwarding import carry

_CLONE_NEWNET = 0x40000000
_LISTENING = "0A"


def listening_ports(leader: int) -> set[int]:
    """The TCP ports that something in the network of this process listens on, IPv4 and IPv6."""
    ports: set[int] = set()
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/{leader}/net/{name}").read_text(encoding="ascii").splitlines()[1:]:
                words = line.split()
                if words[3] == _LISTENING:
                    ports.add(int(words[1].rsplit(":", 1)[1], 16))
    return ports


class LocalhostForward:
    """One forwarded port; it lives until ``stop``, also while the distro does not run (connections then fail)."""

    def __init__(self, network: NatNetwork, guest_port: int, host_port: int = 0) -> None:
        """Listen on 127.0.0.1; ``host_port`` 0 takes any free one. Raises DistroError when it is taken."""
        self._network = network
        self._guest_port = guest_port
        try:
            self._listener = socket.create_server(("127.0.0.1", host_port))
        except OSError as problem:
            raise DistroError(f"Port {host_port} on 127.0.0.1 cannot be forwarded: {problem.strerror}.") from None
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True, name="localhost-forward").start()

    def stop(self) -> None:
        """Close the port; connections that run end by themselves."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                ours, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(ours,), daemon=True, name="localhost-relay").start()

    def _serve(self, ours: socket.socket) -> None:
        with ours:
            try:
                theirs = self._connect()
            except OSError:
                return  # wslrelay closes the connection too when nobody listens
            with theirs:
                carry(ours, theirs)

    def _connect(self) -> socket.socket:
        return connect_inside(self._network, self._guest_port)


def connect_inside(network: NatNetwork, port: int) -> socket.socket:
    """A connection made inside the distro's network; the calling thread changes over to it, and must end soon."""
    handle = os.open(network.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(handle)
    return socket.create_connection(("127.0.0.1", port), 10)
