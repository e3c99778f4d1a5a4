"""No script is forgotten: each is parsed and run wherever there is a PowerShell, or here stands why only on Windows."""

from __future__ import annotations

import ast
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typeguard import check_type

from tests.powershell.test_powershell_scripts import ROOT, SCRIPTS, answer, needs_windows, run, runs_pwsh
from vengeance.powershell import load
from vengeance.powershell.contract import OUTPUT
from vengeance.powershell.files import Installation

REGISTRY = "the registry, through .NET, which a function cannot stand in for"
RIGHTS = "rights and owners of files, and the account's SID, through .NET"
ON_WINDOWS_ONLY: dict[str, str] = {
    **dict.fromkeys(
        (
            *("Get-BootState", "Get-Environment", "Set-Environment", "Get-Os", "Get-PendingReboot", "Restart-Windows"),
            *("Get-RegistryValue", "Set-RegistryValue", "Get-Product", "Get-Power", "Set-Power", "Set-ServiceState"),
            *("Get-FirewallRule", "Set-FirewallRule", "Remove-FirewallRule", "Get-PortProxy", "Set-PortProxy"),
            *("Add-FirewallRule", "Get-Before", "Set-Before"),
            *("Get-WslInstallation", "Get-WslOwner", "Get-OllamaInstallation", "work/Import-Distribution"),
        ),
        REGISTRY,
    ),
    **dict.fromkeys(("Get-Account", "Get-DirectoryAccess", "Protect-Directory", "Start-Work"), RIGHTS),
    **dict.fromkeys(("Get-Task", "Set-Task", "Remove-Task"), "Task Scheduler, a COM server"),
    **dict.fromkeys(("Get-OllamaSettings", "Set-OllamaSettings"), "winsqlite3.dll of Windows"),
    **dict.fromkeys(("Get-ReservedPort", "Set-ReservedPort"), "netsh.exe of Windows"),
    **dict.fromkeys(("Expand-OllamaArchive", "Set-WslConfiguration"), "paths with backslashes, that it puts together"),
    **dict.fromkeys(("Get-RunLock", "Set-RunLock"), "a named piece of memory, which no other system has"),
    "Set-OllamaStartup": "the Startup folder of a desktop of Windows",
    "Get-OllamaServer": "the windows station and the account's SID, through .NET",
}
"""Script -> what of Windows it needs that nothing can stand in for."""
NOT_TRIED: dict[str, str] = {
    "work/Import-Distribution": "it would register a distribution with whoever runs this",
}
"""Script -> why it is not even run on Windows: the twin has a model of it, and the real box the last word."""

STOPPING = """\
$script:alive = @{ 11 = 'ollama app.exe'; 12 = 'ollama.exe' }
function Get-CimInstance([string] $ClassName, [string] $Filter) {
    foreach ($id in @($script:alive.Keys)) {
        if ($Filter -eq "Name = '$($script:alive[$id])'") {
            [pscustomobject] @{ ProcessId = [uint32] $id; Name = $script:alive[$id]; ExecutablePath = $null }
        }
    }
}
function Stop-Process([int] $Id, [switch] $Force, [string] $ErrorAction) { $script:alive.Remove($Id) }
"""
PARSE = """\
param([string] $InputJson)
$wanted = ConvertFrom-Json -InputObject $InputJson
foreach ($path in $wanted.paths) {
    $tokens = $null
    $errors = $null
    [void] [System.Management.Automation.Language.Parser]::ParseFile($path, [ref] $tokens, [ref] $errors)
    foreach ($one in $errors) { "${path}: $($one.Extent.StartLineNumber): $($one.Message)" }
}
"""


def every_script() -> set[str]:
    return {path.relative_to(SCRIPTS).with_suffix("").as_posix() for path in SCRIPTS.rglob("*.ps1")}


def literals(tree: ast.AST) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def used(only_on_windows: bool) -> Iterator[str]:
    """The names in tests that need Windows, or in all else of this folder but the tables above."""
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        for part in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(part, ast.FunctionDef):
                marks = " ".join(ast.unparse(one) for one in part.decorator_list)
                on_windows = "needs_windows" in marks or "sys.platform != 'win32'" in marks
            else:
                # Tables of names for such tests.
                names = {node.id for node in ast.walk(part) if isinstance(node, ast.Name)}
                on_windows = bool(names & {"ON_WINDOWS_ONLY", "NOT_TRIED", "needs_windows"})
                if file == Path(__file__) and on_windows:
                    continue
            if on_windows == only_on_windows:
                yield from literals(part)


def test_every_script_is_run_here_or_the_reason_stands_in_the_table() -> None:
    elsewhere, on_windows, every = set(used(False)), set(used(True)), every_script()
    assert {name for name in every if name not in elsewhere} == set(ON_WINDOWS_ONLY)
    assert {name for name in ON_WINDOWS_ONLY if name not in on_windows} == set(NOT_TRIED)


@runs_pwsh
def test_every_script_parses() -> None:
    files = sorted([*SCRIPTS.rglob("*.ps1"), *(ROOT / "bootstrap").glob("*.ps1")])
    done = run(PARSE, {"paths": [str(file) for file in files]})
    assert (done.returncode, done.stdout.decode("utf-8-sig").strip()) == (0, "")


def stubbed(name: str, stubs: str, given: dict[str, Any]) -> Any:
    first = "$ErrorActionPreference = 'Stop'\n"
    done = run(load(name).replace(first, first + stubs, 1), given)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return json.loads(done.stdout.decode("utf-8-sig"))


@runs_pwsh
def test_ollamas_processes_are_ended_app_first_and_told() -> None:
    said: Any = check_type(stubbed("Stop-Ollama", STOPPING, {}), OUTPUT["Stop-Ollama"])
    assert [one["name"] for one in said["before"]] == ["ollama app.exe", "ollama.exe"]
    assert (said["changed"], said["after"]) == (True, [])


@runs_pwsh
def test_parts_of_blobs_are_counted_and_one_that_is_half_written_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    for number, text in enumerate(('{"N":0,"Completed":40}', '{"N":1,"Completed":2}', '{"N":2,"Comp')):
        (tmp_path / "blobs" / f"sha256-5ee4-partial-{number}").write_text(text)
    said = answer("Get-OllamaStorage", {"folder": str(tmp_path)})
    assert (said["folder"], said["partial_bytes"]) == (str(tmp_path), 42)
    assert said["free_bytes"] > 0


@runs_pwsh
@pytest.mark.skipif(sys.platform == "win32", reason="there may be a card")
def test_a_machine_without_a_driver_has_no_card_and_a_reason() -> None:
    said = answer("Get-Gpu", {})
    assert said["gpus"] == []
    assert said["failure"].endswith("nvidia-smi.exe is not there")


@runs_pwsh
@pytest.mark.parametrize("code", [0, 3, 1603])
def test_an_installer_is_run_to_its_end_and_its_code_told(code: int, tmp_path: Path) -> None:
    script = tmp_path / "setup.py"
    script.write_text(f"import os\nos._exit({code})\n")
    given = {
        "file": sys.executable,
        "arguments": f'"{script}"',
        "timeout_seconds": 60,
        "busy_seconds": 0,
        "pause_seconds": 1,
    }
    said = stubbed("work/Invoke-Installer", "function Save-Progress($progress) { }\n", given)
    check_type(said, Installation)
    # Linux keeps eight bits of a code.
    assert (said["rc"], said["timed_out"]) == (code if os.name == "nt" else code & 255, False)


@runs_pwsh
@needs_windows
@pytest.mark.parametrize(("name", "reason"), NOT_TRIED.items())
def test_what_is_not_tried_on_anybodys_machine(name: str, reason: str) -> None:
    pytest.skip(f"{name}: {reason}")
