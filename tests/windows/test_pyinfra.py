"""pyinfra's command line on Windows, as a user runs it: facts, a deploy, the same again, and back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.windows.machine import Machine, answer
from vengeance.winrm.client import WinRMClient

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
HOST = "@winrm/tests"
KEY = r"HKLM\SOFTWARE\vengeance tests"
ENVIRONMENT = r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"


def pyinfra(*arguments: str, limit: str | None = "windows", timeout: float = 900) -> subprocess.CompletedProcess[str]:
    """Run pyinfra on the machine, with nothing to read, so that a question fails and does not wait for ever.

    + limit: the group to run on; None is Windows and the distro
    """
    hosts = ["--limit", limit] if limit else []
    line = [sys.executable, "-m", "pyinfra", str(HERE / "inventory.py"), *hosts, *arguments]
    return subprocess.run(
        line,
        cwd=ROOT,
        env={**os.environ, "PYINFRA_PROGRESS": "off", "PYTHONUTF8": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )


def deployed(name: str, *arguments: str, limit: str | None = "windows", timeout: float = 900) -> list[str]:
    """Run a deploy of this folder that has to go well; the names of the operations that changed something."""
    done = pyinfra(str(HERE / "deploys" / f"{name}.py"), "--yes", "--json", *arguments, limit=limit, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    results: dict[str, Any] = json.loads(done.stdout)["results"]
    return [each["name"] for each in results["operations"] if each["success"]]


def test_a_fact_is_what_windows_says(machine: Machine) -> None:
    done = pyinfra("--json", "fact", "vengeance.facts.windows.system.Os")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)["vengeance.facts.windows.system.Os"][HOST]
    assert told["hostname"].lower() == machine.seen("hostname").text.strip().lower()


def test_a_wrong_password_is_a_sentence_and_no_traceback(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENGEANCE_WINDOWS_PASSWORD", "not the password")
    done = pyinfra("--json", "fact", "vengeance.facts.windows.system.Os")
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert "Check winrm_user and winrm_password" in said
    assert "Traceback" not in said
    assert machine.password not in said


@pytest.mark.usefixtures("may_change")
def test_a_deploy_changes_what_differs_and_then_nothing_and_is_taken_back(
    machine: Machine, client: WinRMClient
) -> None:
    try:
        assert deployed("changes", "--data", "present=yes") == ["a variable", "a value", "a rule", "a folder", "a file"]
        assert machine.registry(ENVIRONMENT, "VENGEANCE_TESTS") == ("REG_SZ", "by pyinfra")
        assert machine.registry(KEY, "by") == ("REG_SZ", "pyinfra")
        assert machine.seen(r'type "C:\ProgramData\vengeance tests\file.txt"').text.split() == ["by", "pyinfra"]
        assert deployed("changes", "--data", "present=yes") == []
        assert deployed("changes", "--data", "present=no") == ["a variable", "a value", "a rule", "a folder"]
        assert machine.registry(ENVIRONMENT, "VENGEANCE_TESTS") is None
        assert machine.seen(r'if exist "C:\ProgramData\vengeance tests" echo there').text.strip() == ""
        assert deployed("changes", "--data", "present=no") == []
    finally:
        machine.seen(f'reg delete "{KEY}" /f')
        answer(client, "Set-Environment", {"level": "machine", "variables": {"VENGEANCE_TESTS": None}})
        answer(client, "Remove-FirewallRule", {"rules": ["vengeance tests"]})
