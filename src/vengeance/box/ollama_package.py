"""The packages that Ollama comes in: what they are called, where they go, and how its installer is called."""

from __future__ import annotations

import re
from typing import Literal

from vengeance.box import versions

Kind = Literal["setup", "zip"]
"""``setup`` is OllamaSetup.exe with the tray app, ``zip`` the server alone."""

LOWEST = (0, 23, 3)
"""The first that checks the signature of its own updates (CVE-2026-42248, CVE-2026-42249)."""
FILES = {"setup": "OllamaSetup.exe", "zip": "ollama-windows-amd64.zip"}
ARCHIVE_FOLDER = r"C:\Program Files\Ollama"
"""Where the zip goes by default: only administrators write there, and what lies there runs with their rights."""

_VERSION = re.compile(r"\d+\.\d+\.\d+(-rc\d+)?")
_FOLDER = re.compile(r"[A-Za-z]:\\[\w .()\\-]*[\w)\\-]")


def check_kind(package: str) -> None:
    """Check which package is wanted. Raises ValueError with a sentence."""
    if package not in FILES:
        raise ValueError(f"Ollama comes as setup (with the tray app) or as zip, not as {package!r}.")


def check(package: str, version: str, path: str | None) -> None:
    """Check a package, its version and its folder. Raises ValueError with a sentence."""
    check_kind(package)
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise ValueError(f"A version of Ollama has three numbers, as 0.34.1, not {version!r}.")
    if path is not None and not _FOLDER.fullmatch(path):
        raise ValueError(
            f"The folder of Ollama is a full path as D:\\Ollama, of letters, digits, blanks and ._()-, not {path!r}."
        )


def archive_folder(package: str, path: str | None) -> str | None:
    """Return the folder of the zip, None for the package that has an installer.

    + path: the folder that is wanted, None for the default one
    """
    return (path or ARCHIVE_FOLDER) if package == "zip" else None


def checks_its_updates(version: str) -> bool:
    """Tell whether a version looks at the signature of an update before it installs it."""
    return versions.numbers(version) >= LOWEST


def release_url(package: str, version: str) -> str:
    """Return the address of a package among Ollama's releases."""
    return f"https://github.com/ollama/ollama/releases/download/v{version}/{FILES[package]}"


def setup_arguments(path: str | None) -> str:
    """Return the arguments with which the installer asks nothing.

    + path: folder to install to, one that ``check`` let pass; None for where it is already or its own choice

    In the words of https://jrsoftware.org/ishelp/topic_setupcmdline.htm.
    """
    arguments = "/VERYSILENT /NORESTART /SUPPRESSMSGBOXES"
    return arguments if path is None else f'{arguments} /DIR="{path.rstrip(chr(92))}"'
