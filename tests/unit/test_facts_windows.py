"""The Windows and WSL facts: what they run, and what they make of the answer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pyinfra.api.exceptions import FactProcessError

from tests.unit.windows_answers import QUOTA
from vengeance.facts import windows as facts
from vengeance.facts import wsl
from vengeance.powershell import Script, contract, load, names
from vengeance.powershell import windows as shapes

OS = {
    "caption": "Microsoft Windows 11 Pro",
    "version": "10.0.26100",
    "build": 26100,
    "ubr": 4652,
    "edition": "Professional",
    "display_version": "24H2",
    "architecture": "AMD64",
    "hostname": "VENGEANCE",
    "domain": None,
    "install_date": "2026-01-22T18:03:11Z",
}
BOOT = {"boot_time": "2026-02-09T07:12:44Z", "boot_file_time": 134151091645000000, "uptime_seconds": 5021}
ENVIRONMENT = {"machine": {"OLLAMA_HOST": {"value": "0.0.0.0:11434", "kind": "String"}}, "user": {}}
FILE = {
    "exists": True,
    "type": "file",
    "size": 41,
    "modified": "2026-02-09T07:12:44Z",
    "attributes": ["Archive", "Hidden"],
    "link_target": None,
}
NO_FILE = {"exists": False, "type": None, "size": None, "modified": None, "attributes": None, "link_target": None}
REBOOT = {"pending": True, "reasons": ["component_based_servicing", "file_rename"]}
UBUNTU = {
    "name": "Ubuntu-24.04",
    "guid": "{b5e6c9a4-0f2c-4c1e-9b6f-5d5a3a0d5a11}",
    "version": 2,
    "default_uid": 1000,
    "base_path": "C:\\WSL\\Ubuntu-24.04",
    "state": 1,
    "flags": 15,
}
WSL = {
    "version": "2.6.1.0",
    "path": "C:\\Program Files\\WSL\\wsl.exe",
    "default": "Ubuntu-24.04",
    "distributions": [UBUNTU],
}


@pytest.mark.parametrize(
    ("fact", "arguments", "script", "parameters"),
    [
        (facts.Os, {}, "Get-Os", {}),
        (facts.Boot, {}, "Get-Boot", {}),
        (facts.Environment, {}, "Get-Environment", {"names": None}),
        (facts.Environment, {"names": ["OLLAMA_HOST"]}, "Get-Environment", {"names": ["OLLAMA_HOST"]}),
        (facts.File, {"path": "C:\\a [b].txt"}, "Get-File", {"path": "C:\\a [b].txt"}),
        (facts.Sha256, {"path": "C:\\a'\"$b.txt"}, "Get-Sha256", {"path": "C:\\a'\"$b.txt"}),
        (facts.PendingReboot, {}, "Get-PendingReboot", {}),
        (facts.WsmanQuota, {}, "Get-WsmanQuota", {}),
        (wsl.Installation, {}, "Get-WslInstallation", {}),
    ],
)
def test_a_fact_runs_its_script_with_json(
    fact: Any, arguments: dict[str, Any], script: str, parameters: dict[str, Any]
) -> None:
    command = fact().command(**arguments)
    assert isinstance(command, Script)
    assert command.script == script
    assert json.loads(command.parameters) == parameters
    assert fact.shell_executable == "ps"
    assert fact().requires_command(**arguments) is None


@pytest.mark.parametrize(
    ("fact", "answer"),
    [
        (facts.Os, OS),
        (facts.Boot, BOOT),
        (facts.Environment, ENVIRONMENT),
        (facts.File, FILE),
        (facts.File, NO_FILE),
        (facts.PendingReboot, REBOOT),
        (facts.PendingReboot, {"pending": False, "reasons": []}),
        (facts.WsmanQuota, QUOTA),
        (wsl.Installation, WSL),
        (wsl.Installation, {"version": None, "path": None, "default": None, "distributions": []}),
    ],
)
def test_a_right_answer_is_taken_as_it_is(fact: Any, answer: dict[str, Any]) -> None:
    assert fact().process([json.dumps(answer)]) == answer


def test_an_answer_over_several_lines_is_one_text() -> None:
    assert facts.Boot().process(json.dumps(BOOT, indent=1).splitlines()) == BOOT


def test_a_sha256_is_the_text_or_none() -> None:
    assert facts.Sha256().process(['{"sha256":"ab12"}']) == "ab12"
    assert facts.Sha256().process(['{"sha256":null}']) is None


@pytest.mark.parametrize(
    "junk",
    [
        [""],
        ["not JSON"],
        ["{}"],
        ["[]"],
        ["null"],
        [json.dumps({**OS, "build": "26100"})],
        [json.dumps({key: value for key, value in OS.items() if key != "ubr"})],
        [json.dumps({**OS, "surplus": 1})],
        [json.dumps(OS), json.dumps(OS)],
    ],
)
def test_junk_names_the_script_and_what_came(junk: list[str]) -> None:
    with pytest.raises(FactProcessError, match=r"^Get-Os\.ps1 should print one JSON text of the shape Os and printed "):
        facts.Os().process(junk)


def test_every_element_is_checked_not_only_the_first() -> None:
    with pytest.raises(FactProcessError):
        wsl.Installation().process([json.dumps({**WSL, "distributions": [UBUNTU, {**UBUNTU, "version": "2"}]})])


def test_an_unknown_reboot_reason_is_junk() -> None:
    with pytest.raises(FactProcessError):
        facts.PendingReboot().process(['{"pending":true,"reasons":["moon_phase"]}'])


def test_process_one_tells_whether_systemd_runs() -> None:
    found = wsl.Instance().process(["systemd", "current"])
    assert found == {"init": "systemd", "systemd": True, "outdated": False}
    found = wsl.Instance().process(["init(Ubuntu-24.", "outdated"])
    assert found == {"init": "init(Ubuntu-24.", "systemd": False, "outdated": True}
    with pytest.raises(FactProcessError):
        wsl.Instance().process(["systemd", "something"])
    with pytest.raises(FactProcessError):
        wsl.Instance().process(["", "current"])


# --- the scripts themselves ---------------------------------------------------------------------------------


def test_every_script_has_its_two_shapes() -> None:
    assert sorted(contract.INPUT) == names()
    assert sorted(contract.OUTPUT) == names()


@pytest.mark.parametrize("name", names())
def test_a_script_says_what_it_takes_and_gives(name: str) -> None:
    text = load(name)
    header = text[: text.index("param(")]
    assert all(line.startswith("#") for line in header.splitlines()), "the header is comments and nothing else"
    assert "# in:" in header
    assert "# out:" in header
    assert "https://" in header, "where its facts come from"
    assert re.search(r"^param\(\[string\] \$InputJson(, \[string\] \$Secret)?\)$", text, re.MULTILINE)
    assert "$ErrorActionPreference = 'Stop'" in text


@pytest.mark.parametrize("name", names())
def test_a_script_reads_and_prints_the_fields_of_its_shapes(name: str) -> None:
    text = load(name)
    code = text[text.index("param(") :]
    for field in get_type_hints(contract.INPUT[name]):
        assert f"$wanted.{field}" in code, f"{name} does not read {field}"
    for field in get_type_hints(contract.OUTPUT[name]):
        assert f"{field} =" in code, f"{name} does not print {field}"


def test_scripts_are_ascii_with_unix_line_ends() -> None:
    folder = Path(shapes.__file__).parent
    for path in folder.rglob("*.ps1"):
        data = path.read_bytes()
        assert data.isascii(), path
        assert b"\r" not in data, path
        assert data.endswith(b"\n"), path
