"""A distro that boots: looks, systemd, network, packages, and what is left behind when it ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.twin.linux_side import NAME, SID, LinuxSide, forwarding, linux_side, mounts_below, until
from vengeance.box.pins import pinned
from vengeance.twin.distro.cgroups import cgroup2_tree
from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.host import DistroHost, outside_prefix
from vengeance.twin.distro.settings import DistroSettings

KEYRING = pinned("cuda-keyring", "url")
# Where the distro shares this machine's network, another twin may have vLLM's usual port there.
PORT = 18_180
FLAGS = (
    "--model Qwen/Qwen2.5-Coder-32B-Instruct-AWQ --quantization awq_marlin --host 0.0.0.0 "
    f"--port {PORT} "
    "--gpu-memory-utilization 0.92 --max-model-len 2048 --enforce-eager"
)


@pytest.fixture(scope="module")
def linux() -> Iterator[LinuxSide]:
    with linux_side() as side:
        yield side


def test_systemd_boots_without_failed_units(linux: LinuxSide) -> None:
    assert linux.sh("systemctl is-system-running").text == "running\n"
    assert linux.outside("systemctl", "--failed", "--no-legend").stdout == ""
    assert linux.outside("ps", "-o", "comm=", "-p", "1").stdout == "systemd\n"


def test_it_looks_like_wsl_and_stays_an_honest_debian(linux: LinuxSide) -> None:
    linux.run("--exec true")
    assert "microsoft-standard-WSL2" in linux.outside("cat", "/proc/version").stdout
    assert linux.outside("cat", "/proc/sys/kernel/osrelease").stdout.endswith("-microsoft-standard-WSL2\n")
    assert linux.outside("systemd-detect-virt").stdout == "wsl\n"
    assert linux.outside("hostname").stdout == "VENGEANCE\n"
    assert linux.outside("stat", "-c", "%a", "/dev/dxg").stdout == "666\n"
    assert "24564" in linux.outside("/usr/lib/wsl/lib/nvidia-smi").stdout
    assert linux.outside("cat", "/etc/ld.so.conf.d/ld.wsl.conf").stdout.endswith("\n/usr/lib/wsl/lib\n")
    assert "ID=debian" in linux.outside("cat", "/etc/os-release").stdout
    assert linux.sh("id -un; id -u", "steam").text == "steam\n1000\n"


def test_drive_c_is_shared_both_ways(linux: LinuxSide) -> None:
    (linux.drive_c / "from-windows.txt").write_text("hello")
    assert linux.sh("cat /mnt/c/from-windows.txt; echo back > /mnt/c/from-linux.txt").text == "hello"
    assert (linux.drive_c / "from-linux.txt").read_text() == "back\n"


def test_the_user_has_a_session_and_may_sudo(linux: LinuxSide) -> None:
    done = linux.sh("systemctl --user is-system-running; sudo -n id -u; echo $XDG_RUNTIME_DIR", "steam")
    assert done.text.splitlines()[1:] == ["0", "/run/user/1000"]
    assert done.text.splitlines()[0] in ("running", "degraded")


def test_what_would_reach_the_machine_itself_is_not_allowed(linux: LinuxSide) -> None:
    before = time.time()
    done = linux.sh("date -s 2001-01-01 >/dev/null; echo $?")
    assert done.text == "1\n"
    assert abs(time.time() - before) < 30


def test_a_real_toolkit_comes_from_the_vendors_own_address(linux: LinuxSide) -> None:
    linux.needs_the_vendor()
    done = linux.sh(
        f"set -e; cd /tmp; wget -q {KEYRING}; dpkg -i {KEYRING.rpartition('/')[2]}; apt-get update -q\n"
        "apt-get install -qy cuda-toolkit-12-4; /usr/local/cuda/bin/nvcc --version\n"
    )
    assert done.code == 0, done.stderr.decode()
    assert "Cuda compilation tools, release 12.4, V12.4.131" in done.text
    listed = linux.outside("dpkg-query", "-W", "-f", "${Package} ${Status}\n", "cuda-toolkit-12-4", "cuda-nvcc-12-4")
    assert listed.stdout.count("install ok installed") == 2
    policy = linux.outside("apt-cache", "policy", "cuda-toolkit-12-4").stdout
    assert "600 https://developer.download.nvidia.com" in policy


def test_without_its_key_the_vendors_repository_is_refused_as_in_real_life(linux: LinuxSide) -> None:
    linux.needs_the_vendor()
    script = (
        "rm /var/lib/apt/lists/developer*; mv /usr/share/keyrings/cuda-archive-keyring.gpg /tmp/\n"
        "apt-get update -q; code=$?\n"
        "mv /tmp/cuda-archive-keyring.gpg /usr/share/keyrings/; exit $code\n"
    )
    done = linux.sh(script)
    assert done.code == 100
    assert b"is not signed" in done.stderr


def test_this_machine_does_not_believe_the_vendors_stand_in(linux: LinuxSide) -> None:
    linux.needs_the_vendor()
    linux.run("--exec true")
    address = linux.sh("getent hosts developer.download.nvidia.com").text.split()[0]
    command = ["curl", "-sS", "--resolve", f"developer.download.nvidia.com:443:{address}", "-o", "/dev/null", KEYRING]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 60, done.stderr


def test_pip_works_and_installs_the_vllm_stand_in_which_runs_as_a_unit(linux: LinuxSide) -> None:
    if not linux.host.abilities.network and not _free(PORT):
        pytest.skip(f"needs port {PORT}, which somebody has on this machine's network, and that is the distro's too")
    done = linux.sh(
        "cd ~ && python3 -m venv env && env/bin/pip install -q idna vllm==0.15.1 && env/bin/vllm -v", "steam"
    )
    assert (done.code, done.text) == (0, "0.15.1+twin\n"), done.stderr.decode()
    unit = textwrap.dedent(f"""\
        [Service]
        ExecStart=/home/steam/env/bin/python -m vllm.entrypoints.openai.api_server {FLAGS}
        User=steam
        Restart=always
        RestartSec=200ms
        [Install]
        WantedBy=multi-user.target
        """)
    linux.sh(f"cat > /etc/systemd/system/vllm.service <<'END'\n{unit}END\n")
    started = linux.sh("systemd-analyze verify vllm.service && systemctl enable -q --now vllm.service")
    assert started.code == 0, started.stderr.decode()
    port = linux.host.forward(PORT)
    assert until(lambda: _get(port, "/health") == (200, b""))
    models = json.loads(_get(port, "/v1/models")[1])
    assert models["data"][0]["id"] == "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ"
    assert models["data"][0]["max_model_len"] == 2048
    assert b"stand-in" in _get(port, "/version")[1]
    linux.sh("systemctl kill -s KILL vllm.service")
    assert until(lambda: linux.outside("systemctl", "show", "-P", "NRestarts", "vllm").stdout == "1\n")
    assert until(lambda: _get(port, "/health") == (200, b""))


def test_an_enabled_unit_and_the_journal_survive_a_restart_of_the_distro(linux: LinuxSide) -> None:
    linux.sh("systemd-cat -t before echo remember-me; journalctl --sync")
    assert linux.run(f"--terminate {NAME}").code == 0
    assert linux.sh("systemctl is-active vllm.service").text == "active\n"
    boots = linux.outside("journalctl", "-t", "before", "-o", "cat", "--no-pager").stdout
    assert boots == "remember-me\n"
    assert len(linux.outside("journalctl", "--list-boots", "--no-pager").stdout.splitlines()) >= 2


def test_a_distro_that_switches_itself_off_is_noticed(linux: LinuxSide) -> None:
    linux.run("--exec true")
    linux.outside("systemctl", "poweroff")
    assert until(lambda: linux.run("--list --running --quiet").stdout == b"")
    assert linux.run("--exec true").code == 0


def test_without_systemd_in_wsl_conf_pid_one_is_not_systemd() -> None:
    with linux_side(systemd=False) as side:
        done = side.sh("cat /proc/1/comm; systemctl is-system-running; systemctl start dbus")
        assert "systemd\n" not in done.text.splitlines()[:1]
        assert done.text.endswith("offline\n")
        assert done.code == 1
        assert b"System has not been booted with systemd as init system (PID 1). Can't operate." in done.stderr
        text = "[boot]\nsystemd=true\ncommand=touch /run/booted\n[network]\nhostname=other\ngenerateHosts=false\n"
        side.sh(f"cat > /etc/wsl.conf <<'END'\n{text}END\n")
        side.run(f"--terminate {NAME}")
        assert side.sh("cat /proc/1/comm; hostname").text == "systemd\nother\n"
        assert until(lambda: side.outside("test", "-e", "/run/booted").returncode == 0)
        named = "developer.download.nvidia.com" in side.outside("cat", "/etc/hosts").stdout
        assert named == side.host.vendor_repository


def test_two_twins_at_once_do_not_meet_and_nothing_is_left_behind() -> None:
    forward_before = forwarding()
    with linux_side() as one, linux_side() as other:
        one.needs_a_network()
        for side, word in ((one, "one"), (other, "other")):
            assert side.sh(f"echo {word} > /etc/twin; systemctl is-system-running").text == "running\n"
        assert one.outside("cat", "/etc/twin").stdout == "one\n"
        assert other.outside("cat", "/etc/twin").stdout == "other\n"
        assert one.outside("hostname", "-I").stdout != other.outside("hostname", "-I").stdout
        for side in (one, other):
            assert side.outside("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", KEYRING).stdout == "200"
        one.run("--shutdown")
        assert forwarding() == "1"
        assert other.outside("systemctl", "is-system-running").stdout == "running\n"
        identities = [side.host.identity for side in (one, other)]
        folders = [side.state for side in (one, other)]
    assert forwarding() == forward_before
    for identity, folder in zip(identities, folders, strict=True):
        assert not (Path("/run/netns") / f"vg-{identity}").exists()
        assert mounts_below(folder) == []
        assert not folder.exists()


def test_what_a_twin_that_was_killed_left_running_is_cleared(tmp_path: Path) -> None:
    with linux_side() as side:  # only for its checks of this machine, and a second twin that must not be touched
        assert side.run("--exec true").code == 0
        (tmp_path / "drive_c").mkdir()
        script = (
            "import sys, time; from pathlib import Path\n"
            "from vengeance.twin.distro.host import DistroHost\n"
            "from vengeance.twin.distro.settings import DistroSettings\n"
            f"state = Path({str(tmp_path)!r})\n"
            "host = DistroHost(DistroSettings.from_environment(), state, state / 'drive_c')\n"
            "host.prepare(); host.create('{1}'); host.start('{1}', 'left'); print('up', flush=True); time.sleep(600)\n"
        )
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        prefix = outside_prefix(tmp_path)
        assert subprocess.run([*prefix, "true"], timeout=30, check=False).returncode == 0
        host = DistroHost(DistroSettings.from_environment(), tmp_path, tmp_path / "drive_c")
        host.clear_leftovers()
        assert subprocess.run([*prefix, "true"], capture_output=True, timeout=30, check=False).returncode != 0
        assert mounts_below(tmp_path) == []
        assert not (Path("/run/netns") / f"vg-{host.identity}").exists()
        tree = cgroup2_tree()
        assert tree is not None
        assert not list(tree.glob(f"vengeance-{host._instance_identity('{1}')}"))
        with pytest.raises(DistroError, match="No distro runs"):
            outside_prefix(tmp_path)
        host.delete("{1}")
        assert side.run("--exec true").code == 0


def test_localhost_of_this_machine_reaches_a_listener_on_the_distros_loopback(linux: LinuxSide) -> None:
    linux.sh("systemd-run -q --unit=web python3 -m http.server 18765 --bind 127.0.0.1 --directory /usr/share/doc")
    port = linux.host.forward(18765)
    assert until(lambda: _get(port, "/")[0] == 200)
    if linux.host.abilities.network:
        with pytest.raises(DistroError, match="cannot be forwarded"):
            linux.host.forward(1, port)
    linux.run("--shutdown")
    assert _get(port, "/")[0] == 0
    with pytest.raises(DistroError, match="no distro of this twin runs"):
        linux.host.forward(18765)


def test_registrations_name_the_distro_and_its_disk(linux: LinuxSide) -> None:
    one = linux.service.registrations.registered(SID)[0]
    assert linux.host.exists(one.guid)
    assert (linux.drive_c / "Users/Steam/AppData/Local/wsl/one/ext4.vhdx").is_file()


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
