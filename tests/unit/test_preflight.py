"""The look at a box before anything is done to it: each finding is a sentence with its mend, and all come at once."""

from __future__ import annotations

from typing import Any

import pytest
from pyinfra.api.command import FunctionCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.state import StateStage

from tests.unit.operation_runs import Run, run_operation
from tests.unit.windows_answers import QUOTA
from vengeance.box import preflight as rules
from vengeance.facts import windows as facts
from vengeance.facts.tailscale import Status
from vengeance.facts.windows.network import Listeners, ReservedPorts
from vengeance.operations import preflight

GB, GIB = 10**9, 2**30
OS = {"caption": "Microsoft Windows 11 Pro", "build": 26100, "architecture": "AMD64"}
ACCOUNT = {
    "name": "VENGEANCE\\Steam",
    "sid": "S-1-5-21-1-2-3-1001",
    "elevated": True,
    "microsoft_account": False,
    "profile": "C:\\Users\\Steam",
    "full_token_over_network": True,
}
HARDWARE = {
    "processor": "AMD Ryzen 9 7950X",
    "logical_processors": 32,
    "memory_bytes": 64 * GIB,
    "firmware_virtualization": True,
    "hypervisor_present": False,
    "disks": [{"drive": "C:", "size_bytes": 2000 * GB, "free_bytes": 800 * GB, "file_system": "NTFS"}],
}
CARD = {
    "name": "NVIDIA GeForce RTX 4090",
    "driver_version": "591.86",
    "memory_mib": 24564,
    "memory_used_mib": 1900,
    "memory_free_mib": 22231,
    "driver_model": "WDDM",
}
TAILSCALE = {"installed": True, "state": "Running", "owner": None, "key_expiry": None}
MODELS = preflight.MODELS_FOLDER
DISTRO = "C:\\WSL\\Ubuntu-24.04"
GOOD: dict[Any, Any] = {
    facts.Os: OS,
    facts.Account: ACCOUNT,
    facts.Hardware: HARDWARE,
    facts.Gpus: {"gpus": [CARD], "failure": None},
    facts.WsmanQuota: QUOTA,
    facts.SystemClock: {"utc": "", "ahead_seconds": 0.4},
    facts.FolderSizes: {MODELS: None, DISTRO: None},
    facts.PendingReboot: {"pending": False, "reasons": []},
    Status: TAILSCALE,
    ReservedPorts: {"active": [], "persistent": []},
    Listeners: [],
}
WANTED: dict[str, Any] = {
    "build": 22000,
    "gpu": "RTX 4090",
    "driver": "591.86",
    "machine": {"wsl2": {"memory": "24GB", "processors": 8}, "general": {"instanceIdleTimeout": -1}},
    "models_gb": 104.9,
    "distro_folders": [DISTRO],
    "port": 11434,
    "expose": "serve",
    "tailscale_wanted": True,
}


def look(changes: dict[Any, Any] | None = None, **wanted: Any) -> Run:
    return run_operation(preflight.ready, {**GOOD, **(changes or {})}, **{**WANTED, **wanted})


def findings(run: Run) -> list[str]:
    """The sentences that the host is stopped with, without the first, which counts them."""
    if not run.commands:
        return []
    (command,) = run.commands
    assert isinstance(command, FunctionCommand)
    first, *rest = command.args
    assert first == (f"somewhere cannot become what it should be, {len(rest)} to mend. Nothing was changed.")
    return [str(sentence) for sentence in rest]


def test_a_box_that_is_right_passes() -> None:
    run = look()
    assert (run.commands, run.noops, run.logged) == ([], ["nothing is in the way"], [])


@pytest.mark.parametrize(
    ("fact", "value", "sentence", "mend"),
    [
        (facts.Os, {**OS, "build": 19045}, "build 19045, and build 22000 is the lowest", "Windows Update"),
        (facts.Os, {**OS, "architecture": "ARM64"}, "Windows runs on ARM64", "another machine"),
        (facts.Account, {**ACCOUNT, "sid": "S-1-5-18"}, "for which WSL does not work", "set winrm_user"),
        (
            facts.Account,
            {**ACCOUNT, "elevated": False, "full_token_over_network": False},
            "has no administrator's rights over the network",
            "LocalAccountTokenFilterPolicy -Value 1",
        ),
        (facts.Account, {**ACCOUNT, "elevated": False}, "is no administrator", "Add-LocalGroupMember"),
        (facts.Hardware, {**HARDWARE, "firmware_virtualization": False}, "Virtualisation is off", "SVM Mode (AMD)"),
        (
            facts.Gpus,
            {"gpus": [], "failure": "it is not there"},
            "No NVIDIA card is to be seen (it is",
            "driver 591.86",
        ),
        (facts.Gpus, {"gpus": [{**CARD, "name": "RTX 3080"}], "failure": None}, "The card is RTX 3080", "set gpu_name"),
        (
            facts.Gpus,
            {"gpus": [{**CARD, "driver_version": "551.61"}], "failure": None},
            "driver is 551.61, and 591.86 is the lowest",
            "never in the distro",
        ),
        (
            facts.Gpus,
            {"gpus": [{**CARD, "driver_model": "TCC"}], "failure": None},
            "is in TCC mode, in which WSL does not see it",
            "nvidia-smi -dm 0",
        ),
        (facts.Hardware, {**HARDWARE, "memory_bytes": 24 * GIB}, "24GB of memory, and the box has 24", "20GB or less"),
        (facts.Hardware, {**HARDWARE, "logical_processors": 4}, "8 processors, and the box has 4", "to 4 or less"),
        (
            facts.Hardware,
            {**HARDWARE, "disks": [{**HARDWARE["disks"][0], "free_bytes": 120 * GB}]},  # type: ignore[index]
            "C: has 120 GB free, and 160 GB are needed: 105 GB for models and 50 GB for the distro",
            "take models out of ollama_models",
        ),
        (facts.WsmanQuota, {**QUOTA, "max_envelope_kb": 150}, "messages of 150 kB", "MaxEnvelopeSizekb 500"),
        (facts.WsmanQuota, {**QUOTA, "max_shells_per_user": 2}, "MaxShellsPerUser is 2", "MaxShellsPerUser 30"),
        (
            facts.WsmanQuota,
            {**QUOTA, "max_processes_per_shell": 5},
            "MaxProcessesPerShell is 5",
            "Restart-Service WinRM",
        ),
        (facts.WsmanQuota, {**QUOTA, "max_memory_per_shell_mb": 150}, "MaxMemoryPerShellMB is 150", "MB 1024"),
        (facts.SystemClock, {"utc": "", "ahead_seconds": 7300.0}, "2 hours ahead of this machine's", "w32tm /resync"),
        (facts.SystemClock, {"utc": "", "ahead_seconds": -400.0}, "7 minutes behind this machine's", "w32tm /resync"),
        (
            Status,
            {**TAILSCALE, "installed": False},
            "Tailscale is not installed on the box: install it",
            "expose = 'none'",
        ),
        (Status, {**TAILSCALE, "state": "NeedsLogin"}, "is not signed in to Tailscale on the box", "tailscale login"),
        (Status, {**TAILSCALE, "state": "NoService"}, "service of Tailscale on the box", "Start-Service Tailscale"),
        (
            Status,
            {**TAILSCALE, "state": "InUseOtherUser", "owner": "BOX\\Andi"},
            "belongs to BOX\\Andi, and refuses VENGEANCE\\Steam",
            "sign in to Tailscale on the box as VENGEANCE\\Steam",
        ),
        (Status, {**TAILSCALE, "state": "KeyExpired"}, "Tailscale key of the box has ended", "Disable key expiry"),
        (
            Listeners,
            [{"address": "0.0.0.0", "port": 11434, "pid": 88, "process": "python", "path": None}],
            "Port 11434 of 0.0.0.0 is taken by python (process 88)",
            "set ollama_port",
        ),
    ],
)
def test_what_is_in_the_way_is_said_with_its_mend(fact: Any, value: Any, sentence: str, mend: str) -> None:
    (said,) = findings(look({fact: value}))
    assert sentence in said
    assert mend in said


def test_all_findings_come_at_once() -> None:
    said = findings(
        look(
            {
                facts.Os: {**OS, "build": 19045},
                facts.Gpus: {"gpus": [], "failure": None},
                facts.SystemClock: {"utc": "", "ahead_seconds": 90_000.0},
                Status: {**TAILSCALE, "installed": False},
            }
        )
    )
    assert [sentence.split()[0] for sentence in said] == ["Windows", "No", "The", "Tailscale"]


def test_a_plan_says_what_is_in_the_way_too() -> None:
    facts_now = {**GOOD, facts.Os: {**OS, "build": 19045}}
    run = run_operation(preflight.ready, facts_now, StateStage.Prepare, **WANTED)
    (line,) = run.logged
    assert "build 22000 is the lowest that will do" in line
    assert len(run.commands) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {facts.Hardware: {**HARDWARE, "firmware_virtualization": False, "hypervisor_present": True}},
        {facts.WsmanQuota: {**QUOTA, "max_shells_per_user": 0, "max_processes_per_shell": 2147483647}},
        {facts.Gpus: {"gpus": [{**CARD, "name": "AMD"}, {**CARD, "driver_version": "600.1"}], "failure": None}},
        {Listeners: [{"address": "0.0.0.0", "port": 11434, "pid": 88, "process": "ollama", "path": None}]},
        {Listeners: [{"address": "0.0.0.0", "port": 11434, "pid": 88, "process": "Ollama.exe", "path": None}]},
        # A second run: what is there already needs no more room.
        {
            facts.FolderSizes: {MODELS: 104 * GB, DISTRO: 60 * GB},
            facts.Hardware: {**HARDWARE, "disks": [{**HARDWARE["disks"][0], "free_bytes": 7 * GB}]},  # type: ignore[index]
        },
    ],
)
def test_what_looks_wrong_and_is_not_passes(changes: dict[Any, Any]) -> None:
    assert findings(look(changes)) == []


@pytest.mark.parametrize(
    ("changes", "wanted", "said"),
    [
        ({facts.PendingReboot: {"pending": True, "reasons": ["windows_update"]}}, {}, "waits for a restart"),
        ({ReservedPorts: {"active": [{"first": 11400, "last": 11500, "administered": False}]}}, {}, "taken port 11434"),
        ({Status: {**TAILSCALE, "installed": False}}, {"expose": "none"}, "reached from its own network only"),
        ({Status: {**TAILSCALE, "state": "NeedsLogin"}}, {"expose": "none"}, "run tailscale login"),
        ({facts.Account: {**ACCOUNT, "microsoft_account": True}}, {}, "is a Microsoft account"),
    ],
)
def test_what_is_mended_later_is_said_and_stops_nobody(
    changes: dict[Any, Any], wanted: dict[str, Any], said: str
) -> None:
    run = look(changes, **wanted)
    assert run.commands == []
    (line,) = run.logged
    assert said in line


@pytest.mark.parametrize(
    "changes",
    [
        {facts.PendingReboot: {"pending": True, "reasons": ["file_rename"]}},
        {ReservedPorts: {"active": [{"first": 11434, "last": 11434, "administered": True}]}},
        {ReservedPorts: {"active": [{"first": 11435, "last": 11500, "administered": False}]}},
    ],
)
def test_what_does_not_matter_is_not_mentioned(changes: dict[Any, Any]) -> None:
    run = look(changes)
    assert (run.commands, run.logged) == ([], [])


def test_each_disk_is_reckoned_by_itself_and_one_that_is_missing_is_named() -> None:
    disks = [{"drive": "C:", "free_bytes": 200 * GB}, {"drive": "D:", "free_bytes": 60 * GB}]
    rooms = [rules.Room("models", "d:\\Models", 105 * GB, 0), rules.Room("the distro", DISTRO, 50 * GB, 0)]
    (said,) = rules.room(disks, rooms)
    assert said.startswith("D: has 60 GB free, and 110 GB are needed: 105 GB for models, and 5 to spare.")
    (said,) = rules.room(disks, [rules.Room("models", "E:\\Models", GB, 0)])
    assert said == "The box has no disk E: for E:\\Models: name one that it has (OLLAMA_MODELS, distro_path)."


def test_a_driver_that_is_no_version_is_refused() -> None:
    with pytest.raises(OperationValueError, match="'newest' is no version of a driver"):
        look(driver="newest")
