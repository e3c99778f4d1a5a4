"""Name service for a distro with a network of its own, where this machine's name server listens on loopback only.

That is so with systemd-resolved, dnsmasq and inside Docker: 127.0.0.53 or 127.0.0.11 mean somebody else in there.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress

from vengeance.twin.distro.errors import DistroError

_PATIENCE = 5.0  # seconds, what a resolver waits by itself


def reachable_servers(servers: Sequence[str]) -> list[str]:
    """Those of a resolv.conf's servers that a distro with its own network can ask itself."""
    return [server for server in servers if not server.startswith("127.") and server != "::1"]


class _Datagrams(socketserver.ThreadingUDPServer):
    daemon_threads = True
    block_on_close = False
    upstream: tuple[str, int]

    def handle_error(self, request: object, client_address: object) -> None:
        """A question that was not answered stays unanswered; the resolver asks again."""


class _DatagramHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        question, sock = self.request
        server = self.server
        if isinstance(server, _Datagrams):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ask:
                ask.settimeout(_PATIENCE)
                ask.connect(server.upstream)
                ask.send(question)
                sock.sendto(ask.recv(65535), self.client_address)


class _Streams(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    upstream: tuple[str, int]

    def handle_error(self, request: object, client_address: object) -> None:
        """As with datagrams."""


class _StreamHandler(socketserver.StreamRequestHandler):
    timeout = int(_PATIENCE)

    def handle(self) -> None:
        server = self.server
        if not isinstance(server, _Streams):
            return
        with socket.create_connection(server.upstream, _PATIENCE) as ask, ask.makefile("rb") as answers:
            while head := self.rfile.read(2):
                ask.sendall(head + self.rfile.read(struct.unpack(">H", head)[0]))
                head = answers.read(2)
                self.wfile.write(head + answers.read(struct.unpack(">H", head)[0]))


class DnsRelay:
    """Answers on one address of this machine with what the machine's own name server says."""

    def __init__(self, address: str, upstream: str, port: int = 53, upstream_port: int = 53) -> None:
        """Bind and start; raises DistroError when the port cannot be had."""
        try:
            self._datagrams = _Datagrams((address, port), _DatagramHandler)
            self._streams = _Streams((address, self._datagrams.server_address[1]), _StreamHandler)
        except OSError as problem:
            raise DistroError(
                f"Name service for the distro cannot listen on {address}:{port}: {problem.strerror}."
            ) from None
        for server in (self._datagrams, self._streams):
            server.upstream = (upstream, upstream_port)
            threading.Thread(target=server.serve_forever, daemon=True, name="dns-relay").start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._datagrams.server_address[1])

    def stop(self) -> None:
        """Close the ports."""
        for server in (self._datagrams, self._streams):
            with suppress(OSError):
                server.shutdown()
                server.server_close()
