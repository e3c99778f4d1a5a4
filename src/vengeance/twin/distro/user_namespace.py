"""The twin's Linux side without root: everything of it happens inside a user namespace.

In there the user who started the twin is uid 0, and his range of subordinate ids is everybody else, so files can
belong to them, and mounting works. The daemon enters it once, at its start, and from then on does what it does as
root. What it cannot do: touch what belongs to the machine (its network, ports below 1024, device nodes).
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from vengeance.twin.distro.cgroups import delegated_cgroup
from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.programs import found, plain_environment, runs

_MARK = "VENGEANCE_TWIN_USER_NAMESPACE"
_ENTER = ("unshare", "--user", "--map-auto", "--map-root-user")
_ALL = ("--mount", "--pid", "--ipc", "--uts", "--cgroup", "--fork", "--mount-proc")


def inside() -> bool:
    """Whether this process is uid 0 only in the user namespace that the twin made for it.

    A root of somebody else's container has a user namespace too, but not ours: the mark tells them apart.
    """
    return os.geteuid() == 0 and os.environ.get(_MARK) == "1"


def outer_uid() -> int:
    """The uid of this process as the machine sees it."""
    if inside():
        for line in Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines():
            first, outer, _ = (int(word) for word in line.split())
            if first == 0:
                return outer
    return os.getuid()


def hindrances() -> list[str]:
    """What keeps this user, who is not root, from booting a distro: sentences with the mend, none if nothing does."""
    if not (found("newuidmap") and found("newgidmap")):
        return ["newuidmap is missing: apt-get install -y uidmap."]
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())  # as in a container that is run with any number
    if not runs([*_ENTER, "true"]):
        return [
            f"{name} cannot make a user namespace with a range of ids: /etc/subuid and /etc/subgid need a line "
            f"'{name}:100000:65536' each (usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}), "
            "the kernel must allow user namespaces, and unshare must be of util-linux 2.38 or later."
        ]
    if delegated_cgroup() is None:
        return [
            f"{name} owns no cgroup, without which systemd does not start: begin the command with "
            "'systemd-run --user --scope -p Delegate=yes', or let root make a folder in the cgroup version 2 tree, "
            f"give it and its cgroup.procs, cgroup.subtree_control and cgroup.threads to {name}, and put the "
            "shell into it."
        ]
    if not runs([*_ENTER, *_ALL, "true"]):
        return ["Mounting /proc in a namespace of its own is refused here, as it is inside most containers."]
    return []


def entering(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The command line and the environment with which this program runs in a user namespace of its own."""
    return [*_ENTER, "--mount", *argv], {**os.environ, _MARK: "1"}


def unpacking(argv: Sequence[str | Path]) -> list[str | Path]:
    """A command line that writes files of several owners, as root or else in a user namespace of its own."""
    return list(argv) if os.geteuid() == 0 else [*_ENTER, *argv]


def into(leader: int) -> list[str]:
    """The words for nsenter that change into the user namespace of this process; none where we are in it already.

    Raises DistroError when the process has ended or belongs to somebody else.
    """
    try:
        same = os.readlink(f"/proc/{leader}/ns/user") == os.readlink("/proc/self/ns/user")
    except OSError as problem:
        raise DistroError(f"The distro's first process {leader} cannot be entered: {problem.strerror}.") from None
    return [] if same else ["-U", "--preserve-credentials"]


def overlay_options(lower: Path, upper: Path, work: Path) -> str:
    """The options of an overlay's mount; only root may keep its marks in attributes named ``trusted``."""
    return f"lowerdir={lower},upperdir={upper},workdir={work}" + (",userxattr" if inside() else "")


def remove_tree(folder: Path) -> None:
    """Remove a folder of this user whose files belong to his subordinate ids; OSError when it stays."""
    try:
        shutil.rmtree(folder)
        return
    except PermissionError:
        if os.geteuid() == 0:
            raise
    done = subprocess.run(
        [*_ENTER, "rm", "-rf", "--one-file-system", str(folder)],
        capture_output=True,
        text=True,
        env=plain_environment(),
        check=False,
    )
    if done.returncode != 0:
        raise OSError(f"{folder} is not removed: {done.stderr.strip()}")
