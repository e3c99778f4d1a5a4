"""Windows paths as the twin's C: drive has them."""

from __future__ import annotations

import ntpath
from pathlib import Path


def on_drive(drive_c: Path, path: str, folder: str = "C:\\") -> Path | None:
    """Where a Windows path lies in the folder that is drive C:, letters' case ignored as Windows does.

    A relative path starts at ``folder``. What does not exist keeps the case it was given in. None for another
    drive or a UNC path, which the twin does not have.
    """
    whole = ntpath.normpath(ntpath.join(folder, path))
    drive, rest = ntpath.splitdrive(whole)
    if drive.upper() != "C:":
        return None
    found = drive_c
    for part in rest.strip("\\").split("\\"):
        if part:
            found = _entry(found, part)
    return found


def _entry(folder: Path, name: str) -> Path:
    exact = folder / name
    if not exact.exists() and folder.is_dir():
        for entry in folder.iterdir():
            if entry.name.lower() == name.lower():
                return entry
    return exact


def in_linux(drive_c: Path, path: str) -> str | None:
    """A Windows path as a distro sees it under /mnt/c, None for what is not on drive C:."""
    place = on_drive(drive_c, path)
    if place is None:
        return None
    return "/mnt/c" + "".join(f"/{part}" for part in place.relative_to(drive_c).parts)
