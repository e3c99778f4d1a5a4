"""Looking for a secret in everything that a run has written, whatever it was made into on the way there.

A secret here has a core of letters and digits, which no quoting, escaping or masking of single signs changes: shells,
JSON, XML, URLs and reprs all leave it as it is. So it is the core that is looked for, in every encoding and in base64
at each of its three offsets, once and twice.
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PIECE = 1 << 22
# Everything below this is read again at the next piece, so that nothing is missed between two.
_OVERLAP = 1 << 10


def token() -> str:
    """A core: letters and digits that are nowhere else."""
    return secrets.token_hex(12)


def _based(raw: bytes) -> Iterator[bytes]:
    """What of some bytes is always the same in a base64 of a longer text, for each offset that they can have."""
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + raw)
        first = -(-offset * 4 // 3)
        last = (offset + len(raw)) * 8 // 6
        yield text[first:last]


def forms(core: str) -> dict[str, list[bytes]]:
    """What a core can have become: name of the form -> the bytes to look for."""
    found: dict[str, list[bytes]] = {}
    for encoding in ("utf-8", "utf-16-le"):
        raw = core.encode(encoding)
        once = list(_based(raw))
        wide = [text.decode().encode("utf-16-le") for text in once]
        found[encoding] = [raw]
        found[f"base64 of {encoding}"] = once
        found[f"base64 of {encoding}, in UTF-16"] = wide
    # The agents' frames: a field in base64, in a Send in base64.
    found["base64 of base64"] = [twice for text in _based(core.encode()) for twice in _based(text)]
    found["utf-16-be"] = [core.encode("utf-16-be")]
    found["hexadecimal"] = [core.encode().hex().encode(), core.encode().hex().upper().encode()]
    return found


@dataclass(frozen=True)
class Found:
    """One place: whose secret, in which form, where, and the text around it."""

    name: str
    form: str
    place: str
    around: str


class Search:
    """Looks for some secrets.

    cores: name of a secret -> its core
    """

    def __init__(self, cores: dict[str, str]) -> None:
        self._forms = {
            text: (name, form) for name, core in cores.items() for form, texts in forms(core).items() for text in texts
        }
        self.looked_at = 0

    def text(self, place: str, data: bytes) -> list[Found]:
        """Where they are in some bytes; one place a secret and form."""
        self.looked_at += 1
        found: dict[tuple[str, str], Found] = {}
        for text, (name, form) in self._forms.items():
            at = data.find(text)
            if at >= 0:
                around = data[max(0, at - 60) : at + len(text) + 40].decode("utf-8", "backslashreplace")
                found.setdefault((name, form), Found(name, form, place, around))
        return list(found.values())

    def file(self, place: str, file: IO[bytes]) -> list[Found]:
        """The same in a file, however large."""
        found: dict[tuple[str, str], Found] = {}
        rest = b""
        while piece := file.read(_PIECE):
            data = rest + piece
            for one in self.text(place, data):
                found.setdefault((one.name, one.form), one)
            rest = data[-_OVERLAP:]
        return list(found.values())

    def folder(self, folder: Path, since: float = 0.0, leave_out: Iterable[Path] = ()) -> list[Found]:
        """The same in every file below a folder that was changed since; links are read, not followed.

        Names count too: a secret in a name is in a listing.
        """
        found: list[Found] = []
        skipped = {str(path) for path in leave_out}
        for at, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if os.path.join(at, name) not in skipped]
            for name in [*folders, *files]:
                found += self.text(f"the name of {at}/{name}", os.fsencode(name))
            for name in files:
                path = os.path.join(at, name)
                try:
                    about = os.lstat(path)
                    if stat.S_ISLNK(about.st_mode):
                        found += self.text(path, os.fsencode(os.readlink(path)))
                    elif stat.S_ISREG(about.st_mode) and about.st_ctime >= since:
                        with open(path, "rb") as file:
                            found += self.file(path, file)
                except FileNotFoundError:
                    continue
        return found

    def tar(self, archive: IO[bytes]) -> list[Found]:
        """The same in a tar that is read from a pipe; places are the paths in it."""
        found: list[Found] = []
        with tarfile.open(fileobj=archive, mode="r|", errorlevel=0) as tar:
            for member in tar:
                place = "/" + member.name.removeprefix("./")
                found += self.text(f"the name of {place}", member.name.encode("utf-8", "surrogateescape"))
                found += self.text(place, member.linkname.encode("utf-8", "surrogateescape"))
                content = tar.extractfile(member) if member.isfile() else None
                if content is not None:
                    found += self.file(place, content)
        return found
