"""The scripts about Tailscale, with a program in its place that keeps a state in a file: no tailnet changes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typeguard import check_type

from tests.powershell.test_powershell_scripts import run, runs_pwsh
from vengeance.powershell import load
from vengeance.powershell.contract import OUTPUT

SERVICE = "function Get-Service { [pscustomobject] @{ Status = 'STATUS' } }\n"
# What stands for tailscale.exe; state.json beside it is what it knows.
PROGRAM = """\
import json, pathlib, sys
file = pathlib.Path(__file__).with_name("state.json")
state = json.loads(file.read_text())
words = sys.argv[1:]
if state.get("refusal"):
    sys.exit("failed to connect to local tailscaled. Got error: 401 Unauthorized: " + state["refusal"])
answers = {"status": "status", "debug": "preferences"}
if words[:2] == ["serve", "status"]:
    print(json.dumps(state["serve"]))
elif words[0] in answers:
    print(json.dumps(state[answers[words[0]]]))
elif words[0] == "set":
    state["preferences"]["ForceDaemon"] = words[1] == "--unattended=true"
elif words[0] == "serve":
    port = words[-2].partition("=")[2]
    state["serve"] = None if words[-1] == "off" else {"TCP": {port: {"TCPForward": words[-1].partition("//")[2]}}}
file.write_text(json.dumps(state))
"""
SELF = {"Online": True, "DNSName": "box.tail1.ts.net.", "KeyExpiry": "2027-02-01T08:00:00Z", "Tags": ["tag:gpu"]}
KNOWN: dict[str, Any] = {
    "status": {"Version": "1.86.2-t1-g2", "BackendState": "Running", "TailscaleIPs": ["100.98.226.75"], "Self": SELF},
    "preferences": {"ForceDaemon": True, "LoggedOut": False, "Config": {"NodeID": "n1"}},
    "serve": {"TCP": {"8080": {"TCPForward": "127.0.0.1:8080"}, "443": {"HTTPS": True}}},
}
stands_in = pytest.mark.skipif(sys.platform == "win32", reason="what stands for tailscale.exe is no program of Windows")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with what it knows."""
    program = tmp_path / "Tailscale" / "tailscale.exe"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n{PROGRAM}")
    program.chmod(0o755)
    monkeypatch.setenv("ProgramFiles", str(tmp_path))
    file = program.with_name("state.json")
    file.write_text(json.dumps(KNOWN))
    return file


def asked(name: str, given: dict[str, Any], service: str = "Running") -> subprocess.CompletedProcess[bytes]:
    first = "$ErrorActionPreference = 'Stop'\n"
    return run(load(name).replace(first, first + SERVICE.replace("STATUS", service), 1), given)


def said(name: str, given: dict[str, Any], service: str = "Running") -> Any:
    done = asked(name, given, service)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return check_type(json.loads(done.stdout.decode("utf-8-sig")), OUTPUT[name])


@runs_pwsh
@stands_in
def test_what_tailscale_prints_is_read(state: Path) -> None:
    found = said("Get-Tailscale", {})
    assert (found["state"], found["owner"], found["version"]) == ("Running", None, "1.86.2")
    assert (found["addresses"], found["dns_name"], found["tags"]) == (
        ["100.98.226.75"],
        "box.tail1.ts.net",
        ["tag:gpu"],
    )
    assert (found["key_expiry"], found["unattended"]) == ("2027-02-01T08:00:00Z", True)
    assert sorted((one["port"], one["kind"], one["target"]) for one in found["serve"]) == [
        (443, "https", None),
        (8080, "tcp", "127.0.0.1:8080"),
    ]


@runs_pwsh
@stands_in
@pytest.mark.parametrize(
    ("refusal", "owner"),
    [
        (r'Tailscale running in server mode ("BOX\\Andi"); connection from "BOX\\Steam" not allowed', r"BOX\Andi"),
        ('Tailscale running in server mode ("S-1-5-21-1-2-3-1005"); connection from "x"', "S-1-5-21-1-2-3-1005"),
        (r"Tailscale already in use by BOX\Andi, pid 5120", r"BOX\Andi"),
        ("Tailscale already in use, pid 5120", None),
    ],
)
def test_whose_it_is_is_read_from_its_refusal(state: Path, refusal: str, owner: str | None) -> None:
    state.write_text(json.dumps({"refusal": refusal}))
    found = said("Get-Tailscale", {})
    assert (found["installed"], found["state"], found["owner"], found["serve"]) == (True, "InUseOtherUser", owner, [])


@runs_pwsh
@stands_in
def test_another_refusal_is_an_error_with_its_words(state: Path) -> None:
    state.write_text(json.dumps({"refusal": "no token"}))
    done = asked("Get-Tailscale", {})
    assert done.returncode != 0
    assert b"no token" in done.stderr


@runs_pwsh
@stands_in
def test_signed_out_an_ended_key_and_a_stopped_service_are_told_apart(state: Path) -> None:
    out = {**KNOWN, "status": {"BackendState": "NeedsLogin", "Version": "1.86.2"}, "serve": None}
    state.write_text(json.dumps({**out, "preferences": {"LoggedOut": True, "Config": None}}))
    assert said("Get-Tailscale", {})["state"] == "NeedsLogin"
    state.write_text(json.dumps(out))
    assert said("Get-Tailscale", {})["state"] == "KeyExpired"
    assert said("Get-Tailscale", {}, "Stopped")["state"] == "NoService"


@runs_pwsh
@stands_in
def test_it_is_set_once(state: Path) -> None:
    given = {"unattended": False}
    assert said("Set-Tailscale", given) == {"changed": True, "before": True, "after": False, "reboot_required": False}
    assert json.loads(state.read_text())["preferences"]["ForceDaemon"] is False
    assert said("Set-Tailscale", given)["changed"] is False


@runs_pwsh
@stands_in
def test_a_port_is_forwarded_once_and_no_longer(state: Path) -> None:
    state.write_text(json.dumps({**KNOWN, "serve": None}))
    given = {"port": 8080, "target_port": 8081}
    assert said("Set-TailscaleServe", given)["after"] == "127.0.0.1:8081"
    assert said("Set-TailscaleServe", given)["changed"] is False
    assert said("Set-TailscaleServe", {**given, "target_port": None})["after"] is None
