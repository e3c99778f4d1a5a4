"""Operations on Windows itself."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.facts.windows import Os
from vengeance.operations.refusal import refuse


@operation()
def version(build: int) -> Generator[PyinfraCommand, None, None]:
    """
    Stop the host if its Windows is older than a build.

    + build: the lowest build number that will do; 22000 is the first Windows 11

    **Example:**

    .. code:: python

        windows.version(name="Windows 11 24H2 or newer", build=26100)
    """
    found = host.get_fact(Os)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    if found["build"] < build:
        yield refuse(
            f"{host.name} runs {found['caption']} build {found['build']}, and build {build} is the lowest that will "
            "do. Open Settings, Windows Update, and install the newest version."
        )
        return
    host.noop(f"{found['caption']} build {found['build']} is new enough")
