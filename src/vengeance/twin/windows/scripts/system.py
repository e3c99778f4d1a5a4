"""The models of the scripts about features, power, services, the registry, processes, hardware and restarts."""

from __future__ import annotations

import re
from typing import Any

from vengeance.powershell import system as shapes
from vengeance.twin.windows.machine import (
    HIBERNATE_IDLE,
    POWER,
    SESSION_POWER,
    SIGN_IN_CHECKED,
    SLEEP_GROUP,
    STANDBY_IDLE,
)
from vengeance.twin.windows.model import CannotStart
from vengeance.twin.windows.pipes import InputPipe
from vengeance.twin.windows.program import SYSTEM32, Run
from vengeance.twin.windows.registry import Kind, Registry
from vengeance.twin.windows.scripts.basis import Collected, user_key
from vengeance.twin.windows.scripts.model import Given, Model, ScriptFailed, thrown
from vengeance.twin.windows.services import ServiceError
from vengeance.twin.windows.state import file_time

NVIDIA_SMI = f"{SYSTEM32}\\nvidia-smi.exe"
SHUTDOWN = f"{SYSTEM32}\\shutdown.exe"
_IN_PROGRESS, _SCHEDULED = 1115, 1190
_MINUTE = 60


def _refuse_filtered(run: Run) -> None:
    """DISM's cmdlets want the full token of an administrator."""
    if not run.windows.machine.get("elevated"):
        raise ScriptFailed("The requested operation requires elevation.")


def get_feature(run: Run, given: Given) -> shapes.Feature:
    """Get-Feature."""
    _refuse_filtered(run)
    return {"state": run.windows.features.state(str(given["feature"]))}


def set_feature(run: Run, given: Given) -> shapes.FeatureChange:
    """Set-Feature."""
    _refuse_filtered(run)
    features, name = run.windows.features, str(given["feature"])
    before = features.state(name)
    if before is None:
        raise ScriptFailed(f"Feature name {name} is unknown.")
    right = before in ("Enabled", "EnablePending") if given["present"] else before.startswith("Disable")
    restart = before.endswith("Pending")
    if not right:
        restart = features.set(name, bool(given["present"]))
    after = features.state(name) or before
    return {"changed": not right, "before": before, "after": after, "reboot_required": restart}


def _plan_key(registry: Registry, setting: str) -> str:
    plan = registry.text(f"{POWER}\\User\\PowerSchemes", "ActivePowerScheme")
    return f"{POWER}\\User\\PowerSchemes\\{plan}\\{SLEEP_GROUP}\\{setting}"


def _seconds(registry: Registry, setting: str, name: str) -> int | None:
    plan = registry.text(f"{POWER}\\User\\PowerSchemes", "ActivePowerScheme")
    default = f"{POWER}\\PowerSettings\\{SLEEP_GROUP}\\{setting}\\DefaultPowerSchemeValues\\{plan}"
    for key in (_plan_key(registry, setting), default):
        value = registry.get(key, name)
        if value is not None and isinstance(value.data, int):
            return value.data
    return None


def get_power(run: Run, given: Given) -> shapes.Power:
    """Get-Power."""
    registry = run.windows.registry
    return {
        "sleep_ac_seconds": _seconds(registry, STANDBY_IDLE, "ACSettingIndex"),
        "sleep_dc_seconds": _seconds(registry, STANDBY_IDLE, "DCSettingIndex"),
        "hibernate_ac_seconds": _seconds(registry, HIBERNATE_IDLE, "ACSettingIndex"),
        "hibernate_dc_seconds": _seconds(registry, HIBERNATE_IDLE, "DCSettingIndex"),
        "hibernate": bool(registry.number(POWER, "HibernateEnabled")),
        "fast_startup": bool(registry.number(SESSION_POWER, "HiberbootEnabled")),
    }


def set_power(run: Run, given: Given) -> shapes.PowerChange:
    """Set-Power: the registry as powercfg.exe leaves it behind."""
    registry = run.windows.registry
    before = get_power(run, given)
    if given["hibernate"] is not None and given["hibernate"] != before["hibernate"]:
        registry.set(POWER, "HibernateEnabled", int(given["hibernate"]), "DWord")
    hibernates = given["hibernate"] if given["hibernate"] is not None else before["hibernate"]
    times = [(STANDBY_IDLE, "sleep")] + ([(HIBERNATE_IDLE, "hibernate")] if hibernates else [])
    for setting, what in times:
        for name, power in (("ACSettingIndex", "ac"), ("DCSettingIndex", "dc")):
            minutes = given[f"{what}_{power}_minutes"]
            if minutes is not None and _seconds(registry, setting, name) != minutes * _MINUTE:
                registry.set(_plan_key(registry, setting), name, minutes * _MINUTE, "DWord")
    if given["fast_startup"] is not None and given["fast_startup"] != before["fast_startup"]:
        registry.set(SESSION_POWER, "HiberbootEnabled", int(given["fast_startup"]), "DWord")
    after = get_power(run, given)
    return {"changed": before != after, "before": before, "after": after, "reboot_required": False}


def get_service_state(run: Run, given: Given) -> shapes.ServiceState:
    """Get-ServiceState."""
    found = run.windows.services.get(str(given["service"]))
    if found is None:
        return {"service": None}
    return {
        "service": {
            "name": found.name,
            "display_name": found.display_name,
            "state": "Running" if found.running else "Stopped",
            "start": found.start,
            "pid": found.pid or None,
            "account": found.account,
            "command_line": found.command_line,
        }
    }


def set_service_state(run: Run, given: Given) -> shapes.ServiceChange:
    """Set-ServiceState."""
    services, name = run.windows.services, str(given["service"])

    def setting() -> shapes.ServiceSetting:
        found = services.get(name)
        if found is None:
            raise ScriptFailed(f"There is no service '{name}'.")
        return {"state": "Running" if found.running else "Stopped", "start": found.start}

    before = setting()
    if given["start"] is not None and given["start"] != before["start"]:
        services.set_start(name, str(given["start"]))
    try:
        if given["running"] is True and before["state"] != "Running":
            services.start(name)
        if given["running"] is False and before["state"] != "Stopped":
            services.stop(name)
    except ServiceError as error:
        raise thrown("Start", 0, f"Cannot start service {name} on computer '.'.") from error
    after = setting()
    return {"changed": before != after, "before": before, "after": after, "reboot_required": False}


def _key(run: Run, text: str) -> str:
    hive, _, rest = text.partition("\\")
    if hive.upper() not in ("HKLM", "HKCU") or not rest:
        raise ScriptFailed(f"'{text}' is no key: begin with HKLM\\ or HKCU\\.")
    return f"HKLM\\{rest}" if hive.upper() == "HKLM" else f"{user_key(run)}\\{rest}"


def _value(run: Run, key: str, name: str) -> shapes.RegistryValue:
    value = run.windows.registry.get(key, name)
    if value is None:
        return {"kind": None, "data": None}
    data = value.data
    return {"kind": value.kind, "data": [*data] if isinstance(data, list) else data}


def get_registry_value(run: Run, given: Given) -> shapes.RegistryValue:
    """Get-RegistryValue."""
    return _value(run, _key(run, str(given["key"])), str(given["value_name"]))


def set_registry_value(run: Run, given: Given) -> shapes.RegistryChange:
    """Set-RegistryValue."""
    registry, key, name = run.windows.registry, _key(run, str(given["key"])), str(given["value_name"])
    before = _value(run, key, name)
    if given["present"]:
        kind: Kind = given["kind"]
        data: Any = given["data"]
        if kind not in ("String", "ExpandString", "DWord", "QWord", "MultiString"):
            raise ScriptFailed(f"A value of the kind '{kind}' is not written here.")
        if (before["kind"], before["data"]) != (kind, data):
            # Unlike SetValue, the registry keeps the kind that a value was made with; so it is made anew.
            registry.delete(key, name)
            registry.set(key, name, data, kind)
    elif before["kind"] is not None:
        registry.delete(key, name)
    after = _value(run, key, name)
    return {"changed": before != after, "before": before, "after": after, "reboot_required": False}


def get_process_list(run: Run, given: Given) -> shapes.ProcessList:
    """Get-ProcessList: each with the block that it was started with."""
    windows = run.windows
    cannot = None
    if given["environment"] and windows.add_type_blocked:
        cannot = "this PowerShell may not compile what reads it: Cannot add type. Compilation errors occurred."
    found: list[shapes.Process] = []
    for process in list(windows.state.processes.values()):
        name = process.image.rpartition("\\")[2]
        if name.lower() == str(given["image"]).lower():
            found.append(
                {
                    "pid": process.pid,
                    "parent": process.parent,
                    "image": name,
                    "path": process.image,
                    "session": process.session,
                    "started": process.started,
                    "user": f"{windows.state.hostname}\\{process.user}",
                    "command_line": process.command_line,
                    "environment": dict(process.environment) if given["environment"] and cannot is None else None,
                    "environment_refused": cannot,
                }
            )
    return {"processes": found}


def get_hardware(run: Run, given: Given) -> shapes.Hardware:
    """Get-Hardware."""
    machine = run.windows.machine
    return {
        "processor": machine.get("processor"),
        "logical_processors": machine.get("logical_processors"),
        "memory_bytes": machine.get("memory_bytes"),
        # Behind a hypervisor the processor's own answer is hidden.
        "firmware_virtualization": machine.get("firmware_virtualization") and not machine.hypervisor,
        "hypervisor_present": machine.hypervisor,
        "disks": [
            {
                "drive": "C:",
                "size_bytes": machine.get("disk_bytes"),
                "free_bytes": machine.free_bytes,
                "file_system": "NTFS",
            }
        ],
    }


def get_gpu(run: Run, given: Given) -> shapes.Gpus:
    """Get-Gpu: what nvidia-smi.exe says, where it is."""
    windows = run.windows
    if not windows.drive.is_file(NVIDIA_SMI, run.cwd):
        return {"gpus": [], "failure": "C:\\WINDOWS\\System32\\nvidia-smi.exe is not there"}
    fields = "name,driver_version,memory.total,memory.used,memory.free,driver_model.current"
    query = f" --query-gpu={fields} --format=csv,noheader,nounits"
    code, text = _run_program(run, NVIDIA_SMI, query)
    if code != 0:
        return {"gpus": [], "failure": f"nvidia-smi.exe ended with {code}: {text}".strip()}
    gpus: list[shapes.Gpu] = []
    for line in text.splitlines():
        words = line.strip().split(", ")
        if len(words) == 6:
            gpus.append(
                {
                    "name": words[0],
                    "driver_version": words[1],
                    "memory_mib": int(words[2]),
                    "memory_used_mib": int(words[3]),
                    "memory_free_mib": int(words[4]),
                    "driver_model": words[5],
                }
            )
    return {"gpus": gpus, "failure": None if gpus else "nvidia-smi.exe lists no card"}


def _run_program(run: Run, image: str, arguments: str) -> tuple[int, str]:
    stdin = InputPipe()
    stdin.close()
    output = Collected()
    try:
        child = run.windows.spawn(run, output, image=image, arguments=arguments, stdin=stdin)
    except CannotStart as error:
        raise thrown("Start", 1, str(error).rstrip(".")) from error
    child.wait(60.0)
    run.job.check()
    text = b"".join([*output.stdout, *output.stderr]).decode(run.console.codec, "replace").strip()
    return output.exit_code or 0, text


def get_account(run: Run, given: Given) -> shapes.Account:
    """Get-Account."""
    state, machine = run.windows.state, run.windows.machine
    policies = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System"
    return {
        "name": f"{state.hostname}\\{run.user}",
        "sid": state.sid(run.user),
        "elevated": machine.get("elevated"),
        "microsoft_account": machine.get("microsoft_account"),
        "profile": f"C:\\Users\\{run.user}",
        "full_token_over_network": run.windows.registry.number(policies, "LocalAccountTokenFilterPolicy") == 1,
    }


def get_system_clock(run: Run, given: Given) -> shapes.SystemClock:
    """Get-SystemClock."""
    return {"utc": run.windows.machine.now().strftime("%Y-%m-%dT%H:%M:%S.%f0Z")}


def get_folder_size(run: Run, given: Given) -> shapes.FolderSize:
    """Get-FolderSize."""
    drive = run.windows.drive
    folders: list[shapes.Folder] = []
    for asked in given["paths"]:
        path = re.sub(r"%([^%]+)%", lambda match: run.environment.get(match[1], match[0]), str(asked))
        size = None
        if drive.is_directory(path, run.cwd):
            place = drive.folder / drive.shown(path, run.cwd)[3:].replace("\\", "/")
            files = (file for file in place.rglob("*") if file.is_file() and not file.is_symlink())
            size = sum(file.stat().st_size for file in files)
        folders.append({"path": path, "bytes": size})
    return {"folders": folders}


def get_boot_state(run: Run, given: Given) -> shapes.BootState:
    """Get-BootState."""
    state = run.windows.state
    return {
        "boot_file_time": file_time(state.boot_time),
        "uptime_seconds": max(0.0, (state.now() - state.boot_time).total_seconds()),
        "started": run.windows.registry.exists(SIGN_IN_CHECKED),
    }


def restart_windows(run: Run, given: Given) -> shapes.Restart:
    """Restart-Windows."""
    now = file_time(run.windows.state.boot_time)
    changed = now == int(given["boot_file_time"])
    code, took_back = 0, False
    if changed:
        run.windows.registry.delete_key(SIGN_IN_CHECKED)
        line = ' /r /t 2 /d p:4:2 /c "vengeance restarts Windows."'
        code = _run_program(run, SHUTDOWN, line)[0]
        if code == _SCHEDULED:
            took_back = _run_program(run, SHUTDOWN, " /a")[0] == 0
            code = _run_program(run, SHUTDOWN, line)[0]
        if code not in (0, _IN_PROGRESS):
            raise ScriptFailed(f"shutdown.exe /r ended with {code}.")
    return {
        "changed": changed,
        "before": {"boot_file_time": now},
        "after": {"code": code, "took_back": took_back},
        "reboot_required": changed,
    }


MODELS: dict[str, Model] = {
    "Get-Feature": get_feature,
    "Set-Feature": set_feature,
    "Get-Power": get_power,
    "Set-Power": set_power,
    "Get-ServiceState": get_service_state,
    "Set-ServiceState": set_service_state,
    "Get-RegistryValue": get_registry_value,
    "Set-RegistryValue": set_registry_value,
    "Get-ProcessList": get_process_list,
    "Get-Hardware": get_hardware,
    "Get-Gpu": get_gpu,
    "Get-Account": get_account,
    "Get-SystemClock": get_system_clock,
    "Get-FolderSize": get_folder_size,
    "Get-BootState": get_boot_state,
    "Restart-Windows": restart_windows,
}
"""Script name -> what does its work here."""
