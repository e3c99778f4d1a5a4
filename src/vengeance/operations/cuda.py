"""Operations for NVIDIA's CUDA toolkit in a distro of WSL.

The driver is the one of Windows: /usr/lib/wsl/lib. A Linux driver in the distro hides it, so the packages that bring
one are refused. https://docs.nvidia.com/cuda/wsl-user-guide/
"""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.operation import operation
from pyinfra.context import host
from pyinfra.facts.deb import DebPackages
from pyinfra.operations import apt

from vengeance.box import cuda
from vengeance.connectors.long_command import long_commands
from vengeance.operations import debian
from vengeance.operations.refusal import checked, refuse


@operation()
def keyring(src: str = cuda.KEYRING_URL) -> Generator[PyinfraCommand, None, None]:
    """
    Install NVIDIA's keyring package, which brings the package source for WSL and its key.

    + src: address of the package

    **Example:**

    .. code:: python

        cuda.keyring(name="Know NVIDIA's packages for WSL")
    """
    if not src.startswith("https://"):
        raise OperationValueError(f"The keyring is what packages are trusted by: take it from https, not from {src!r}.")
    if cuda.KEYRING_PACKAGE in host.get_fact(DebPackages):
        host.noop(f"package {cuda.KEYRING_PACKAGE} is installed")
        return
    host.log(f"package {cuda.KEYRING_PACKAGE}: (not installed) -> installed from {src}")
    yield debian.finish_interrupted()
    yield from long_commands(apt.deb._inner(src=src))


@operation()
def toolkit(version: str, packages: list[str] | None = None) -> Generator[PyinfraCommand, None, None]:
    """
    Install one version of the CUDA toolkit, without a driver.

    + version: as ``12-4`` or ``12.4``
    + packages: further packages, such as ``libcudnn9-cuda-12``; those that break the GPU in WSL are refused

    A distro in which such a package is installed already is refused too.

    **Example:**

    .. code:: python

        cuda.toolkit(name="Install the CUDA toolkit", version="12-4")
    """
    wanted = [checked(lambda: cuda.toolkit_package(version)), *(packages or [])]
    for package, reason in cuda.breakers(wanted).items():
        raise OperationValueError(f"{package} does not belong into WSL: {reason}. Leave it out.")
    present = host.get_fact(DebPackages)
    broken = cuda.breakers(present)
    if broken:
        reasons = "; ".join(f"{package}: {reason}" for package, reason in broken.items())
        yield refuse(
            f"{host.name} has packages that break the GPU in WSL ({reasons}). Remove them in the distro: "
            f"apt-get purge {' '.join(broken)}"
        )
        return
    yield from debian.packages._inner(packages=wanted)
