"""Operations for Debian and Ubuntu packages, beside pyinfra's own."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand, QuoteString, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host
from pyinfra.facts.deb import DebPackages
from pyinfra.operations import apt

from vengeance.box import before as names
from vengeance.connectors.long_command import long_commands
from vengeance.operations.before import kept_inside

# What apt looks for before it says "dpkg was interrupted": files with numbers for names (apt-pkg, debsystem.cc).
_FINISH = """\
if ls /var/lib/dpkg/updates/ | grep -q '^[0-9][0-9]*$'; then
  DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold --configure -a
fi
"""


def finish_interrupted() -> StringCommand:
    """Return a command that brings to its end what a restart or a cut connection interrupted in dpkg.

    Until that is done, apt refuses everything.
    """
    return StringCommand("sh -c", QuoteString(_FINISH))


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
    for package in missing:
        host.log(f"package {package}: (not installed) -> installed")
    yield from kept_inside({names.package(package): None for package in missing})
    yield finish_interrupted()
    yield from long_commands(apt.packages._inner(packages=missing, update=True, no_recommends=True))
