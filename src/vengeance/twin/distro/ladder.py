"""On which rung of the ladder this machine stands: how much of a real distro it can run.

namespaces   root with namespaces: systemd boots, with a network and a cgroup of its own
delegated    a user with subordinate ids and a cgroup that was given to him: systemd boots, on the machine's network
chroot       root without them (a plain container): apt, dpkg and pip work; units can be enabled and verified,
             nothing that needs systemd runs, and it says so
none         neither: nothing of the Linux side
"""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from vengeance.twin.distro.cgroups import cgroup2_tree, delegated_cgroup
from vengeance.twin.distro.programs import found, run, runs
from vengeance.twin.distro.user_namespace import hindrances, inside, overlay_options

NAMESPACES = "namespaces"
DELEGATED = "delegated"
CHROOT = "chroot"
NONE = "none"
# Where the distro has a PID 1, so that systemd really runs when wsl.conf asks for it.
BOOTS = (NAMESPACES, DELEGATED)
_HTTPS = 443


@dataclass(frozen=True)
class Abilities:
    """What this machine allows, each found by trying it.

    root: uid 0 with the right to chroot, on the machine or in the twin's own user namespace
    mounts: mount(2) in this mount namespace
    overlay: an overlay whose upper layer lies in the state folder
    namespaces: new mount, pid, ipc, uts and cgroup namespaces
    cgroup: a writable cgroup version 2 tree
    nspawn: the program systemd-nspawn is there
    network: network namespaces, veth and nftables
    user_namespace: uid 0 only in the twin's own user namespace
    https_port: a server can have port 443
    hindrances: without root, what keeps this user from making that namespace and booting in it, in sentences
    """

    root: bool
    mounts: bool
    overlay: bool
    namespaces: bool
    cgroup: bool
    nspawn: bool
    network: bool
    user_namespace: bool = False
    https_port: bool = True
    hindrances: tuple[str, ...] = ()


def survey(folder: Path) -> Abilities:
    """Try what this machine allows; ``folder`` is where the distro's files will lie. Takes about 50 ms."""
    if os.geteuid() != 0:
        return Abilities(False, False, False, False, False, False, False, hindrances=tuple(hindrances()))
    confined = inside()
    tree = delegated_cgroup() if confined else cgroup2_tree()
    return Abilities(
        root=True,
        mounts=_can_mount(folder),
        overlay=_can_overlay(folder),
        namespaces=runs(["unshare", "--mount", "--pid", "--ipc", "--uts", "--cgroup", "--fork", "true"]),
        cgroup=tree is not None and _can_make_cgroup(tree),
        nspawn=found("systemd-nspawn"),
        network=not confined and _can_network(),
        user_namespace=confined,
        https_port=_can_listen(_HTTPS),
    )


def forced(abilities: Abilities, wanted: str | None) -> Abilities:
    """The abilities as if the machine stood on the rung ``wanted`` at best; None leaves them alone."""
    if wanted in (None, NAMESPACES) or (wanted == DELEGATED and abilities.user_namespace):
        return abilities
    if wanted == CHROOT and not abilities.user_namespace:
        return replace(abilities, namespaces=False, network=False, cgroup=False)
    return Abilities(False, False, False, False, False, False, False)


def rung(abilities: Abilities) -> str:
    """The highest rung that these abilities reach."""
    if not abilities.root:
        return NONE
    if abilities.user_namespace:
        return DELEGATED if abilities.namespaces and abilities.cgroup and abilities.mounts else NONE
    if abilities.namespaces and abilities.cgroup and abilities.nspawn and abilities.mounts:
        return NAMESPACES
    return CHROOT


def missing(abilities: Abilities) -> list[str]:
    """What this machine's rung lacks, one sentence each, with the mend where there is one."""
    where = rung(abilities)
    if where == NONE:
        sentences = [
            "No distro runs here: that needs root, or a user with subordinate ids and a cgroup of his own. "
            "Run the twin as root."
        ]
        return sentences + [f"Without root: {sentence}" for sentence in abilities.hindrances]
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
    if where == DELEGATED:
        sentences.append("The distros have no separate networks: that needs root.")
        if not abilities.https_port:
            sentences.append(
                f"The vendor's package repository is not served in the distro, so nothing is installed from "
                f"there: this user may not listen on port {_HTTPS}. Root allows it with "
                f"'sysctl net.ipv4.ip_unprivileged_port_start={_HTTPS}'."
            )
    if not abilities.network:
        sentences.append(
            "The distro shares this machine's network: its ports can collide with others here, and localhost "
            "forwarding is not needed because localhost is the same."
        )
    return sentences


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
        layers = overlay_options(probe / "lower", probe / "upper", probe / "work")
        if not runs(["mount", "-t", "overlay", "overlay", "-o", layers, probe / "merged"]):
            return False
        runs(["umount", probe / "merged"])
        # The kernel makes work/work with mode 000; only root's rmdir gets past it.
        run(["rm", "-rf", probe / "work"], what="remove a probe")
        return True


def _can_listen(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.83.0.0", port))
        except OSError as problem:
            return problem.errno != errno.EACCES
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
