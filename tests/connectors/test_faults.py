"""The whole twin under cuts, reboots and Ctrl-C: everything once, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connectors.conftest import WSL, Pyinfra
from vengeance.connectors.pool import agent_texts
from vengeance.powershell import load
from vengeance.twin.client import Twin
from vengeance.winrm.client import WinRMClient
from vengeance.winrm.settings import WinRMSettings

COMMANDS = 20
CMD_EXE = "C:\\Windows\\System32\\cmd.exe"


@pytest.fixture(params=[True, False], ids=["duplex", "half duplex"])
def client(twin: Twin, request: pytest.FixtureRequest) -> Iterator[WinRMClient]:
    made = new_client(twin, duplex=request.param)
    yield made
    made.close()


def new_client(twin: Twin, duplex: bool = True, mode: str = "agent") -> WinRMClient:
    winrm = twin.status()["winrm"]
    settings = WinRMSettings(
        winrm["host"],
        winrm["user"],
        lambda: str(winrm["password"]),
        port=winrm["http_port"],
        scheme="http",
        duplex=duplex,
        mode=mode,
    )
    return WinRMClient(settings, agent_texts())


def append(client: WinRMClient, number: int, file: str) -> str:
    """Have Windows append a number to a file; return the program's own answer."""
    parameters = {"file": CMD_EXE, "arguments": f'/d /s /c ">>{file} echo {number}& echo answer {number}"'}
    empty: dict[str, object] = {"stdin": None, "cwd": None, "env": {}, "timeout": None}
    result = client.powershell(load("Invoke-Program"), json.dumps({**parameters, **empty}))
    assert result.code == 0, result.stderr
    return str(json.loads(result.stdout)["rc"])


@pytest.mark.parametrize("kind", ["cut_before", "cut_after"])
@pytest.mark.parametrize("duplex", [True, False], ids=["duplex", "half duplex"])
def test_a_run_on_windows_cut_at_any_request_does_everything_once(twin: Twin, kind: str, duplex: bool) -> None:
    wrong = []
    # Create, Command, the start's Send and Receive, then two a command; every third place, another one a kind.
    for request in range(1 + (kind == "cut_after"), 4 + 2 * COMMANDS + 1, 3):
        name = f"counter-{kind}-{duplex}-{request}.txt"
        twin.fault("clear")
        twin.fault(kind, request=request)
        client = new_client(twin, duplex)
        answers = [append(client, number, f"C:\\Users\\Steam\\{name}") for number in range(COMMANDS)]
        client.close()
        written = (twin.drive_c / "Users" / "Steam" / name).read_text().split()
        if answers != ["0"] * COMMANDS or written != [str(number) for number in range(COMMANDS)]:
            wrong.append(request)
    twin.fault("clear")
    assert wrong == []


def test_a_reboot_between_two_commands_is_survived(twin: Twin, client: WinRMClient) -> None:
    before = json.loads(client.powershell(load("Get-Boot"), "{}").stdout)
    twin.reboot(seconds=1.0)
    time.sleep(1.5)
    after = json.loads(client.powershell(load("Get-Boot"), "{}", read_only=True).stdout)
    assert after["boot_file_time"] > before["boot_file_time"]


def test_the_distro_answers_again_after_wsl_was_shut_down(distro: Twin, client: WinRMClient) -> None:
    assert client.sh("Ubuntu-24.04", "root", "echo one").stdout == b"one\n"
    assert client.cmd('cd /d "C:\\Program Files\\WSL" && .\\wsl.exe --shutdown').code == 0
    # Before its wsl.exe has ended the agent looks alive, and a command given to it then is an unknown outcome.
    for _ in range(100):
        if "wsl.exe" not in json.dumps(distro.windows_state()["processes"]):
            break
        time.sleep(0.1)
    assert client.sh("Ubuntu-24.04", "root", "echo two").stdout == b"two\n"


def test_another_windows_user_does_not_see_the_distro(distro: Twin) -> None:
    password = distro.add_account("Guest2")
    winrm = distro.status()["winrm"]
    settings = WinRMSettings(winrm["host"], "Guest2", lambda: password, port=winrm["http_port"], scheme="http")
    client = WinRMClient(settings, agent_texts())
    try:
        with pytest.raises(OSError, match="Distros belong to one Windows user"):
            client.sh("Ubuntu-24.04", "root", "true")
    finally:
        client.close()


@pytest.mark.parametrize("mode", ["agent", "process"])
def test_windows_programs_give_any_output_and_code(twin: Twin, mode: str) -> None:
    client = new_client(twin, mode=mode)
    try:
        assert client.cmd("exit /b 67", stdin=b"").code == 67
        result = client.cmd("echo out& echo err 1>&2& exit /b 5", stdin=b"")
        assert (result.stdout.strip(), result.stderr.strip(), result.code) == (b"out", b"err", 5)
        assert json.loads(client.powershell(load("Get-Os"), "{}").stdout)["hostname"] == "VENGEANCE"
    finally:
        client.close()


def test_ctrl_c_leaves_no_shell_and_no_process_behind(distro: Twin, pyinfra: Pyinfra, tmp_path: Path) -> None:
    inventory = pyinfra.inventory()
    process = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("pyinfra")),
            str(inventory),
            "--yes",
            "--limit",
            WSL,
            "exec",
            "--",
            "sleep 2222.75",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TWIN_PASSWORD": distro.status()["winrm"]["password"]},
        cwd=tmp_path,
        text=True,
    )
    for _ in range(100):
        time.sleep(0.1)
        if distro.distro_exec(["pgrep", "-f", "[s]leep 2222.75"]).returncode == 0:
            break
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert "Traceback" not in output
    assert distro.distro_exec(["pgrep", "-f", "[s]leep 2222.75"]).returncode == 1
    assert distro.status()["shells"] == []
