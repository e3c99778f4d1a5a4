"""Features, power, services and registry values: what the operations do with what they find."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pyinfra.api.command import FunctionCommand
from pyinfra.api.exceptions import FactProcessError, OperationValueError

from tests.unit.operation_runs import Run, run_operation
from vengeance.facts import windows as facts
from vengeance.operations import windows
from vengeance.powershell import Script

FRESH_POWER = {
    "sleep_ac_seconds": 1800,
    "sleep_dc_seconds": 900,
    "hibernate_ac_seconds": 10800,
    "hibernate_dc_seconds": 10800,
    "hibernate": True,
    "fast_startup": True,
}
AWAKE = {**FRESH_POWER, "sleep_ac_seconds": 0, "sleep_dc_seconds": 0, "hibernate": False, "fast_startup": False}
SERVICE = {
    "name": "iphlpsvc",
    "display_name": "IP Helper",
    "state": "Stopped",
    "start": "manual",
    "pid": None,
    "account": "LocalSystem",
    "command_line": "svchost.exe",
}
KEY = r"HKLM\SOFTWARE\X"


def parameters(run: Run) -> dict[str, Any]:
    (command,) = run.commands
    assert isinstance(command, Script)
    given: dict[str, Any] = json.loads(command.parameters)
    return given


def refusal(run: Run) -> str:
    (command,) = run.commands
    assert isinstance(command, FunctionCommand)
    (sentence,) = command.args
    return str(sentence)


# --- features -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "present", "changes"),
    [
        ("Disabled", True, True),
        ("DisabledWithPayloadRemoved", True, True),
        ("DisablePending", True, True),
        ("Enabled", True, False),
        ("EnablePending", True, False),
        ("Enabled", False, True),
        ("EnablePending", False, True),
        ("Disabled", False, False),
        ("DisablePending", False, False),
        ("DisabledWithPayloadRemoved", False, False),
    ],
)
def test_a_feature_is_switched_unless_it_is_or_will_be_so(state: str, present: bool, changes: bool) -> None:
    run = run_operation(windows.feature, {facts.Feature: state}, feature="VirtualMachinePlatform", present=present)
    if changes:
        assert parameters(run) == {"feature": "VirtualMachinePlatform", "present": present}
        assert run.logged == [f"feature VirtualMachinePlatform: {state} -> {'Enabled' if present else 'Disabled'}"]
    else:
        assert run.commands == []
        assert ("with the next restart" in run.noops[0]) is state.endswith("Pending")


def test_a_feature_that_windows_does_not_have_stops_the_host() -> None:
    said = refusal(run_operation(windows.feature, {facts.Feature: None}, feature="VirtualMachinPlatform"))
    assert said.startswith("Windows on somewhere has no feature VirtualMachinPlatform.")
    assert "Get-WindowsOptionalFeature" in said


@pytest.mark.parametrize("name", ["", "a b", "x;y", "-x", 5])
def test_no_name_of_a_feature(name: Any) -> None:
    with pytest.raises(OperationValueError, match="is no name of a feature"):
        run_operation(windows.feature, {}, feature=name)


# --- power --------------------------------------------------------------------------------------------------


def test_a_fresh_windows_is_kept_awake_and_then_left_alone() -> None:
    run = run_operation(windows.power, {facts.Power: FRESH_POWER})
    assert parameters(run) == {
        "sleep_ac_minutes": 0,
        "sleep_dc_minutes": 0,
        "hibernate_ac_minutes": None,
        "hibernate_dc_minutes": None,
        "hibernate": False,
        "fast_startup": False,
    }
    assert run.logged == [
        "Windows sleeps after 30 min plugged in and after 15 min on battery, hibernates after 180 min plugged in and "
        "after 180 min on battery, Fast Startup on -> sleeps never, does not hibernate, Fast Startup off"
    ]
    again = run_operation(windows.power, {facts.Power: AWAKE})
    assert again.commands == []
    assert again.noops == ["Windows sleeps never plugged in and never on battery, does not hibernate, Fast Startup off"]


def test_a_time_that_nobody_knows_is_set() -> None:
    run = run_operation(windows.power, {facts.Power: {**AWAKE, "sleep_dc_seconds": None}})
    assert parameters(run)["sleep_dc_minutes"] == 0


def test_hibernation_that_stays_does_not_come_by_itself() -> None:
    run = run_operation(windows.power, {facts.Power: {**AWAKE, "hibernate": True}}, hibernate=True)
    assert parameters(run) == {
        "sleep_ac_minutes": None,
        "sleep_dc_minutes": None,
        "hibernate_ac_minutes": 0,
        "hibernate_dc_minutes": 0,
        "hibernate": None,
        "fast_startup": None,
    }


def test_a_windows_that_may_sleep_keeps_its_own_times() -> None:
    given: dict[str, Any] = {"sleep": True, "hibernate": True, "fast_startup": True}
    assert run_operation(windows.power, {facts.Power: FRESH_POWER}, **given).commands == []
    run = run_operation(windows.power, {facts.Power: AWAKE}, **given)
    assert parameters(run) == {
        "sleep_ac_minutes": 30,
        "sleep_dc_minutes": 30,
        "hibernate_ac_minutes": None,
        "hibernate_dc_minutes": None,
        "hibernate": True,
        "fast_startup": True,
    }


def test_fast_startup_without_hibernation_is_refused() -> None:
    with pytest.raises(OperationValueError, match="fast_startup=True needs hibernate=True"):
        run_operation(windows.power, {facts.Power: FRESH_POWER}, fast_startup=True)
    with pytest.raises(OperationValueError, match="sleep is True or False, not 'no'"):
        run_operation(windows.power, {facts.Power: FRESH_POWER}, sleep="no")


# --- services -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ({"running": True}, {"start": None, "running": True}),
        ({"start": "auto"}, {"start": "auto", "running": None}),
        ({"enabled": True, "running": True}, {"start": "auto", "running": True}),
        ({"enabled": False}, {"start": "disabled", "running": None}),
        ({"start": "delayed", "running": False}, {"start": "delayed", "running": None}),
    ],
)
def test_only_what_differs_about_a_service_is_changed(arguments: dict[str, Any], given: dict[str, Any]) -> None:
    run = run_operation(windows.service, {facts.Service: SERVICE}, service="iphlpsvc", **arguments)
    assert parameters(run) == {"service": "iphlpsvc", **given}
    assert run.logged


@pytest.mark.parametrize("arguments", [{}, {"running": False}, {"start": "manual", "running": False}])
def test_a_service_that_is_right_is_left_alone(arguments: dict[str, Any]) -> None:
    run = run_operation(windows.service, {facts.Service: SERVICE}, service="iphlpsvc", **arguments)
    assert (run.commands, run.noops) == ([], ["service iphlpsvc is stopped and starts manual"])


def test_a_service_that_is_not_there_stops_the_host() -> None:
    said = refusal(run_operation(windows.service, {facts.Service: None}, service="Ollama", running=True))
    assert said.startswith("Windows on somewhere has no service Ollama.")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"service": ""}, "'' is no name of a service"),
        ({"service": "a/b"}, "'a/b' is no name of a service"),
        ({"start": "automatic"}, "A service starts auto, delayed, manual, disabled, not 'automatic'."),
        ({"enabled": True, "start": "disabled"}, "enabled=True and start='disabled' contradict each other"),
        ({"enabled": False, "running": True}, "cannot run and be disabled"),
        ({"start": "disabled", "running": True}, "cannot run and be disabled"),
        ({"service": "WinRM", "running": False}, "Without the service WinRM this connection ends"),
        ({"service": "winrm", "enabled": False}, "Without the service WinRM this connection ends"),
    ],
)
def test_what_no_service_can_be_is_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OperationValueError) as caught:
        run_operation(windows.service, {facts.Service: SERVICE}, **{"service": "iphlpsvc", **arguments})
    assert sentence in str(caught.value)


# --- registry -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "data"),
    [("String", "text"), ("ExpandString", "%A%"), ("DWord", 2**32 - 1), ("QWord", 2**63 - 1), ("MultiString", ["a"])],
)
def test_a_registry_value_is_written_once_and_removed_once(kind: str, data: Any) -> None:
    absent = {facts.RegistryValue: {"kind": None, "data": None}}
    there = {facts.RegistryValue: {"kind": kind, "data": data}}
    wanted: dict[str, Any] = {"key": KEY, "value_name": "Y", "data": data, "kind": kind}
    run = run_operation(windows.registry_value, absent, **wanted)
    assert parameters(run) == {**wanted, "present": True}
    assert run.logged == [f"{KEY}\\Y: (not set) -> {data!r} ({kind})"]
    assert run_operation(windows.registry_value, there, **wanted).commands == []
    gone = run_operation(windows.registry_value, there, key=KEY, value_name="Y", present=False)
    assert (parameters(gone)["present"], parameters(gone)["data"]) == (False, None)
    assert run_operation(windows.registry_value, absent, key=KEY, value_name="Y", present=False).commands == []


def test_the_same_data_of_another_kind_is_written() -> None:
    there = {facts.RegistryValue: {"kind": "String", "data": "x"}}
    run = run_operation(windows.registry_value, there, key=KEY, value_name="", data="x", kind="ExpandString")
    assert run.logged == [f"{KEY}\\(default): 'x' (String) -> 'x' (ExpandString)"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"key": "SOFTWARE\\X"}, "begin with HKLM\\ or HKCU\\."),
        ({"key": "HKLM"}, "begin with HKLM\\ or HKCU\\."),
        ({"key": "HKCR\\x"}, "begin with HKLM\\ or HKCU\\."),
        ({"key": "HKLM\\a\\\\b"}, "each name has 1 to 255 characters"),
        ({"kind": "REG_DWORD"}, "did you mean DWord?"),
        ({"kind": "Binary"}, "use one of String"),
        ({"kind": "DWord", "data": -1}, "A DWord is a number from 0 to 4294967295, not -1."),
        ({"kind": "DWord", "data": True}, "A DWord is a number from 0 to 4294967295, not True."),
        ({"kind": "QWord", "data": 2**63}, "A QWord is a number from 0 to"),
        ({"kind": "MultiString", "data": "a"}, "A MultiString is a list of texts, none of them empty, not 'a'."),
        ({"kind": "MultiString", "data": ["a", ""]}, "none of them empty"),
        ({"data": 1}, "A String is a text, not 1."),
        ({"data": None}, "A String is a text, not None."),
    ],
)
def test_what_the_registry_cannot_hold_is_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OperationValueError) as caught:
        run_operation(windows.registry_value, {}, **{"key": KEY, "value_name": "Y", "data": "x", **arguments})
    assert sentence in str(caught.value)


# --- facts that reckon --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["2026-02-09T07:12:44.1234567Z", "2026-02-09T07:12:44.0000000Z"])
def test_a_clock_is_compared_with_this_machines(text: str) -> None:
    found = facts.SystemClock().process([json.dumps({"utc": text})])
    assert found["utc"] == text
    # The date lies in the past of whoever runs this.
    assert found["ahead_seconds"] < -86_400


def test_a_clock_that_is_none_fails_its_host_only() -> None:
    with pytest.raises(FactProcessError, match="which is no date"):
        facts.SystemClock().process(['{"utc":"yesterday"}'])


def test_the_first_card_is_the_card() -> None:
    cards = [
        {
            "name": name,
            "driver_version": "591.86",
            "memory_mib": 24564,
            "memory_used_mib": 1900,
            "memory_free_mib": 22231,
            "driver_model": "WDDM",
        }
        for name in ("A", "B")
    ]
    found = facts.Gpu().process([json.dumps({"gpus": cards, "failure": None})])
    assert found is not None
    assert found["name"] == "A"
    assert facts.Gpu().process(['{"gpus":[],"failure":"none"}']) is None


def test_folders_are_named_as_they_were_asked_for() -> None:
    fact = facts.FolderSizes()
    fact.command(paths=["%USERPROFILE%\\x", "C:\\y"])
    answer = {"folders": [{"path": "C:\\Users\\Steam\\x", "bytes": 5}, {"path": "C:\\y", "bytes": None}]}
    assert fact.process([json.dumps(answer)]) == {"%USERPROFILE%\\x": 5, "C:\\y": None}
