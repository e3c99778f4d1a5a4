"""The users of a distro, read from its own files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LinuxUser:
    """One line of /etc/passwd with the supplementary groups."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str
    groups: tuple[int, ...] = ()


# WSL's fallback when the uid of the registration is not in /etc/passwd (init.cpp, c_defaultPasswordEntry).
ROOT = LinuxUser("root", 0, 0, "/", "/bin/sh", (0,))


def user_named(root: Path, name: str) -> LinuxUser | None:
    """The user of this name in the file tree ``root``, None if there is none."""
    return _find(root, lambda fields: fields[0] == name)


def user_numbered(root: Path, uid: int) -> LinuxUser | None:
    """The first user with this uid in the file tree ``root``, None if there is none."""
    return _find(root, lambda fields: fields[2] == str(uid))


def _find(root: Path, wanted: Callable[[list[str]], bool]) -> LinuxUser | None:
    for fields in _lines(root / "etc/passwd", 7):
        if wanted(fields) and fields[2].isdigit() and fields[3].isdigit():
            gid = int(fields[3])
            groups = [gid]
            for group in _lines(root / "etc/group", 4):
                if fields[0] in group[3].split(",") and group[2].isdigit() and int(group[2]) != gid:
                    groups.append(int(group[2]))
            return LinuxUser(fields[0], int(fields[2]), gid, fields[5], fields[6], tuple(groups))
    return None


def _lines(file: Path, fields: int) -> list[list[str]]:
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    split = [line.split(":") for line in text.splitlines()]
    return [line for line in split if len(line) == fields]
