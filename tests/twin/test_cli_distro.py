"""A twin with its distro, from outside: what up says, exec, restart and reset."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import winrm

from vengeance.twin.client import Twin
from vengeance.twin.distro.ladder import NONE

WSL = 'cd /d "C:\\Program Files\\WSL" && .\\wsl.exe '


@pytest.fixture(scope="module")
def one(twin_home: Path) -> Iterator[Twin]:
    twin = Twin("cli-distro")
    status = twin.up()
    if status["distro"]["rung"] == NONE:
        twin.down()
        pytest.skip(" ".join(status["distro"]["missing"]))
    yield twin
    twin.down()


def windows(twin: Twin, line: str) -> tuple[int, str, str]:
    endpoint = twin.status()["winrm"]
    session = winrm.Session(endpoint["http"], auth=(endpoint["user"], endpoint["password"]), transport="ntlm")
    protocol = session.protocol
    shell = protocol.open_shell(codepage=65001, env_vars={"WSL_UTF8": "1"})
    try:
        command = protocol.run_command(shell, line, console_mode_stdin=False)
        out, err, code = protocol.get_command_output(shell, command)
        return code, out.decode().replace("\r\n", "\n"), err.decode()
    finally:
        protocol.close_shell(shell)


def test_a_distro_is_registered_from_the_start(one: Twin) -> None:
    distro = one.status()["distro"]
    assert distro["name"] == "Ubuntu-24.04"
    assert distro["registered"] == ["Ubuntu-24.04"]
    assert windows(one, WSL + "--list --quiet") == (0, "Ubuntu-24.04\n", "")
    out = windows(one, "reg query HKCU\\Software\\Microsoft\\Windows\\CurrentVersion\\Lxss /v DefaultDistribution")[1]
    assert "DefaultDistribution    REG_SZ    {" in out


def test_both_sides_see_the_same_files(one: Twin) -> None:
    code, out, err = windows(one, WSL + "-d Ubuntu-24.04 -u root --cd / --exec /bin/sh -c id")
    assert (code, out[:6], err) == (0, "uid=0(", "")
    if any("/mnt/c" in sentence for sentence in one.status()["distro"]["missing"]):
        pytest.skip("/mnt/c needs mounts: " + " ".join(one.status()["distro"]["missing"]))
    assert one.distro_exec(["sh", "-c", "echo from linux > /mnt/c/Windows/Temp/linux.txt"]).returncode == 0
    assert windows(one, "type C:\\Windows\\Temp\\linux.txt")[1] == "from linux\n"
    windows(one, "echo from windows>C:\\Windows\\Temp\\windows.txt")
    assert one.distro_exec(["cat", "/mnt/c/Windows/Temp/windows.txt"]).stdout == b"from windows\r\n"


def test_from_runs_a_program_where_another_machine_is(one: Twin) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vengeance.twin", "from", "--name", one.name, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    done = run("tailnet", "--", "ip", "-json", "route", "get", "100.98.226.75")
    if "need root" in done.stderr:
        pytest.skip(done.stderr)
    assert json.loads(done.stdout)[0]["dev"] == "eth0"
    # The LAN has no way into the tailnet.
    assert run("lan", "--", "ip", "route", "get", "100.98.226.75").returncode != 0
    assert run("stranger", "--", "sh", "-c", "exit 7").returncode == 7


def test_exec_enters_the_distro_as_a_user(one: Twin) -> None:
    def execute(*words: str, text: str = "") -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "vengeance.twin", "exec", "--name", one.name, *words],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return done.returncode, done.stdout

    assert execute("--", "id", "-un") == (0, "root\n")
    assert execute("--user", "steam", "--", "sh", "-c", "id -un; exit 5") == (5, "steam\n")
    assert execute("--", "cat", text="through\n") == (0, "through\n")


def test_a_restart_stops_the_instance(one: Twin) -> None:
    assert one.distro_exec(["sh", "-c", "touch /run/volatile; touch /kept"]).returncode == 0
    one.reboot(seconds=0.2)
    code, out, _ = windows(one, WSL + "--list --running")
    assert (code, "Ubuntu" in out) == (0xFFFFFFFF, False)
    left = one.distro_exec(["sh", "-c", "ls /kept /run/volatile"])
    assert left.stdout == b"/kept\n"


def test_what_is_unregistered_stays_away_until_a_reset(one: Twin) -> None:
    assert one.distro_exec(["touch", "/mark"]).returncode == 0
    assert windows(one, WSL + "--unregister Ubuntu-24.04")[0] == 0
    one.down()
    distro = one.up()["distro"]
    assert distro["registered"] == []
    # The inventory leaves a distro out where none can be, and only there.
    assert distro["rung"] != NONE
    assert "was unregistered" in distro["missing"][-1]
    assert "twin reset --name cli-distro" in distro["missing"][-1]
    before = one.status()["winrm"]
    started = time.monotonic()
    status = one.reset()
    # The root filesystem comes from the cache.
    assert time.monotonic() - started < 30
    assert status["distro"]["registered"] == ["Ubuntu-24.04"]
    assert status["winrm"] == before
    assert one.distro_exec(["ls", "/mark"]).returncode != 0
    assert one.distro_exec(["id", "-u", "steam"]).stdout == b"1000\n"


def test_down_leaves_nothing_behind(one: Twin) -> None:
    assert one.distro_exec(["true"]).returncode == 0
    assert one.down() is True
    mounts = Path("/proc/self/mounts").read_text()
    assert str(one.folder) not in mounts
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(one.folder) not in running
    assert json.loads((one.folder / "processes.json").read_text())["processes"] == []
