"""Acceptance: WSL is pinned, its virtual machine is as declared, and the distro is kept up by Windows."""

from __future__ import annotations

from typing import Any

import pytest
from pyinfra.api.state import State
from testinfra.host import Host

from tests.box.conftest import only_host
from tests.box.test_01_windows import registry_value
from vengeance.box import wslconfig

LXSS = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Lxss\MSI"


@pytest.fixture(scope="module")
def declared(box: State) -> dict[str, Any]:
    """The settings of the Windows side."""
    return dict(only_host(box, "windows").data.dict())  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def distro(box: State) -> str:
    """The distro's name."""
    return str(only_host(box, "wsl").data.wsl_distro)


def test_wsl_has_the_pinned_version_or_a_newer_one(windows: Host, declared: dict[str, Any]) -> None:
    found = registry_value(windows, LXSS, "Version")
    assert found is not None
    numbers = [[int(part) for part in text.split(".")[:3]] for text in (found[1], declared["wsl_version"])]
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
    assert windows.run(f'schtasks /Query /TN "\\vengeance\\wsl {distro}"').rc == 0
    held = [one for one in linux.process.filter(user="root", comm="sleep") if one.args.endswith("sleep infinity")]
    assert held


def test_the_distro_runs_without_being_asked_to(windows: Host, distro: str) -> None:
    running = windows.check_output('cd /d "C:\\Program Files\\WSL" && .\\wsl.exe --list --running --quiet')
    assert distro in running.split()


def test_only_one_distro_shares_the_virtual_machine(windows: Host) -> None:
    # systemd's sessions of several distros get into each other's way (WSL#13826, #40593).
    running = windows.check_output('cd /d "C:\\Program Files\\WSL" && .\\wsl.exe --list --running --quiet')
    assert len(running.split()) == 1
