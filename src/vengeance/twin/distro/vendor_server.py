"""The https server that answers for the vendor's host name, seen only by the twin's distro."""

from __future__ import annotations

import http.server
import socket
import socketserver
import ssl
import tempfile
import threading
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from os import PathLike
from pathlib import Path

from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.vendor_repository import Vendor


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "vengeance-twin"
    timeout = 30
    log_file: Path

    def list_directory(self, path: str | PathLike[str]) -> None:
        self.send_error(HTTPStatus.NOT_FOUND, "The twin's stand-in for the vendor lists no folders")

    def log_message(self, format: str, *values: object) -> None:
        with self.log_file.open("a", encoding="utf-8") as file:
            file.write(f"{self.log_date_time_string()} {format % values}\n")


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


class VendorServer:
    """Serves the vendor's repository at ``https://developer.download.nvidia.com`` on one address, port 443."""

    def __init__(self, vendor: Vendor, address: str, log: Path, port: int = 443) -> None:
        """Bind and start.

        address: an address of this machine that the distro reaches
        Raises DistroError when the port cannot be had.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # ssl loads from files only.
        with tempfile.NamedTemporaryFile(prefix="vg-tls-") as file:
            file.write(vendor.certificates.certificate + vendor.certificates.key)
            file.flush()
            context.load_cert_chain(file.name)
        handler = type("_Logging", (_Handler,), {"log_file": log})
        try:
            self._server = _Server((address, port), partial(handler, directory=str(vendor.served)))
        except OSError as problem:
            raise DistroError(
                f"The vendor's package repository cannot be served at {address}:{port}: {problem.strerror}."
            ) from None
        self._server.context = context
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True, name="vendor-server")
        self._thread.start()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
