"""A distribution: imported from an image, once."""

from __future__ import annotations

import ntpath
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from vengeance.box import before as names
from vengeance.facts.windows import File
from vengeance.facts.wsl import Installation
from vengeance.operations import windows
from vengeance.operations.before import kept
from vengeance.operations.refusal import failed, refuse
from vengeance.operations.work import name_of, run_work
from vengeance.operations.wsl.checks import check_distro, check_download, check_folder
from vengeance.operations.wsl.program import DOWNLOADS, INSTALLED, distributions
from vengeance.powershell.wsl import ImportInput


@operation()
def distro(
    distro: str,
    image_url: str,
    image_sha256: str,
    path: str,
    folder: str = DOWNLOADS,
    proxy: str | None = None,
    timeout: int = 1800,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have a distribution, imported from an image that the box downloads. One that is there stays as it is.

    + distro: name of the distribution
    + image_url: of a .wsl file or a root filesystem archive
    + image_sha256: of the image
    + path: full path of the folder for its disk
    + folder: on the box, for the download
    + proxy: that the box downloads through
    + timeout: seconds that the import may take

    It belongs to the account that signs in, and to no other. Its user is root until ``wsl.conf`` names another.
    https://learn.microsoft.com/windows/wsl/build-custom-distro

    **Example:**

    .. code:: python

        wsl.distro(
            name="Ubuntu 24.04",
            distro="Ubuntu-24.04",
            image_url="https://releases.ubuntu.com/24.04.4/ubuntu-24.04.4-wsl-amd64.wsl",
            image_sha256="9b2f7730...",
            path="C:\\\\WSL\\\\Ubuntu-24.04",
        )
    """
    check_distro(distro)
    check_download(image_url, image_sha256)
    for each in (path, folder):
        check_folder(each)
    found = host.get_fact(Installation)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    half = [each["name"] for each in found["distributions"] if each["state"] != INSTALLED]
    if distro in distributions(found):
        host.noop(f"the distribution {distro} is there")
        return
    if distro in half:
        yield refuse(
            f"{host.name} has {distro} registered, but not installed: an import was cut. Nothing of use is in it; at "
            f"the box: wsl.exe --unregister {distro}"
        )
        return
    disk = host.get_fact(File, path=ntpath.join(path, "ext4.vhdx"))
    if disk is not None and disk["exists"]:
        yield refuse(
            f"{host.name} has a disk in {path} already, of a distribution that is not registered for this account. To "
            rf"have it back: wsl.exe --import-in-place {distro} {path}\ext4.vhdx. To start anew, move it away or give "
            "another distro_path."
        )
        return
    host.log(f"distribution {distro}: (not there) -> imported from {Path(urlsplit(image_url).path).name} to {path}")
    image = ntpath.join(folder, Path(urlsplit(image_url).path).name)
    yield from windows.download._inner(url=image_url, dest=image, sha256=image_sha256, proxy=proxy)
    yield from kept({names.distro(distro): None})
    given: ImportInput = {"distribution": distro, "image": image, "path": path}
    yield run_work(
        name_of(f"import-{distro}", path, image_sha256),
        "Import-Distribution",
        given,
        say=lambda progress: f"{distro} is being imported: its disk has {progress.get('bytes', 0) / 1e6:.0f} MB",
        timeout=timeout,
    )
    yield FunctionCommand(check_registered, [distro], {})


def check_registered(state: State, host: Host, distro: str) -> bool:
    """See that a distribution is registered, in the registry and not by what wsl.exe says."""
    found = host.get_fact(Installation)
    if found is None:
        return False  # it could not be read: pyinfra has said so
    if distro in distributions(found):
        return True
    return failed(
        host,
        f"{host.name}: {distro} was imported and is not registered for the account that signs in. Look with: "
        f"wsl.exe --list --verbose",
    )
