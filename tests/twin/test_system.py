"""Features, power, services, registry, processes, hardware and restarts of the twin, through their operations.

What was done is read from the registry, windows.json or the process list, never by the script that did it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.twin.linux_side import until
from tests.twin.windows_box import Box
from tests.twin.works_box import WorksHost
from tests.unit.operation_runs import Run
from vengeance.facts import windows as facts
from vengeance.operations import windows as operations
from vengeance.powershell import Script
from vengeance.powershell.contract import INPUT, OUTPUT
from vengeance.powershell.system import INPUT as MINE
from vengeance.twin.windows.features import SERVICING
from vengeance.twin.windows.machine import POWER, SESSION_POWER, SIGN_IN_CHECKED, SIGN_IN_SECONDS
from vengeance.twin.windows.model import Windows
from vengeance.twin.windows.state import State

PLATFORM = "VirtualMachinePlatform"


class SystemBox(Box):
    """A Windows right after its set-up, and the operations that are done to it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.windows = Windows(State(folder / "bare", bare=True), restart=self.restarts.append, log=self.faults.append)
        self.host = WorksHost(self)
        self.windows.boot()

    def do(self, operation: Any, **arguments: Any) -> list[str]:
        """Run an operation and its scripts; returns the scripts' names."""
        run = Run()
        with self.host.pyinfra(run):
            commands = list(operation._inner(**arguments))
        for command in commands:
            assert isinstance(command, Script), run.logged
            good, out, err = self.host.run_script(command)
            assert good, err
            assert json.loads(out)["changed"] is True
            # What was done once is not done again by the script either.
            good, out, err = self.host.run_script(command)
            assert (good, json.loads(out)["changed"]) == (True, False)
        return [command.script for command in commands]

    def script(self, name: str, **given: Any) -> Any:
        good, out, err = self.host.run_script(Script(name, given))
        if not good:
            raise RuntimeError(err)
        return json.loads(out)

    def section(self, name: str) -> dict[str, Any]:
        """What windows.json remembers of a part."""
        known: dict[str, Any] = json.loads((self.folder / "bare" / "windows.json").read_text())["sections"][name]
        return known


@pytest.fixture
def box(tmp_path: Path) -> Iterator[SystemBox]:
    box = SystemBox(tmp_path)
    yield box
    box.windows.stop_all()
    assert not box.faults


def test_every_script_of_this_domain_has_both_shapes() -> None:
    assert set(MINE) <= set(INPUT)
    assert set(MINE) <= set(OUTPUT)


# --- rules 3 and 4: the feature counts after the restart, and what waits for one says so ---


def test_a_feature_is_pending_until_the_restart_and_windows_waits_for_it(box: SystemBox) -> None:
    assert box.do(operations.feature, feature=PLATFORM) == ["Set-Feature"]
    assert box.section("features")[PLATFORM] == "EnablePending"
    assert not box.windows.features.is_on(PLATFORM)
    assert box.windows.registry.exists(f"{SERVICING}\\RebootPending")
    assert box.host.fact(facts.PendingReboot)["reasons"] == ["component_based_servicing"]
    # What waits for the restart is right already.
    assert box.do(operations.feature, feature=PLATFORM) == []
    box.restart()
    assert box.section("features")[PLATFORM] == "Enabled"
    assert not box.windows.registry.exists(f"{SERVICING}\\RebootPending")
    assert box.do(operations.feature, feature=PLATFORM) == []


def test_a_feature_goes_off_with_a_restart_too(box: SystemBox) -> None:
    box.do(operations.feature, feature=PLATFORM)
    box.restart()
    assert box.do(operations.feature, feature=PLATFORM, present=False) == ["Set-Feature"]
    assert box.section("features")[PLATFORM] == "DisablePending"
    # Taken back before the restart.
    assert box.do(operations.feature, feature=PLATFORM) == ["Set-Feature"]
    assert box.section("features")[PLATFORM] == "Enabled"


def test_a_feature_that_needs_no_restart_says_so(box: SystemBox) -> None:
    said = box.script("Set-Feature", feature="TelnetClient", present=True)
    assert said == {"changed": True, "before": "Disabled", "after": "Enabled", "reboot_required": False}
    assert not box.windows.registry.exists(f"{SERVICING}\\RebootPending")


def test_an_unknown_feature_is_none_and_cannot_be_set(box: SystemBox) -> None:
    assert box.host.fact(facts.Feature, feature="NoSuch") is None
    with pytest.raises(RuntimeError, match="Feature name NoSuch is unknown"):
        box.script("Set-Feature", feature="NoSuch", present=True)


def test_features_need_an_elevated_account(box: SystemBox) -> None:
    box.windows.machine.set(elevated=False)
    with pytest.raises(RuntimeError, match="The requested operation requires elevation"):
        box.host.fact(facts.Feature, feature=PLATFORM)
    assert box.host.fact(facts.Account)["elevated"] is False


# --- rule 23: sleep, hibernation and Fast Startup are off ---


def test_a_windows_is_kept_awake(box: SystemBox) -> None:
    fresh = box.host.fact(facts.Power)
    assert (fresh["sleep_ac_seconds"], fresh["hibernate"], fresh["fast_startup"]) == (1800, True, True)
    assert box.do(operations.power) == ["Set-Power"]
    registry = box.windows.registry
    plan = registry.text(f"{POWER}\\User\\PowerSchemes", "ActivePowerScheme")
    sleep = (
        f"{POWER}\\User\\PowerSchemes\\{plan}\\238c9fa8-0aad-41ed-83f4-97be242c8f20"
        "\\29f6c1db-86da-48c5-9fdb-f2b67b1f44da"
    )
    found = {value.name: value.data for value in registry.values(sleep)}
    assert found == {"ACSettingIndex": 0, "DCSettingIndex": 0}
    assert (registry.number(POWER, "HibernateEnabled"), registry.number(SESSION_POWER, "HiberbootEnabled")) == (0, 0)
    assert box.do(operations.power) == []
    box.restart()
    assert box.do(operations.power) == []


def test_a_plan_that_says_nothing_is_set_all_the_same(box: SystemBox) -> None:
    box.windows.registry.set(f"{POWER}\\User\\PowerSchemes", "ActivePowerScheme", "00000000-own-plan")
    assert box.host.fact(facts.Power)["sleep_ac_seconds"] is None
    assert box.do(operations.power) == ["Set-Power"]
    assert box.do(operations.power) == []


# --- services ---


def test_a_service_is_started_and_stays_as_it_was_set_after_a_restart(box: SystemBox) -> None:
    assert box.do(operations.service, service="W32Time", running=True, start="delayed") == ["Set-ServiceState"]
    key = r"HKLM\SYSTEM\CurrentControlSet\Services\W32Time"
    registry = box.windows.registry
    assert (registry.number(key, "Start"), registry.number(key, "DelayedAutostart")) == (2, 1)
    assert box.do(operations.service, service="w32time", running=True, start="delayed") == []
    box.restart()
    found = box.windows.services.get("W32Time")
    assert found is not None
    assert (found.running, found.start) == (True, "delayed")
    assert found.pid


def test_a_service_that_was_stopped_starts_again_at_boot_unless_it_is_disabled(box: SystemBox) -> None:
    stopped: list[str] = []
    box.windows.services.stopped.setdefault("iphlpsvc", []).append(lambda: stopped.append("iphlpsvc"))
    box.do(operations.service, service="iphlpsvc", running=False)
    assert stopped == ["iphlpsvc"]
    box.restart()
    assert box.host.fact(facts.Service, service="iphlpsvc")["state"] == "Running"
    box.do(operations.service, service="iphlpsvc", running=False, enabled=False)
    box.restart()
    assert box.host.fact(facts.Service, service="iphlpsvc")["state"] == "Stopped"
    with pytest.raises(RuntimeError, match="Cannot start service iphlpsvc"):
        box.script("Set-ServiceState", service="iphlpsvc", start=None, running=True)


def test_wsls_service_comes_with_its_package(box: SystemBox) -> None:
    assert box.host.fact(facts.Service, service="WSLService") is None
    box.windows.state.install_wsl("2.7.11.0")
    assert box.host.fact(facts.Service, service="WSLService")["state"] == "Running"


# --- registry ---


@pytest.mark.parametrize(
    ("kind", "data", "other"),
    [
        ("String", "it's <a> & b", "c"),
        ("ExpandString", "%SystemRoot%\\x", "y"),
        ("DWord", 4294967295, 0),
        ("QWord", 2**63 - 1, 1),
        ("MultiString", ["one"], ["one", "two"]),
    ],
)
@pytest.mark.parametrize("hive", ["HKLM", "HKCU"])
def test_a_registry_value_comes_changes_and_goes(box: SystemBox, hive: str, kind: str, data: Any, other: Any) -> None:
    key = f"{hive}\\SOFTWARE\\X\\Y"
    sid = box.windows.state.sid("Steam")
    path = box.windows.registry.path(key, sid)
    for wanted in (data, other):
        given: dict[str, Any] = {"key": key, "value_name": "Z", "data": wanted, "kind": kind}
        assert box.do(operations.registry_value, **given) == ["Set-RegistryValue"]
        value = box.windows.registry.get(path, "Z")
        assert value is not None
        assert (value.kind, value.data) == (kind, wanted)
        assert box.do(operations.registry_value, **given) == []
    assert box.do(operations.registry_value, key=key, value_name="Z", present=False) == ["Set-RegistryValue"]
    assert box.windows.registry.get(path, "Z") is None
    assert box.do(operations.registry_value, key=key, value_name="Z", present=False) == []


def test_a_value_changes_its_kind(box: SystemBox) -> None:
    box.windows.registry.set("HKLM\\SOFTWARE\\X", "Z", "1")
    box.do(operations.registry_value, key="HKLM\\SOFTWARE\\X", value_name="z", data=1, kind="DWord")
    value = box.windows.registry.get("HKLM\\SOFTWARE\\X", "Z")
    assert value is not None
    assert (value.kind, value.data) == ("DWord", 1)


# --- processes ---


def test_a_process_keeps_the_environment_it_was_started_with(box: SystemBox) -> None:
    box.windows.add_program("server.exe", lambda run: run.job.sleep(1e9) or 0)  # type: ignore[func-returns-value]
    (box.windows.drive.folder / "server.exe").write_bytes(b"MZ")
    environment = r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
    box.windows.registry.set(environment, "OLLAMA_HOST", "old")
    box.windows.launch("C:\\server.exe serve", user="Steam", session=1)
    box.windows.registry.set(environment, "OLLAMA_HOST", "new")
    assert until(lambda: box.host.fact(facts.Processes, image="SERVER.exe"))
    (found,) = box.host.fact(facts.Processes, image="server.exe", environment=True)
    assert found["environment"]["OLLAMA_HOST"] == "old"
    assert (found["session"], found["user"]) == (1, "VENGEANCE\\Steam")
    assert found["command_line"] == "C:\\server.exe serve"
    (found,) = box.host.fact(facts.Processes, image="server.exe")
    assert found["environment"] is None
    # AppLocker forbids the compiler.
    box.windows.add_type_blocked = True
    (found,) = box.host.fact(facts.Processes, image="server.exe", environment=True)
    assert found["environment"] is None
    assert "may not compile" in found["environment_refused"]
    assert box.host.fact(facts.Processes, image="nosuch.exe") == []


# --- the machine ---


def test_a_hypervisor_hides_what_the_firmware_says(box: SystemBox) -> None:
    fresh = box.host.fact(facts.Hardware)
    assert (fresh["firmware_virtualization"], fresh["hypervisor_present"]) == (True, False)
    box.do(operations.feature, feature=PLATFORM)
    box.restart()
    after = box.host.fact(facts.Hardware)
    assert (after["firmware_virtualization"], after["hypervisor_present"]) == (False, True)
    box.windows.machine.set(firmware_virtualization=False)
    off = box.host.fact(facts.Hardware)
    assert (off["firmware_virtualization"], off["hypervisor_present"]) == (False, False)


def test_free_space_is_what_may_still_be_written(box: SystemBox) -> None:
    box.windows.state.set_free_bytes(12_345)
    (disk,) = box.host.fact(facts.Hardware)["disks"]
    assert (disk["drive"], disk["free_bytes"]) == ("C:", 12_345)


def test_the_card_is_the_one_of_nvidia_smi(box: SystemBox) -> None:
    card = box.host.fact(facts.Gpu)
    assert (card["name"], card["driver_version"]) == ("NVIDIA GeForce RTX 4090", "591.86")
    assert 0 < card["memory_used_mib"] < card["memory_mib"] == 24564
    box.windows.gpu.present = False
    assert box.host.fact(facts.Gpu) is None
    assert box.host.fact(facts.Gpus)["failure"].startswith("nvidia-smi.exe ended with 9:")
    box.windows.drive.remove_file("C:\\Windows\\System32\\nvidia-smi.exe")
    assert box.host.fact(facts.Gpus)["failure"].endswith("nvidia-smi.exe is not there")


def test_a_clock_that_is_wrong_is_seen_and_one_that_was_put_forward_is_not(box: SystemBox) -> None:
    box.windows.clock.advance(72 * 3600)
    assert abs(box.host.fact(facts.SystemClock)["ahead_seconds"]) < 5
    box.windows.machine.set(clock_skew_seconds=3600)
    assert 3595 < box.host.fact(facts.SystemClock)["ahead_seconds"] < 3605


def test_folders_are_measured_with_what_lies_below_them(box: SystemBox) -> None:
    folder = box.windows.drive.folder / "Users/Steam/models/deep"
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(b"x" * 1000)
    (folder.parent / "b").write_bytes(b"x" * 24)
    asked = ["%USERPROFILE%\\models", "C:\\nosuch"]
    assert box.host.fact(facts.FolderSizes, paths=asked) == {asked[0]: 1024, asked[1]: None}


# --- rule 5: the restart ---


def test_the_sign_in_screen_comes_after_winrm(box: SystemBox) -> None:
    box.windows.clock.advance(SIGN_IN_SECONDS + 1)
    before = box.host.fact(facts.BootState)
    assert before["started"]
    said = box.script("Restart-Windows", boot_file_time=before["boot_file_time"])
    assert (said["changed"], said["after"]) == (True, {"code": 0, "took_back": False})
    assert not box.windows.registry.exists(SIGN_IN_CHECKED)
    assert until(lambda: box.restarts == [True])
    box.restart()
    after = box.host.fact(facts.BootState)
    assert after["boot_file_time"] > before["boot_file_time"]
    assert not after["started"]
    box.windows.clock.advance(SIGN_IN_SECONDS + 1)
    assert box.host.fact(facts.BootState)["started"]


def test_a_request_for_a_boot_that_is_over_does_nothing(box: SystemBox) -> None:
    box.windows.clock.advance(SIGN_IN_SECONDS + 1)
    before = box.host.fact(facts.BootState)["boot_file_time"]
    box.restart()
    box.windows.clock.advance(SIGN_IN_SECONDS + 1)
    said = box.script("Restart-Windows", boot_file_time=before)
    assert (said["changed"], said["reboot_required"]) == (False, False)
    assert box.windows.registry.exists(SIGN_IN_CHECKED)
    assert not box.windows.cancel_shutdown()


def test_a_restart_in_an_hour_is_taken_back_and_one_under_way_is_left_alone(box: SystemBox) -> None:
    now = box.host.fact(facts.BootState)["boot_file_time"]
    assert box.windows.schedule_shutdown(3600, again=True)
    assert box.script("Restart-Windows", boot_file_time=now)["after"] == {"code": 0, "took_back": True}
    assert until(lambda: box.windows.going_down)
    assert box.run("shutdown /r /t 0").code == 1115
    assert box.script("Restart-Windows", boot_file_time=now)["after"] == {"code": 1115, "took_back": False}
    assert box.restarts == [True]
