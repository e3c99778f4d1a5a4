"""Which CUDA packages belong into a distro of WSL, and which break the GPU there."""

from __future__ import annotations

import re
from collections.abc import Iterable

from vengeance.box.pins import pinned

KEYRING_PACKAGE = "cuda-keyring"
KEYRING_URL = pinned("cuda-keyring", "url")
"""NVIDIA's "CUDA on WSL User Guide": the repository wsl-ubuntu, which has no driver in it."""

_BREAKERS = (
    (
        re.compile(r"cuda|cuda-\d+(-\d+)?|cuda-drivers(-.+)?|cuda-runtime-.+|cuda-demo-suite-.+"),
        "it brings the Linux display driver, and in WSL the driver is the one of Windows",
    ),
    (
        re.compile(r"nvidia-(driver|dkms|kernel|open|headless)(-.+)?|libnvidia-compute-.+|libcuda1(-.+)?"),
        "it is a part of the Linux display driver, and in WSL the driver is the one of Windows",
    ),
    (
        re.compile(r"nvidia-utils-.+|nvidia-smi|libnvidia-ml1|nvidia-compute-utils-.+"),
        "its libraries hide those of /usr/lib/wsl/lib: Failed to initialize NVML, GPU access blocked (WSL#9166)",
    ),
    (
        re.compile(r"nvidia-cuda-toolkit"),
        "it is Ubuntu's own build with libraries that hide those of /usr/lib/wsl/lib (WSL#11888)",
    ),
)
_VERSION = re.compile(r"\d+-\d+")


def breakers(packages: Iterable[str]) -> dict[str, str]:
    """Return the packages that break the GPU in WSL, each with the reason.

    + packages: names of Debian packages, with ``:amd64`` or ``=1.2`` after them or without
    """
    found: dict[str, str] = {}
    for package in packages:
        plain = re.split(r"[:=]", package, maxsplit=1)[0]
        for pattern, reason in _BREAKERS:
            if pattern.fullmatch(plain):
                found[package] = reason
                break
    return found


def purge(packages: Iterable[str]) -> str:
    """Return the command that removes packages, to be run in the distro."""
    return f"apt-get purge {' '.join(sorted(packages))}"


def compiler_packages(version: str, installed: Iterable[str]) -> list[str]:
    """Return what has to be installed again to have a toolkit's nvcc and ``/usr/local/cuda`` back, in order.

    + version: as ``12-4`` or ``12.4``
    + installed: names of the packages that are there

    nvcc lies in cuda-nvcc-12-4; the alternative /usr/local/cuda is made by the configuration of cuda-toolkit-12-4 or of
    cuda-toolkit-12-4-config-common (NVIDIA's repository wsl-ubuntu; the second is not in every version).
    """
    toolkit, there = toolkit_package(version), set(installed)
    dashed = toolkit.removeprefix("cuda-toolkit-")
    rest = (f"cuda-nvcc-{dashed}", f"{toolkit}-config-common", "cuda-toolkit-config-common")
    return [toolkit, *(package for package in rest if package in there)]


def toolkit_package(version: str) -> str:
    """Return the package of a toolkit version: ``12.4`` or ``12-4`` gives ``cuda-toolkit-12-4``.

    Raises ValueError for anything else, such as ``12``, whose package moves on to newer versions by itself.
    """
    dashed = version.replace(".", "-")
    if not _VERSION.fullmatch(dashed):
        raise ValueError(f"A CUDA toolkit version has two numbers, as in 12-4, not {version!r}.")
    return f"cuda-toolkit-{dashed}"
