"""The scripts about Windows itself, run for real; elsewhere with stubs for the commands that only Windows has."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from typeguard import check_type

from tests.powershell.test_powershell_scripts import PWSH, answer, needs_windows, run, runs_pwsh
from vengeance.powershell import load
from vengeance.powershell.contract import OUTPUT

# What Get-CimInstance gives of each class, with the properties that the scripts read.
CIM = """function Get-CimInstance {
    param([string] $ClassName, [string[]] $Property)
    if ($ClassName -eq 'Win32_Service') {
        return [pscustomobject] @{ Name = 'Other'; StartMode = 'Manual' }, [pscustomobject] @{ Name = 'iphlpsvc';
            DisplayName = 'IP Helper'; State = 'Running'; StartMode = 'Auto'; DelayedAutoStart = $true;
            ProcessId = [uint32] 42; StartName = 'LocalSystem'; PathName = 'svchost.exe' }
    }
    if ($ClassName -eq 'Win32_Process') {
        return [pscustomobject] @{ ProcessId = [uint32] 42; ParentProcessId = [uint32] 4; Name = 'Ollama.exe';
            ExecutablePath = $null; SessionId = [uint32] 1; CreationDate = [DateTime]::Now; CommandLine = 'serve' }
    }
    if ($ClassName -eq 'Win32_LogicalDisk') {
        return [pscustomobject] @{ DeviceID = 'C:'; DriveType = 3; Size = [uint64] 5000000000;
            FreeSpace = [uint64] 4000000000; FileSystem = 'NTFS' }, [pscustomobject] @{ DeviceID = 'D:'; DriveType = 5 }
    }
    if ($ClassName -eq 'Win32_Processor') {
        return [pscustomobject] @{ Name = 'P '; VirtualizationFirmwareEnabled = $true }
    }
    return [pscustomobject] @{ NumberOfLogicalProcessors = [uint32] 8; TotalPhysicalMemory = [uint64] 68437245952;
        HypervisorPresent = $false }
}
function Invoke-CimMethod { [pscustomobject] @{ ReturnValue = 0; Domain = 'BOX'; User = 'Steam' } }
"""
# Get, Enable and Disable keep the state in a variable, as DISM does on the disk.
DISM = """$script:known = 'STATE'
function Get-WindowsOptionalFeature {
    param([switch] $Online, [string] $FeatureName)
    if ($FeatureName -eq 'NoSuch') {
        throw [System.Runtime.InteropServices.COMException]::new('Feature name NoSuch is unknown.', -2146498548)
    }
    return [pscustomobject] @{ State = $script:known }
}
function Enable-WindowsOptionalFeature {
    param([switch] $Online, [string] $FeatureName, [switch] $All, [switch] $NoRestart, [string] $WarningAction)
    $script:known = 'EnablePending'
    return [pscustomobject] @{ RestartNeeded = $true }
}
function Disable-WindowsOptionalFeature {
    param([switch] $Online, [string] $FeatureName, [switch] $NoRestart, [string] $WarningAction)
    $script:known = 'Disabled'
    return [pscustomobject] @{ RestartNeeded = $false }
}
"""


def stubbed(name: str, stubs: str, **given: Any) -> dict[str, Any]:
    """Run a shipped script with functions in the place of what only Windows has, also where this is Windows."""
    first = "$ErrorActionPreference = 'Stop'\n"
    done = run(load(name).replace(first, first + stubs, 1), given)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    said: dict[str, Any] = json.loads(done.stdout.decode("utf-8-sig"))
    check_type(said, OUTPUT[name])
    return said


@runs_pwsh
@pytest.mark.parametrize(
    ("state", "present", "changed", "after", "restart"),
    [
        ("Disabled", True, True, "EnablePending", True),
        ("EnablePending", True, False, "EnablePending", True),
        ("Enabled", True, False, "Enabled", False),
        ("Enabled", False, True, "Disabled", False),
        ("DisablePending", False, False, "DisablePending", True),
        ("DisabledWithPayloadRemoved", False, False, "DisabledWithPayloadRemoved", False),
    ],
)
def test_a_feature_is_switched_only_when_it_is_not_so(
    state: str, present: bool, changed: bool, after: str, restart: bool
) -> None:
    said = stubbed("Set-Feature", DISM.replace("STATE", state), feature="X", present=present)
    assert said == {"changed": changed, "before": state, "after": after, "reboot_required": restart}


@runs_pwsh
def test_a_feature_is_read_and_an_unknown_one_is_none() -> None:
    assert stubbed("Get-Feature", DISM.replace("STATE", "Enabled"), feature="X") == {"state": "Enabled"}
    assert stubbed("Get-Feature", DISM, feature="NoSuch") == {"state": None}


@runs_pwsh
def test_a_service_is_found_among_all_and_a_missing_one_is_none() -> None:
    said = stubbed("Get-ServiceState", CIM, service="IPHLPSVC")["service"]
    assert (said["name"], said["state"], said["start"], said["pid"]) == ("iphlpsvc", "Running", "delayed", 42)
    assert stubbed("Get-ServiceState", CIM, service="nosuch") == {"service": None}


@runs_pwsh
def test_a_list_of_one_process_is_a_list_and_so_is_one_of_none() -> None:
    (said,) = stubbed("Get-ProcessList", CIM, image="ollama.exe", environment=False)["processes"]
    assert (said["pid"], said["session"], said["user"], said["path"]) == (42, 1, "BOX\\Steam", None)
    assert said["environment"] is None
    assert stubbed("Get-ProcessList", CIM, image="nosuch.exe", environment=False) == {"processes": []}


@runs_pwsh
def test_hardware_lists_fixed_disks_only() -> None:
    said = stubbed("Get-Hardware", CIM)
    assert (said["processor"], said["memory_bytes"]) == ("P", 68437245952)
    assert [disk["drive"] for disk in said["disks"]] == ["C:"]


@runs_pwsh
def test_the_clock_is_utc() -> None:
    said = datetime.fromisoformat(answer("Get-SystemClock", {})["utc"][:26] + "+00:00")
    assert abs((said - datetime.now(timezone.utc)).total_seconds()) < 60


@runs_pwsh
def test_folders_are_measured_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/one").write_bytes(b"x" * 1000)
    (tmp_path / "a/b/.two").write_bytes(b"x" * 24)
    if os.name != "nt":
        (tmp_path / "a/link").symlink_to(tmp_path)
    paths = [str(tmp_path / "a"), str(tmp_path / "nosuch")]
    said = answer("Get-FolderSize", {"paths": paths})["folders"]
    assert said == [{"path": paths[0], "bytes": 1024}, {"path": paths[1], "bytes": None}]


@runs_pwsh
@needs_windows
@pytest.mark.parametrize("name", ["Get-Power", "Get-Account", "Get-Gpu", "Get-BootState", "Get-Hardware"])
def test_a_script_that_reads_windows(name: str) -> None:
    answer(name, {})


@runs_pwsh
@needs_windows
def test_what_is_left_as_it_is_is_not_changed() -> None:
    times = ("sleep_ac_minutes", "sleep_dc_minutes", "hibernate_ac_minutes", "hibernate_dc_minutes")
    nothing = dict.fromkeys((*times, "hibernate", "fast_startup"))
    assert answer("Set-Power", nothing)["changed"] is False
    assert answer("Set-ServiceState", {"service": "EventLog", "start": None, "running": None})["changed"] is False
    # No boot was at the beginning of time.
    assert answer("Restart-Windows", {"boot_file_time": 0})["changed"] is False


@runs_pwsh
@needs_windows
def test_the_environment_of_a_process_is_the_one_it_was_started_with() -> None:
    said = answer("Get-ProcessList", {"image": Path(str(PWSH)).name, "environment": True})["processes"]
    assert any((one["environment"] or {}).get("SystemRoot") for one in said)


@runs_pwsh
@needs_windows
@pytest.mark.parametrize(
    ("kind", "data"),
    [("String", "a"), ("ExpandString", "%A%"), ("DWord", 4294967295), ("QWord", 5), ("MultiString", ["one"])],
)
def test_a_registry_value_comes_and_goes(kind: str, data: Any) -> None:
    place = {"key": "HKCU\\Software\\vengeance test of scripts", "value_name": kind}
    given = {**place, "kind": kind, "data": data, "present": True}
    assert answer("Set-RegistryValue", given)["changed"] is True
    assert answer("Set-RegistryValue", given)["changed"] is False
    assert answer("Get-RegistryValue", place) == {"kind": kind, "data": data}
    assert answer("Set-RegistryValue", {**given, "present": False})["after"] == {"kind": None, "data": None}
    assert answer("Set-RegistryValue", {**given, "present": False})["changed"] is False
