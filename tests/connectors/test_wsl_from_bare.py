"""deploys/wsl.py alone: from a Windows with nothing but the feature to a distro that stays up."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.twin.linux_side import until
from tests.twin_deploys import Deploy, Finished, run_pyinfra
from vengeance.twin.client import Twin
from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.host import outside_prefix

pytestmark = pytest.mark.full
NAME, DISTRO = "wslbare", "Ubuntu-24.04"


@pytest.fixture(scope="module")
def bare(twin_home: Path) -> Iterator[Twin]:
    """A twin that begins as a Windows right after its set-up."""
    twin = Twin(NAME)
    distro = twin.up(bare=True)["distro"]
    try:
        if not distro["systemd"]:
            pytest.skip("; ".join(distro["missing"]) or "no distro with systemd on this machine")
        yield twin
    finally:
        twin.down()


deploy: Deploy = partial(run_pyinfra, NAME, timeout=300)


def total(done: Finished) -> list[str]:
    """The last row of the results: hosts, success, error, no change."""
    (row,) = [line for line in (done.stdout + done.stderr).splitlines() if line.strip().startswith("Grand total")]
    return row.split()[2:]


def registered(twin: Twin) -> list[str]:
    """The distros in the registry of the twin, read from its disk."""
    text = json.dumps(twin.windows_state()["registry"])
    return re.findall(r'"DistributionName": \{"kind": "String", "value": "([^"]+)"', text)


def inside(twin: Twin, *argv: str) -> str:
    """What a program in the running distro prints; '' when it does not run."""
    try:
        prefix = outside_prefix(twin.folder)
    except DistroError:
        return ""
    return subprocess.run([*prefix, *argv], capture_output=True, text=True, check=False).stdout


def test_the_plan_of_a_bare_box_shows_everything_and_changes_nothing(bare: Twin) -> None:
    before = bare.windows_state()["registry"]
    plan = deploy("deploys/wsl.py", "--dry")
    said = plan.stdout + plan.stderr
    assert plan.returncode == 0, said
    for operation in ("WSL from its package", "Settings of WSL's", "The distro Ubuntu", "The user", "stays up with"):
        (row,) = [line for line in said.splitlines() if line.strip().startswith((operation, f"{DISTRO} {operation}"))]
        assert "1 (@" in row
    assert bare.windows_state()["registry"] == before
    assert not (bare.drive_c / "ProgramData/vengeance/downloads").exists()


def test_without_the_feature_wsl_is_refused_with_the_mend_and_nothing_is_installed(bare: Twin) -> None:
    done = deploy("deploys/wsl.py", "--yes")
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "VirtualMachinePlatform of @winrm/vengeance is Disabled" in said
    assert "deploys/windows.py enables it" in said
    assert "@wsl/vengeance/Ubuntu-24.04 is left as it is now, because @winrm/vengeance" in said
    assert "Traceback" not in said
    assert not (bare.drive_c / "Program Files/WSL/wsl.exe").exists()


def test_with_it_the_distro_is_imported_and_stays_up_and_a_second_run_changes_nothing(bare: Twin) -> None:
    first = deploy("deploys/windows.py", "deploys/wsl.py", "--yes")
    assert first.returncode == 0, first.stdout + first.stderr
    assert registered(bare) == [DISTRO]
    assert (bare.drive_c / f"WSL/{DISTRO}/ext4.vhdx").exists()
    assert inside(bare, "cat", "/proc/1/comm") == "systemd\n"
    assert inside(bare, "grep", "-c", "^processor", "/proc/cpuinfo") == "8\n"
    assert bare.status()["wsl"]["machine_starts"] == 1
    # The image has no user: the deploy made it.
    assert inside(bare, "id", "-un", "steam") == "steam\n"
    assert inside(bare, "getent", "passwd", "steam").strip().endswith(":/home/steam:/bin/bash")
    assert inside(bare, "stat", "-c", "%U", "/home/steam") == "steam\n"
    inside(bare, "touch", "/root/mine")
    second = deploy("deploys/wsl.py", "--yes")
    assert second.returncode == 0, second.stdout + second.stderr
    assert total(second)[1:3] == ["-", "-"]


def test_a_reboot_with_nobody_logged_on_a_logoff_and_72_hours_leave_it_up(bare: Twin) -> None:
    bare.reboot()
    assert until(lambda: inside(bare, "cat", "/proc/1/comm") == "systemd\n", 60)
    bare.logon()
    bare.logoff()
    bare.advance(72 * 3600)
    assert inside(bare, "cat", "/proc/1/comm") == "systemd\n"
    assert inside(bare, "ls", "/root/mine") == "/root/mine\n"
    assert bare.status()["wsl"]["graphics_restarts"] == 0


@pytest.mark.parametrize("fault", ["cut_before", "cut_after"])
def test_a_cut_at_each_tenth_request_ends_the_same(bare: Twin, fault: str) -> None:
    bare.reset(bare=True)
    bare.fault(fault, request=10, times=None, every=10)
    done = deploy("deploys/windows.py", "deploys/wsl.py", "--yes")
    bare.fault("clear")
    assert done.returncode == 0, done.stdout + done.stderr
    assert registered(bare) == [DISTRO]
    again = deploy("deploys/wsl.py", "--yes")
    assert again.returncode == 0, again.stdout + again.stderr
    assert total(again)[1:3] == ["-", "-"]
