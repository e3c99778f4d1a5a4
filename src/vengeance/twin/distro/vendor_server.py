"""The https server that answers for the vendor's host name, seen only by the twin's distro."""

from __future__ import annotations

import http.server
import socketserver
import ssl
import threading
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from vengeance.twin.distro.errors import DistroError


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "vengeance-twin"
    timeout = 30

    def __init__(self, *arguments: Any, log: Path, **named: Any) -> None:
        self._log = log
        super().__init__(*arguments, **named)

    def list_directory(self, path: Any) -> None:
        self.send_error(HTTPStatus.NOT_FOUND, "The twin's stand-in for the vendor lists no folders")

    def log_message(self, format: str, *values: Any) -> None:
        with self._log.open("a", encoding="utf-8") as file:
            file.write(f"{self.log_date_time_string()} {format % values}\n")


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    # A certificate check that fails on the client's side is the client's to report.
    context: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            with self.context.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)
        except (OSError, ssl.SSLError):
            pass

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error."""


class VendorServer:
    """Serves the folder ``vendor/srv`` at ``https://developer.download.nvidia.com`` on one address, port 443."""

    def __init__(self, vendor: Path, address: str, log: Path, port: int = 443) -> None:
        """Bind and start.

        vendor: the folder made by ``vendor_folder``
        address: an address of this machine that the distro reaches
        Raises DistroError when the port cannot be had.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(vendor / "server.crt", vendor / "server.key")
        handler = partial(_Handler, directory=str(vendor / "srv"), log=log)
        try:
            self._server = _Server((address, port), handler)
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
