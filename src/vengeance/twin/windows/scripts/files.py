"""The models of the scripts about files, directories and installed programs."""

from __future__ import annotations

from vengeance.powershell.files import DirectoryAccess, DirectoryProtection, FileVersion, Foreign, Product
from vengeance.powershell.windows import FileChange
from vengeance.twin.ollama import package as ollama
from vengeance.twin.windows import installers
from vengeance.twin.windows.errors import Win32Error
from vengeance.twin.windows.ownership import ADMINISTRATORS
from vengeance.twin.windows.program import Run
from vengeance.twin.windows.scripts.basis import _rooted as rooted
from vengeance.twin.windows.scripts.model import Given, Model, ScriptFailed, thrown

_FOREIGN_AT_MOST = 5


def new_file(run: Run, given: Given) -> FileChange:
    """New-File."""
    path = rooted(given)
    drive = run.windows.drive
    if drive.is_directory(path, run.cwd):
        raise ScriptFailed(f"'{path}' is a directory, and a file is wanted there.")
    before = drive.is_file(path, run.cwd)
    if not before:
        try:
            drive.write(path, b"", run.cwd)
        except Win32Error as error:
            raise thrown(".ctor", 4, error.dotnet) from error
    return {"changed": not before, "before": before, "after": drive.is_file(path, run.cwd), "reboot_required": False}


def set_directory(run: Run, given: Given) -> FileChange:
    """Set-Directory."""
    path = rooted(given)
    drive = run.windows.drive
    if drive.is_file(path, run.cwd):
        raise ScriptFailed(f"'{path}' is a file, and a directory is meant.")
    before = drive.is_directory(path, run.cwd)
    try:
        if given["present"] and not before:
            drive.make_directory(path, run.cwd)
        if not given["present"] and before:
            if not given["contents"] and drive.entries(path, run.cwd):
                raise ScriptFailed(
                    f"'{path}' is not empty, so it stays: say contents to remove it with all that is in it."
                )
            drive.remove_directory(path, run.cwd, tree=bool(given["contents"]))
            # Its rights went with it.
            run.windows.ownership.closed_for(path)
    except Win32Error as error:
        raise thrown("CreateDirectory" if given["present"] else "Delete", 2, error.dotnet) from error
    after = drive.is_directory(path, run.cwd)
    return {"changed": before != after, "before": before, "after": after, "reboot_required": False}


def _directory(run: Run, given: Given) -> str:
    environment = run.environment
    path = rooted({"path": str(given.get("path") or "").replace("%ProgramData%", environment["ProgramData"])})
    if run.windows.drive.is_file(path, run.cwd):
        raise ScriptFailed(f"'{path}' is a file, and a directory is meant.")
    return path


def get_directory_access(run: Run, given: Given) -> DirectoryAccess:
    """Get-DirectoryAccess."""
    path = _directory(run, given)
    ownership, drive, host = run.windows.ownership, run.windows.drive, run.windows.state.hostname
    account = f"{host}\\{run.user}"
    foreign: list[Foreign] = []
    places = [path] if drive.is_directory(path, run.cwd) else []
    while places and len(foreign) < _FOREIGN_AT_MOST:
        place = places.pop(0)
        try:
            owner, link = ownership.owner(place), drive.link_target(place) is not None
            if link or owner.lower() not in (account.lower(), ADMINISTRATORS.lower()):
                foreign.append({"path": place, "owner": owner, "link": link})
            if not link and drive.is_directory(place):
                places += [f"{place}\\{entry.name}" for entry in drive.entries(place)]
        except Win32Error:
            continue
    return {
        "path": path,
        "exists": drive.is_directory(path, run.cwd),
        "account": account,
        "closed": (ownership.closed_for(path) or "").lower() == run.user.lower(),
        "foreign": foreign,
    }


def protect_directory(run: Run, given: Given) -> DirectoryProtection:
    """Protect-Directory."""
    path = _directory(run, given)
    ownership, drive = run.windows.ownership, run.windows.drive
    before = ownership.sddl(path)
    try:
        if before is None:
            drive.make_directory(path, run.cwd)
    except Win32Error as error:
        raise thrown("CreateDirectory", 2, error.dotnet) from error
    ownership.close(path, run.user)
    after = ownership.sddl(path) or ""
    return {"changed": before != after, "before": before, "after": after, "reboot_required": False}


def get_product(run: Run, given: Given) -> Product:
    """Get-Product."""
    product = str(given.get("product") or "")
    if not product or "\\" in product:
        raise ScriptFailed(f"'{product}' is no name of a product's key.")
    registry = run.windows.registry
    machine = f"HKLM\\{installers.UNINSTALL}\\{product}"
    user = f"HKU\\{run.windows.state.sid(run.user)}\\{installers.UNINSTALL}\\{product}"
    if registry.exists(machine):
        return _product(run, machine, "machine")
    if registry.exists(user):
        return _product(run, user, "user")
    return {"installed": False, "level": None, "name": None, "version": None, "location": None}


def _product(run: Run, key: str, level: str) -> Product:
    registry = run.windows.registry
    return {
        "installed": True,
        "level": "machine" if level == "machine" else "user",
        "name": registry.text(key, "DisplayName") or None,
        "version": registry.text(key, "DisplayVersion") or None,
        "location": registry.text(key, "InstallLocation") or None,
    }


def get_file_version(run: Run, given: Given) -> FileVersion:
    """Get-FileVersion: of what the twin's vendors made; another file tells none."""
    path = rooted(given)
    said = installers.about(run.windows, path, run.cwd)
    version = said["version"] if said is not None else ollama.version_of(run.windows.drive, path)
    if version is None:
        return {"version": None}
    numbers = version.partition("-")[0].split(".")
    return {"version": ".".join([*numbers, *["0"] * (4 - len(numbers))])}


MODELS: dict[str, Model] = {
    "New-File": new_file,
    "Set-Directory": set_directory,
    "Get-DirectoryAccess": get_directory_access,
    "Protect-Directory": protect_directory,
    "Get-Product": get_product,
    "Get-FileVersion": get_file_version,
}
"""Script name -> what does its work here."""
