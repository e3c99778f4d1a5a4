"""Paths of Windows, checked before anything is done with them.

https://learn.microsoft.com/windows/win32/fileio/naming-a-file
"""

from __future__ import annotations

import ntpath
import re

_FORBIDDEN = re.compile(r'[<>"|?*\x00-\x1f]')
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?\Z", re.DOTALL)
# \\?\ and \\.\ lead past all rules of names, and to devices.
_SHARE = re.compile(r"[\\/]{2}[^\\/?.][^\\/]*[\\/][^\\/]+(?=[\\/])")
# MAX_PATH without its closing zero: https://learn.microsoft.com/windows/win32/fileio/maximum-file-path-limitation
_LONGEST = 259


def check(path: str) -> None:
    """Check that a text is a full path of Windows that a file or directory can have.

    Raises ValueError with a sentence.
    """
    if not isinstance(path, str):
        raise ValueError(f"A path is a text, not {path!r}.")
    drive, rest = ntpath.splitdrive(path)
    if not re.fullmatch(r"[A-Za-z]:", drive) or rest[:1] not in ("\\", "/"):
        raise ValueError(f"{path!r} is not a full Windows path: begin with a drive, as in C:\\Users\\Steam.")
    _check_names(path, rest)


def _check_names(path: str, rest: str) -> None:
    if len(path) > _LONGEST:
        raise ValueError(f"{path!r} has {len(path)} characters, and Windows takes {_LONGEST}.")
    for part in re.split(r"[\\/]", rest):
        wrong = _FORBIDDEN.search(part)
        if wrong is not None:
            raise ValueError(f"{path!r} has {wrong[0]!r} in it, which no file of Windows can have in its name.")
        if ":" in part:
            raise ValueError(f"{path!r} has a colon behind the drive's, which means a hidden stream of a file.")
        if part in (".", ".."):
            raise ValueError(f"{path!r} has {part!r} in it: write the path that it leads to.")
        if part and part[-1] in ". ":
            raise ValueError(f"{path!r} has a name that ends with {part[-1]!r}, which Windows would drop.")
        if _DEVICES.match(part):
            raise ValueError(f"{path!r} has {part!r} in it, which is a device and no file.")


def check_file(path: str) -> None:
    """The same for a file: a path that ends with a backslash is a folder's. Raises ValueError with a sentence."""
    check(path)
    _check_end(path)


def check_any_file(path: str) -> None:
    """The same for a file that may also lie on a share of another machine. Raises ValueError with a sentence."""
    share = _SHARE.match(path)
    if share is None:
        check(path)
    else:
        _check_names(path, path[share.end() :])
    _check_end(path)


def _check_end(path: str) -> None:
    if path[-1] in "\\/":
        raise ValueError(f"{path!r} is a folder: add the name of the file.")
