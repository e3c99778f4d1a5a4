"""Memory of the card that programs in a distro hold, on each rung: who has it, and when it comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.twin.linux_side import NAME, SID, LinuxSide, linux_side, until
from vengeance.twin.distro import looks
from vengeance.twin.distro.ladder import CHROOT
from vengeance.twin.distro.user_namespace import inside

HOLD = """\
import errno, json, os, socket, sys, time
try:
    os.close(os.open("/dev/dxg", os.O_RDWR))
    print("opened", flush=True)
except OSError as problem:
    print(errno.errorcode[problem.errno], flush=True)
connection = socket.socket(socket.AF_UNIX)
connection.connect("/usr/lib/wsl/lib/.card")
connection.sendall(json.dumps({"take": int(sys.argv[1]), "image": "python3", "label": "a test"}).encode() + b"\\n")
print(connection.makefile().readline(), end="", flush=True)
time.sleep(600)
"""
SMI = "/usr/lib/wsl/lib/nvidia-smi"
USED = f"{SMI} --query-gpu=memory.used,memory.free --format=csv,noheader,nounits"
THERE = {"ENODEV", "ENXIO", "opened"}


HARDENED = """\
User=steam
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ProtectProc=invisible
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
SystemCallArchitectures=native
StandardOutput=file:/run/told
"""
EARLY = """\
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'ls /dev/dxg > /opt/early'
[Install]
WantedBy=sysinit.target
"""
DEVICES = ("PrivateDevices=no\nDevicePolicy=closed\nDeviceAllow=/dev/dxg rw", "PrivateDevices=yes")


@pytest.fixture(scope="module")
def linux() -> Iterator[LinuxSide]:
    with linux_side() as side:
        showing(side)
        yield side


@pytest.fixture(scope="module")
def chroot() -> Iterator[LinuxSide]:
    if inside():
        pytest.skip("this user has no rights to a chroot of the machine")
    with linux_side(CHROOT) as side:
        showing(side)
        yield side


@pytest.fixture
def copied() -> Iterator[LinuxSide]:
    """A distro into which nothing can be mounted, so that it has a copy of NVIDIA's files."""
    if inside():
        pytest.skip("this user has no rights to a chroot of the machine")
    with linux_side(CHROOT) as side:
        showing(side)
        side.service.unregister(SID, side.service.registered(SID)[0])
        side.host.abilities = replace(side.host.abilities, mounts=False, overlay=False)
        side.service.register(SID, NAME, "C:\\Users\\Steam\\copy", 1000)
        yield side


def showing(side: LinuxSide) -> None:
    """Have nvidia-smi of the distros show what is held, as the whole twin has it."""
    side.card.changed.append(lambda: side.host.set_gpu(looks.Gpu(memory_used=side.card.used_mib)))
    side.host.set_gpu(looks.Gpu(memory_used=side.card.used_mib))
    side.sh(f"cat > /opt/hold.py <<'END'\n{HOLD}END\n")


def hold(side: LinuxSide, mib: int) -> list[str]:
    """Start somebody who holds memory and is nobody's child; returns what he was told."""
    # Whoever starts it waits, or the end of his session would end it before it has one of its own.
    side.sh(
        f"rm -f /opt/told; cd /; setsid -f python3 /opt/hold.py {mib} > /opt/told 2>&1 < /dev/null\n"
        'for try in $(seq 200); do [ "$(wc -l < /opt/told)" -lt 2 ] || exit 0; sleep 0.05; done'
    )
    return side.sh("cat /opt/told").text.splitlines()


def free_again(side: LinuxSide) -> bool:
    return until(lambda: side.card.used_mib == side.card.idle_mib)


def test_a_program_holds_what_it_takes_and_a_killed_one_holds_nothing(linux: LinuxSide) -> None:
    device, answer = hold(linux, 20_000)
    assert device in THERE
    assert json.loads(answer) == {"ok": True, "total": 24564, "used": 21_900, "free": 2_664, "cuda": "13.1"}
    assert linux.sh(USED).text == "21900, 2664\n"
    (holder,) = linux.card.holders
    assert (holder.pid, holder.image, holder.mib, holder.label) == (0, "python3", 20_000, "a test")
    linux.sh("pkill -KILL -f '^python3 /opt/hold[.]py'")
    assert free_again(linux)
    assert linux.sh(USED).text == "1900, 22664\n"


def test_terminate_gives_back_what_the_distros_programs_hold(linux: LinuxSide) -> None:
    hold(linux, 9_000)
    assert linux.run(f"--terminate {NAME}").code == 0
    assert free_again(linux)


def test_shutdown_gives_back_what_the_distros_programs_hold(linux: LinuxSide) -> None:
    hold(linux, 9_000)
    assert linux.run("--shutdown").code == 0
    assert free_again(linux)


@pytest.mark.parametrize("device", DEVICES)
def test_a_hardened_unit_reaches_the_card_and_the_device_unless_it_is_hidden(linux: LinuxSide, device: str) -> None:
    if inside() and device == "PrivateDevices=yes":
        pytest.skip("without root no devices of its own can be made for a unit")
    unit = f"[Service]\nExecStart=/usr/bin/python3 /opt/hold.py 7000\n{HARDENED}{device}\n"
    linux.sh("systemctl stop hardened; rm -f /run/told")
    linux.sh(f"cat > /etc/systemd/system/hardened.service <<'END'\n{unit}END\nsystemctl daemon-reload")
    started = linux.sh("systemctl start hardened")
    assert started.code == 0, started.stderr.decode()
    assert until(lambda: linux.card.used_mib == 8_900), linux.sh("cat /run/told; systemctl status hardened").text
    told = linux.sh("cat /run/told").text.splitlines()[0]
    assert told in (THERE if device != "PrivateDevices=yes" else {"ENOENT"})
    linux.sh("systemctl stop hardened")
    assert free_again(linux)


def test_the_device_is_there_before_the_first_unit_starts(linux: LinuxSide) -> None:
    linux.sh(
        f"cat > /etc/systemd/system/early.service <<'END'\n{EARLY}END\nsystemctl enable -q early; rm -f /opt/early"
    )
    linux.run(f"--terminate {NAME}")
    assert linux.sh("cat /opt/early").text == "/dev/dxg\n"
    linux.sh("systemctl disable -q early")


def test_a_missing_device_is_missing_at_once_and_after_the_next_start(linux: LinuxSide) -> None:
    linux.run("--exec true")
    linux.host.has_dxg = False
    try:
        assert linux.sh("ls /dev/dxg").code != 0
        linux.run(f"--terminate {NAME}")
        assert linux.sh("ls /dev/dxg").code != 0
    finally:
        linux.host.has_dxg = True
    assert linux.sh("ls /dev/dxg").text == "/dev/dxg\n"


def test_without_a_card_nvidia_smi_fails_and_nobody_gets_memory(linux: LinuxSide) -> None:
    linux.card.set(present=False)
    linux.host.set_gpu(None)
    try:
        done = linux.sh(SMI)
        assert done.code == 9
        assert "couldn't communicate with the NVIDIA driver" in done.text
        assert json.loads(hold(linux, 1)[1])["error"] == "there is no card"
    finally:
        linux.sh("pkill -f '^python3 /opt/hold[.]py'")
        linux.card.set(present=True)
    assert linux.sh(USED).text == "1900, 22664\n"


def test_in_a_chroot_it_is_the_same(chroot: LinuxSide) -> None:
    device, answer = hold(chroot, 20_000)
    assert device in THERE
    assert json.loads(answer)["used"] == 21_900
    assert chroot.sh(USED).text == "21900, 2664\n"
    assert chroot.run(f"--terminate {NAME}").code == 0
    assert free_again(chroot)
    chroot.host.has_dxg = False
    assert chroot.sh("ls /dev/dxg").code != 0


def test_where_nothing_can_be_mounted_the_card_is_as_live(copied: LinuxSide) -> None:
    copied.sh(f"cat > /opt/hold.py <<'END'\n{HOLD}END\n")
    device, answer = hold(copied, 20_000)
    assert device in THERE
    assert json.loads(answer)["used"] == 21_900
    assert copied.sh(USED).text == "21900, 2664\n"
    copied.run(f"--terminate {NAME}")
    assert free_again(copied)
    copied.card.take("game", 100, "game.exe", 4321)
    assert copied.sh(USED).text == "2000, 22564\n"


def test_a_twin_in_a_folder_with_a_long_path_has_a_card(tmp_path: Path) -> None:
    from vengeance.twin.distro.card import CardSocket
    from vengeance.twin.windows.gpu import Gpu

    folder = tmp_path / ("a" * 100) / ("b" * 100)
    server = CardSocket(folder, Gpu())
    assert (folder / ".card").is_socket()
    server.close()
    assert not (folder / ".card").exists()
