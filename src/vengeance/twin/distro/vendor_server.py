"""The https server that answers for the vendor's host name, seen only by the twin's distro."""

from __future__ import annotations

import http.server
from functools import partial
from http import HTTPStatus
from os import PathLike
from pathlib import Path

from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.vendor_repository import Vendor
from vengeance.twin.vendors.https_server import HttpsServer


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


class VendorServer:
    """Serves the vendor's repository at ``https://developer.download.nvidia.com`` on one address, port 443."""

    def __init__(self, vendor: Vendor, address: str, log: Path, port: int = 443) -> None:
        """Bind and start.

        address: an address of this machine that the distro reaches
        Raises DistroError when the port cannot be had.
        """
        handler = type("_Logging", (_Handler,), {"log_file": log})
        try:
            self._server = HttpsServer(
                address, port, partial(handler, directory=str(vendor.served)), vendor.certificates
            )
        except OSError as problem:
            raise DistroError(
                f"The vendor's package repository cannot be served at {address}:{port}: {problem.strerror}."
            ) from None

    def stop(self) -> None:
        """Close the port."""
        self._server.stop()
