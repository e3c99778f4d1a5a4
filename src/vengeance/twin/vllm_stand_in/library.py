"""The real library of Hugging Face's hub, for the stand-in's environment: vLLM brings it along, downloads use it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from vengeance.twin.distro.cache import built_once, key_of
from vengeance.twin.distro.programs import run

_PINS = Path(__file__).with_name("library.txt")
REQUIREMENT = "huggingface_hub==0.36.2"


def python_of(tree: Path) -> str:
    """The version of a root filesystem's own Python, as two numbers."""
    return os.readlink(tree / "usr/bin/python3").removeprefix("python")


def library(cache: Path, python: str, say: Callable[[str], None] = lambda text: None) -> Path:
    """The folder with the library's wheels, fetched where the cache does not hold it.

    cache: the folder shared by all twins
    python: the version that they are for, as two numbers
    say: told in a sentence what takes long
    Raises DistroError with pip's last lines.
    """

    def fetch(folder: Path) -> None:
        say("Fetching the library of Hugging Face's hub (7 MB); this is done once")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        wanted = ["--only-binary=:all:", "--python-version", python, "--dest", str(folder), "--requirement", str(_PINS)]
        # With the settings of this machine's pip, which says where packages come from.
        run([*pip, *wanted], what="fetch the library of Hugging Face's hub", environment=os.environ, timeout=600)

    return built_once(cache / "wheels", key_of(_PINS.read_bytes(), python), fetch)


def place_library(wheels: Path, folder: Path) -> None:
    """Have the wheels of ``wheels`` in a folder too, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in wheels.glob("*.whl"):
        if not (folder / wheel.name).exists():
            fresh = folder / f".{wheel.name}.new"
            shutil.copyfile(wheel, fresh)
            fresh.replace(folder / wheel.name)
