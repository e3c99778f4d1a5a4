"""The middle rung: a distro that boots without root, for a user with subordinate ids and a cgroup of his own.

Run as root, these tests make such a user, let him do everything, and remove him.
"""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import winrm

from tests.twin.linux_side import until
from tests.unit.test_vllm_unit import unit
from vengeance.twin.distro.cgroups import cgroup2_tree, kill_cgroups, remove_cgroups
from vengeance.twin.distro.settings import DistroSettings

ROOT = Path(__file__).resolve().parents[2]
WSL = 'cd /d "C:\\Program Files\\WSL" && .\\wsl.exe '
_ENTER = """
import os, sys
from vengeance.twin.distro.user_namespace import entering
command, environment = entering([sys.executable, *sys.argv[1:]])
os.execvpe(command[0], command, environment)
"""
_UNPACK = """
import subprocess, sys
from vengeance.twin.distro.user_namespace import unpacking
sys.exit(subprocess.call(unpacking(sys.argv[1:])))
"""


@dataclass(frozen=True)
class Somebody:
    """A user who is not root. cgroup: a folder that is his; python: an interpreter that he can run."""

    name: str
    home: Path
    cgroup: Path
    python: str

    def run(
        self,
        *argv: str,
        input_data: bytes = b"",
        in_cgroup: bool = True,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program as him, with nothing of root's environment but the way to packages."""
        passed = {
            name: value
            for name, value in os.environ.items()
            if name.lower().endswith("_proxy") or name.startswith(("PIP_", "VENGEANCE_TWIN_MIRROR"))
        }
        environment = {
            **passed,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "VENGEANCE_TWIN_HOME": str(self.home / "twins"),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT), sysconfig.get_path("purelib")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYINFRA_PROGRESS": "off",
        }
        join = f"echo $$ > {self.cgroup}/cgroup.procs; " if in_cgroup else ""
        return subprocess.run(
            ["sh", "-c", f'{join}exec "$@"', "sh", *_as(self.name), *argv],
            input=input_data,
            capture_output=True,
            env=environment,
            cwd=ROOT,
            timeout=timeout,
            check=False,
        )

    def twin(self, *arguments: str, input_data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """The twin's command line."""
        return self.run(self.python, "-m", "vengeance.twin", *arguments, input_data=input_data)

    def sh(self, script: str, user: str = "root") -> str:
        """What a shell script prints in the distro, entered by the machine's own tools."""
        done = self.twin("exec", "--user", user, "--", "sh", "-c", script)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.decode()

    def up(self) -> dict[str, Any]:
        """Start the twin."""
        done = self.twin("up", "--json")
        assert done.returncode == 0, done.stderr.decode()
        status: dict[str, Any] = json.loads(done.stdout)
        return status

    def wsl(self, line: str) -> tuple[int, str]:
        """wsl.exe through WinRM."""
        endpoint = json.loads(self.twin("status", "--json").stdout)["winrm"]
        session = winrm.Session(endpoint["http"], auth=(endpoint["user"], endpoint["password"]), transport="ntlm")
        shell = session.protocol.open_shell(codepage=65001, env_vars={"WSL_UTF8": "1"})
        try:
            command = session.protocol.run_command(shell, WSL + line, console_mode_stdin=False)
            out, err, code = session.protocol.get_command_output(shell, command)
            return code, (out + err).decode().replace("\r\n", "\n")
        finally:
            session.protocol.close_shell(shell)

    def processes(self) -> list[str]:
        """What runs as him or as one of his subordinate ids."""
        first = next(
            int(line.split(":")[1]) for line in Path("/etc/subuid").read_text().splitlines() if self.name in line
        )
        uid = pwd.getpwnam(self.name).pw_uid
        found: list[str] = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                owner = entry.stat().st_uid
                if (owner == uid or first <= owner < first + 65536) and (entry / "cmdline").read_bytes():
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
        return found

    def cgroups(self) -> list[Path]:
        """The folders in his cgroup that distros have made."""
        return list(self.cgroup.glob("vengeance-*"))


def _as(name: str) -> list[str]:
    # setpriv still has root's rights when it starts a program, and would get into a folder that is closed to the user.
    return ["setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups", "--", "env"]


def _python(name: str) -> str:
    """An interpreter of this version that another user can run (root's own home is closed to him)."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for candidate in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        command = [*_as(name), candidate, "-c", "pass"]
        if subprocess.run(command, capture_output=True, check=False, timeout=30, cwd="/").returncode == 0:
            return candidate
    pytest.skip(f"a user who is not root can run no {version} on this machine")


@pytest.fixture(scope="module")
def somebody() -> Iterator[Somebody]:
    """A new user with subordinate ids and a cgroup; he and all of his are gone afterwards."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a user and to give him a cgroup")
    tree = cgroup2_tree()
    if tree is None or not os.access(tree, os.W_OK):
        pytest.skip("needs a cgroup version 2 tree that can be written to")
    for program in ("useradd", "newuidmap", "newgidmap", "setpriv"):
        if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            pytest.skip(f"needs the program {program}, which this machine does not have")
    name = f"vgtest{os.getpid()}"
    # Not the next free number, usually 1000: that is the user of the distros of other twins, as seen from out here.
    wish = ["useradd", "--create-home", "--key", "UID_MIN=47000", "--key", "UID_MAX=47999", name]
    made = subprocess.run(wish, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"needs a user of its own: {made.stderr.strip()}")
    cgroup = tree / name
    try:
        if not any(line.startswith(f"{name}:") for line in Path("/etc/subuid").read_text().splitlines()):
            pytest.skip("useradd gives no subordinate ids on this machine")
        user = pwd.getpwnam(name)
        cgroup.mkdir()
        for path in (cgroup, *(cgroup / f"cgroup.{part}" for part in ("procs", "subtree_control", "threads"))):
            os.chown(path, user.pw_uid, user.pw_gid)
        one = Somebody(name, Path(user.pw_dir), cgroup, _python(name))
        ready = one.run(one.python, "-c", "import vengeance.twin.daemon, pytest")
        if ready.returncode != 0:
            pytest.skip(f"a user who is not root cannot read this project here: {ready.stderr.decode()[-200:]}")
        hindered = one.run(
            one.python, "-c", "from vengeance.twin.distro.user_namespace import hindrances; print(*hindrances())"
        )
        if hindered.stdout.strip():
            pytest.skip(hindered.stdout.decode().strip())
        _give_root_filesystem(one)
        yield one
        one.twin("down")
    finally:
        kill_cgroups([cgroup])
        remove_cgroups([cgroup])
        subprocess.run(["pkill", "-KILL", "-u", name], check=False)  # what is not in the cgroup: nothing should be
        time.sleep(0.2)
        subprocess.run(["userdel", "--force", "--remove", name], capture_output=True, check=False)
        with suppress(KeyError):
            grp.getgrnam(name)
            subprocess.run(["groupdel", name], capture_output=True, check=False)


def _give_root_filesystem(one: Somebody) -> None:
    """Let him have what root has built, under his own ids: to build it again takes him a minute."""
    ours, his = DistroSettings().cache, one.home / ".cache/vengeance"
    built = max(ours.glob("rootfs/*/rootfs.tar.zst"), key=lambda file: file.stat().st_mtime, default=None)
    if built is None:
        return
    place = his / "rootfs" / built.parent.name
    one.run("mkdir", "-p", str(place))
    for name in ("vendor-authority", "vendor", "packages", "wheels"):
        if (ours / name).is_dir():
            shutil.copytree(ours / name, his / name, symlinks=True)
            subprocess.run(["chown", "-R", "-h", f"{one.name}:{one.name}", his / name], check=True)
    tar = ["tar", "--numeric-owner", "--xattrs"]
    packed = subprocess.run(
        [*tar, "-C", built.parent, "--exclude=./tree/dev/*", "-c", "."], capture_output=True, check=True
    )
    done = one.run(one.python, "-c", _UNPACK, *tar, "-C", str(place), "-xp", input_data=packed.stdout)
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture
def up(somebody: Somebody) -> Somebody:
    """The user with a running twin."""
    somebody.up()
    return somebody


@pytest.fixture
def systemd(up: Somebody) -> Somebody:
    """The same with systemd in its distro."""
    if up.sh("cat /proc/1/comm") != "systemd\n":
        up.sh("printf '[boot]\\nsystemd=true\\n' > /etc/wsl.conf")
        assert up.wsl("--terminate Ubuntu-24.04")[0] == 0
    return up


def test_it_says_on_which_rung_it_stands_and_what_is_missing(up: Somebody) -> None:
    distro = up.up()["distro"]
    assert (distro["rung"], distro["systemd"], distro["registered"]) == ("delegated", True, ["Ubuntu-24.04"])
    assert "no separate networks" in distro["missing"][0]
    sentences = [sentence for sentence in distro["missing"] if "vendor's package repository" in sentence]
    assert bool(sentences) != distro["vendor_repository"]


def test_without_a_cgroup_there_is_no_distro_and_the_mend_is_named(somebody: Somebody) -> None:
    command = [somebody.python, "-m", "vengeance.twin"]
    done = somebody.run(*command, "up", "--name", "bare", "--json", in_cgroup=False)
    assert done.returncode == 0, done.stderr.decode()
    somebody.run(*command, "down", "--name", "bare", in_cgroup=False)
    distro = json.loads(done.stdout)["distro"]
    assert (distro["rung"], distro["systemd"]) == ("none", False)
    assert "Delegate=yes" in " ".join(distro["missing"])


def test_users_exit_codes_and_binary_input_are_as_on_the_upper_rung(up: Somebody) -> None:
    assert up.sh("id -un; id -u; id -G") == "root\n0\n0\n"
    assert up.sh("id -un; id -u; sudo -n id -u", "steam") == "steam\n1000\n0\n"
    assert up.twin("exec", "--", "sh", "-c", "exit 67").returncode == 67
    data = os.urandom(300_000)
    done = up.twin("exec", "--", "sha256sum", input_data=data)
    assert done.stdout.decode().split()[0] == hashlib.sha256(data).hexdigest()


def test_wsl_exe_and_pyinfra_come_in_through_winrm(up: Somebody) -> None:
    assert up.wsl("-d Ubuntu-24.04 -u steam --cd / --exec id -un") == (0, "steam\n")
    assert up.wsl('--exec /bin/sh -c "exit 42"')[0] == 42
    command = [
        "-m",
        "pyinfra",
        "--yes",
        "--limit",
        "wsl",
        "inventory/twin.py",
        "exec",
        "--",
        "id -un; cat /proc/version",
    ]
    done = up.run(up.python, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"microsoft-standard-WSL2" in done.stdout + done.stderr


def test_systemd_boots_without_failed_units_and_keeps_a_unit_running(systemd: Somebody) -> None:
    assert until(lambda: systemd.sh("systemctl is-system-running || :") == "running\n")
    assert systemd.sh("systemctl --failed --no-legend") == ""
    assert systemd.sh("systemd-detect-virt; hostname") == "wsl\nVENGEANCE\n"
    unit = "[Service]\\nExecStart=/bin/sleep 98765\\nUser=steam\\nRestart=always\\nRestartSec=100ms\\n"
    systemd.sh(f"printf '{unit}' > /etc/systemd/system/z.service; systemctl start z; systemctl kill -s KILL z")
    assert until(lambda: systemd.sh("systemctl show -P NRestarts z") == "1\n")
    assert systemd.sh("ps -o user= -C sleep") == "steam\n"
    code, text = systemd.wsl("-d Ubuntu-24.04 -u steam --exec systemctl --user is-system-running")
    assert (code, text) == (0, "running\n")


def test_a_vllm_server_runs_in_its_sandbox_and_sees_the_card(systemd: Somebody) -> None:
    program = "printf '#!/bin/sh\\nexec sleep 87654\\n' > /home/steam/served/bin/vllm"
    systemd.sh(
        f"mkdir -p /home/steam/served/bin; {program}; chmod 755 /home/steam/served/bin/vllm; touch /home/steam/mine"
    )
    systemd.sh("mkdir -p /etc/vllm /usr/local/lib/vengeance; touch /etc/vllm/coder.env")
    files = {
        "/usr/local/lib/vengeance/vllm-card": (ROOT / "templates" / "vllm-card.py").read_bytes(),
        "/etc/systemd/system/vllm-coder.service": unit("/home/steam/served", hf_home="/home/steam/hf").encode(),
    }
    for path, data in files.items():
        put = ["sh", "-c", f"cat > {path} && chmod 755 {path}"]
        assert systemd.twin("exec", "--user", "root", "--", *put, input_data=data).returncode == 0
    systemd.sh("systemctl daemon-reload; systemctl start vllm-coder || journalctl -n 30 -u vllm-coder >&2")
    assert systemd.sh("systemctl is-active vllm-coder") == "active\n"
    inside = "nsenter -m -t $(systemctl show -P MainPID vllm-coder)"
    assert systemd.sh(f"{inside} ls -A /home/steam") == "served\n"
    assert (
        systemd.sh(f"{inside} touch /home/steam/x /usr/x /home/steam/served/x 2>/dev/null || echo refused")
        == "refused\n"
    )
    assert "MiB are enough" in systemd.sh("journalctl -o cat -u vllm-coder")
    systemd.sh("systemctl stop vllm-coder")


@pytest.mark.full
def test_packages_come_from_apt_and_pip(up: Somebody) -> None:
    # Through wsl.exe, since a distro that nobody uses through it is stopped after 15 s.
    code, text = up.wsl('-u root --exec /bin/sh -c "apt-get update -q && apt-get install -qy tree"')
    assert code == 0, text
    assert up.sh("dpkg-query -W -f '${Status}' tree") == "install ok installed"
    script = "python3 -m venv env && env/bin/pip install -q idna vllm==0.15.1 && env/bin/vllm -v"
    # wsl() gives both streams in one, and pip may warn of this machine's own settings on the other.
    code, text = up.wsl(f'-u steam --cd ~ --exec /bin/sh -c "{script}"')
    assert (code, "0.15.1+twin" in text.split("\n")) == (0, True), text


def test_terminate_and_down_leave_no_process_and_no_cgroup(systemd: Somebody) -> None:
    systemd.sh("setsid -f sleep 43210 >/dev/null 2>&1 </dev/null")
    assert [line for line in systemd.processes() if "sleep 43210" in line]
    assert systemd.wsl("--terminate Ubuntu-24.04")[0] == 0
    assert systemd.cgroups() == []
    assert not [line for line in systemd.processes() if "sleep 43210" in line]
    assert systemd.sh("cat /proc/1/comm") == "systemd\n"
    assert systemd.twin("down").returncode == 0
    assert systemd.cgroups() == []
    # What was killed is on the list until its parent, or the machine's first process, has taken note.
    assert until(lambda: systemd.processes() == [])


def test_what_a_killed_twin_left_running_is_cleared_by_the_next(systemd: Somebody) -> None:
    systemd.sh("setsid -f sleep 54321 >/dev/null 2>&1 </dev/null")
    os.kill(json.loads(systemd.twin("status", "--json").stdout)["pid"], signal.SIGKILL)
    assert [line for line in systemd.processes() if "sleep 54321" in line]
    systemd.up()
    assert not [line for line in systemd.processes() if "sleep 54321" in line]
    assert systemd.cgroups() == []
    assert systemd.sh("cat /proc/1/comm") == "systemd\n"


@pytest.mark.parametrize("running", [True, False])
def test_reset_removes_files_of_every_owner(up: Somebody, running: bool) -> None:
    up.sh("touch /mark; mkdir -m 700 /home/steam/private; chown steam /home/steam/private; touch /home/steam/private/x")
    if not running:
        up.twin("down")
    done = up.twin("reset")
    assert done.returncode == 0, done.stderr.decode()
    if not running:
        assert not (up.home / "twins/vengeance/linux").exists()
        up.up()
    assert up.sh("ls -d /mark /home/steam/private 2>/dev/null || echo gone") == "gone\n"


@pytest.mark.full
def test_what_holds_on_the_upper_rung_holds_here(somebody: Somebody) -> None:
    files: Sequence[str] = tuple(
        f"tests/twin/test_{name}.py" for name in ("wsl_program", "distro_instance", "card_distro")
    )
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={somebody.home}/pytest", *files]
    done = somebody.run(somebody.python, "-c", _ENTER, *command, timeout=600)
    assert done.returncode == 0, done.stdout.decode()[-6000:]
    assert b"passed" in done.stdout
