"""An https server on one address of this machine, with a certificate of the throw-away authority."""

from __future__ import annotations

import http.server
import socket
import socketserver
import ssl
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from vengeance.twin.vendors.certificates import VendorCertificates


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    context: ssl.SSLContext

    def server_bind(self) -> None:
        # HTTPServer asks the name service for its own name here, which takes seconds where there is none.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def finish_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        # A handshake that fails is the client's to report; it happens here, in the client's own thread.
        if isinstance(request, socket.socket):
            with suppress(OSError), self.context.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no error."""


class HttpsServer:
    """Answers on one address until it is stopped."""

    def __init__(self, address: str, port: int, handler: Callable[..., Any], certificates: VendorCertificates) -> None:
        """Bind and start.

        port: 0 takes any free one
        handler: makes the handler of a request, as BaseHTTPRequestHandler is made
        Raises OSError when the port cannot be had.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # ssl loads from files only.
        with tempfile.NamedTemporaryFile(prefix="vg-tls-") as file:
            file.write(certificates.certificate + certificates.key)
            file.flush()
            context.load_cert_chain(file.name)
        self._server = _Server((address, port), handler)
        self._server.context = context
        self.address = (address, self._server.server_port)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name="https-server").start()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
