"""Hosts that share a box: who shares a connection, who comes back, and whose mistake it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.conftest import WINDOWS, WSL, Pyinfra
from vengeance.connectors import pool
from vengeance.connectors.errors import SignInRefused
from vengeance.connectors.output import succeeded
from vengeance.twin.client import Twin
from vengeance.winrm.settings import WinRMSettings


class Run:
    """Stands for pyinfra's State, which the pool only uses as a key."""


def settings(twin: Twin, **changes: Any) -> WinRMSettings:
    winrm = twin.status()["winrm"]
    values: dict[str, Any] = {
        "host": winrm["host"],
        "user": winrm["user"],
        "password": lambda: str(winrm["password"]),
        "port": winrm["http_port"],
        "scheme": "http",
        **changes,
    }
    return WinRMSettings(**values)


def test_another_account_on_the_same_box_has_a_connection_of_its_own(twin: Twin) -> None:
    run: Any = Run()
    password = twin.add_account("Guest3")
    one = pool.acquire(run, "box", settings(twin))
    same = pool.acquire(run, "box", settings(twin))
    other = pool.acquire(run, "box", settings(twin, user="Guest3", password=lambda: password))
    try:
        assert one is same
        assert other is not one
        assert b"guest3" in other.cmd("whoami", stdin=b"").stdout.lower()
        pool.release(run, one)
        assert b"steam" in same.cmd("whoami", stdin=b"").stdout.lower()
    finally:
        for client in (same, other):
            pool.release(run, client)
    assert twin.status()["shells"] == []


def test_a_wrong_password_is_tried_once_though_one_host_is_connected_after_the_other(twin: Twin) -> None:
    run: Any = Run()
    twin.log_reset()
    for _ in (WINDOWS, WSL):
        with pytest.raises(SignInRefused, match="refused the user 'Steam'"):
            pool.acquire(run, "box", settings(twin, password=lambda: "Wr0ng!pw"))
    assert sum(twin.log_snapshot()["failed_logons"].values()) == 1


def test_who_comes_back_is_let_in_only_when_the_box_answers(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vengeance.winrm.shell.persistently.__defaults__", (0.5, pool_losses()))
    run: Any = Run()
    windows = pool.acquire(run, "box", settings(twin))
    distro = pool.acquire(run, "box", settings(twin))
    try:
        pool.release(run, windows)
        reboot = threading.Thread(target=lambda: twin.reboot(seconds=3.0))
        reboot.start()
        time.sleep(1)
        with pytest.raises(OSError, match=r"listens|answer|cut|lost"):
            pool.acquire(run, "box", settings(twin))
        reboot.join()
        time.sleep(1)
        windows = pool.acquire(run, "box", settings(twin))
        assert windows is distro
        assert windows.cmd("echo back", stdin=b"").stdout.strip() == b"back"
        pool.release(run, windows)
    finally:
        pool.release(run, distro)
    assert twin.status()["shells"] == []


def pool_losses() -> tuple[type[OSError], ...]:
    from vengeance.winrm.connection import Unreachable
    from vengeance.winrm.errors import ConnectionLost

    return (ConnectionLost, Unreachable)


def test_a_wrong_password_is_one_failed_logon_for_the_box_and_its_distro_together(twin: Twin, pyinfra: Pyinfra) -> None:
    twin.log_reset()
    done = pyinfra.run("fact", "vengeance.facts.windows.Os", password="Wr0ng!pw")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert sum(twin.log_snapshot()["failed_logons"].values()) == 1


MISTAKES = """
from io import BytesIO, StringIO
from pyinfra import host
from pyinfra.api import FileUploadCommand, StringCommand, operation
from pyinfra.operations import server

@operation()
def mistake(what):
    if what == "command":
        yield StringCommand("echo \\udc80")
    elif what == "path":
        yield FileUploadCommand(BytesIO(b"x"), "/tmp/\\udc80" if "wsl" in host.name else "C:\\\\\\udc80")
    elif what == "user":
        yield FileUploadCommand(BytesIO(b"x"), "/tmp/x", _sudo_user="a b")
    elif what == "text":
        yield FileUploadCommand(StringIO("\\udc80"), "/tmp/x" if "wsl" in host.name else "C:\\\\x")

if host.name.startswith(TARGET):
    mistake(name="mistake", what=WHAT, _ignore_errors=False)
else:
    server.shell(name="other", commands=["hostname >/tmp/other-host"])
"""


@pytest.mark.parametrize(
    ("target", "what"),
    [(WINDOWS, "command"), (WSL, "command"), (WINDOWS, "path"), (WSL, "path"), (WSL, "user"), (WINDOWS, "text")],
)
def test_a_value_that_cannot_be_sent_fails_its_host_and_no_other(
    distro: Twin, pyinfra: Pyinfra, tmp_path: Path, target: str, what: str
) -> None:
    deploy = tmp_path / "mistake.py"
    deploy.write_text(MISTAKES.replace("TARGET", repr(target)).replace("WHAT", repr(what)))
    changes = ("--limit", WSL) if target == WSL else ()
    distro.distro_exec(["rm", "-f", "/tmp/other-host"])
    done = pyinfra.run(str(deploy), "--yes", *changes)
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == 1, done.stderr
    if target == WINDOWS:
        assert distro.distro_exec(["cat", "/tmp/other-host"]).returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("code", "wanted", "right"),
    [(0, None, True), (0, [], True), (1, None, False), (67, [67], True), (0xFFFFFFFF, [-1], True), (0, [1], False)],
)
def test_exit_codes_are_compared_as_windows_counts_them(code: int, wanted: list[int] | None, right: bool) -> None:
    assert succeeded(code, wanted) is right


@pytest.mark.parametrize("mode", ["agent", "process"])
@pytest.mark.parametrize("phase", ["prepare", "execute", "upload"])
def test_ctrl_c_in_any_phase_leaves_nothing_behind(
    distro: Twin, pyinfra: Pyinfra, tmp_path: Path, phase: str, mode: str
) -> None:
    deploy = tmp_path / "slow.py"
    (tmp_path / "big").write_bytes(os.urandom(30_000_000))
    deploy.write_text(
        {
            "prepare": "from pyinfra import host\nfrom pyinfra.facts.server import Command\n"
            "host.get_fact(Command, command='sleep 1111.5')\n",
            "execute": "from pyinfra.operations import server\nserver.shell(name='x', commands=['sleep 1111.5'])\n",
            "upload": "from pyinfra.operations import files\n"
            f"files.put(name='x', src={str(tmp_path / 'big')!r}, dest='/opt/ctrl-c/big')\n",
        }[phase]
    )
    distro.distro_exec(["sh", "-c", "rm -rf /opt/ctrl-c; mkdir /opt/ctrl-c"])
    if phase == "upload":
        distro.fault("delay", milliseconds=50)
    process = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("pyinfra")),
            str(pyinfra.inventory(winrm_mode=mode)),
            str(deploy),
            "--yes",
            "--limit",
            WSL,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TWIN_PASSWORD": distro.status()["winrm"]["password"], "PYINFRA_PROGRESS": "off"},
        cwd=tmp_path,
        text=True,
    )
    sign = "ls /opt/ctrl-c/*.tmp" if phase == "upload" else "pgrep -f '[s]leep 1111.5'"
    for _ in range(200):
        time.sleep(0.1)
        if distro.distro_exec(["sh", "-c", sign]).returncode == 0:
            break
    else:
        process.kill()
        pytest.fail("it never came to that: " + (process.communicate()[0] or ""))
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    output, _ = process.communicate(timeout=60)
    took = time.monotonic() - started
    distro.fault("clear")
    assert "Traceback" not in output
    assert took < 15
    time.sleep(1)
    assert distro.status()["shells"] == []
    assert distro.distro_exec(["sh", "-c", sign]).returncode != 0
    assert distro.distro_exec(["sh", "-c", "ls -d /tmp/vengeance-agent.*"]).returncode != 0
