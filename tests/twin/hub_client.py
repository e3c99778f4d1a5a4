"""The hub of the twin on this machine's loopback, and Python programs that find it at its real name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vengeance.twin.distro.settings import cache_folder
from vengeance.twin.distro.vendor_repository import Vendor
from vengeance.twin.distro.vendor_server import VendorServer
from vengeance.twin.vendors.certificates import make_certificates
from vengeance.twin.vendors.hub import HOSTS, Hub

# Name lookups are the one thing that is bent: the hub's names lead to the port that the test has.
_SENT_THERE = """\
import os, socket
there = ("127.0.0.1", int(os.environ["HUB_PORT"]))
real = socket.getaddrinfo
def getaddrinfo(host, port, *rest, **named):
    name = host.decode() if isinstance(host, bytes) else host
    if name in os.environ["HUB_NAMES"].split():
        host, port = there
    return real(host, port, *rest, **named)
socket.getaddrinfo = getaddrinfo
"""


@dataclass
class HubClient:
    """A hub and its clients.

    folder: their home; library: where another ``huggingface_hub`` than the installed one lies
    """

    hub: Hub
    folder: Path
    port: int
    library: Path | None

    @property
    def hf_home(self) -> Path:
        """Where they keep models."""
        return self.folder / "hf"

    def start(self, program: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a Python program that finds the hub as https://huggingface.co."""
        bundle = str(self.folder / "authority.pem")
        path = [str(self.folder / "site"), *([str(self.library)] if self.library is not None else [])]
        process = subprocess.Popen(
            [sys.executable, "-", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "HF_HOME": str(self.hf_home),
                "HF_HUB_DISABLE_XET": "1",
                "PYTHONPATH": ":".join(path),
                "REQUESTS_CA_BUNDLE": bundle,
                "SSL_CERT_FILE": bundle,
                "HUB_PORT": str(self.port),
                "HUB_NAMES": " ".join(HOSTS),
                **environment,
            },
        )
        assert process.stdin is not None
        process.stdin.write(program)
        process.stdin.close()
        process.stdin = None
        return process

    def run(self, program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one to its end."""
        process = self.start(program, *arguments, **environment)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess([], process.returncode, out, err)

    def asked(self, method: str, part: str) -> list[tuple[int, str | None]]:
        """Status and range of the requests whose address has this part."""
        return [(one.status, one.range) for one in self.hub.requests if one.method == method and part in one.url]


@contextmanager
def hub_client(folder: Path, library: Path | None = None) -> Iterator[HubClient]:
    """A hub of its own."""
    certificates = make_certificates(*HOSTS)
    (folder / "authority.pem").write_bytes(certificates.authority)
    (folder / "site").mkdir()
    (folder / "site/sitecustomize.py").write_text(_SENT_THERE, encoding="utf-8")
    (folder / "packages").mkdir()
    hub = Hub.of(cache_folder())
    server = VendorServer(Vendor(certificates, folder / "packages"), hub, "127.0.0.1", folder / "log", port=0)
    try:
        yield HubClient(hub, folder, server.port, library)
    finally:
        hub.ended.set()
        server.stop()
