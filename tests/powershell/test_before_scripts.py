"""What was there before is kept once, forgotten when it was taken back, and a firewall rule put back as it was."""

from __future__ import annotations

from typing import Any

from tests.powershell.test_powershell_scripts import answer, needs_windows, runs_pwsh

NAME = "vengeance's own tests"
RULE = r"TCP Query User{5E1F0B52-9C0C-4A42-9C55-B9E7C1C5BBD5}C:\vengeance's tests\no such.exe"


@runs_pwsh
@needs_windows
def test_what_is_kept_is_not_overwritten_and_goes_when_it_is_forgotten() -> None:
    first: dict[str, Any] = {"keep": {NAME: '{"sleep": 1800}'}, "forget": []}
    try:
        assert answer("Set-Before", first)["changed"] is True
        assert answer("Set-Before", {"keep": {NAME: "null"}, "forget": []})["changed"] is False
        assert answer("Get-Before", {})["entries"][NAME] == '{"sleep": 1800}'
    finally:
        said = answer("Set-Before", {"keep": {}, "forget": [NAME]})
    assert (said["changed"], NAME in said["after"]) == (True, False)
    assert answer("Set-Before", {"keep": {}, "forget": [NAME]})["changed"] is False


@runs_pwsh
@needs_windows
def test_a_rule_that_windows_question_left_is_put_back_under_its_name() -> None:
    given: dict[str, Any] = {
        "rule": RULE,
        "title": "no such.exe",
        "action": "block",
        "protocol": "tcp",
        "port": None,
        "remote_addresses": [],
        "program": r"C:\vengeance's tests\no such.exe",
        "profiles": ["public"],
    }
    try:
        said = answer("Add-FirewallRule", given)
        assert (said["changed"], said["before"]) == (True, None)
        assert {"Action=Block", "Protocol=6", "Profile=Public"} <= set(said["after"].split("|"))
        assert answer("Add-FirewallRule", given)["changed"] is False
    finally:
        assert answer("Remove-FirewallRule", {"rules": [RULE]})["after"] == []
