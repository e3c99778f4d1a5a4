"""Operations for Debian and Ubuntu packages, beside pyinfra's own."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation
from pyinfra.context import host
from pyinfra.facts.deb import DebPackages
from pyinfra.operations import apt


@operation()
def packages(packages: list[str]) -> Generator[PyinfraCommand, None, None]:
    """
    Install packages that are missing, after a fresh look at what there is to install.

    + packages: names of packages, without versions

    ``apt.packages`` of pyinfra refreshes its lists always or by their age, and both count as a change.

    **Example:**

    .. code:: python

        debian.packages(name="Install what vLLM needs", packages=["gcc", "python3-venv"])
    """
    present = host.get_fact(DebPackages)
    missing = [package for package in packages if package not in present]
    if not missing:
        host.noop(f"packages {', '.join(packages)} are installed")
        return
    yield from apt.packages._inner(packages=missing, update=True, no_recommends=True)
