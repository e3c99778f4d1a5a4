"""On which rung of the ladder this machine stands: how much of a real distro it can run.

namespaces   root with namespaces: systemd boots, with a network and a cgroup of its own
chroot       root without them (a plain container): apt, dpkg and pip work; units can be enabled and verified,
             nothing that needs systemd runs, and it says so
none         no root: nothing of the Linux side
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from vengeance.twin.distro.programs import found, run, runs

NAMESPACES = "namespaces"
CHROOT = "chroot"
NONE = "none"


@dataclass(frozen=True)
class Abilities:
    """What this machine allows, each found by trying it.

    root: uid 0 with the right to chroot
    mounts: mount(2) in this mount namespace
    overlay: an overlay whose upper layer lies in the state folder
    namespaces: new mount, pid, ipc, uts and cgroup namespaces
    cgroup: a writable cgroup version 2 tree
    nspawn: the program systemd-nspawn is there
    network: network namespaces, veth and nftables
    delegated_cgroup: not root, but a cgroup version 2 folder of this user's own
    """

    root: bool
    mounts: bool
    overlay: bool
    namespaces: bool
    cgroup: bool
    nspawn: bool
    network: bool
    delegated_cgroup: bool = False


def survey(folder: Path) -> Abilities:
    """Try what this machine allows; ``folder`` is where the distro's files will lie. Takes about 50 ms."""
    root = os.geteuid() == 0
    tree = cgroup2_tree()
    if not root:
        return Abilities(False, False, False, False, False, False, False, _owns_a_cgroup(tree))
    return Abilities(
        root=True,
        mounts=_can_mount(folder),
        overlay=_can_overlay(folder),
        namespaces=runs(["unshare", "--mount", "--pid", "--ipc", "--uts", "--cgroup", "--fork", "true"]),
        cgroup=tree is not None and _can_make_cgroup(tree),
        nspawn=found("systemd-nspawn"),
        network=_can_network(),
    )


def forced(abilities: Abilities, wanted: str | None) -> Abilities:
    """The abilities as if the machine stood on the rung ``wanted`` at best; None leaves them alone."""
    if wanted in (None, NAMESPACES):
        return abilities
    if wanted == CHROOT:
        return replace(abilities, namespaces=False, network=False, cgroup=False)
    return Abilities(False, False, False, False, False, False, False)


def rung(abilities: Abilities) -> str:
    """The highest rung that these abilities reach."""
    if not abilities.root:
        return NONE
    if abilities.namespaces and abilities.cgroup and abilities.nspawn and abilities.mounts:
        return NAMESPACES
    return CHROOT


def missing(abilities: Abilities) -> list[str]:
    """What this machine's rung lacks, one sentence each, with the mend where there is one."""
    where = rung(abilities)
    if where == NONE:
        sentences = [
            "No distro runs here: building a root filesystem and entering it needs root. Run the twin as root."
        ]
        if abilities.delegated_cgroup:
            sentences.append(
                "This user has a cgroup of its own, which would be enough to boot systemd without root, "
                "but the twin does not do that yet."
            )
        return sentences
    sentences = []
    if where == CHROOT:
        lacking = [
            name
            for name, there in (
                ("namespaces (unshare is refused)", abilities.namespaces),
                ("a writable cgroup version 2 tree", abilities.cgroup),
                ("the program systemd-nspawn (apt-get install -y systemd-container)", abilities.nspawn),
                ("mounting", abilities.mounts),
            )
            if not there
        ]
        sentences.append(
            "systemd is not started in the distro, so units are verified and enabled but never run: this machine "
            f"lacks {' and '.join(lacking)}. In a container, --privileged gives all of it."
        )
        sentences.append("wsl.conf's [boot] systemd=true has no effect here: PID 1 is never systemd.")
        sentences.append("`wsl --terminate` ends the distro's own processes, but there is no PID 1 that restarts.")
        sentences.append("/proc/version and `systemd-detect-virt` show the host's kernel, not WSL's.")
        if not abilities.mounts:
            sentences.append("/mnt/c, /proc and /sys are empty in the distro, because mounting is refused.")
    if not abilities.network:
        sentences.append(
            "The distro shares this machine's network: its ports can collide with others here, and localhost "
            "forwarding is not needed because localhost is the same."
        )
    return sentences


def cgroup2_tree(mounts: Path = Path("/proc/mounts")) -> Path | None:
    """Where the cgroup version 2 hierarchy is mounted, alone or beside version 1."""
    return _mounted(mounts, lambda kind, options: kind == "cgroup2")


def cgroup1_systemd_tree(mounts: Path = Path("/proc/mounts")) -> Path | None:
    """Where version 1's ``name=systemd`` hierarchy is mounted; None on a pure version 2 host."""
    return _mounted(mounts, lambda kind, options: kind == "cgroup" and "name=systemd" in options.split(","))


def _mounted(mounts: Path, wanted: Callable[[str, str], bool]) -> Path | None:
    try:
        lines = mounts.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        _, point, kind, options, *_ = line.split(" ")
        if wanted(kind, options):
            return Path(point)
    return None


def _owns_a_cgroup(tree: Path | None) -> bool:
    if tree is None:
        return False
    try:
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    except OSError:
        return False
    for line in own.splitlines():
        if line.startswith("0::"):
            return os.access(tree / line[3:].lstrip("/") / "cgroup.procs", os.W_OK)
    return False


def _can_make_cgroup(tree: Path) -> bool:
    try:
        probe = Path(tempfile.mkdtemp(prefix="vengeance-probe-", dir=tree))
        probe.rmdir()
    except OSError:
        return False
    return True


def _can_mount(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="probe-", dir=folder) as probe:
        if not runs(["mount", "-t", "tmpfs", "tmpfs", probe]):
            return False
        return runs(["umount", probe])


def _can_overlay(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="probe-", dir=folder) as name:
        probe = Path(name)
        for part in ("lower", "upper", "work", "merged"):
            (probe / part).mkdir()
        layers = f"lowerdir={probe}/lower,upperdir={probe}/upper,workdir={probe}/work"
        if not runs(["mount", "-t", "overlay", "overlay", "-o", layers, probe / "merged"]):
            return False
        runs(["umount", probe / "merged"])
        # The kernel makes work/work with mode 000; only root's rmdir gets past it.
        run(["rm", "-rf", probe / "work"], what="remove a probe")
        return True


def _can_network() -> bool:
    if not (found("ip") and found("nft")):
        return False
    name = f"vgprobe{os.getpid()}"
    if not runs(["ip", "netns", "add", name]):
        return False
    try:
        inner = ["ip", "netns", "exec", name]
        return (
            runs([*inner, "ip", "link", "add", "vgprobe0", "type", "veth", "peer", "name", "vgprobe1"])
            and runs([*inner, "nft", "add table ip vgprobe { chain c { type nat hook postrouting priority 100; } ; }"])
            and Path("/proc/sys/net/ipv4/ip_forward").exists()
            and os.access("/proc/sys/net/ipv4/ip_forward", os.W_OK)
        )
    finally:
        runs(["ip", "netns", "del", name])
