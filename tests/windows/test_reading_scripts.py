"""Every script that reads, run over WinRM on a real Windows: its JSON is as the contract says, and true."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any

import pytest

from tests.windows.machine import Machine, answer
from vengeance.winrm.client import WinRMClient

HOSTS = r"C:\Windows\System32\drivers\etc\hosts"
READING: dict[str, dict[str, Any]] = {
    "Get-Account": {},
    "Get-Before": {},
    "Get-Boot": {},
    "Get-BootState": {},
    "Get-DirectoryAccess": {"path": r"%ProgramData%\vengeance"},
    "Get-Environment": {"names": None},
    "Get-Feature": {"feature": "VirtualMachinePlatform"},
    "Get-File": {"path": HOSTS},
    "Get-FileVersion": {"path": r"C:\Windows\System32\cmd.exe"},
    "Get-FirewallRule": {"port": 5986, "rule": "vengeance-winrm-https", "programs": ["svchost.exe"]},
    "Get-FolderSize": {"paths": [r"%SystemRoot%\System32\drivers\etc", r"C:\there is no such folder"]},
    "Get-Gpu": {},
    "Get-GpuProcess": {},
    "Get-Hardware": {},
    "Get-Listener": {"port": None},
    "Get-NetworkProfile": {},
    "Get-OllamaAnswer": {"address": "127.0.0.1", "port": 11434, "question": "version"},
    "Get-OllamaInstallation": {"folder": None},
    "Get-OllamaServer": {"boot_log": r"C:\ProgramData\vengeance\ollama\server.log"},
    "Get-OllamaSettings": {},
    "Get-OllamaStorage": {"folder": None},
    "Get-Os": {},
    "Get-PendingReboot": {},
    "Get-PortProxy": {},
    "Get-Power": {},
    "Get-ProcessList": {"image": "powershell.exe", "environment": False},
    "Get-Product": {"product": "there is no such product"},
    "Get-RegistryValue": {"key": r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion", "value_name": "CurrentBuild"},
    "Get-ReservedPort": {},
    "Get-RunLock": {},
    "Get-ServiceState": {"service": "WinRM"},
    "Get-Sha256": {"path": HOSTS},
    "Get-SystemClock": {},
    "Get-Tailscale": {},
    "Get-Task": {"name": "there is no such task", "user": None},
    "Get-Work": {"name": "there-is-no-such-work"},
    "Get-WslConfiguration": {},
    "Get-WslInstallation": {},
    "Get-WslOwner": {},
    "Get-WsmanQuota": {},
}
"""Script -> what it is asked."""


@pytest.mark.parametrize("name", READING)
def test_a_script_answers_as_the_contract_says(client: WinRMClient, name: str) -> None:
    answer(client, name, READING[name])


def asked(client: WinRMClient, name: str) -> Any:
    return answer(client, name, READING[name])


def test_the_build_is_the_one_in_the_registry_and_the_name_that_of_the_machine(
    machine: Machine, client: WinRMClient
) -> None:
    said = asked(client, "Get-Os")
    known = machine.registry(r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion", "CurrentBuild")
    assert known == ("REG_SZ", str(said["build"]))
    assert asked(client, "Get-RegistryValue") == {"kind": "String", "data": str(said["build"])}
    assert machine.seen("hostname").text.strip().lower() == said["hostname"].lower()


def test_the_account_is_the_one_that_whoami_shows(machine: Machine, client: WinRMClient) -> None:
    said = asked(client, "Get-Account")
    assert said["sid"] in machine.seen("whoami /user").text
    assert (said["elevated"], said["full_token_over_network"]) == (True, True)


def test_both_boot_scripts_tell_the_same_boot(client: WinRMClient) -> None:
    assert asked(client, "Get-Boot")["boot_file_time"] == asked(client, "Get-BootState")["boot_file_time"]


def test_the_machines_variables_are_those_of_the_registry(machine: Machine, client: WinRMClient) -> None:
    said = asked(client, "Get-Environment")["machine"]
    listed = machine.seen(r'reg query "HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"').text
    # A name may hold spaces and brackets; the columns are parted by four spaces.
    assert set(said) == set(re.findall(r"^ {4}(\S.*?) {4}REG_", listed, re.MULTILINE))


def test_a_hash_is_the_one_that_certutil_finds(machine: Machine, client: WinRMClient) -> None:
    assert asked(client, "Get-File")["exists"] is True
    assert asked(client, "Get-Sha256")["sha256"] in machine.hashed(HOSTS)


def test_the_service_that_answers_runs_in_the_process_that_sc_shows(machine: Machine, client: WinRMClient) -> None:
    service = asked(client, "Get-ServiceState")["service"]
    assert service["state"] == "Running"
    assert re.search(rf":\s+{service['pid']}\b", machine.seen("sc queryex WinRM").text)


def test_the_port_that_we_came_by_is_listened_on(machine: Machine, client: WinRMClient) -> None:
    ports = {one["port"] for one in asked(client, "Get-Listener")["listeners"]}
    listed = {int(port) for port in re.findall(r"TCP\s+\S+:(\d+)\s+\S+:0\s", machine.seen("netstat -ano -p TCP").text)}
    assert machine.settings.effective_port in ports & listed


def test_the_agent_that_answers_is_a_process_that_tasklist_shows(machine: Machine, client: WinRMClient) -> None:
    found = {one["pid"]: one for one in asked(client, "Get-ProcessList")["processes"]}
    shown = {pid for pid, image in machine.processes().items() if image == "powershell.exe"}
    # Others may come and go meanwhile; the agent's own stays, in session 0 as everything that WinRM starts.
    assert [found[pid]["session"] for pid in found.keys() & shown].count(0) > 0


def test_a_feature_is_in_the_state_that_dism_tells(machine: Machine, client: WinRMClient) -> None:
    listed = machine.seen("dism /English /Online /Get-FeatureInfo /FeatureName:VirtualMachinePlatform").text
    known = re.search(r"^State : (.*?)\s*$", listed, re.MULTILINE)
    # DISM writes for people: "Enable Pending" is EnablePending.
    assert asked(client, "Get-Feature")["state"] == (None if known is None else known[1].replace(" ", ""))


def test_the_version_of_wsl_is_the_one_that_its_package_wrote(machine: Machine, client: WinRMClient) -> None:
    known = machine.registry(r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Lxss\MSI", "Version")
    assert asked(client, "Get-WslInstallation")["version"] == (None if known is None else known[1])


def test_sleep_is_what_powercfg_tells(machine: Machine, client: WinRMClient) -> None:
    listed = machine.seen("powercfg /query SCHEME_CURRENT SUB_SLEEP STANDBYIDLE").text
    values = [int(value, 16) for value in re.findall(r": (0x[0-9a-f]{8})\s*$", listed, re.MULTILINE)]
    said = asked(client, "Get-Power")
    if not values:
        pytest.skip("powercfg knows no sleep here: a virtual machine cannot")
    # The last two are those in force, plugged in and on battery; those before them are the range.
    assert [said["sleep_ac_seconds"], said["sleep_dc_seconds"]] == values[-2:]


def test_the_clock_is_right_within_minutes(client: WinRMClient) -> None:
    told = datetime.fromisoformat(asked(client, "Get-SystemClock")["utc"][:19] + "+00:00")
    assert abs((datetime.now(timezone.utc) - told).total_seconds()) < 300


def test_the_processors_are_as_many_as_windows_tells_each_program(machine: Machine, client: WinRMClient) -> None:
    told = machine.seen("echo %NUMBER_OF_PROCESSORS%").text.strip()
    assert str(asked(client, "Get-Hardware")["logical_processors"]) == told


def test_the_quota_is_large_enough_for_the_connectors_messages(machine: Machine, client: WinRMClient) -> None:
    assert asked(client, "Get-WsmanQuota")["max_envelope_kb"] >= machine.settings.envelope_kb
