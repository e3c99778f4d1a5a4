"""WSL as it was: the distribution, .wslconfig, and the package."""

from __future__ import annotations

import ntpath
from collections.abc import Generator

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from vengeance.box import before, undo
from vengeance.facts.before import OnWindows
from vengeance.facts.windows import File, RegistryValue
from vengeance.facts.wsl import Configuration, Installation
from vengeance.operations import windows
from vengeance.operations.before import forgotten
from vengeance.operations.wsl import run_wsl
from vengeance.operations.wsl.checks import check_distro, check_folder
from vengeance.operations.wsl.program import rejoin, say_outage
from vengeance.powershell import Script

# Written by the package itself (microsoft/WSL, msipackage/package.wix.in).
_PACKAGE = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Lxss\MSI"


@operation()
def distribution(asked: undo.Undo, distro: str, path: str) -> Generator[PyinfraCommand, None, None]:
    """
    Delete a distribution that a deploy has imported, with its disk; only when it is named in what is asked for.

    + asked: what is to be taken back
    + distro: its name
    + path: full path of the folder of its disk, which goes too, and the one above it if that is empty then

    **Example:**

    .. code:: python

        undo.distribution(name="The distro", asked=asked, distro="Ubuntu-24.04", path="C:\\\\WSL\\\\Ubuntu-24.04")
    """
    check_distro(distro)
    check_folder(path)
    entries, found = host.get_fact(OnWindows), host.get_fact(Installation)
    if entries is None or found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    there = distro in [each["name"] for each in found["distributions"]]
    if there and not (asked.deletes("distro", "wsl") and undo.is_ours(entries, distro)):
        ours = undo.is_ours(entries, distro)
        host.log(f"{distro} stays, with its disk" + ('; --data "delete=distro" deletes it' if ours else ""))
        host.noop(f"{distro} stays")
        return
    if not undo.is_ours(entries, distro):
        host.noop(f"there is no distribution {distro}")
        return
    if there:
        host.log(f"distribution {distro}: (there) -> (deleted, with its disk in {path})")
        yield FunctionCommand(run_wsl, [f"--unregister {distro}"], {})
        yield FunctionCommand(rejoin, [], {})
    for each in (path, ntpath.dirname(path)):
        yield from _empty_folder_gone(each)
    yield from forgotten([before.distro(distro)])


def _empty_folder_gone(path: str) -> Generator[PyinfraCommand, None, None]:
    """Remove a folder that is a distribution's alone; one with anything else in it, or a drive, stays."""
    found = host.get_fact(File, path=path) if len(path) > len("C:\\") else None
    if found is not None and found["exists"]:
        yield FunctionCommand(_remove_if_empty, [path], {})


def _remove_if_empty(state: State, host: Host, path: str) -> bool:
    # It refuses a folder with something in it, which stays then.
    host.run_shell_command(
        Script("Set-Directory", {"path": path, "present": False, "contents": False}), _shell_executable="ps"
    )
    return True


@operation()
def wslconfig() -> Generator[PyinfraCommand, None, None]:
    """
    Have the .wslconfig that was there before the first deploy, or none; every distro of the account is stopped once.

    **Example:**

    .. code:: python

        undo.wslconfig(name="Settings of WSL's virtual machine are as they were")
    """
    entries, there, found = host.get_fact(OnWindows), host.get_fact(Configuration), host.get_fact(Installation)
    if entries is None or there is None or found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    if before.WSLCONFIG not in entries:
        host.noop(".wslconfig has not been written by a deploy")
        return
    was = entries[before.WSLCONFIG]
    if there["text"] != was:
        host.log(f"{there['path']}: as deployed -> {'(not there)' if was is None else 'as it was'}")
        say_outage(found, ".wslconfig as it was")
        yield Script("Set-WslConfiguration", {"text": was, "shutdown": True})
        yield FunctionCommand(rejoin, [], {})
    yield from forgotten([before.WSLCONFIG])


@operation()
def wsl_uninstalled(asked: undo.Undo, log: str) -> Generator[PyinfraCommand, None, None]:
    """
    Uninstall WSL's package, if a deploy has installed it and no distribution is left.

    + asked: what is to be taken back
    + log: full Windows path of a log of all that Windows Installer did

    **Example:**

    .. code:: python

        undo.wsl_uninstalled(name="WSL is uninstalled", asked=asked, log="C:\\\\ProgramData\\\\vengeance\\\\wsl.log")
    """
    entries, found = host.get_fact(OnWindows), host.get_fact(Installation)
    if entries is None or found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    if before.WSL not in entries:
        host.noop(f"WSL {found['version']} was not installed by a deploy, and stays" if found["version"] else "no WSL")
        return
    left = [each["name"] for each in found["distributions"]]
    if entries[before.WSL] is not None:
        host.log(
            f"WSL {entries[before.WSL]} was there before the first deploy: {found['version']} stays. An older one is "
            "installed from its own release: https://github.com/microsoft/WSL/releases",
            logger.warning,
        )
    elif not undo.wsl_goes(entries, left, asked):
        host.log(f"WSL {found['version']} stays, as {', '.join(left)} runs on it")
        host.noop("WSL stays")
        return
    elif found["version"] is not None:
        value = host.get_fact(RegistryValue, key=_PACKAGE, value_name="ProductCode")
        if value is None:
            return  # it could not be read: pyinfra has said so and failed the host
        host.log(f"WSL: {found['version']} -> (not installed)")
        yield from windows.uninstalled._inner(product_code=str(value["data"]), log=log)
    yield from forgotten([before.WSL])
