"""Clients that others wrote against the twin as it runs: its Windows answers, not only its WinRM."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import testinfra
from pypsrp.shell import Process, SignalCode, WinRS
from pypsrp.wsman import WSMan

from vengeance.twin.client import Twin

PYPSRP: dict[str, dict[str, Any]] = {
    "ntlm, sealed": {"ssl": False, "auth": "ntlm", "encryption": "auto"},
    "negotiate, sealed": {"ssl": False, "auth": "negotiate", "encryption": "auto"},
    "basic over https, where the box allows it": {"ssl": True, "auth": "basic", "encryption": "never"},
}


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("name", PYPSRP)
def test_pypsrp_gets_both_streams_and_the_exit_code_of_a_windows_command(twin: Twin, name: str) -> None:
    winrm, settings = twin.status()["winrm"], PYPSRP[name]
    port = winrm["https_port"] if settings["ssl"] else winrm["http_port"]
    twin.limits(allow_basic=settings["auth"] == "basic")
    wsman = WSMan(
        "127.0.0.1", port=port, username=winrm["user"], password=winrm["password"], cert_validation=False, **settings
    )
    with wsman, WinRS(wsman, codepage=65001) as shell:
        process = Process(shell, "cmd.exe", ["/c", "echo %COMPUTERNAME%& echo wrong 1>&2& exit /b 3"])
        process.invoke()
        process.signal(SignalCode.TERMINATE)
        assert process.stdout.split() == [b"VENGEANCE"]
        assert process.stderr.split() == [b"wrong"]
        assert process.rc == 3


def test_testinfras_own_backend_runs_a_windows_command(twin: Twin) -> None:
    winrm = twin.status()["winrm"]
    address = f"{winrm['user']}:{winrm['password']}@127.0.0.1:{winrm['http_port']}"
    assert testinfra.get_host(f"winrm://{address}?no_ssl=true").check_output("hostname") == "VENGEANCE"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(("right", "status"), [(True, "200"), (False, "401")])
def test_curl_shakes_hands_with_ntlm(twin: Twin, tmp_path: Path, right: bool, status: str) -> None:
    winrm = twin.status()["winrm"]
    settings = tmp_path / "curlrc"
    settings.write_text(f'user = "{winrm["user"]}:{winrm["password"] if right else "wrong"}"\n')
    command = ["curl", "--config", str(settings), "--ntlm", "--silent", "--noproxy", "*", "--max-time", "20"]
    command += ["--output", "/dev/null", "--write-out", "%{http_code}", "--data", "", winrm["http"]]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == status


@pytest.mark.skipif(shutil.which("ansible") is None, reason="ansible is not installed")
def test_ansible_raw_runs_a_windows_command(twin: Twin, tmp_path: Path) -> None:
    winrm = twin.status()["winrm"]
    variables = {
        "ansible_connection": "winrm",
        "ansible_host": "127.0.0.1",
        "ansible_port": winrm["http_port"],
        "ansible_user": winrm["user"],
        "ansible_password": winrm["password"],
        "ansible_winrm_transport": "ntlm",
        "ansible_winrm_scheme": "http",
    }
    inventory = tmp_path / "hosts.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"twin": variables}}}))
    inventory.chmod(0o600)
    done = subprocess.run(
        ["ansible", "-i", str(inventory), "twin", "-m", "raw", "-a", "hostname"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "ANSIBLE_HOME": str(tmp_path / "ansible"), "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "VENGEANCE" in done.stdout
