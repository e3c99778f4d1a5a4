"""NVIDIA's package repository in small: signed, flat, and with stand-ins for the packages we install.

Layout and names are those of NVIDIA's "CUDA on WSL" repository (``wsl-ubuntu``): the keyring package brings the
source, the key and a pin of 600; ``cuda-toolkit-12-4`` depends on ``cuda-nvcc-12-4`` and registers
``/usr/local/cuda`` with update-alternatives. Nothing in it compiles anything: nvcc prints its version.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from vengeance.box.pins import pinned
from vengeance.twin.distro.cache import built_once, key_of
from vengeance.twin.distro.programs import plain_environment, run
from vengeance.twin.vendors.certificates import VendorCertificates, make_certificates
from vengeance.twin.vendors.hub import HOSTS as HUB_HOSTS

VENDOR_HOST = "developer.download.nvidia.com"
REPOSITORY = "compute/cuda/repos/wsl-ubuntu/x86_64"
KEYRING_PACKAGE = pinned("cuda-keyring", "url").rpartition("/")[2]
_MAINTAINER = "vengeance twin <twin@example.invalid>"

_NVCC = """#!/bin/sh
cat <<END
nvcc: NVIDIA (R) Cuda compiler driver
Copyright (c) 2005-2024 NVIDIA Corporation
Cuda compilation tools, release 12.4, V12.4.131
(the twin's stand-in: it compiles nothing)
END
case "$1" in
  --version | -V) exit 0 ;;
esac
echo "nvcc: the twin's stand-in compiles nothing" >&2
exit 1
"""
_TOOLKIT_POSTINST = """#!/bin/sh
set -e
if [ "$1" = configure ]; then
  update-alternatives --install /usr/local/cuda cuda /usr/local/cuda-12.4 124
  ldconfig
fi
"""
_TOOLKIT_PRERM = """#!/bin/sh
set -e
if [ "$1" = remove ]; then
  update-alternatives --remove cuda /usr/local/cuda-12.4
fi
"""


@dataclass(frozen=True)
class Vendor:
    """The vendor's stand-in, built.

    certificates: the authority that the distro believes, and the https server's certificate and key
    served: the folder that the https server serves
    """

    certificates: VendorCertificates
    served: Path


def vendor(cache: Path, say: Callable[[str], None] = lambda text: None) -> Vendor:
    """The vendor's repository and certificates, made on first use and then shared by all twins.

    cache: the folder shared by all twins
    Raises DistroError where gpg, dpkg-deb or apt-ftparchive is missing.
    """

    def certify(folder: Path) -> None:
        made = make_certificates(VENDOR_HOST, *HUB_HOSTS)
        for name, data in vars(made).items():
            file = folder / name
            file.touch(mode=0o600)
            file.write_bytes(data)

    def build(folder: Path) -> None:
        say("Building the vendor's package repository")
        build_repository(folder / REPOSITORY, f"https://{VENDOR_HOST}/{REPOSITORY}/")

    # Apart from each other: the root filesystem believes the authority, so a new one means a new root filesystem.
    authority = built_once(cache / "vendor-authority", key_of(VENDOR_HOST, *HUB_HOSTS, "1"), certify)
    served = built_once(cache / "vendor", key_of(Path(__file__).read_bytes()), build)
    parts = ((authority / part.name).read_bytes() for part in fields(VendorCertificates))
    return Vendor(VendorCertificates(*parts), served)


def build_repository(folder: Path, address: str) -> None:
    """Fill ``folder`` with the packages, the index and its signature; ``address`` goes into the keyring package.

    The signing key lives in a temporary folder and is gone when this returns.
    """
    folder.mkdir(parents=True)
    # gpg's sockets need a short path, so not below the cache.
    with tempfile.TemporaryDirectory(prefix="vg-gpg-") as home, tempfile.TemporaryDirectory(prefix="vg-deb-") as work:
        environment = plain_environment(GNUPGHOME=home)
        try:
            _sign_and_index(folder, address, Path(work), environment)
        finally:
            run(["gpgconf", "--kill", "all"], what="stop gpg's helpers", environment=environment)


def _sign_and_index(folder: Path, address: str, work: Path, environment: dict[str, str]) -> None:
    gpg = ["gpg", "--batch", "--quiet", "--yes"]
    run(
        [
            *gpg,
            "--passphrase",
            "",
            "--quick-gen-key",
            "cudatools (twin) <twin@example.invalid>",
            "rsa3072",
            "sign",
            "never",
        ],
        what="make the repository's signing key",
        environment=environment,
    )
    keyring = work / "cuda-archive-keyring.gpg"
    run([*gpg, "--output", keyring, "--export"], what="export the repository's key", environment=environment)

    _package(
        folder,
        work,
        name="cuda-keyring",
        version=pinned("cuda-keyring"),
        architecture="all",
        files={
            "usr/share/keyrings/cuda-archive-keyring.gpg": keyring.read_bytes(),
            "etc/apt/sources.list.d/cuda-wsl-ubuntu-x86_64.list": (
                f"deb [signed-by=/usr/share/keyrings/cuda-archive-keyring.gpg] {address} /\n".encode()
            ),
            "etc/apt/preferences.d/cuda-repository-pin-600": (
                b"Package: nsight-compute\nPin: origin *ubuntu.com*\nPin-Priority: -1\n\n"
                b"Package: nsight-systems\nPin: origin *ubuntu.com*\nPin-Priority: -1\n\n"
                b"Package: *\nPin: release l=NVIDIA CUDA\nPin-Priority: 600\n"
            ),
        },
        control_files={
            "conffiles": (
                "/etc/apt/sources.list.d/cuda-wsl-ubuntu-x86_64.list\n/etc/apt/preferences.d/cuda-repository-pin-600\n"
            )
        },
    )
    _package(
        folder,
        work,
        name="cuda-nvcc-12-4",
        version="12.4.131-1",
        architecture="amd64",
        programs={"usr/local/cuda-12.4/bin/nvcc": _NVCC.encode()},
    )
    _package(
        folder,
        work,
        name="cuda-toolkit-12-4",
        version="12.4.1-1",
        architecture="amd64",
        depends="cuda-nvcc-12-4 (>= 12.4.131)",
        files={
            "etc/ld.so.conf.d/989_cuda-12-4.conf": b"/usr/local/cuda-12.4/lib64\n",
            "usr/local/cuda-12.4/version.json": b'{"cuda": {"name": "stand-in of the twin", "version": "12.4.1"}}\n',
        },
        control_files={"postinst": _TOOLKIT_POSTINST, "prerm": _TOOLKIT_PRERM},
    )

    packages = run(["apt-ftparchive", "packages", "."], what="index the repository", folder=folder)
    (folder / "Packages").write_text(packages, encoding="utf-8")
    (folder / "Packages.gz").write_bytes(gzip.compress(packages.encode(), mtime=0))
    options = {"Origin": "NVIDIA", "Label": "NVIDIA CUDA", "Architecture": "x86_64"}
    release = run(
        [
            "apt-ftparchive",
            *(f"-oAPT::FTPArchive::Release::{name}={value}" for name, value in options.items()),
            "release",
            ".",
        ],
        what="describe the repository",
        folder=folder,
    )
    (folder / "Release").write_text(release, encoding="utf-8")
    signing = [*gpg, "--armor"]
    run([*signing, "--output", folder / "Release.gpg", "--detach-sign", folder / "Release"],
        what="sign the repository", environment=environment)  # fmt: skip
    run([*signing, "--output", folder / "InRelease", "--clearsign", folder / "Release"],
        what="sign the repository", environment=environment)  # fmt: skip


def _package(
    target: Path,
    work: Path,
    *,
    name: str,
    version: str,
    architecture: str,
    depends: str | None = None,
    files: dict[str, bytes] | None = None,
    programs: dict[str, bytes] | None = None,
    control_files: dict[str, str] | None = None,
) -> None:
    tree = work / name
    control = [
        f"Package: {name}",
        f"Version: {version}",
        f"Architecture: {architecture}",
        f"Maintainer: {_MAINTAINER}",
        "Section: devel",
        "Priority: optional",
        *([f"Depends: {depends}"] if depends else []),
        f"Description: the twin's stand-in for NVIDIA's {name}",
    ]
    (tree / "DEBIAN").mkdir(parents=True, mode=0o755)
    (tree / "DEBIAN/control").write_text("\n".join(control) + "\n", encoding="utf-8")
    for file_name, text in (control_files or {}).items():
        file = tree / "DEBIAN" / file_name
        file.write_text(text, encoding="utf-8")
        if file_name in ("postinst", "prerm"):
            file.chmod(0o755)
    for path, data in {**(files or {}), **(programs or {})}.items():
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(0o755 if path in (programs or {}) else 0o644)
    run(["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, target], what=f"build the package {name}")
    shutil.rmtree(tree)
