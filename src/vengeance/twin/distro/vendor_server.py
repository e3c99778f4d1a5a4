"""The https server that answers for the vendors' host names, seen only by the twin's distro."""

from __future__ import annotations

import http.server
from functools import partial
from http import HTTPStatus
from os import PathLike
from pathlib import Path

from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.vendor_repository import Vendor
from vengeance.twin.vendors.https_server import HttpsServer
from vengeance.twin.vendors.hub import HOSTS as HUB_HOSTS
from vengeance.twin.vendors.hub import Hub


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "vengeance-twin"
    timeout = 30
    log_file: Path
    hub: Hub

    def do_GET(self) -> None:
        """Answer a request for a file, or one for the hub of models."""
        if self._for_hub():
            self.hub.answer(self, body=True)
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        """Answer with the headers alone."""
        if self._for_hub():
            self.hub.answer(self, body=False)
        else:
            super().do_HEAD()

    def _for_hub(self) -> bool:
        return self.headers.get("Host", "").partition(":")[0] in HUB_HOSTS

    def list_directory(self, path: str | PathLike[str]) -> None:
        self.send_error(HTTPStatus.NOT_FOUND, "The twin's stand-in for the vendor lists no folders")

    def log_message(self, format: str, *values: object) -> None:
        with self.log_file.open("a", encoding="utf-8") as file:
            file.write(f"{self.log_date_time_string()} {format % values}\n")


class VendorServer:
    """Serves ``https://developer.download.nvidia.com`` and ``https://huggingface.co`` on one address, port 443."""

    def __init__(self, vendor: Vendor, hub: Hub, address: str, log: Path, port: int = 443) -> None:
        """Bind and start.

        vendor: the repository of packages; hub: the models
        address: an address of this machine that the distro reaches
        Raises DistroError when the port cannot be had.
        """
        handler = type("_Logging", (_Handler,), {"log_file": log, "hub": hub})
        try:
            self._server = HttpsServer(
                address, port, partial(handler, directory=str(vendor.served)), vendor.certificates
            )
        except OSError as problem:
            raise DistroError(
                f"The vendors' packages and models cannot be served at {address}:{port}: {problem.strerror}."
            ) from None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.address[1]

    def stop(self) -> None:
        """Close the port."""
        self._server.stop()
