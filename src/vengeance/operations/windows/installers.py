"""Operations that install programs on Windows."""

from __future__ import annotations

import ntpath
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.box import installers, windows_paths
from vengeance.facts.windows import FileVersion, Product
from vengeance.operations.refusal import checked
from vengeance.operations.work import name_of, run_work
from vengeance.powershell.files import InstallerInput

MSIEXEC = r"C:\Windows\System32\msiexec.exe"
# How long another installation is waited for, and how often it is tried again, both seconds.
_BUSY_SECONDS = 600.0
_PAUSE_SECONDS = 10.0


@operation()
def msi(
    path: str,
    product_code: str,
    version: str | None = None,
    properties: Mapping[str, str] | None = None,
    log: str | None = None,
    timeout: int = 1800,
) -> Generator[PyinfraCommand, None, None]:
    """
    Install a package of Windows Installer, unless its product is installed.

    + path: full Windows path of the package
    + product_code: as ``{497CB23D-8747-4047-A079-DD98E0EDFC18}``
    + version: that it must have to count as installed, None for any
    + properties: public properties of the package, name -> value
    + log: full Windows path of a log of all that was done; beside the package by default
    + timeout: seconds until it is ended

    It asks nothing and does not restart Windows. Exit codes 1641 and 3010 mean that Windows has to restart, which the
    fact ``PendingReboot`` then says.

    **Example:**

    .. code:: python

        windows.msi(
            name="Install WSL",
            path="C:\\\\ProgramData\\\\vengeance\\\\downloads\\\\wsl.2.7.11.0.x64.msi",
            product_code="{497CB23D-8747-4047-A079-DD98E0EDFC18}",
            version="2.7.11",
            properties={"SKIPMSIX": "1"},
        )
    """
    checked(lambda: installers.check_product_code(product_code))
    if version is not None:
        checked(lambda: installers.check_version(version))
    _check_timeout(timeout)
    told_in = log or f"{path}.log"
    arguments = checked(lambda: installers.msi_command_line(path, properties or {}, told_in))
    found = host.get_fact(Product, product=product_code)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    if found["installed"] and (version is None or installers.same_version(found["version"], version)):
        host.noop(f"{found['name'] or product_code} {found['version']} is installed")
        return
    host.log(f"{ntpath.basename(path)}: {_shown(found['version'])} -> {version or 'installed'}")

    def proof(host: Host) -> str | None:
        now = host.get_fact(Product, product=product_code)
        if (
            now is not None
            and now["installed"]
            and (version is None or installers.same_version(now["version"], version))
        ):
            return None
        return f"Windows shows {_shown(now['version'] if now else None)} for {product_code}. Its log: {told_in}"

    yield run_installer(path, MSIEXEC, arguments, timeout, f"Its log: {told_in}", proof)


@operation()
def uninstalled(product_code: str, log: str, timeout: int = 1800) -> Generator[PyinfraCommand, None, None]:
    """
    Have a product of Windows Installer not installed.

    + product_code: as ``{497CB23D-8747-4047-A079-DD98E0EDFC18}``
    + log: full Windows path of a log of all that was done; its folder must exist
    + timeout: seconds until it is ended

    It asks nothing and does not restart Windows, as ``msi``.

    **Example:**

    .. code:: python

        windows.uninstalled(
            name="WSL is not installed",
            product_code="{497CB23D-8747-4047-A079-DD98E0EDFC18}",
            log="C:\\\\ProgramData\\\\vengeance\\\\wsl-uninstall.log",
        )
    """
    arguments = checked(lambda: installers.msi_removal(product_code, log))
    _check_timeout(timeout)
    found = host.get_fact(Product, product=product_code)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    if not found["installed"]:
        host.noop(f"{product_code} is not installed")
        return
    host.log(f"{found['name'] or product_code}: {_shown(found['version'])} -> (not installed)")

    def proof(host: Host) -> str | None:
        now = host.get_fact(Product, product=product_code)
        there = now is not None and now["installed"]
        return f"Windows still shows {product_code}. Its log: {log}" if there else None

    yield run_installer(f"removal-{product_code}", MSIEXEC, arguments, timeout, f"Its log: {log}", proof)


@operation()
def installer(
    path: str,
    arguments: Sequence[str],
    product: str | None = None,
    version: str | None = None,
    file: str | None = None,
    timeout: int = 1800,
) -> Generator[PyinfraCommand, None, None]:
    """
    Run an installer that is a program, unless what it installs is there.

    + path: full Windows path of the installer
    + arguments: those that keep it from asking, each a text: ``["/VERYSILENT", "/NORESTART"]``
    + product: name of the key below ``Uninstall`` that it makes
    + version: that the product or the file must have, None for any
    + file: in place of ``product``: full Windows path of a program that it installs, whose version is looked at
    + timeout: seconds until it is ended

    Its own end is waited for, not that of programs that it starts. Exit codes 0, 1641 and 3010 are success; after the
    last two Windows has to restart, which the fact ``PendingReboot`` then says.

    **Example:**

    .. code:: python

        windows.installer(
            name="Install Ollama",
            path="C:\\\\ProgramData\\\\vengeance\\\\downloads\\\\OllamaSetup.exe",
            arguments=["/VERYSILENT", "/NORESTART", "/SUPPRESSMSGBOXES"],
            product="{44E83376-CE68-45EB-8FC1-393500EB558C}_is1",
            version="0.34.1",
        )
    """
    check_installer(path, arguments, product, version, file)
    _check_timeout(timeout)
    there, found = installed(host, product, file)
    if there and (version is None or installers.same_version(found, version)):
        host.noop(f"{product or file} {found} is installed")
        return
    host.log(f"{ntpath.basename(path)}: {_shown(found)} -> {version or 'installed'}")

    def proof(host: Host) -> str | None:
        there, now = installed(host, product, file)
        if there and (version is None or installers.same_version(now, version)):
            return None
        return f"{product or file} is {_shown(now)}, and {version or 'an installed one'} was wanted"

    yield run_installer(path, path, installers.command_line(arguments), timeout, "", proof)


def check_installer(
    path: str, arguments: Sequence[str], product: str | None, version: str | None, file: str | None
) -> None:
    """Check what ``installer`` is given. Raises OperationValueError with a sentence."""
    checked(lambda: windows_paths.check_file(path))
    if isinstance(arguments, str):
        raise OperationValueError(f"The arguments of {path} are a list of texts, not the text {arguments!r}.")
    checked(lambda: installers.command_line(arguments))
    if (product is None) == (file is None):
        raise OperationValueError(
            f"{path}: give the product that it installs, or a file with its version: one of them."
        )
    if product is not None:
        checked(lambda: installers.check_product(product))
    if file is not None:
        checked(lambda: windows_paths.check_file(file))
    if version is not None:
        checked(lambda: installers.check_version(version))


def installed(host: Host, product: str | None, file: str | None) -> tuple[bool, str | None]:
    """Return whether a product, or a file with a version, is there, and which version it has."""
    if product is not None:
        found = host.get_fact(Product, product=product)
        return (False, None) if found is None else (found["installed"], found["version"])
    version = host.get_fact(FileVersion, path=str(file))
    return version is not None, version


def _check_timeout(timeout: int) -> None:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0:
        raise OperationValueError(f"The timeout of an installer is a number of seconds above 0, not {timeout!r}.")


def _shown(version: str | None) -> str:
    return "(not installed)" if version is None else version


def run_installer(
    path: str, file: str, arguments: str, timeout: int, where: str, proof: Callable[[Host], str | None]
) -> FunctionCommand:
    """Return a command that runs an installer to its end and proves that what it installs is there.

    + path: of the installer or package, for sentences
    + file: full Windows path of the program that is run
    + arguments: its command line, checked
    + timeout: seconds until it is ended
    + where: a sentence that says where its log is, "" for nowhere
    + proof: called after a good end; returns what is there in place of what was wanted, None when all is
    """
    what = ntpath.basename(path)

    def say(progress: Mapping[str, Any]) -> str:
        doing = "waiting for another installation" if progress.get("phase") == "waiting" else "installing"
        return f"{what}: {doing}, {progress.get('seconds', 0)} s"

    def check(host: Host, result: Mapping[str, Any]) -> str | None:
        return _complaint(host, what, result, timeout, where) or _unproven(host, what, result, proof)

    given: InstallerInput = {
        "file": file,
        "arguments": arguments,
        "timeout_seconds": timeout,
        "busy_seconds": _BUSY_SECONDS,
        "pause_seconds": _PAUSE_SECONDS,
    }
    return run_work(
        name_of(what, file.lower(), arguments),
        "Invoke-Installer",
        given,
        say=say,
        timeout=timeout + _BUSY_SECONDS + 60,
        check=check,
    )


def _complaint(host: Host, what: str, result: Mapping[str, Any], timeout: int, where: str) -> str | None:
    code = int(result["rc"])
    if result["timed_out"]:
        return (
            f"{host.name}: {what} did not end within {timeout} s and was ended. Where nobody sits at the screen, a "
            f"window that asks something waits for ever: check its arguments, or give it a longer timeout. {where}"
        ).strip()
    if code not in installers.SUCCESS:
        return f"{host.name}: {what} ended with {installers.meaning(code)}. {where}".strip()
    return None


def _unproven(host: Host, what: str, result: Mapping[str, Any], proof: Callable[[Host], str | None]) -> str | None:
    code = int(result["rc"])
    missing = proof(host)
    if missing is not None:
        return f"{host.name}: {what} ended with {code}, and what was asked for has not come of it: {missing}."
    if code in installers.REBOOT:
        host.log(f"{what} is installed, and Windows has to restart to finish it ({code})")
    return None
