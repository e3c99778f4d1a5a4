"""The installation of Ollama."""

from __future__ import annotations

import ntpath
from collections.abc import Generator

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from vengeance.box import before as names
from vengeance.box import ollama_package
from vengeance.box.ollama_package import Kind
from vengeance.facts import ollama as facts
from vengeance.facts.windows import Environment
from vengeance.operations import windows
from vengeance.operations.before import kept
from vengeance.operations.ollama.processes import boot_task, stop
from vengeance.operations.refusal import checked
from vengeance.operations.waiting import looks
from vengeance.operations.windows.installers import run_installer
from vengeance.powershell import Script
from vengeance.powershell.ollama import Installation, Package

DOWNLOADS = r"C:\ProgramData\vengeance\downloads"
_APP_SETTLES_WITHIN = 30.0


@operation()
def installed(
    version: str,
    sha256: str,
    signer: str = "Ollama Inc.",
    package: Kind = "setup",
    url: str | None = None,
    path: str | None = None,
    downloads: str = DOWNLOADS,
    proxy: str | None = None,
    timeout: int = 3600,
) -> Generator[PyinfraCommand, None, None]:
    """
    Install one version of Ollama for the account of the connection, with nothing of it left running.

    + version: as 0.34.1
    + sha256: of the file that is downloaded
    + signer: organisation that must have signed the installer; the zip is checked by its hash alone
    + package: ``setup`` is OllamaSetup.exe with the tray app, ``zip`` the server alone
    + url: where it is downloaded from, None for the release of that version on GitHub
    + path: folder, None for the installer's own (%LOCALAPPDATA%\\Programs\\Ollama) or C:\\Program Files\\Ollama
    + downloads: folder on the box for what is downloaded
    + proxy: through which the box downloads, None for none
    + timeout: seconds for the download, and again for the installation

    The installer ends what runs of Ollama, models in use too, and starts its tray app in its own session, silent or
    not (ollama/ollama, app/ollama.iss: [Run] without skipifsilent): with WinRM that is session 0 with the environment
    of this moment. So the app is given time to make its database and is stopped; ``restarted`` starts what is wanted.

    **Example:**

    .. code:: python

        ollama.installed(
            name="Ollama 0.34.1",
            version="0.34.1",
            sha256="a92986c8...",
        )
    """
    checked(lambda: ollama_package.check(package, version, path))
    archive = ollama_package.archive_folder(package, path)
    found = host.get_fact(facts.Installation, folder=archive)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    _warn(found, package, version)
    present = found["setup"] if package == "setup" else found["archive"]
    if present is not None and _is_that(present, version, archive or path):
        host.noop(f"Ollama {version} is installed in {present['folder']}")
        return
    host.log(f"Ollama: {present['version'] if present else '(not installed)'} -> {version}")
    file = f"{downloads}\\ollama-{version}\\{ollama_package.FILES[package]}"
    yield from windows.download._inner(
        url=url or ollama_package.release_url(package, version),
        dest=file,
        sha256=sha256,
        signer=signer if package == "setup" else None,
        proxy=proxy,
        timeout=timeout,
    )
    yield from _kept(present)
    yield from stop(boot_task())
    if package == "zip":
        yield Script("Expand-OllamaArchive", {"archive": file, "folder": archive, "version": version})
    else:
        yield set_up(file, version, path, timeout)
        yield FunctionCommand(settle, [], {})
        yield Script("Stop-Ollama", {})


def _warn(found: Installation, package: Kind, version: str) -> None:
    if not ollama_package.checks_its_updates(version):
        host.log(
            f"Ollama {version} installs updates without looking at their signature (CVE-2026-42248); 0.23.3 and newer "
            "look",
            logger.warning,
        )
    if package == "zip" and found["setup"] is not None:
        host.log(
            f"Ollama is installed by its installer too, in {found['setup']['folder']}, and its tray app will fight for "
            "the port: uninstall it in Settings, Apps",
            logger.warning,
        )


def _kept(present: Package | None) -> Generator[PyinfraCommand, None, None]:
    """Keep which Ollama was there, and the user's PATH, which the installer extends and its uninstaller leaves."""
    there = host.get_fact(Environment, names=["Path"])
    path = None if there is None else next((one["value"] for one in there["user"].values()), None)
    yield from kept({names.OLLAMA: present and present["version"], names.OLLAMA_PATH: path})


def _is_that(present: Package, version: str, folder: str | None) -> bool:
    same = folder is None or ntpath.normcase(folder.rstrip("\\")) == ntpath.normcase(present["folder"])
    return present["complete"] and present["version"] == version and same


def set_up(file: str, version: str, path: str | None, timeout: int) -> FunctionCommand:
    """Return a command that runs the installer to its end and proves that the version is there.

    + path: folder to install to, None for where it is already or the installer's own choice
    + timeout: seconds until it is ended

    It runs also over the same version, which is what mends one with files missing.
    """

    def proof(host: Host) -> str | None:
        found = host.get_fact(facts.Installation)
        if found is None:
            return None  # it could not be read: pyinfra has said so and failed the host
        there = found["setup"]
        if there is not None and _is_that(there, version, path):
            return None
        now = f"{there['version']} in {there['folder']}" if there else "nothing"
        return (
            f"{now} is installed, not {version}{f' in {path}' if path else ''}; check that ollama_url is the file of "
            "that version"
        )

    told_in = r"Its log: %TEMP%\Setup Log*.txt on the box."
    return run_installer(file, file, ollama_package.setup_arguments(path), timeout, told_in, proof)


def settle(state: State, host: Host) -> bool:
    """Wait until the tray app that the installer has started made its database, which a stop would leave half made."""
    for _ in looks(_APP_SETTLES_WITHIN):
        found = host.get_fact(facts.Settings)
        if found is None:
            return False  # it could not be read: pyinfra has said so
        if found["settings"] is not None or found["unreadable"] is not None:
            return True
    host.log(
        "Ollama's app was not started by its installer, so its own settings cannot be written yet: they are when it "
        "has run once and the deploy runs again",
        logger.warning,
    )
    return True
