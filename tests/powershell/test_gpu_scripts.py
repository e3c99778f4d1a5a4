"""The script about the card's memory, run wherever a PowerShell is found; the classes of Windows are stood in for."""

from __future__ import annotations

from typing import Any

import pytest
from typeguard import check_type

from tests.powershell.test_every_script import stubbed
from tests.powershell.test_powershell_scripts import runs_pwsh
from vengeance.powershell.contract import OUTPUT

ADAPTERS = """\
function Get-ChildItem([string] $LiteralPath, [string] $ErrorAction) {
    foreach ($one in @(@(53745, 4318), @(61234, 4098), @(0, 4318))) {
        $key = [pscustomobject] @{ AdapterLuid = [long] $one[0]; VendorId = [int] $one[1] }
        $read = { param($name, $default) $this.$name }
        Add-Member -InputObject $key -MemberType 'ScriptMethod' -Name 'GetValue' -Value $read -PassThru
    }
}
"""
COUNTERS = """\
function Get-CimInstance([string] $ClassName) {
    if ($ClassName -eq 'Win32_Process') {
        [pscustomobject] @{ ProcessId = [uint32] 400; Name = 'dwm.exe'; ExecutablePath = $null; CommandLine = $null
            SessionId = [uint32] 1 }
        [pscustomobject] @{ ProcessId = [uint32] 5000; Name = 'python.exe'; SessionId = [uint32] 2
            ExecutablePath = 'D:\\ai\\python_embeded\\python.exe'
            CommandLine = 'python -s ComfyUI\\main.py --token abc' }
        return
    }
    $rows = @(
        @('pid_400_luid_0x00000000_0x0000D1F1_phys_0', 500, 9000),
        @('pid_400_luid_0x00000000_0x0000EF32_phys_0', 40, 40),
        @('pid_5000_luid_0x00000000_0x0000D1F1_phys_0', 7000, 7100),
        @('pid_6000_luid_0x00000000_0x0000D1F1_phys_0', 0, 80), @('_Total', 7540, 9000)
    )
    foreach ($row in $rows) {
        [pscustomobject] @{ Name = $row[0]; LocalUsage = [uint64] ($row[1] * 1048576)
            DedicatedUsage = [uint64] ($row[2] * 1048576) }
    }
}
"""
BROKEN = "function Get-CimInstance([string] $ClassName) { throw 'Invalid class' }\n"


def said(stubs: str) -> Any:
    return check_type(stubbed("Get-GpuProcess", stubs, {}), OUTPUT["Get-GpuProcess"])


@runs_pwsh
def test_what_lies_in_the_card_is_counted_by_process_and_other_adapters_are_not() -> None:
    found = said(ADAPTERS + COUNTERS)
    assert (found["counted"], found["reason"], found["of_card"]) == (True, None, True)
    assert [(one["pid"], one["image"], one["mib"], one["committed_mib"]) for one in found["processes"]] == [
        (400, "dwm.exe", 500, 9000),
        (5000, "python.exe", 7000, 7100),
    ]


@runs_pwsh
def test_comfyui_is_known_by_its_command_line_which_is_not_told() -> None:
    found = said(ADAPTERS + COUNTERS)
    assert [one["comfyui"] for one in found["processes"]] == [False, True]
    assert "abc" not in str(found)


@runs_pwsh
@pytest.mark.parametrize("counted", [True, False])
def test_without_the_cards_adapter_all_are_counted_and_without_counters_the_reason_is_told(counted: bool) -> None:
    nothing = "function Get-ChildItem([string] $LiteralPath, [string] $ErrorAction) { }\n"
    found = said(nothing + (COUNTERS if counted else BROKEN))
    assert (found["counted"], found["of_card"]) == (counted, False)
    if counted:
        assert [one["mib"] for one in found["processes"]] == [540, 7000]
    else:
        assert found["processes"] == []
        assert "Invalid class" in found["reason"]
