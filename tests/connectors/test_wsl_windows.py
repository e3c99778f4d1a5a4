"""WSL as Windows has it, through pyinfra: .wslconfig, what keeps the distro up, what stops it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.conftest import WINDOWS, WSL, Pyinfra
from tests.twin.linux_side import until
from vengeance.twin.client import Twin
from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.host import outside_prefix

DISTRO = "Ubuntu-24.04"
TEMPLATE = Path(__file__).resolve().parents[2] / "templates" / "wslconfig.j2"
HOUR = 3600.0
DEPLOY = """
from pyinfra import host
from pyinfra.operations import server
from vengeance.operations import stage, wsl

settings = {{
    "general": {{"instanceIdleTimeout": {idle}}},
    "wsl2": {{"memory": "{memory}", "swap": "4GB", "processors": 6, "guiApplications": False, "vmIdleTimeout": -1}},
}}

stage.begins(name="Windows")
if host.name == "{windows}":
    wsl.config(name="Settings", settings=settings, distro="{distro}", template={template!r})
    wsl.machine(name="They count", settings=settings, distro="{distro}")
    {more}

stage.begins(name="Linux")
if host.name == "{wsl}":
    server.shell(name="It answers", commands=["true"])
"""
KEEPALIVE = f'wsl.keepalive(name="Up", distro="{DISTRO}")'


@pytest.fixture(scope="module")
def twin(twin_home: Path) -> Iterator[Twin]:
    """A twin of its own: its clock is changed, and who is logged on."""
    twin = Twin("wsl")
    distro = twin.up()["distro"]
    try:
        if not distro["systemd"]:
            pytest.skip("; ".join(distro["missing"]) or "no distro with systemd on this machine")
        yield twin
    finally:
        twin.down()


def declare(
    pyinfra: Pyinfra, *arguments: str, memory: str = "6GB", idle: int = -1, more: str = "", loud: bool = False
) -> dict[str, str]:
    """Run the deploy; which operations changed what, and what was said. Raises AssertionError when it fails."""
    deploy = pyinfra.folder / "wsl.py"
    text = DEPLOY.format(
        memory=memory, idle=idle, more=more, template=str(TEMPLATE), windows=WINDOWS, wsl=WSL, distro=DISTRO
    )
    deploy.write_text(text)
    done = pyinfra.run(str(deploy), *(arguments or ("--yes",)), "--json")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    operations = json.loads(done.stdout)["results"]["operations"] if "--dry" not in arguments else []
    changed = {one["name"]: "changed" for one in operations if one.get("success") and one["name"] != "It answers"}
    return {**changed, "said": said} if loud else changed


def config(twin: Twin) -> str | None:
    """The .wslconfig on the twin's drive."""
    file = twin.drive_c / "Users/Steam/.wslconfig"
    return file.read_text() if file.exists() else None


def runs(twin: Twin) -> bool:
    """Whether the distro runs, asked from this machine; asking does not start it."""
    try:
        outside_prefix(twin.folder)
    except DistroError:
        return False
    return True


def inside(twin: Twin, *argv: str) -> str:
    """What a program in the running distro prints."""
    done = subprocess.run([*outside_prefix(twin.folder), *argv], capture_output=True, text=True, check=True)
    return done.stdout


def machine_starts(twin: Twin) -> int:
    """How often WSL's virtual machine was started, by the twin's own count."""
    return int(twin.status()["wsl"]["machine_starts"])


def test_a_change_of_wslconfig_shuts_down_once_is_verified_inside_and_a_second_run_changes_nothing(
    twin: Twin, pyinfra: Pyinfra
) -> None:
    twin.distro_exec(["true"])
    before = machine_starts(twin)
    assert declare(pyinfra, "--dry") == {}
    assert config(twin) is None
    first = declare(pyinfra, loud=True)
    assert first["Settings"] == "changed"
    assert "They count" not in first
    assert f"{DISTRO} will be stopped once" in first["said"]
    assert machine_starts(twin) == before + 1
    assert "memory=6GB\n" in str(config(twin))
    total = int(inside(twin, "awk", "/MemTotal/ {print $2}", "/proc/meminfo"))
    assert 0.95 * 6 * 2**20 < total < 6 * 2**20
    assert inside(twin, "grep", "-c", "^processor", "/proc/cpuinfo") == "6\n"
    assert declare(pyinfra) == {}
    assert machine_starts(twin) == before + 1


@pytest.mark.full
def test_a_file_that_was_written_without_a_shutdown_is_found_by_its_effect(twin: Twin, pyinfra: Pyinfra) -> None:
    declare(pyinfra)
    file = twin.drive_c / "Users/Steam/.wslconfig"
    right = file.read_bytes()
    file.write_bytes(right.replace(b"memory=6GB", b"memory=5GB"))
    before = machine_starts(twin)
    changed = declare(pyinfra, memory="5GB")
    assert changed == {"Settings": "changed"}
    assert machine_starts(twin) == before + 1
    assert declare(pyinfra, memory="5GB") == {}


def test_what_the_box_cannot_give_is_an_error_and_not_a_success(twin: Twin, pyinfra: Pyinfra) -> None:
    with pytest.raises(AssertionError) as failed:
        declare(pyinfra, memory="500GB")
    assert "memory is" in str(failed.value)
    assert "not 500GB" in str(failed.value)
    assert "Traceback" not in str(failed.value)
    declare(pyinfra)


@pytest.mark.full
def test_the_keepalive_holds_the_distro_over_72_hours_a_reboot_a_logon_and_a_logoff(
    twin: Twin, pyinfra: Pyinfra
) -> None:
    assert declare(pyinfra, idle=15000, more=KEEPALIVE)["Up"] == "changed"
    assert declare(pyinfra, idle=15000, more=KEEPALIVE) == {}
    twin.advance(72 * HOUR)
    assert runs(twin)
    twin.reboot()
    assert until(lambda: runs(twin), 60)
    twin.logon()
    twin.advance(HOUR)
    twin.logoff()
    twin.advance(72 * HOUR)
    assert runs(twin)
    assert declare(pyinfra, idle=15000, more=KEEPALIVE) == {}


def test_a_distro_that_was_terminated_is_up_again_with_the_next_run(twin: Twin, pyinfra: Pyinfra) -> None:
    declare(pyinfra, idle=15000, more=KEEPALIVE)
    terminated = f'wsl.terminated(name="Off", distro="{DISTRO}")'
    assert declare(pyinfra, idle=15000, more=terminated)["Off"] == "changed"
    again = declare(pyinfra, idle=15000, more=KEEPALIVE)
    assert again in ({}, {"Up": "changed"})
    assert runs(twin)


def test_a_restarted_distro_is_another_instance_on_the_same_machine(twin: Twin, pyinfra: Pyinfra) -> None:
    declare(pyinfra)
    starts = machine_starts(twin)
    inside(twin, "touch", "/run/old-instance")
    assert declare(pyinfra, more=f'wsl.restarted(name="Again", distro="{DISTRO}")')["Again"] == "changed"
    assert "old-instance" not in inside(twin, "ls", "/run")
    assert machine_starts(twin) == starts


def test_without_the_keepalive_the_distro_stops_15_s_after_the_last_program(twin: Twin, pyinfra: Pyinfra) -> None:
    task = 'windows.scheduled_task(name="No task", task="wsl Ubuntu-24.04", present=False)'
    declare(pyinfra, idle=15000, more=f"from vengeance.operations import windows; {task}")

    def stopped() -> bool:
        twin.advance(20)
        return not runs(twin)

    # Programs that are killed take a moment of real time to let go of the distro, and then the 15 s begin.
    assert until(stopped)


def test_who_owns_which_distro_is_told(twin: Twin, pyinfra: Pyinfra) -> None:
    answer: dict[str, Any] = pyinfra.fact("vengeance.facts.wsl.Owners", WINDOWS)
    (owners,) = answer.values()
    owners = owners.get(WINDOWS, owners)
    assert owners["account"].endswith("\\Steam")
    assert [one["distributions"] for one in owners["owners"]] == [[DISTRO]]
