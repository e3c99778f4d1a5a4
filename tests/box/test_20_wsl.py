"""Acceptance: WSL is pinned, its virtual machine is as declared, and the distro is kept up by Windows."""

from __future__ import annotations

from typing import Any

import pytest
from pyinfra.api.host import Host as PyinfraHost
from testinfra.host import Host

from tests.box.conftest import Looked, Measure
from vengeance.box import wslconfig


@pytest.fixture(scope="module")
def distro(linux_host: PyinfraHost) -> str:
    """The distro's name."""
    return str(linux_host.data.wsl_distro)


def test_wsl_has_the_pinned_version_or_a_newer_one(windows: Host, declared: dict[str, Any], measure: Measure) -> None:
    found = windows.wsl.version
    assert found is not None, "the package of WSL is not installed"
    measure("WSL", found)
    numbers = [[int(part) for part in text.split(".")[:3]] for text in (found, declared["wsl_version"])]
    assert numbers[0] >= numbers[1]


def test_wslconfig_holds_what_is_declared_and_nothing_else(windows: Host, declared: dict[str, Any]) -> None:
    text = windows.check_output('type "%USERPROFILE%\\.wslconfig"')
    texts = wslconfig.texts(declared["wslconfig"])
    assert wslconfig.parse(text) == {
        section.lower(): {key.lower(): value for key, value in values.items()} for section, values in texts.items()
    }


def test_wslconfig_shows_inside(linux: Host, declared: dict[str, Any]) -> None:
    lines = linux.check_output("cat /proc/meminfo /proc/cpuinfo").splitlines()
    machine = wslconfig.parse_machine(lines)
    assert machine is not None
    assert wslconfig.misfits(machine, declared["wslconfig"]) == []


def test_nothing_of_wsl_stops_by_itself_and_no_disk_is_sparse(declared: dict[str, Any]) -> None:
    assert declared["wslconfig"]["general"]["instanceIdleTimeout"] == -1
    assert declared["wslconfig"]["wsl2"]["vmIdleTimeout"] == -1
    assert declared["wslconfig"]["wsl2"]["guiApplications"] is False
    assert "sparseVhd" not in declared["wslconfig"].get("experimental", {})


def test_a_task_of_windows_keeps_the_distro_up(windows: Host, linux: Host, distro: str) -> None:
    assert windows.scheduled_task(f"wsl {distro}").is_running
    held = [one for one in linux.process.filter(user="root", comm="sleep") if one.args.endswith("sleep infinity")]
    assert held


@pytest.mark.usefixtures("windows")
def test_the_distro_runs_without_being_asked_to(looked: Looked, distro: str) -> None:
    assert distro in looked.running, "it did not run before this run's own connection started it"


def test_only_one_distro_shares_the_virtual_machine(windows: Host) -> None:
    # systemd's sessions of several distros get into each other's way (WSL#13826, #40593).
    assert len(windows.wsl.running) == 1


def test_the_distro_is_registered_whole_and_runs_in_wsl_2(windows: Host, distro: str) -> None:
    found = windows.wsl_distro(distro)
    assert found.exists
    assert found.version == 2
