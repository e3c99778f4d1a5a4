"""A proxy that opens tunnels (CONNECT), as a home or an office has one; it knows only the vendors' names."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress

_PIECE = 65536


class Proxy:
    """Listens on 127.0.0.1; ``tunnels`` are the names and ports that it was asked for.

    find: where a name and port really are, None when it does not know them
    """

    def __init__(self, find: Callable[[str, int], tuple[str, int] | None]) -> None:
        self.tunnels: list[str] = []
        tunnels = self.tunnels

        class _Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                words = self.rfile.readline(65536).decode("latin-1").split()
                while self.rfile.readline(65536).strip():
                    pass
                if len(words) != 3 or words[0] != "CONNECT":
                    self.wfile.write(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
                    return
                name, _, port = words[1].rpartition(":")
                tunnels.append(words[1])
                place = find(name, int(port))
                if place is None:
                    self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                    return
                with suppress(OSError), socket.create_connection(place, 20) as other:
                    other.settimeout(None)
                    self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    back = threading.Thread(target=_pour, args=(other, self.connection), daemon=True)
                    back.start()
                    _pour(self.connection, other)
                    back.join()

        class _Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._server = _Server(("127.0.0.1", 0), _Handler)
        self.address = ("127.0.0.1", int(self._server.server_address[1]))
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name="proxy").start()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()


def _pour(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_PIECE):
            target.sendall(data)
    for end, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with suppress(OSError):
            end.shutdown(how)
