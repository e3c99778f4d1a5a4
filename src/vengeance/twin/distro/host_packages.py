"""How this machine reaches packages: apt's mirror and options, certificates, pip's settings.

They are read when a twin is built or started and go into the twin's own files only.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from vengeance.twin.distro.programs import plain_environment

_CERTIFICATES = Path("/usr/local/share/ca-certificates")
# What pip needs to reach packages; anything else in the host's pip configuration is the host's own affair.
_PIP_SINGLE = ("index-url", "proxy", "timeout", "retries", "disable-pip-version-check")
_PIP_LISTS = ("extra-index-url", "trusted-host", "find-links")


@dataclass(frozen=True)
class Mirrors:
    """Addresses of a Debian archive and of its security archive; None where the host names none."""

    main: str | None
    security: str | None


def host_mirrors(apt_folder: Path = Path("/etc/apt"), os_release: Path = Path("/etc/os-release")) -> Mirrors:
    """The mirrors this host's apt uses, if the host is a Debian; another distribution's mirror holds no Debian."""
    try:
        identity = os_release.read_text(encoding="utf-8")
    except OSError:
        return Mirrors(None, None)
    if not any(line.strip() in ("ID=debian", 'ID="debian"') for line in identity.splitlines()):
        return Mirrors(None, None)
    entries: list[tuple[str, str]] = []
    for file in [apt_folder / "sources.list", *sorted((apt_folder / "sources.list.d").glob("*"))]:
        try:
            text = file.read_text(encoding="utf-8")
        except OSError:
            continue
        if file.suffix == ".sources":
            entries += _deb822(text)
        elif file.suffix == ".list":
            entries += _one_line(text)
    main = next((uri for uri, suite in entries if "security" not in suite), None)
    security = next((uri for uri, suite in entries if "security" in suite), None)
    return Mirrors(main, security)


def _deb822(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for stanza in text.split("\n\n"):
        fields: dict[str, str] = {}
        for line in stanza.splitlines():
            name, colon, value = line.partition(":")
            if colon and not line.startswith(("#", " ", "\t")):
                fields[name.strip().lower()] = value.strip()
        if "deb" in fields.get("types", "").split() and "main" in fields.get("components", "").split():
            if fields.get("enabled", "yes").lower() in ("no", "false"):
                continue
            uris = [uri for uri in fields.get("uris", "").split() if uri.startswith(("http:", "https:"))]
            if uris:
                found += [(uris[0], suite) for suite in fields.get("suites", "").split()]
    return found


def _one_line(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if len(words) < 4 or words[0] != "deb":
            continue
        if words[1].startswith("["):
            while words[1:] and not words[1].endswith("]"):
                del words[1]
            del words[1:2]
        if len(words) > 3 and words[1].startswith(("http:", "https:")) and "main" in words[3:]:
            found.append((words[1], words[2]))
    return found


def apt_options() -> str:
    """The lines of the host's apt configuration that decide whether a mirror is reached and believed.

    A host whose clock is ahead of its mirror has ``Acquire::Check-*`` switched off; without that the update
    suites fail inside the distro too. On an ordinary machine this is empty.
    """
    try:
        dump = subprocess.run(
            ["apt-config", "dump"],
            capture_output=True,
            text=True,
            env=plain_environment(),
            check=False,
            timeout=30,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    kept = [line for line in dump.splitlines() if _decides_access(line)]
    return "".join(f"{line}\n" for line in kept)


def _decides_access(line: str) -> bool:
    name = line.split(" ")[0]
    if name.startswith(("Acquire::Check-", "Acquire::https::", "Acquire::Retries")):
        return not line.endswith(' "";')
    return name.startswith("Acquire::") and name.endswith("::Proxy") and not line.endswith(' "";')


def host_certificates(folder: Path = _CERTIFICATES) -> dict[str, bytes]:
    """The extra certificate authorities that the host trusts, by file name; empty on an ordinary machine."""
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*.crt")) if file.is_file()}


def pip_settings() -> dict[str, str]:
    """The host pip's settings that decide where packages come from: files and PIP_* variables together."""
    try:
        listing = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return parse_pip_listing(listing)


def parse_pip_listing(listing: str) -> dict[str, str]:
    """Settings out of ``pip config list``; a variable beats ``install.`` and that beats ``global.``, as in pip."""
    ranked: dict[str, tuple[int, str]] = {}
    for line in listing.splitlines():
        name, equals, value = line.partition("=")
        section, _, option = name.strip().rpartition(".")
        if option == "default-timeout":
            option = "timeout"
        rank = {"global": 0, "install": 1, ":env:": 2}.get(section, -1)
        if not equals or rank < 0 or option not in (*_PIP_SINGLE, *_PIP_LISTS):
            continue
        text = value.strip()
        if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
            text = text[1:-1].replace("\\n", " ")
        if option not in ranked or ranked[option][0] <= rank:
            ranked[option] = (rank, text)
    return {option: value for option, (_, value) in ranked.items()}


def local_folders(settings: dict[str, str]) -> list[Path]:
    """The folders of this machine that pip's settings point to and that exist, to be mounted in the distro."""
    folders: list[Path] = []
    for option in ("index-url", *_PIP_LISTS):
        for place in settings.get(option, "").split():
            folder = _local(place)
            if folder is not None and folder.is_dir() and folder not in folders:
                folders.append(folder)
    return folders


def _local(place: str) -> Path | None:
    if place.startswith("file:"):
        path = Path(unquote(urlsplit(place).path))
        # The pages of a simple index point to files beside it.
        return path.parent if path.name == "simple" else path
    return Path(place) if place.startswith("/") else None


def pip_configuration(settings: dict[str, str], wheels: str, reachable: Callable[[Path], bool]) -> str:
    """The text of the distro's ``/etc/pip.conf``.

    wheels: folder inside the distro with the twin's own wheels
    reachable: whether a folder of this machine can be seen inside the distro; those that cannot are left out
    """
    kept: dict[str, str] = {"cert": "/etc/ssl/certs/ca-certificates.crt"}
    for option in _PIP_SINGLE:
        if option in settings:
            folder = _local(settings[option])
            if folder is None or reachable(folder):
                kept[option] = settings[option]
    for option in _PIP_LISTS:
        places = [wheels] if option == "find-links" else []
        for place in settings.get(option, "").split():
            folder = _local(place)
            if folder is None or reachable(folder):
                places.append(place)
        if places:
            kept[option] = "\n    ".join(places)
    lines = ["[global]", *(f"{option} = {value}" for option, value in kept.items())]
    return "\n".join(lines) + "\n"
