"""The models of the scripts about Windows itself, environment variables, files and programs."""

from __future__ import annotations

import base64
import hashlib
import time

from vengeance.powershell.windows import (
    Boot,
    Distribution,
    EnvironmentChange,
    File,
    FileChange,
    Os,
    PendingReboot,
    ProgramResult,
    RebootReason,
    Sha256,
    Variable,
    WslInstallation,
    WsmanQuota,
)
from vengeance.powershell.windows import Environment as EnvironmentFact
from vengeance.twin.process import ProcessOutput
from vengeance.twin.windows import errors
from vengeance.twin.windows.environment import Environment
from vengeance.twin.windows.errors import Win32Error
from vengeance.twin.windows.model import CannotStart
from vengeance.twin.windows.pipes import InputPipe
from vengeance.twin.windows.program import Run
from vengeance.twin.windows.registry import CURRENT_VERSION, ENVIRONMENT, LXSS
from vengeance.twin.windows.scripts.model import Given, Model, ScriptFailed, thrown
from vengeance.twin.windows.state import BUILD, CAPTION, file_time, to_text

# How long the outputs of a program's children are waited for after its own end; see Invoke-Program.ps1.
_LEFT_BEHIND_SECONDS = 2.0
_LONGEST_NAME = 255


def _rooted(given: Given) -> str:
    path = str(given.get("path") or "")
    if any(sign in path for sign in '<>"|') or any(ord(sign) < 32 for sign in path):
        raise thrown("IsPathRooted", 1, "Illegal characters in path.")
    if not (path[:1] in ("\\", "/") or path[1:2] == ":"):
        raise ScriptFailed(f"'{path}' is not a full path: begin with a drive, as in C:\\Users.")
    return path


def get_os(run: Run, given: Given) -> Os:
    """Get-Os."""
    state, registry = run.windows.state, run.windows.registry
    return {
        "caption": CAPTION,
        "version": f"10.0.{BUILD}",
        "build": BUILD,
        "ubr": registry.number(CURRENT_VERSION, "UBR"),
        "edition": registry.text(CURRENT_VERSION, "EditionID"),
        "display_version": registry.text(CURRENT_VERSION, "DisplayVersion"),
        "architecture": run.environment.get("PROCESSOR_ARCHITECTURE", ""),
        "hostname": state.hostname,
        "domain": None,
        "install_date": to_text(state.install_date),
    }


def get_boot(run: Run, given: Given) -> Boot:
    """Get-Boot."""
    boot = run.windows.state.boot_time
    return {
        "boot_time": to_text(boot),
        "boot_file_time": file_time(boot),
        "uptime_seconds": max(0, int((run.windows.state.now() - boot).total_seconds())),
    }


def user_key(run: Run) -> str:
    """Registry path of the hive of the user that a program runs as."""
    return f"HKU\\{run.windows.state.sid(run.user)}"


def get_environment(run: Run, given: Given) -> EnvironmentFact:
    """Get-Environment."""
    wanted = None if given.get("names") is None else {str(name).lower() for name in given["names"]}

    def variables(key: str) -> dict[str, Variable]:
        found: dict[str, Variable] = {}
        for value in run.windows.registry.values(key):
            if value.name and (wanted is None or value.name.lower() in wanted):
                if value.kind == "String":
                    found[value.name] = {"value": str(value.data), "kind": "String"}
                elif value.kind == "ExpandString":
                    found[value.name] = {"value": str(value.data), "kind": "ExpandString"}
        return found

    return {"machine": variables(ENVIRONMENT), "user": variables(user_key(run) + "\\Environment")}


def set_environment(run: Run, given: Given) -> EnvironmentChange:
    """Set-Environment."""
    level = str(given.get("level"))
    if level.lower() not in ("machine", "user"):
        raise ScriptFailed(f"The level of an environment variable is machine or user, not '{level}'.")
    key = ENVIRONMENT if level.lower() == "machine" else user_key(run) + "\\Environment"
    registry = run.windows.registry
    changed = False
    before: dict[str, str | None] = {}
    after: dict[str, str | None] = {}

    def raw(name: str) -> str | None:
        value = registry.get(key, name)
        return None if value is None else str(value.data)

    for name, value in (given.get("variables") or {}).items():
        if value == "":
            raise ScriptFailed(f"Windows cannot hold {name} with an empty value: give null to remove it.")
        before[name] = old = raw(name)
        if old != value:
            if "=" in name:
                raise thrown("SetEnvironmentVariable", 3, "Environment variable name cannot contain equal character.")
            if len(name) >= _LONGEST_NAME:
                raise thrown("SetEnvironmentVariable", 3, "Environment variable name or value is too long.")
            known = registry.get(key, name)
            if value is None:
                registry.delete(key, name)
            else:
                kind = "ExpandString" if known is not None and known.kind == "ExpandString" else "String"
                registry.set(key, name, str(value), "ExpandString" if kind == "ExpandString" else "String")
            changed = True
        after[name] = raw(name)
    return {"changed": changed, "before": before, "after": after, "reboot_required": False}


def get_file(run: Run, given: Given) -> File:
    """Get-File."""
    path = _rooted(given)
    drive = run.windows.drive
    try:
        attributes = drive.attributes(path, run.cwd)
        entry = drive.entry(path, run.cwd)
        target = drive.link_target(path, run.cwd)
    except Win32Error as error:
        if error.code in (errors.FILE_NOT_FOUND, errors.PATH_NOT_FOUND, errors.INVALID_DRIVE):
            return {
                "exists": False,
                "type": None,
                "size": None,
                "modified": None,
                "attributes": None,
                "link_target": None,
            }
        raise thrown("GetAttributes", 1, error.dotnet) from error
    return {
        "exists": True,
        "type": "directory" if entry.is_directory else "file",
        "size": None if entry.is_directory else entry.size,
        "modified": to_text(entry.modified),
        "attributes": attributes,
        "link_target": target,
    }


def get_sha256(run: Run, given: Given) -> Sha256:
    """Get-Sha256."""
    path = _rooted(given)
    drive = run.windows.drive
    if drive.is_directory(path, run.cwd):
        raise ScriptFailed(f"'{path}' is a directory, and a directory has no SHA-256.")
    try:
        return {"sha256": _hash(run, path)}
    except Win32Error as error:
        if error.code in (errors.FILE_NOT_FOUND, errors.PATH_NOT_FOUND, errors.INVALID_DRIVE):
            return {"sha256": None}
        raise thrown(".ctor", 4, error.dotnet) from error


def remove_file(run: Run, given: Given) -> FileChange:
    """Remove-File."""
    path = _rooted(given)
    drive = run.windows.drive
    if drive.is_directory(path, run.cwd):
        raise ScriptFailed(f"'{path}' is a directory: only a file is removed here.")
    before = drive.is_file(path, run.cwd)
    if before:
        try:
            drive.remove_file(path, run.cwd)
        except Win32Error as error:
            raise thrown("Delete", 1, error.dotnet) from error
    after = drive.is_file(path, run.cwd)
    return {"changed": before, "before": before, "after": after, "reboot_required": False}


def get_pending_reboot(run: Run, given: Given) -> PendingReboot:
    """Get-PendingReboot."""
    registry = run.windows.registry
    reasons: list[RebootReason] = []
    windows = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion"
    if registry.exists(windows + r"\Component Based Servicing\RebootPending"):
        reasons.append("component_based_servicing")
    if registry.exists(windows + r"\WindowsUpdate\Auto Update\RebootRequired"):
        reasons.append("windows_update")
    if registry.exists(r"HKLM\SOFTWARE\vengeance\RebootRequired"):
        reasons.append("installer")
    renames = registry.get(r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager", "PendingFileRenameOperations")
    if renames is not None and isinstance(renames.data, list) and any(renames.data):
        reasons.append("file_rename")
    names = r"HKLM\SYSTEM\CurrentControlSet\Control\ComputerName"
    active = registry.text(names + r"\ActiveComputerName", "ComputerName")
    if active.lower() != registry.text(names + r"\ComputerName", "ComputerName").lower():
        reasons.append("computer_name")
    return {"pending": bool(reasons), "reasons": reasons}


def get_wsman_quota(run: Run, given: Given) -> WsmanQuota:
    """Get-WsmanQuota."""
    return run.windows.quota()


def get_wsl_installation(run: Run, given: Given) -> WslInstallation:
    """Get-WslInstallation."""
    registry = run.windows.registry
    location = registry.text(f"HKLM\\{LXSS}\\MSI", "InstallLocation")
    lxss = f"{user_key(run)}\\{LXSS}"
    default_guid = registry.text(lxss, "DefaultDistribution")
    default: str | None = None
    distributions: list[Distribution] = []
    for guid in registry.subkeys(lxss):
        key = f"{lxss}\\{guid}"
        name = registry.text(key, "DistributionName")
        if not name:
            continue
        distributions.append(
            {
                "name": name,
                "guid": guid,
                "version": registry.number(key, "Version"),
                "default_uid": registry.number(key, "DefaultUid"),
                "base_path": registry.text(key, "BasePath"),
                "state": registry.number(key, "State"),
                "flags": registry.number(key, "Flags"),
            }
        )
        if guid.lower() == default_guid.lower():
            default = name
    return {
        "version": registry.text(f"HKLM\\{LXSS}\\MSI", "Version") if location else None,
        "path": location.rstrip("\\") + "\\wsl.exe" if location else None,
        "default": default,
        "distributions": distributions,
    }


class Collected(ProcessOutput):
    """All that a program prints."""

    def __init__(self) -> None:
        super().__init__()
        self.stdout: list[bytes] = []
        self.stderr: list[bytes] = []

    def write_stdout(self, data: bytes) -> None:
        self.stdout.append(data)

    def write_stderr(self, data: bytes) -> None:
        self.stderr.append(data)


def invoke_program(run: Run, given: Given) -> ProgramResult:
    """Invoke-Program."""
    windows = run.windows
    environment = run.environment.copy()
    for name, value in (given.get("env") or {}).items():
        environment[name] = "" if value is None else str(value)
    cwd = run.cwd
    if given.get("cwd"):
        if not windows.drive.is_directory(str(given["cwd"]), cwd):
            raise thrown("Start", 1, "The directory name is invalid")
        cwd = windows.drive.shown(str(given["cwd"]), cwd)
    image = _create_process_finds(run, str(given.get("file") or ""), cwd)
    try:
        windows.program(image)
    except CannotStart as error:
        raise thrown("Start", 1, str(error).rstrip(".")) from error
    stdin = InputPipe()
    output = Collected()
    arguments = str(given.get("arguments") or "")
    child = windows.spawn(
        run,
        output,
        image=image,
        arguments=" " + arguments if arguments else "",
        environment=environment,
        cwd=cwd,
        stdin=stdin,
    )
    if given.get("stdin") is not None:
        child.write(str(given["stdin"]).encode())
    child.close_stdin()
    timeout = given.get("timeout")
    ended = child.wait(None if timeout is None else float(timeout))
    if not ended:
        child.terminate()
    else:
        deadline = time.monotonic() + _LEFT_BEHIND_SECONDS
        while child.job.has_background and time.monotonic() < deadline:
            run.job.sleep(0.02)
    run.job.check()
    return {
        "rc": (output.exit_code or 0) if ended else 1,
        "stdout": base64.b64encode(b"".join(list(output.stdout))).decode("ascii"),
        "stderr": base64.b64encode(b"".join(list(output.stderr))).decode("ascii"),
        "timed_out": not ended,
    }


def _create_process_finds(run: Run, file: str, cwd: str) -> str:
    """Where CreateProcess finds a program: it appends .exe only, and looks into System32 before PATH."""
    environment = Environment(
        {"PATHEXT": ".exe", "PATH": "C:\\Windows\\System32;C:\\Windows;" + run.environment.get("PATH", "")}
    )
    image = run.windows.find_program(file, cwd, environment) if file else None
    if image is None:
        raise thrown("Start", 1, "The system cannot find the file specified")
    return image


def write_chunk(run: Run, given: Given) -> dict[str, str]:
    """agent/write-chunk: one piece of an upload without the agent."""
    drive = run.windows.drive
    path, temp = str(given["path"]), str(given["temp"])
    if drive.is_directory(path, run.cwd):
        raise ScriptFailed(f"{path} is a directory")
    exists = drive.is_file(path, run.cwd)
    if given["offset"] == 0 and exists and _hash(run, path) == given["sha256"]:
        return {"state": "equal"}
    try:
        drive.write_at(temp, int(given["offset"]), base64.b64decode(given["data"]), run.cwd)
        if not given["last"]:
            return {"state": "more"}
        if _hash(run, temp) != given["sha256"]:
            raise ScriptFailed("what arrived differs from what was sent")
        drive.move(temp, path, run.cwd, replace=exists)
    except (Win32Error, ScriptFailed) as error:
        if drive.is_file(temp, run.cwd):
            drive.remove_file(temp, run.cwd)
        raise ScriptFailed(error.dotnet if isinstance(error, Win32Error) else str(error)) from error
    return {"state": "done"}


def read_chunk(run: Run, given: Given) -> dict[str, str | int | None]:
    """agent/read-chunk: one piece of a download without the agent."""
    path = str(given["path"])
    if run.windows.drive.is_directory(path, run.cwd):
        raise ScriptFailed(f"{path} is a directory")
    try:
        with run.windows.drive.open_to_read(path, run.cwd) as file:
            digest = _hash(run, path) if given["offset"] == 0 else None
            size = file.seek(0, 2)
            file.seek(int(given["offset"]))
            data = file.read(int(given["count"]))
    except Win32Error as error:
        raise thrown(".ctor", 4, error.dotnet) from error
    return {"size": size, "sha256": digest, "data": base64.b64encode(data).decode("ascii")}


def _hash(run: Run, path: str) -> str:
    digest = hashlib.sha256()
    with run.windows.drive.open_to_read(path, run.cwd) as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()


MODELS: dict[str, Model] = {
    "Get-Os": get_os,
    "Get-Boot": get_boot,
    "Get-Environment": get_environment,
    "Set-Environment": set_environment,
    "Get-File": get_file,
    "Get-Sha256": get_sha256,
    "Remove-File": remove_file,
    "Get-PendingReboot": get_pending_reboot,
    "Get-WsmanQuota": get_wsman_quota,
    "Get-WslInstallation": get_wsl_installation,
    "Invoke-Program": invoke_program,
    "agent/read-chunk": read_chunk,
    "agent/write-chunk": write_chunk,
}
"""Script name -> what does its work here."""
