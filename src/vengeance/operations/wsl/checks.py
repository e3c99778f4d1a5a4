"""What is asked of the arguments of the operations on WSL: each check refuses with a sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pyinfra.api.exceptions import OperationValueError

from vengeance.box import downloads, installers, linux_users, versions, windows_paths, wslconfig
from vengeance.box.windows_settings import LOWEST_WSL
from vengeance.operations.refusal import checked

_DISTRO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_distro(distro: str) -> None:
    """Check the name of a distribution: wsl.exe does not take quotes off it, so it can have no blanks.

    Raises OperationValueError with a sentence.
    """
    if not _DISTRO.fullmatch(distro):
        raise OperationValueError(
            f"{distro!r} is no name of a WSL distribution: it has letters, digits, '.', '-' and '_', as Ubuntu-24.04."
        )


def check_user(user: str) -> None:
    """Check the name of a Linux user by useradd's rules. Raises OperationValueError with a sentence."""
    checked(lambda: linux_users.check(user))


def check_package(version: str, url: str, sha256: str, product_code: str) -> None:
    """Check what WSL's package is named by. Raises OperationValueError with a sentence."""
    if not re.fullmatch(r"\d+\.\d+\.\d+(\.\d+)?", version):
        raise OperationValueError(f"{version!r} is no version of WSL: it has three or four numbers, as 2.7.11.")
    if versions.numbers(version) < LOWEST_WSL:
        oldest = ".".join(map(str, LOWEST_WSL))
        raise OperationValueError(f"WSL {version} cannot keep a distro up: {oldest} is the oldest that will do.")
    check_download(url, sha256)
    if not url.lower().endswith(".msi"):
        raise OperationValueError(f"{url!r} is no MSI: WSL is installed from the wsl.<version>.x64.msi of a release.")
    checked(lambda: installers.check_product_code(product_code))


def check_download(url: str, sha256: str) -> None:
    """Check the address of a file and its hash. Raises OperationValueError with a sentence."""
    checked(lambda: downloads.check_url(url))
    if not Path(urlsplit(url).path).name:
        raise OperationValueError(f"{url!r} is no address of a file: it ends with the file's name.")
    checked(lambda: downloads.check_sha256(sha256))


def check_folder(path: str) -> None:
    """Check the full path of a folder that is named to wsl.exe. Raises OperationValueError with a sentence."""
    checked(lambda: windows_paths.check_file(path))
    if "%" in path:
        raise OperationValueError(f"{path!r} has a variable in it: write the path that it means.")


def check_settings(settings: Mapping[str, Mapping[str, wslconfig.Value]]) -> None:
    """Check the settings of .wslconfig. Raises OperationValueError with a sentence."""
    checked(lambda: wslconfig.check(settings))
