"""The restart of Windows over real WinRM: everything that was connected comes back by itself."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.state import State
from pyinfra.context import ctx_host, ctx_state

from tests.connectors.conftest import WINDOWS, Pyinfra
from vengeance.connectors.winrm import WinRMConnector
from vengeance.facts.windows import BootState
from vengeance.operations.windows import restart
from vengeance.powershell import Script
from vengeance.twin.client import Twin
from vengeance.verify import inventory
from vengeance.winrm.result import Result

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
SIGN_IN = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon\AutoLogonChecked"


def boot_time(twin: Twin) -> str:
    return str(twin.status()["boot_time"])


def test_windows_and_the_distro_go_on_after_a_restart_in_one_run(distro: Twin, pyinfra: Pyinfra) -> None:
    before = boot_time(distro)
    answer = pyinfra.deploy("restart")
    assert answer, "the results of the run"
    assert boot_time(distro) != before
    registry = distro.windows_state()["registry"]
    assert registry[ENVIRONMENT]["AFTER_THE_RESTART"]["value"] == "1"
    assert SIGN_IN in registry
    left = distro.distro_exec(["/bin/sh", "-c", "ls /var/after-the-restart /run/before-the-restart 2>/dev/null"])
    assert left.stdout == b"/var/after-the-restart\n"


# --- at the wrong moment ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare() -> Iterator[Twin]:
    """A Windows without a distro, whose restarts cost nothing else."""
    twin = Twin("restarts")
    twin.up(distro=False, bare=True)
    yield twin
    twin.down()


@pytest.fixture
def box(bare: Twin, tmp_path: Path) -> Iterator[State]:
    os.environ["TWIN_PASSWORD"] = bare.status()["winrm"]["password"]
    bare.fault("clear")
    state = inventory.connect(inventory.load(Pyinfra(bare, tmp_path).inventory(), ROOT / "group_data"))
    yield state
    bare.fault("clear")
    for host in state.inventory:
        host.disconnect()


class Meddling:
    """Does something to the box right before or right after a request of the restart."""

    def __init__(self, connector: WinRMConnector, script: str, deed: Any, after: bool) -> None:
        self.connector = connector
        self.host = connector.host
        self.script = script
        self.deed = deed
        self.after = after
        self.asked: list[str] = []

    def run_afresh(self, script: Script, **arguments: Any) -> Result:
        self.asked.append(script.script)
        mine = script.script == self.script and self.deed is not None
        deed, self.deed = (self.deed, None) if mine else (None, self.deed)
        if deed is not None and not self.after:
            deed()
        result = self.connector.run_afresh(script, **arguments)
        if deed is not None and self.after:
            deed()
        return result


def restarted(state: State, script: str, deed: Any, after: bool = False) -> list[str]:
    """Restart the box while ``deed`` happens to it; returns which scripts were asked for."""
    host = state.inventory.get_host(WINDOWS)
    with ctx_state.use(state), ctx_host.use(host):
        before = host.get_fact(BootState)
        connector = host.connector
        assert isinstance(connector, WinRMConnector)
        meddling = Meddling(connector, script, deed, after)
        now = time.monotonic()
        restart._Restart(meddling, before, now, now + 120.0).run()  # type: ignore[arg-type]
        connector.reconnect()
        # What was connected all along goes on, with a command that is not repeated when its fate is not known.
        connector.run_shell_command(Script("Set-Environment", {"level": "user", "variables": {"HERE": "1"}}))
        assert host.get_fact(BootState)["boot_file_time"] != before["boot_file_time"]
    return meddling.asked


def test_a_restart_by_somebody_else_right_before_ours_is_taken_for_it(bare: Twin, box: State) -> None:
    before = boot_time(bare)
    asked = restarted(box, "Get-BootState", bare.reboot)
    assert "Restart-Windows" not in asked
    assert boot_time(bare) != before


def test_a_restart_by_somebody_else_between_the_look_and_the_request_is_not_followed_by_ours(
    bare: Twin, box: State
) -> None:
    after: list[str] = []

    def reboot() -> None:
        after.append(bare.reboot())

    asked = restarted(box, "Restart-Windows", reboot)
    assert asked.count("Restart-Windows") == 1
    assert [boot_time(bare)] == after


@pytest.mark.full
def test_a_connection_that_is_cut_before_the_answer_is_success(bare: Twin, box: State) -> None:
    before = boot_time(bare)
    # The first Receive of Restart-Windows is handled and never answered.
    asked = restarted(box, "Restart-Windows", lambda: bare.fault("cut_after", action="Receive"))
    assert asked.count("Restart-Windows") == 1
    assert boot_time(bare) != before


@pytest.mark.full
def test_a_box_that_goes_away_a_second_time_while_it_comes_back_is_waited_for(bare: Twin, box: State) -> None:
    threads: list[threading.Thread] = []

    def again_later() -> None:
        # It waits for the restart that is under way, and then restarts the box once more.
        threads.append(threading.Timer(3.0, bare.reboot))
        threads[0].start()

    restarted(box, "Restart-Windows", again_later, after=True)
    threads[0].join()


@pytest.mark.full
def test_a_restart_that_was_scheduled_for_later_is_taken_back_for_ours(bare: Twin, box: State) -> None:
    host = box.inventory.get_host(WINDOWS)
    host.run_shell_command("shutdown /r /t 3600", _shell_executable="cmd")
    asked = restarted(box, "nothing", None)
    assert asked.count("Restart-Windows") == 1
