"""The scripts about the network and Tailscale, run for real; what only Windows has is stubbed or left to Windows."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from typeguard import check_type

from tests.powershell.test_powershell_scripts import answer, needs_windows, run, runs_pwsh
from vengeance.powershell import load
from vengeance.powershell.contract import OUTPUT

RULE = "vengeance test of scripts"
# One listener of a process that runs, and one of a process that has ended meanwhile.
LISTENERS = """\
function Get-CimInstance([string] $ClassName, [string] $Namespace, [string] $Filter, [string[]] $Property) {
    if ($ClassName -eq 'Win32_Process') {
        [pscustomobject] @{ ProcessId = [uint32] 7012; Name = 'ollama.exe'; ExecutablePath = 'C:\\ollama.exe' }
    }
    else {
        [pscustomobject] @{ LocalAddress = '0.0.0.0'; LocalPort = [uint16] 11434; OwningProcess = [uint32] 7012 }
        [pscustomobject] @{ LocalAddress = '::'; LocalPort = [uint16] 11434; OwningProcess = [uint32] 7016 }
    }
}"""
PROFILE = """\
function Get-CimInstance([string] $ClassName, [string] $Namespace) {
    [pscustomobject] @{ InterfaceAlias = 'Ethernet'; Name = 'Network 2'; NetworkCategory = [uint32] 1 }
}"""


def answered(name: str, parameters: dict[str, Any], stub: str) -> Any:
    """Run a script with functions in the place of commands that only Windows has."""
    first = "$ErrorActionPreference = 'Stop'\n"
    done = run(load(name).replace(first, f"{first}{stub}\n", 1), parameters)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return check_type(json.loads(done.stdout.decode("utf-8-sig")), OUTPUT[name])


@runs_pwsh
def test_a_listener_without_a_process_is_told_without_its_name() -> None:
    listeners = answered("Get-Listener", {"port": 11434}, LISTENERS)["listeners"]
    assert [(one["address"], one["process"]) for one in listeners] == [("0.0.0.0", "ollama.exe"), ("::", None)]


@runs_pwsh
def test_one_network_is_a_list_of_one() -> None:
    assert answered("Get-NetworkProfile", {}, PROFILE) == {
        "networks": [{"interface": "Ethernet", "network": "Network 2", "profile": "private"}]
    }


@runs_pwsh
@pytest.mark.skipif(sys.platform == "win32", reason="Tailscale may be installed there")
def test_a_machine_without_tailscale_has_empty_lists_and_no_errors() -> None:
    said = answer("Get-Tailscale", {})
    assert (said["installed"], said["addresses"], said["serve"], said["key_expiry"]) == (False, [], [], None)


@runs_pwsh
@needs_windows
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Get-FirewallRule", {"port": 11434, "rule": None, "programs": ["ollama.exe"]}),
        ("Get-PortProxy", {}),
        ("Get-ReservedPort", {}),
        ("Get-Listener", {"port": None}),
        ("Get-NetworkProfile", {}),
        ("Get-Tailscale", {}),
    ],
)
def test_a_script_that_reads_the_network(name: str, parameters: dict[str, Any]) -> None:
    answer(name, parameters)


@runs_pwsh
@needs_windows
def test_a_firewall_rule_comes_changes_and_goes() -> None:
    given: dict[str, Any] = {
        "rule": RULE,
        "title": RULE,
        "action": "allow",
        "protocol": "tcp",
        "port": 11434,
        "remote_addresses": ["100.64.0.0/10", "LocalSubnet"],
        "program": None,
        "profiles": ["private"],
    }
    try:
        said = answer("Set-FirewallRule", given)
        assert (said["changed"], said["before"]) == (True, None)
        assert "|RA4=100.64.0.0/255.192.0.0|" in said["after"]
        assert answer("Set-FirewallRule", given)["changed"] is False
        said = answer("Set-FirewallRule", {**given, "remote_addresses": [], "profiles": []})
        assert "|RA4=" not in said["after"]
        assert "|Profile=" not in said["after"]
    finally:
        assert answer("Remove-FirewallRule", {"rules": [RULE]})["after"] == []
    assert answer("Remove-FirewallRule", {"rules": [RULE]})["changed"] is False


@runs_pwsh
@needs_windows
def test_a_forwarded_port_comes_and_goes() -> None:
    given: dict[str, Any] = {"listen_address": "127.0.0.254", "listen_port": 47111}
    there = {**given, "connect_address": "127.0.0.1", "connect_port": 47112}
    gone = {**given, "connect_address": None, "connect_port": None}
    try:
        assert answer("Set-PortProxy", there)["after"] == "127.0.0.1/47112"
        assert answer("Set-PortProxy", there)["changed"] is False
    finally:
        assert answer("Set-PortProxy", gone)["changed"] is True
    assert answer("Set-PortProxy", gone)["changed"] is False


@runs_pwsh
@needs_windows
def test_a_port_is_set_aside_and_given_back() -> None:
    given: dict[str, Any] = {"port": 47113, "stop_winnat": False}
    try:
        assert answer("Set-ReservedPort", {**given, "present": True})["changed"] is True
        assert answer("Set-ReservedPort", {**given, "present": True})["changed"] is False
    finally:
        assert answer("Set-ReservedPort", {**given, "present": False})["changed"] is True
