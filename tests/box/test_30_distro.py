"""Acceptance: the distro. systemd is process 1, the toolkit of CUDA is there, and no Linux driver is."""

from __future__ import annotations

import re

import pytest
from testinfra.host import Host

from vengeance.box import cuda


def test_wsl_conf_turns_systemd_on(linux: Host) -> None:
    text = linux.file("/etc/wsl.conf").content_string
    section = re.search(r"^\[boot\]\n((?:(?!\[).*\n?)*)", text, re.MULTILINE)
    assert section is not None
    assert "systemd=true" in section[1].splitlines()


def test_only_root_may_change_wsl_conf(linux: Host) -> None:
    file = linux.file("/etc/wsl.conf")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o644)


@pytest.mark.usefixtures("systemd")
def test_process_one_is_systemd(linux: Host) -> None:
    assert linux.check_output("ps -p 1 -o comm=") == "systemd"


@pytest.mark.usefixtures("systemd")
def test_systemd_has_finished_starting(linux: Host) -> None:
    # "degraded" is a normal state in WSL: units that expect hardware fail.
    assert linux.run("systemctl is-system-running --wait").stdout.strip() in ("running", "degraded")


@pytest.mark.usefixtures("toolkit")
def test_nvcc_is_the_one_of_the_toolkit_that_was_chosen(linux: Host, settings: dict[str, object]) -> None:
    version = str(settings["cuda_toolkit_version"]).replace("-", ".")
    assert f"release {version}," in linux.check_output("/usr/local/cuda/bin/nvcc --version")


@pytest.mark.usefixtures("toolkit")
def test_the_toolkit_comes_from_nvidias_source_for_wsl(linux: Host, settings: dict[str, object]) -> None:
    policy = linux.check_output("apt-cache policy %s", f"cuda-toolkit-{settings['cuda_toolkit_version']}")
    assert "https://developer.download.nvidia.com/compute/cuda/repos/wsl-ubuntu/x86_64" in policy


def test_no_package_hides_the_driver_of_windows(linux: Host) -> None:
    installed = linux.check_output("dpkg-query -W -f '${db:Status-Abbrev}${Package}\\n'").splitlines()
    names = [line[3:] for line in installed if line.startswith("ii")]
    assert len(names) > 50
    assert cuda.breakers(names) == {}


def test_nvidia_smi_of_windows_is_found_where_wsl_puts_it(linux: Host) -> None:
    assert linux.gpu.is_there


def test_the_card_is_a_device_that_the_user_of_the_server_may_open(linux: Host, settings: dict[str, object]) -> None:
    assert linux.file("/dev/dxg").exists
    assert linux.check_output("stat -c %F /dev/dxg") == "character special file"
    # The twin's has no driver behind it, which is another answer than that it may not be opened.
    said = linux.run("runuser -u %s -- /bin/sh -c ': <> /dev/dxg'", settings["linux_user"]).stderr.lower()
    assert "denied" not in said
    assert "not permitted" not in said


@pytest.mark.parametrize("library", ["libcuda.so.1", "libnvidia-ml.so.1"])
def test_the_loader_takes_the_drivers_libraries_from_windows(linux: Host, library: str) -> None:
    lines = [line.split() for line in linux.check_output("/sbin/ldconfig -p").splitlines()]
    places = [words[-1] for words in lines if words[0] == library and "x86-64" in words[1]]
    assert places[:1] == [f"/usr/lib/wsl/lib/{library}"]


def test_the_distro_sees_the_driver_that_windows_has(linux: Host, windows: Host) -> None:
    assert linux.gpu.driver_version == windows.gpu.driver_version
