"""The vendors of one twin: their servers, what they give out, and how the twin's Windows finds and believes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vengeance.box.pins import pinned
from vengeance.twin.distro.cache import built_once, key_of
from vengeance.twin.ollama import package as ollama
from vengeance.twin.vendors import packages
from vengeance.twin.vendors.certificates import make_certificates
from vengeance.twin.vendors.https_server import HttpsServer
from vengeance.twin.vendors.proxy import Proxy
from vengeance.twin.vendors.site import FaultQueue, Site, host_of
from vengeance.twin.windows.state import WSL_PRODUCT_CODE, WSL_VERSION
from vengeance.twin.windows.web import Web

# Where a release of GitHub is redirected to; the real one carries a signature that expires.
ASSETS = "release-assets.githubusercontent.com"
WSL_URL = pinned("wsl", "url")
IMAGE_URL = pinned("distro", "url")
_OLLAMA = f"https://github.com/ollama/ollama/releases/download/v{ollama.VERSION}"
SETUP_URL = f"{_OLLAMA}/OllamaSetup.exe"
ZIP_URL = f"{_OLLAMA}/ollama-windows-amd64.zip"
PROXY = ("proxy.lan", 3128)
"""The proxy of the twin's home, as ``http://proxy.lan:3128``."""

MSI_BYTES = 400_000
SETUP_BYTES = 3_000_000


def build_packages(folder: Path) -> None:
    """Write what is small enough to be made: WSL's MSI, Ollama's installer and zip."""
    msi = {"product": "wsl", "version": WSL_VERSION, "product_code": WSL_PRODUCT_CODE}
    (folder / "wsl.msi").write_bytes(
        packages.package(
            packages.MSI,
            {**msi, "name": "Windows Subsystem for Linux", "publisher": "Microsoft Corporation"},
            MSI_BYTES,
            "Microsoft Corporation",
        )
    )
    setup = {"product": "ollama", "version": ollama.VERSION}
    (folder / "OllamaSetup.exe").write_bytes(
        packages.package(ollama.setup_bytes(ollama.VERSION), setup, SETUP_BYTES, "Ollama Inc.")
    )
    (folder / "ollama.zip").write_bytes(packages.archive(ollama.zip_files(ollama.VERSION)))


class Vendors:
    """The servers of the vendors, for one twin.

    site: what they have; proxy: of the home; served: URL -> SHA-256
    """

    def __init__(self, cache: Path, image: Path | None = None, faults: FaultQueue | None = None) -> None:
        """Build what is not in the cache, and start.

        cache: the folder shared by all twins; image: the distro's image, None where there is no distro
        faults: those that the hub of models shares with these servers
        Raises OSError when no port can be had.
        """
        sources = b"".join(Path(module.__file__ or "").read_bytes() for module in (packages, ollama))
        folder = built_once(cache / "packages", key_of(sources, Path(__file__).read_bytes()), build_packages)
        self.site = Site(queue=faults or FaultQueue())
        self.served: dict[str, str] = {}
        for url, name in ((WSL_URL, "wsl.msi"), (SETUP_URL, "OllamaSetup.exe"), (ZIP_URL, "ollama.zip")):
            assets = f"https://{ASSETS}/github-production-release-asset/{key_of(url)}?sp=r&rscd=attachment"
            self.served[url] = self.site.publish(url, folder / name, via=assets)
        if image is not None:
            self.served[IMAGE_URL] = self.site.publish(IMAGE_URL, image)
        names = sorted({ASSETS, *map(host_of, self.served)})
        self._certificates = make_certificates(*names)
        self._server = HttpsServer("127.0.0.1", 0, self.site.handler(), self._certificates)
        self._names = dict.fromkeys(names, self._server.address)
        self.proxy = Proxy(lambda name, port: self._names.get(name) if port == 443 else None)

    def publish(self, url: str, path: Path) -> str:
        """Give out another file at a host name that is there already; returns its SHA-256."""
        if host_of(url) not in self._names:
            raise ValueError(f"The twin's vendors have no server {host_of(url)}: there are {', '.join(self._names)}.")
        self.served[url] = self.site.publish(url, path)
        return self.served[url]

    def introduce(self, web: Web) -> None:
        """Let a Windows find the servers by their names, and believe their authority."""
        for name, address in self._names.items():
            web.names[name] = address
        web.proxies[PROXY] = self.proxy.address
        web.believe(self._certificates.authority)

    def faults(self) -> list[dict[str, Any]]:
        """The faults that can still hit, as JSON objects."""
        return [
            {"kind": "web", "how": one.how, "value": one.value, "times": one.times} for one in self.site.queue.all()
        ]

    def stop(self) -> None:
        """Close the ports."""
        self.site.ended.set()
        self._server.stop()
        self.proxy.stop()
