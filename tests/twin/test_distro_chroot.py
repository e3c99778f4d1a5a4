"""The lower rung: a distro that is only a chroot, with and without the right to mount."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.twin.linux_side import NAME, SID, LinuxSide, linux_side, mounts_below, processes_with, until
from vengeance.box.pins import pinned
from vengeance.twin.distro.ladder import CHROOT

KEYRING = pinned("cuda-keyring", "url")


@pytest.fixture(scope="module")
def linux() -> Iterator[LinuxSide]:
    with linux_side(CHROOT) as side:
        yield side


def test_it_says_on_which_rung_it_stands_and_what_is_missing(linux: LinuxSide) -> None:
    assert linux.host.rung == CHROOT
    assert any("units are verified and enabled but never run" in sentence for sentence in linux.host.missing)


@pytest.mark.full
def test_apt_and_pip_work(linux: LinuxSide) -> None:
    done = linux.sh(
        f"set -e; cd /tmp; wget -q {KEYRING}; dpkg -i {KEYRING.rpartition('/')[2]}; apt-get update -q\n"
        "apt-get install -qy cuda-toolkit-12-4; /usr/local/cuda/bin/nvcc --version\n"
    )
    assert done.code == 0, done.stderr.decode()
    assert "release 12.4" in done.text
    pip = linux.sh("cd ~; python3 -m venv env && env/bin/pip install -q vllm==0.15.1 && env/bin/vllm -v", "steam")
    assert (pip.code, pip.text) == (0, "0.15.1+twin\n"), pip.stderr.decode()


def test_units_are_verified_and_enabled_but_starting_one_fails_instead_of_seeming_to_work(linux: LinuxSide) -> None:
    unit = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
    linux.sh(f"cat > /etc/systemd/system/x.service <<'END'\n{unit}END\n")
    assert linux.sh("systemd-analyze verify x.service && systemctl -q enable x.service").code == 0
    assert linux.sh("systemctl is-enabled x.service").text == "enabled\n"
    started = linux.sh("systemctl start x.service")
    assert started.code == 1
    assert b"System has not been booted with systemd as init system" in started.stderr


def test_users_folders_and_exit_codes_are_as_on_the_upper_rung(linux: LinuxSide) -> None:
    assert linux.run("--exec /bin/sh -c pwd").text == "/mnt/c/Users/Steam\n"
    assert linux.run('--exec /bin/sh -c "exit 42"').code == 42
    assert linux.sh("sudo -n id -u; : < /dev/tty && echo terminal", "steam").text == "0\nterminal\n"


def test_terminate_ends_what_runs_and_takes_the_mounts_away(linux: LinuxSide) -> None:
    linux.run('--exec /bin/sh -c "setsid -f sleep 3006; sleep 0.3"')
    assert until(lambda: bool(processes_with("sleep\0003006")))
    assert linux.run(f"--terminate {NAME}").code == 0
    assert until(lambda: not processes_with("sleep\0003006"))
    assert mounts_below(linux.state) == []


@pytest.mark.full
def test_without_the_right_to_mount_apt_still_works() -> None:
    with linux_side(CHROOT) as side:
        one = side.service.registered(SID)[0]
        side.service.unregister(SID, one)
        side.host.abilities = replace(side.host.abilities, mounts=False, overlay=False)
        side.service.register(SID, NAME, "C:\\Users\\Steam\\copy", 1000)
        done = side.sh(
            f"set -e; cd /tmp; wget -q {KEYRING}; dpkg -i {KEYRING.rpartition('/')[2]} >/dev/null\n"
            "apt-get update -q -o Dir::Etc::sourcelist=/dev/null >/dev/null\n"
            "apt-get install -qy cuda-nvcc-12-4 >/dev/null\n"
            "/usr/lib/wsl/lib/nvidia-smi -L; ls /usr/local/cuda-12.4/bin\n"
        )
        assert done.code == 0, done.stderr.decode()
        assert done.text.startswith("GPU 0: NVIDIA GeForce RTX 4090")
        assert done.text.endswith("\nnvcc\n")
        assert mounts_below(side.state) == []
        assert any("/mnt/c" in sentence for sentence in side.host.missing)
