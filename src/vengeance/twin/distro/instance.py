"""A running distro: what WSL calls an instance.

Two kinds: one that systemd-nspawn boots in namespaces of its own, and one that is only a chroot. A third, that
boots without root, is in ``delegated.py``.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from vengeance.twin.distro import dress, looks
from vengeance.twin.distro.accounts import LinuxUser
from vengeance.twin.distro.cgroups import cgroup1_systemd_tree, cgroup2_tree, kill_cgroups, remove_cgroups
from vengeance.twin.distro.disk import Disk
from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.host_packages import pip_configuration
from vengeance.twin.distro.network import NatNetwork
from vengeance.twin.distro.programs import plain_environment, runs
from vengeance.twin.distro.wsl_conf import WslConf, parse_wsl_conf

_ENTER = Path(__file__).with_name("enter.py")
BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PID1_WITHOUT_SYSTEMD = ["/bin/sh", "-c", "while :; do sleep 86400; done"]
_PIP_MARK = "# written by the twin each time the distro starts; remove this line to keep your own\n"
_LOOKS = r"""
set -u
mkdir -p /run/vengeance
printf '%s\n' "$1" > /run/vengeance/osrelease
printf '%s\n' "$2" > /run/vengeance/version
mount --bind /run/vengeance/osrelease /proc/sys/kernel/osrelease
mount --bind /run/vengeance/version /proc/version
from=$3; shift 3
for name in "$@"; do [ ! -e "$from/$name" ] || mount --bind "$from/$name" "/proc/$name"; done
"""
# microsoft/WSL, init.cpp: unless [automount] ldconfig is false.
_LDCONFIG = "[ ! -x /sbin/ldconfig ] || /sbin/ldconfig 2>/dev/null"
# A node that may not be opened is worse than a plain file, see ``_dxg_node``.
_DXG = r"""
set -u
mkdir -p "$1/dev" && cd "$1/dev" || exit 1
if [ "$2" = False ]; then umount dxg 2>/dev/null; rm -f dxg; exit; fi
[ ! -c dxg ] || exit 0
if mknod -m 666 .dxg c "$3" "$4" 2>/dev/null &&
  ! { : < .dxg; } 2>&1 | LC_ALL=C grep -Eq 'not permitted|Permission denied'; then
  umount dxg 2>/dev/null
  mv -f .dxg dxg
else
  rm -f .dxg
  [ -e dxg ] || : > dxg
fi
chmod 666 dxg
"""


@dataclass(frozen=True)
class Surroundings:
    """What every distro of one twin is given by the machine around it.

    drive_c: the twin's C: drive; libraries: folder for /usr/lib/wsl/lib
    wheels, models: folders with the twin's own Python packages, and models for vLLM
    network: None when the machine's own network is shared
    named: host names that the twin answers for, with their addresses
    nameservers, search: for /etc/resolv.conf
    authority: PEM text of the certificate authority behind those names
    pip, pip_folders: pip's settings on this machine and the folders they point to
    mounts: whether folders can be mounted into the distro
    """

    hostname: str
    drive_c: Path
    libraries: Path
    wheels: Path
    models: Path
    network: NatNetwork | None
    named: Mapping[str, str]
    nameservers: Sequence[str]
    search: Sequence[str]
    authority: bytes
    pip: Mapping[str, str]
    pip_folders: Sequence[Path]
    mounts: bool
    boot_timeout: float


@dataclass(frozen=True)
class Entry:
    """One program to be started in a distro.

    program: what is executed, found through PATH when it has no slash; argv: its arguments with argv[0]
    directory: Linux path; where it cannot be entered, the program starts in / and a line on stderr says so
    """

    program: str
    argv: Sequence[str]
    user: LinuxUser
    directory: str
    environment: Mapping[str, str]


@dataclass
class Instance:
    """A distro that runs.

    identity: eight characters, unique on this machine; it names cgroups and mounts
    dxg: whether it starts with /dev/dxg
    """

    identity: str
    name: str
    disk: Disk
    around: Surroundings
    conf: WslConf = field(default_factory=WslConf)
    dxg: bool = True
    leader: int | None = None
    started: float = 0.0
    _sessions: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def root(self) -> Path:
        """Where the distro's files are seen on this machine."""
        return self.disk.root

    @property
    def alive(self) -> bool:
        """Whether it still runs: a distro can switch itself off."""
        raise NotImplementedError

    @property
    def systemd(self) -> bool:
        """Whether PID 1 in it is systemd."""
        return False

    @property
    def shares_hostname(self) -> bool:
        """Whether programs in it see this machine's host name."""
        return False

    def start(self) -> None:
        """Attach the disk, dress it and start what runs in it."""
        raise NotImplementedError

    def stop(self) -> None:
        """Switch it off as WSL does: poweroff, and force after ten seconds."""
        raise NotImplementedError

    def kill(self) -> None:
        """End everything in it at once, as a power cut does."""
        raise NotImplementedError

    @property
    def libraries_copy(self) -> Path | None:
        """Where the distro has a copy of /usr/lib/wsl/lib of its own, because folders cannot be mounted into it."""
        return None

    def set_dxg(self, present: bool) -> None:
        """Make /dev/dxg, the paravirtualised card, or take it away, as where Windows gives the machine no card."""
        raise NotImplementedError

    @property
    def trees(self) -> list[Path]:
        """The cgroup folders that are this instance's own, one in each hierarchy."""
        return []

    def cgroups(self) -> list[str]:
        """The cgroup folders that a program in this instance belongs to."""
        return []

    def begin(
        self,
        entry: Entry,
        stdin: int | IO[bytes],
        stdout: int | IO[bytes],
        stderr: int | IO[bytes],
    ) -> subprocess.Popen[bytes]:
        """Start a program in the distro; the returned process ends as the program does.

        A signal that ends the program shows as its number, as with wsl.exe. Killing the returned process does not
        kill the program.
        """
        request = {
            "cgroups": self.cgroups(),
            "leader": self.leader,
            "root": str(self.root),
            "program": entry.program,
            "argv": list(entry.argv),
            "uid": entry.user.uid,
            "gid": entry.user.gid,
            "groups": list(entry.user.groups),
            "directory": entry.directory,
            "environment": dict(entry.environment),
        }
        # Not on a command line and not in a file: the environment may hold what others must not read.
        handle = os.memfd_create("vengeance-entry")
        try:
            os.write(handle, json.dumps(request).encode())
            os.lseek(handle, 0, os.SEEK_SET)
            return subprocess.Popen(
                [sys.executable, "-I", "-S", "-X", "utf8", _ENTER, str(handle)],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=[handle],
                start_new_session=True,
                env=plain_environment(),
                cwd="/",
            )
        finally:
            os.close(handle)

    def run(
        self,
        argv: Sequence[str],
        user: LinuxUser,
        *,
        input_data: bytes = b"",
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program to its end with a short environment; for the twin itself, not for ``wsl.exe``."""
        environment = {"PATH": BASE_PATH, "HOME": user.home, "USER": user.name, "LANG": "C.UTF-8"}
        entry = Entry(argv[0], argv, user, "/", environment)
        process = self.begin(entry, subprocess.PIPE, subprocess.PIPE, subprocess.PIPE)
        try:
            out, err = process.communicate(input_data, timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise DistroError(f"{argv[0]} in {self.name} did not end within {timeout:g} s.") from None
        return subprocess.CompletedProcess(list(argv), process.returncode, out, err)

    def user_session(self, user: LinuxUser) -> bool:
        """Start systemd's session for a user, once; True when it runs or when there is no systemd to ask.

        WSL does ``login -f USER`` and waits for ``user@UID.service`` (init.cpp, LxInitMessageCreateLoginSession).
        """
        if not self.systemd:
            return True
        with self._lock:
            if user.uid in self._sessions:
                return True
            root = LinuxUser("root", 0, 0, "/root", "/bin/sh", (0,))
            done = self.run(["systemctl", "start", f"user@{user.uid}.service"], root, timeout=30)
            if done.returncode == 0:
                self._sessions.add(user.uid)
            return done.returncode == 0

    def outside_prefix(self, user: str) -> list[str]:
        """A command prefix that enters the distro by the host's own tools alone, for checks by another path."""
        raise NotImplementedError

    def _dress(self) -> None:
        around, root = self.around, self.root
        conf_file = root / "etc/wsl.conf"
        text = conf_file.read_text(encoding="utf-8", errors="replace") if conf_file.is_file() else ""
        self.conf = parse_wsl_conf(text)
        hostname = self.conf.hostname or around.hostname
        dress.place(root, "etc/hostname", f"{hostname}\n")
        named = dict(around.named)
        if self.shares_hostname:
            named.setdefault(socket.gethostname(), "127.0.1.1")  # what sudo looks up in there
        if self.conf.generate_hosts:
            lines = dress.host_lines(list(named))
            dress.place(root, "etc/hosts", dress.hosts_text(hostname, named, lines))
        else:
            dress.add_hosts(root, named)
        if self.conf.generate_resolv_conf:
            dress.place(root, "etc/resolv.conf", dress.resolv_text(around.nameservers, around.search))
        pip = root / "etc/pip.conf"
        if not pip.is_file() or pip.read_text(encoding="utf-8", errors="replace").startswith(_PIP_MARK):
            settings = pip_configuration(dict(around.pip), looks.WHEELS, lambda folder: around.mounts)
            dress.place(root, "etc/pip.conf", _PIP_MARK + settings)
        dress.library_path(root)
        dress.trust(root, around.authority)
        folders = [
            looks.WSL_LIBRARIES,
            looks.WHEELS,
            looks.MODELS,
            "/mnt/c",
            *(str(path) for path in around.pip_folders),
        ]
        dress.mount_points(root, folders)

    def _binds(self) -> list[tuple[Path, str, bool]]:
        """What is mounted into the distro: folder here, path there, writable."""
        around = self.around
        binds = [(around.libraries, looks.WSL_LIBRARIES, False)]
        binds += [(around.wheels, looks.WHEELS, False), (around.models, looks.MODELS, False)]
        if self.conf.automount:
            binds.append((around.drive_c, "/mnt/c", True))
        binds += [(folder, str(folder), False) for folder in around.pip_folders]
        return binds


@dataclass
class BootedInstance(Instance):
    """A distro in namespaces of its own, started by systemd-nspawn."""

    _process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether PID 1 of the distro still runs, and with it the program that started it."""
        return self._process is not None and self._process.poll() is None

    @property
    def systemd(self) -> bool:
        """Whether wsl.conf asked for systemd, so that it is PID 1."""
        return self.conf.systemd

    @property
    def trees(self) -> list[Path]:
        """The cgroup folders that are this instance's own, one in each hierarchy."""
        trees = [cgroup2_tree(), cgroup1_systemd_tree()]
        return [tree / f"vengeance-{self.identity}" for tree in trees if tree is not None]

    def cgroups(self) -> list[str]:
        """The folder beside systemd's own; without it logind refuses what is asked from these programs."""
        tree = self.trees[0]
        payload = tree / "payload"
        folder = (payload if payload.is_dir() else tree) / "wsl.slice"
        with suppress(OSError):
            folder.mkdir(exist_ok=True)
        return [str(folder)]

    def start(self) -> None:
        """Boot it; about 0.4 s with systemd and 0.1 s without. Raises DistroError with the console's last lines."""
        self.disk.attach()
        self._dress()
        for tree in self.trees:
            tree.mkdir(exist_ok=True)
        command = self._command()
        joining = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"'
        console = self.disk.folder / "console.log"
        with console.open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", joining, "sh", *map(str, self.trees), "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=plain_environment(SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1"),
                cwd="/",
            )
        try:
            self._wait_for_boot(console)
        except BaseException:
            self.kill()
            raise
        self.started = time.time()
        self._look_like_wsl()
        if self.conf.boot_command:
            root = LinuxUser("root", 0, 0, "/root", "/bin/sh", (0,))
            environment = {"PATH": BASE_PATH, "HOME": "/root", "USER": "root", "WSL_DISTRO_NAME": self.name}
            entry = Entry("/bin/sh", ["sh", "-c", self.conf.boot_command], root, "/", environment)
            process = self.begin(entry, subprocess.DEVNULL, subprocess.DEVNULL, subprocess.DEVNULL)
            threading.Thread(target=process.wait, daemon=True).start()

    def _command(self) -> list[str]:
        """What is run in the cgroup to start it; its end is the instance's end."""
        command = [
            "systemd-nspawn",
            "--quiet",
            f"--directory={self.root}",
            "--settings=no",
            "--register=no",
            "--keep-unit",
            f"--machine=vg-{self.identity}",
            f"--hostname={self.conf.hostname or self.around.hostname}",
            "--console=pipe",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
        ]
        if self.dxg:
            # Before anything in it starts, as the kernel of WSL makes it.
            command.append(f"--bind={_colons(str(_dxg_node(self.disk.folder / 'dxg')))}:/dev/dxg")
        if self.around.network is not None:
            command.append(f"--network-namespace-path={self.around.network.path}")
        for source, target, writable in self._binds():
            option = "--bind" if writable else "--bind-ro"
            command.append(f"{option}={_colons(str(source))}:{_colons(target)}")
        if self.systemd:
            command.append("--boot")
        else:
            command += ["--as-pid2", *PID1_WITHOUT_SYSTEMD]
        return command

    def _wait_for_boot(self, console: Path) -> None:
        deadline = time.monotonic() + self.around.boot_timeout
        root = LinuxUser("root", 0, 0, "/root", "/bin/sh", (0,))
        while time.monotonic() < deadline:
            if not self.alive:
                lines = console.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
                raise DistroError(f"{self.name} did not start: {' / '.join(lines) or 'it says nothing'}")
            self.leader = self.leader or self._find_leader()
            if self.leader is not None:
                if not self.systemd:
                    return
                if Path(f"/proc/{self.leader}/root/run/systemd/private").exists():
                    state = self.run(["systemctl", "is-system-running"], root).stdout.strip()
                    if state in (b"running", b"degraded"):  # degraded is a normal state in WSL
                        return
            time.sleep(0.02)
        raise DistroError(
            f"{self.name}: /sbin/init failed to start within {self.around.boot_timeout * 1000:.0f}ms; "
            f"what it printed is in {console}."
        )

    def _find_leader(self) -> int | None:
        if self._process is None:
            return None
        with suppress(OSError):
            for children in Path(f"/proc/{self._process.pid}/task").glob("*/children"):
                for pid in children.read_text(encoding="ascii").split():
                    ours = os.readlink("/proc/self/ns/pid")
                    if os.readlink(f"/proc/{pid}/ns/pid") != ours and Path(f"/proc/{pid}/root/proc/1").exists():
                        return int(pid)
        return None

    def _look_like_wsl(self) -> None:
        if self.leader is not None:
            machine = [f"{looks.WSL_LIBRARIES}/{looks.MACHINE_FILES}", *looks.MACHINE_NAMES]
            arguments = [looks.KERNEL_RELEASE, looks.KERNEL_VERSION, *machine]
            runs(["nsenter", "-t", str(self.leader), "-m", "-p", "/bin/sh", "-c", _LOOKS, "sh", *arguments])
            runs(["nsenter", "-t", str(self.leader), "-m", "-p", "/bin/sh", "-c", _LDCONFIG])

    def set_dxg(self, present: bool) -> None:
        """Do it from within, for only there its /dev is seen."""
        if self.leader is not None:
            enter = ["nsenter", "-t", str(self.leader), "-m", "-p", "/bin/sh", "-c", _DXG, "sh"]
            runs([*enter, "", str(present), *map(str, looks.DXG_DEVICE)])

    def stop(self) -> None:
        """Power it off; what does not end within ten seconds is killed (init.cpp does the same)."""
        if self.alive and self.systemd and self.leader is not None and self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self.leader, signal.SIGRTMIN + 4)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        self.kill()

    def kill(self) -> None:
        """End everything in it by its cgroups, and take its mounts and cgroups away."""
        kill_cgroups(self.trees)
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        remove_cgroups(self.trees)
        self.leader = None
        self._sessions.clear()
        self.disk.detach()

    def outside_prefix(self, user: str) -> list[str]:
        """``nsenter`` into the namespaces of PID 1, then ``runuser`` of the distro."""
        if self.leader is None:
            raise DistroError(f"{self.name} does not run, so it cannot be entered.")
        prefix = ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C", "--"]
        return prefix + ([] if user == "root" else ["runuser", "-u", user, "--"])


@dataclass
class ChrootInstance(Instance):
    """A distro without namespaces: its files, a chroot, and as many mounts as the machine allows."""

    _running: bool = False
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """Whether it has been started; nothing in it can switch it off."""
        return self._running

    @property
    def shares_hostname(self) -> bool:
        """A chroot has no host name of its own."""
        return True

    def start(self) -> None:
        """Attach the disk and mount what can be mounted."""
        self.disk.attach()
        self._dress()
        root, around = self.root, self.around
        if around.mounts:
            self._mount_all()
        else:
            for source, target, writable in self._binds():
                if not writable and source in (around.libraries, around.wheels, around.models):
                    dress.copy_tree(root, source, target)
            for name, major, minor in (
                ("null", 1, 3),
                ("zero", 1, 5),
                ("full", 1, 7),
                ("random", 1, 8),
                ("urandom", 1, 9),
            ):
                with suppress(OSError):
                    os.mknod(root / "dev" / name, 0o666 | 0o020000, os.makedev(major, minor))
                    os.chmod(root / "dev" / name, 0o666)  # noqa: S103
        runs(["chroot", root, "/bin/sh", "-c", _LDCONFIG])
        self._running = True
        self.started = time.time()

    @property
    def libraries_copy(self) -> Path | None:
        """In its files, where nothing can be mounted."""
        return None if self.around.mounts else self.root / looks.WSL_LIBRARIES.lstrip("/")

    def set_dxg(self, present: bool) -> None:
        """Do it in its files, which are seen from here."""
        runs(["/bin/sh", "-c", _DXG, "sh", str(self.root), str(present), *map(str, looks.DXG_DEVICE)])

    def _mount_all(self) -> None:
        root = self.root
        dress.mount_points(root, ["/proc", "/sys", "/dev", "/run", "/tmp"])  # noqa: S108
        mounts: list[list[str]] = [
            ["-t", "proc", "proc", f"{root}/proc", "-o", "nosuid,nodev,noexec"],
            ["-t", "sysfs", "sysfs", f"{root}/sys", "-o", "nosuid,nodev,noexec,ro"],
            ["-t", "tmpfs", "tmpfs", f"{root}/dev", "-o", "nosuid,mode=755,size=4m"],
            ["-t", "tmpfs", "tmpfs", f"{root}/run", "-o", "nosuid,nodev,mode=755"],
        ]
        for arguments in mounts:
            runs(["mount", *arguments])
        for name in ("null", "zero", "full", "random", "urandom", "tty"):
            (root / "dev" / name).touch()
            runs(["mount", "--bind", f"/dev/{name}", f"{root}/dev/{name}"])
        for name in ("pts", "shm"):
            (root / "dev" / name).mkdir(exist_ok=True)
        runs(["mount", "-t", "devpts", "devpts", f"{root}/dev/pts", "-o", "newinstance,ptmxmode=0666,mode=620,gid=5"])
        runs(["mount", "-t", "tmpfs", "tmpfs", root / "dev" / "shm", "-o", "nosuid,nodev,mode=1777"])
        for link, target in (
            ("ptmx", "pts/ptmx"),
            ("fd", "/proc/self/fd"),
            ("stdin", "fd/0"),
            ("stdout", "fd/1"),
            ("stderr", "fd/2"),
        ):
            with suppress(FileExistsError):
                (root / "dev" / link).symlink_to(target)
        for source, target, writable in self._binds():
            point = f"{root}{target}"
            runs(["mount", "--bind", source, point])
            if not writable:
                runs(["mount", "-o", "remount,bind,ro", point])
        for name in looks.MACHINE_NAMES:
            shown = self.around.libraries / looks.MACHINE_FILES / name
            if shown.exists():
                runs(["mount", "--bind", shown, f"{root}/proc/{name}"])

    def begin(
        self,
        entry: Entry,
        stdin: int | IO[bytes],
        stdout: int | IO[bytes],
        stderr: int | IO[bytes],
    ) -> subprocess.Popen[bytes]:
        """Start a program in the chroot.

        systemctl believes that it cannot start units in a chroot and ignores the request with exit code 0, which
        would look like success; told to ignore the chroot, it says that systemd does not run, and fails.
        """
        honest = {**entry.environment, "SYSTEMD_IGNORE_CHROOT": "1"}
        changed = Entry(entry.program, entry.argv, entry.user, entry.directory, honest)
        process = super().begin(changed, stdin, stdout, stderr)
        with self._lock:
            self._processes = [other for other in self._processes if other.poll() is None] + [process]
        return process

    def stop(self) -> None:
        """End the programs in it and take the mounts away."""
        self.kill()

    def kill(self) -> None:
        """Kill every process whose root folder is this distro, then take the mounts away."""
        for _ in range(50):
            victims = _processes_below(self.root)
            if not victims:
                break
            for pid in victims:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        with self._lock:
            for process in self._processes:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(5)
            self._processes = []
        self._running = False
        self.disk.detach()

    def outside_prefix(self, user: str) -> list[str]:
        """``chroot`` into the distro's files."""
        return ["chroot", *([] if user == "root" else [f"--userspec={user}"]), str(self.root)]


def _dxg_node(file: Path) -> Path:
    """Make a node like WSL's /dev/dxg: whoever opens it finds no driver behind it, which says that the card is there.

    Where a container or a file system forbids to open it at all, it is a plain file.
    """
    file.unlink(missing_ok=True)
    try:
        os.mknod(file, 0o666 | 0o020000, os.makedev(*looks.DXG_DEVICE))
        os.close(os.open(file, os.O_RDWR))
    except OSError as problem:
        if problem.errno not in (errno.ENODEV, errno.ENXIO):
            file.unlink(missing_ok=True)
            file.touch()
    file.chmod(0o666)
    return file


def _processes_below(root: Path) -> list[int]:
    real = str(root.resolve())
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if os.readlink(entry / "root") == real:
                    found.append(int(entry.name))
    return found


def _colons(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:")
