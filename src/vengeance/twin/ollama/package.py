"""The files of an Ollama release: those of the installer, those of the zip, and how each tells its version."""

from __future__ import annotations

import re

from vengeance.box.pins import pinned
from vengeance.twin.windows.drive import Drive
from vengeance.twin.windows.errors import Win32Error

VERSION = pinned("ollama")
APP_ID = "{44E83376-CE68-45EB-8FC1-393500EB558C}"
APP = "ollama app.exe"
SERVER = "ollama.exe"
RUNNER = "lib\\ollama\\llama-server.exe"
UNINSTALLER = "unins000.exe"
LINK = "lib\\Ollama.lnk"
_MARK = re.compile(rb"Ollama twin, version (\d+\.\d+\.\d+(?:-rc\d+)?), ")
_TARGET = re.compile(rb"link to (.+?)\r\n")


def program(name: str, version: str) -> bytes:
    """The bytes that stand for a program of a release."""
    return f"MZ This stands for {name} of Ollama twin, version {version}, which the twin models.\r\n".encode()


def setup_bytes(version: str, size: int = 0) -> bytes:
    """The bytes that stand for OllamaSetup.exe of a version, filled up to ``size``."""
    return program("OllamaSetup.exe", version).ljust(size, b"\0")


def zip_files(version: str) -> dict[str, bytes]:
    """Path -> bytes of ollama-windows-amd64.zip: no tray app, no link, nothing that updates itself."""
    return {
        SERVER: program(SERVER, version),
        RUNNER: program("llama-server.exe", version),
        "lib\\ollama\\ggml-base.dll": program("ggml-base.dll", version),
        "lib\\ollama\\cuda_v13\\ggml-cuda.dll": program("ggml-cuda.dll", version),
    }


def setup_files(version: str, folder: str) -> dict[str, bytes]:
    """Path -> bytes of what the installer lays down in a folder."""
    return {
        **zip_files(version),
        APP: program(APP, version),
        UNINSTALLER: program(UNINSTALLER, version),
        "app.ico": b"\0\0\1\0",
        LINK: link_bytes(f"{folder}\\{APP}"),
    }


def link_bytes(target: str) -> bytes:
    """A shortcut to a program."""
    return b"L\0\0\0\x01\x14\x02\0 link to " + target.encode() + b"\r\n"


def link_target(data: bytes) -> str | None:
    """Where a shortcut of this module leads to, None when it is none."""
    found = _TARGET.search(data)
    return found[1].decode() if found else None


def version_in(data: bytes) -> str | None:
    """The version that a file of a release tells, None when it is none."""
    found = _MARK.search(data[:4096])
    return found[1].decode() if found else None


def version_of(drive: Drive, path: str) -> str | None:
    """The version of an installed file, None when it is not there or tells none."""
    try:
        with drive.open_to_read(path) as file:
            return version_in(file.read(4096))
    except Win32Error:
        return None


def lay_down(drive: Drive, folder: str, files: dict[str, bytes]) -> None:
    """Write files into a folder, making it and those in it; Win32Error when the disk is full."""
    for name, data in files.items():
        path = f"{folder}\\{name}"
        parent = path.rpartition("\\")[0]
        if not drive.is_directory(parent):
            drive.make_directory(parent)
        drive.write(path, data)
