"""The drive C: a folder of this machine that is read and written by the rules of Windows paths.

Names keep the case they were made with and are found in any other. Rules of names:
https://learn.microsoft.com/windows/win32/fileio/naming-a-file
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from vengeance.twin.windows import errors
from vengeance.twin.windows.errors import Win32Error

_FORBIDDEN = set('<>"|?*') | {chr(code) for code in range(32)}
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{name}{digit}" for name in ("COM", "LPT") for digit in "123456789")}
# MAX_PATH with its closing zero; HKLM\...\FileSystem LongPathsEnabled is 0 on a fresh Windows 11.
_MAX_PATH = 259
_MAX_COMPONENT = 255
# Only SYSTEM may look in here, on every Windows; it serves to try "access is denied".
_CLOSED = ("c:\\system volume information",)


def is_null_device(path: str) -> bool:
    """Whether a path means the NUL device, which is there in every folder."""
    return path.replace("/", "\\").rpartition("\\")[2].rstrip(" .:").upper() == "NUL"


@dataclass(frozen=True)
class Entry:
    """What a directory listing shows of one thing; ``size`` in bytes, ``modified`` in UTC."""

    name: str
    is_directory: bool
    size: int
    modified: datetime


class DriveFile:
    """A file that is open for writing; what it takes counts against the free space of the drive."""

    def __init__(self, drive: Drive, host: Path, path: str, append: bool) -> None:
        self._drive = drive
        self._path = path
        before = host.stat().st_size if host.exists() and not append else 0
        self._file: BinaryIO = host.open("ab" if append else "w+b")
        drive.give_back(before)

    def write(self, data: bytes) -> None:
        """Append bytes; Win32Error DISK_FULL when there is no room, and nothing of them is written then."""
        self._drive.take(len(data), self._path)
        self._file.write(data)
        # Windows shows it to others at once, as of a log that its program still writes.
        self._file.flush()

    @property
    def host_file(self) -> BinaryIO:
        """The file itself, flushed, for reading back what was written."""
        self._file.flush()
        return self._file

    def close(self) -> None:
        """Close it; a second call does nothing."""
        self._file.close()

    def __enter__(self) -> DriveFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Drive:
    """The drive.

    folder: what stands for C:\\ on this machine
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._free: int | None = None
        self._lock = threading.Lock()

    # --- free space ---

    @property
    def free_bytes(self) -> int | None:
        """Bytes that may still be written, None for as many as this machine has."""
        return self._free

    @free_bytes.setter
    def free_bytes(self, free: int | None) -> None:
        with self._lock:
            self._free = free

    def take(self, count: int, path: str) -> None:
        """Use up free space, or raise DISK_FULL."""
        with self._lock:
            if self._free is None:
                return
            if count > self._free:
                raise Win32Error(errors.DISK_FULL, path)
            self._free -= count

    def give_back(self, count: int) -> None:
        """Count bytes as free again."""
        with self._lock:
            if self._free is not None:
                self._free += count

    # --- paths ---

    def absolute(self, path: str, cwd: str = "C:\\") -> str:
        """The full path, as GetFullPathName makes it, with what Windows refuses refused.

        cwd: full path that a relative one starts from
        """
        text = path.replace("/", "\\")
        if text.startswith("\\\\?\\") or text.startswith("\\\\.\\"):
            text = text[4:]
        elif text.startswith("\\\\"):
            raise Win32Error(errors.BAD_NETPATH, path)
        if text[1:2] == ":":
            letter, text = text[0].upper(), text[2:]
            if not letter.isalpha():
                raise Win32Error(errors.INVALID_NAME, path)
            if letter != "C":
                raise Win32Error(errors.INVALID_DRIVE, path)
            if not text.startswith("\\"):
                text = cwd[2:].rstrip("\\") + "\\" + text
        elif not text.startswith("\\"):
            text = cwd[2:].rstrip("\\") + "\\" + text
        parts: list[str] = []
        for part in text.split("\\"):
            if part in ("", "."):
                continue
            if part == "..":
                del parts[-1:]
                continue
            # Win32 drops dots and blanks at the end of a name.
            kept = part.rstrip(". ")
            if not kept or set(kept) & _FORBIDDEN or ":" in kept or kept.upper() in _DEVICES:
                raise Win32Error(errors.INVALID_NAME, path)
            if len(kept) > _MAX_COMPONENT:
                raise Win32Error(errors.TOO_LONG, path)
            parts.append(kept)
        full = "C:\\" + "\\".join(parts)
        if len(full) > _MAX_PATH:
            raise Win32Error(errors.TOO_LONG, path)
        return full

    def lookup(self, path: str, cwd: str = "C:\\") -> Path | None:
        """Where the thing at a path lies on this machine, None when nothing is there."""
        full = self.absolute(path, cwd)
        self._check_allowed(full)
        found = self._walk(full[3:].split("\\") if len(full) > 3 else [])
        return found if found is not None and self._inside(found) else None

    def place(self, path: str, cwd: str = "C:\\") -> Path:
        """Where a thing lies, or would be made; PATH_NOT_FOUND when its folder does not exist."""
        full = self.absolute(path, cwd)
        self._check_allowed(full)
        if len(full) == 3:
            return self.folder
        *parents, name = full[3:].split("\\")
        folder = self._walk(parents)
        if folder is None or not folder.is_dir() or not self._really_inside(folder):
            raise Win32Error(errors.PATH_NOT_FOUND, full)
        return self._child(folder, name) or folder / name

    def shown(self, path: str, cwd: str = "C:\\") -> str:
        """The full path with the case that the names were made with, as far as they exist."""
        full = self.absolute(path, cwd)
        folder: Path | None = self.folder
        names = []
        for part in full[3:].split("\\") if len(full) > 3 else []:
            folder = self._child(folder, part) if folder is not None else None
            names.append(folder.name if folder is not None else part)
        return "C:\\" + "\\".join(names)

    def windows_path(self, host: Path) -> str:
        """The Windows path of a file below the drive's folder."""
        return "C:\\" + "\\".join(host.relative_to(self.folder).parts)

    def _walk(self, parts: list[str]) -> Path | None:
        folder: Path | None = self.folder
        for part in parts:
            folder = self._child(folder, part) if folder is not None else None
        return folder

    @staticmethod
    def _child(folder: Path, name: str) -> Path | None:
        exact = folder / name
        if os.path.lexists(exact):
            return exact
        wanted = name.casefold()
        with contextlib.suppress(OSError):
            for other in os.listdir(folder):
                if other.casefold() == wanted:
                    return folder / other
        return None

    def _inside(self, found: Path) -> bool:
        # A link itself is in the drive, wherever it points to.
        return self._really_inside(found.parent if found.is_symlink() and found != self.folder else found)

    def _really_inside(self, found: Path) -> bool:
        # A link that Linux made in /mnt/c must not lead out of the drive.
        root = os.path.realpath(self.folder)
        real = os.path.realpath(found)
        return real == root or real.startswith(root + os.sep)

    def _check_inside(self, found: Path, full: str) -> None:
        if not self._really_inside(found):
            raise Win32Error(errors.ACCESS_DENIED, full)

    @staticmethod
    def _check_allowed(full: str) -> None:
        low = full.lower()
        for closed in _CLOSED:
            if low == closed or low.startswith(closed + "\\"):
                raise Win32Error(errors.ACCESS_DENIED, full)

    # --- what is there ---

    def exists(self, path: str, cwd: str = "C:\\") -> bool:
        """Whether something is at a path; a path that Windows refuses has nothing at it."""
        try:
            return self.lookup(path, cwd) is not None
        except Win32Error:
            return False

    def is_directory(self, path: str, cwd: str = "C:\\") -> bool:
        """Whether a directory is at a path."""
        try:
            found = self.lookup(path, cwd)
        except Win32Error:
            return False
        return found is not None and found.is_dir()

    def is_file(self, path: str, cwd: str = "C:\\") -> bool:
        """Whether a file is at a path."""
        try:
            found = self.lookup(path, cwd)
        except Win32Error:
            return False
        return found is not None and found.is_file()

    def entries(self, path: str, cwd: str = "C:\\") -> list[Entry]:
        """What a directory holds, sorted by name as NTFS does."""
        found = self._existing(path, cwd)
        if not found.is_dir():
            raise Win32Error(errors.DIRECTORY, path)
        self._check_inside(found, path)
        return [self._entry(found / name) for name in sorted(os.listdir(found), key=str.upper)]

    def entry(self, path: str, cwd: str = "C:\\") -> Entry:
        """What is at a path; FILE_NOT_FOUND or PATH_NOT_FOUND when nothing is."""
        return self._entry(self._existing(path, cwd))

    @staticmethod
    def _entry(host: Path) -> Entry:
        status = host.stat() if host.exists() else host.lstat()
        modified = datetime.fromtimestamp(status.st_mtime, timezone.utc)
        return Entry(host.name, stat.S_ISDIR(status.st_mode), status.st_size, modified)

    def attributes(self, path: str, cwd: str = "C:\\") -> list[str]:
        """Names of System.IO.FileAttributes that are set, in the order of their bits."""
        host = self._existing(path, cwd)
        status = host.lstat()
        link = stat.S_ISLNK(status.st_mode)
        directory = host.is_dir()
        names = []
        if not link and not directory and not status.st_mode & stat.S_IWUSR:
            names.append("ReadOnly")
        if directory:
            names.append("Directory")
        else:
            names.append("Archive")
        if link:
            names.append("ReparsePoint")
        return names

    def link_target(self, path: str, cwd: str = "C:\\") -> str | None:
        """Where a symbolic link points to, as a Windows path; None when it is none."""
        host = self._existing(path, cwd)
        if not host.is_symlink():
            return None
        target = Path(os.path.normpath(host.parent / os.readlink(host)))
        if target.is_relative_to(self.folder):
            return self.windows_path(target)
        return os.readlink(host)

    def _existing(self, path: str, cwd: str) -> Path:
        found = self.lookup(path, cwd)
        if found is None:
            self.place(path, cwd)
            raise Win32Error(errors.FILE_NOT_FOUND, self.absolute(path, cwd))
        return found

    # --- changes ---

    def open_to_read(self, path: str, cwd: str = "C:\\") -> BinaryIO:
        """Open a file for reading."""
        host = self._existing(path, cwd)
        self._check_inside(host, self.absolute(path, cwd))
        if host.is_dir():
            raise Win32Error(errors.ACCESS_DENIED, self.absolute(path, cwd))
        try:
            return host.open("rb")
        except OSError as error:
            raise Win32Error(errors.FILE_NOT_FOUND, self.absolute(path, cwd)) from error

    def read(self, path: str, cwd: str = "C:\\") -> bytes:
        """The whole content of a file."""
        with self.open_to_read(path, cwd) as file:
            return file.read()

    def open_to_write(self, path: str, cwd: str = "C:\\", append: bool = False) -> DriveFile:
        """Create or overwrite a file, or open it at its end."""
        host = self.place(path, cwd)
        full = self.absolute(path, cwd)
        self._check_inside(host, full)
        if host.is_dir() or (host.exists() and not host.stat().st_mode & stat.S_IWUSR):
            raise Win32Error(errors.ACCESS_DENIED, full)
        return DriveFile(self, host, full, append)

    def write(self, path: str, data: bytes, cwd: str = "C:\\") -> None:
        """Create or overwrite a file with this content."""
        with self.open_to_write(path, cwd) as file:
            file.write(data)

    def write_at(self, path: str, offset: int, data: bytes, cwd: str = "C:\\") -> None:
        """Cut or extend a file, made if it is not there, to ``offset`` bytes and append ``data``."""
        host = self.place(path, cwd)
        full = self.absolute(path, cwd)
        self._check_inside(host, full)
        if host.is_dir():
            raise Win32Error(errors.ACCESS_DENIED, full)
        before = host.stat().st_size if host.exists() else 0
        with host.open("r+b" if host.exists() else "w+b") as file:
            self.give_back(before)
            try:
                self.take(offset, full)
                file.truncate(offset)
                self.take(len(data), full)
            except Win32Error:
                self.take(min(before, offset), full)
                raise
            file.seek(offset)
            file.write(data)

    def make_directory(self, path: str, cwd: str = "C:\\") -> None:
        """Make a directory and the ones above it; ALREADY_EXISTS when something is there."""
        full = self.absolute(path, cwd)
        if self.exists(full):
            raise Win32Error(errors.ALREADY_EXISTS, full)
        built = "C:\\"
        for part in full[3:].split("\\"):
            built = built.rstrip("\\") + "\\" + part
            host = self.place(built)
            if not host.is_dir():
                if host.exists():
                    raise Win32Error(errors.PATH_NOT_FOUND, full)
                host.mkdir()

    def remove_file(self, path: str, cwd: str = "C:\\") -> None:
        """Delete a file, or a link itself."""
        host = self._existing(path, cwd)
        full = self.absolute(path, cwd)
        if host.is_dir() and not host.is_symlink():
            raise Win32Error(errors.ACCESS_DENIED, full)
        status = host.lstat()
        if not stat.S_ISLNK(status.st_mode) and not status.st_mode & stat.S_IWUSR:
            raise Win32Error(errors.ACCESS_DENIED, full)
        host.unlink()
        self.give_back(status.st_size)

    def remove_directory(self, path: str, cwd: str = "C:\\", tree: bool = False) -> None:
        """Delete a directory, with all that is in it when ``tree``."""
        host = self._existing(path, cwd)
        full = self.absolute(path, cwd)
        if host == self.folder:
            raise Win32Error(errors.ACCESS_DENIED, full)
        if not host.is_dir():
            raise Win32Error(errors.DIRECTORY, full)
        if host.is_symlink():
            host.unlink()
        elif tree:
            size = sum(f.lstat().st_size for f in host.rglob("*") if f.is_file())
            shutil.rmtree(host)
            self.give_back(size)
        elif any(host.iterdir()):
            raise Win32Error(errors.DIR_NOT_EMPTY, full)
        else:
            host.rmdir()

    def move(self, source: str, target: str, cwd: str = "C:\\", replace: bool = False) -> None:
        """Rename in one step; ALREADY_EXISTS when the target is there and is not to be replaced."""
        old = self._existing(source, cwd)
        new = self.place(target, cwd)
        full = self.absolute(target, cwd)
        if os.path.lexists(new) and new != old:
            same_but_case = new.parent == old.parent and new.name.casefold() == old.name.casefold()
            if new.is_dir() and not same_but_case:
                raise Win32Error(errors.ACCESS_DENIED, full)
            if not replace and not same_but_case:
                raise Win32Error(errors.ALREADY_EXISTS, full)
            self.give_back(new.lstat().st_size)
        # A replaced file keeps its name's case; a new name is taken as it is given.
        os.replace(old, new if replace else new.parent / full.rpartition("\\")[2])

    def link(self, path: str, target: str, cwd: str = "C:\\") -> None:
        """Make a symbolic link; what it points to need not exist."""
        host = self.place(path, cwd)
        if os.path.lexists(host):
            raise Win32Error(errors.ALREADY_EXISTS, self.absolute(path, cwd))
        aim = self.lookup(target, cwd) or self.place(target, cwd)
        host.symlink_to(os.path.relpath(aim, host.parent))
