"""Building something once, for all twins, in a folder whose name is the hash of what it is made from."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vengeance.twin.distro.user_namespace import remove_tree


def key_of(*parts: str | bytes) -> str:
    """A short name for these parts: the same parts in the same order give the same name."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


def _remove(folder: Path) -> None:
    with suppress(OSError):
        remove_tree(folder)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold this lock file; another process that wants it waits. It is free again when a process dies."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def built_once(shelf: Path, key: str, build: Callable[[Path], None]) -> Path:
    """The folder ``shelf/key``; if it is not there, ``build`` fills a temporary folder that is then renamed.

    A build that was interrupted leaves only a folder ``<key>.building``, which the next build removes. Two
    processes that want the same key build it once.
    """
    ready = shelf / key
    if ready.is_dir():
        return ready
    with locked(shelf / f"{key}.lock"):
        if ready.is_dir():
            return ready
        started = shelf / f"{key}.building"
        _remove(started)
        started.mkdir(parents=True)
        try:
            build(started)
            started.rename(ready)
        except BaseException:
            _remove(started)
            raise
    return ready
