"""WSL itself, from its package."""

from __future__ import annotations

import ntpath
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.operation import operation
from pyinfra.api.state import StateStage
from pyinfra.context import host, state

from vengeance.box import before as names
from vengeance.box import versions
from vengeance.facts.windows import Feature
from vengeance.facts.wsl import Installation
from vengeance.operations import windows
from vengeance.operations.before import kept
from vengeance.operations.refusal import refuse
from vengeance.operations.wsl.checks import check_folder, check_package
from vengeance.operations.wsl.program import DOWNLOADS, rejoin, say_outage

FEATURE = "VirtualMachinePlatform"
"""All that WSL 2 needs of Windows; Microsoft-Windows-Subsystem-Linux is for WSL 1."""


@operation()
def installed(
    version: str,
    url: str,
    sha256: str,
    product_code: str,
    folder: str = DOWNLOADS,
    proxy: str | None = None,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have WSL installed from its package, in this version.

    + version: as 2.7.11
    + url: of the MSI
    + sha256: of the MSI
    + product_code: of the MSI, by which Windows knows it
    + folder: on the box, for the download
    + proxy: that the box downloads through

    Not ``wsl --install``: without VirtualMachinePlatform it ends well and installs nothing, and it takes what is
    newest. The package needs no feature itself, but no distro starts without, so it is asked for first. SKIPMSIX=1
    leaves the Store's part out, which fails where nobody is logged on and updates itself while distros run (WSL#10906,
    #13138). An update stops every distro. A newer version that is there stays.

    **Example:**

    .. code:: python

        wsl.installed(
            name="WSL 2.7.11",
            version="2.7.11",
            url="https://github.com/microsoft/WSL/releases/download/2.7.11/wsl.2.7.11.0.x64.msi",
            sha256="a611ddac...",
            product_code="{497CB23D-8747-4047-A079-DD98E0EDFC18}",
        )
    """
    check_package(version, url, sha256, product_code)
    check_folder(folder)
    found = host.get_fact(Installation)
    feature = host.get_fact(Feature, feature=FEATURE)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    there = found["version"]
    if feature != "Enabled":
        if state.current_stage != StateStage.Execute and feature is not None:
            host.log(f"WSL: {there or '(not installed)'} -> {version}, once {FEATURE} is on: now it is {feature}")
        yield refuse(
            f"The Windows feature {FEATURE} of {host.name} is {feature or 'not known there'}, and without it WSL "
            "starts no distro. deploys/windows.py enables it and restarts Windows; by hand, as administrator: "
            f"Enable-WindowsOptionalFeature -Online -FeatureName {FEATURE} -NoRestart, then restart Windows."
        )
        return
    if there is not None and _release(there) >= _release(version):
        if _release(there) > _release(version):
            host.log(f"WSL {there} is newer than {version} and stays: pin it as wsl_version", logger.warning)
        host.noop(f"WSL {there} is installed")
        return
    if there is not None:
        say_outage(found, f"WSL {there} -> {version}")
    package = ntpath.join(folder, Path(urlsplit(url).path).name)
    yield from windows.download._inner(url=url, dest=package, sha256=sha256, proxy=proxy)
    yield from kept({names.WSL: there})
    yield from windows.msi._inner(
        path=package, product_code=product_code, version=version, properties={"SKIPMSIX": "1"}
    )
    if there is not None:
        yield FunctionCommand(rejoin, [], {})


def _release(version: str) -> tuple[int, ...]:
    """Without the fourth number, which Windows shows and a release's name has not."""
    return versions.numbers(version)[:3]
