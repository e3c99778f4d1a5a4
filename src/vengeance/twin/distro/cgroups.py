"""Control groups: where the version 2 tree is, which part of it a twin may use, and ending what is in a folder."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

_MOUNTS = Path("/proc/mounts")
_SELF = Path("/proc/self/cgroup")


def cgroup2_tree(mounts: Path = _MOUNTS) -> Path | None:
    """Where the cgroup version 2 hierarchy is mounted, alone or beside version 1."""
    return _mounted(mounts, lambda kind, options: kind == "cgroup2")


def cgroup1_systemd_tree(mounts: Path = _MOUNTS) -> Path | None:
    """Where version 1's ``name=systemd`` hierarchy is mounted; None on a pure version 2 host."""
    return _mounted(mounts, lambda kind, options: kind == "cgroup" and "name=systemd" in options.split(","))


def delegated_cgroup(mounts: Path = _MOUNTS, own: Path = _SELF) -> Path | None:
    """The version 2 folder this process is in, if this user may make folders in it and move processes there."""
    tree = cgroup2_tree(mounts)
    if tree is None:
        return None
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("0::"):
            folder = tree / line[3:].lstrip("/")
            if os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK):
                return folder
    return None


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


def kill_cgroups(trees: Sequence[Path]) -> None:
    """Kill every process in these cgroups and below."""
    for tree in trees:
        switch = tree / "cgroup.kill"
        with suppress(OSError):
            if switch.exists():
                switch.write_text("1", encoding="ascii")
                continue
        for procs in [tree / "cgroup.procs", *tree.rglob("cgroup.procs")]:
            with suppress(OSError):
                for pid in procs.read_text(encoding="ascii").split():
                    with suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)


def remove_cgroups(trees: Sequence[Path], patience: float = 5.0) -> None:
    """Remove these cgroups with all below them; the kernel refuses until the last dead process is reaped."""
    deadline = time.monotonic() + patience
    for tree in trees:
        while tree.exists():
            folders = [folder for folder in tree.rglob("*") if folder.is_dir()]
            for folder in [*sorted(folders, key=lambda path: len(path.parts), reverse=True), tree]:
                with suppress(OSError):
                    folder.rmdir()
            if not tree.exists() or time.monotonic() > deadline:
                break
            time.sleep(0.02)
