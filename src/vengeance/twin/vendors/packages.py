"""The files that the vendors give out in the twin: they stand for the real ones, and say what they are at their end.

A package ends with a line ``TWIN-PACKAGE {...}`` that the models of msiexec.exe and of installers read, and, where the
real one is signed, with a line ``TWIN-SIGNATURE {...}`` that holds for the bytes before it, as Authenticode does.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import zipfile
from collections.abc import Mapping
from typing import Any, Literal

MSI = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
EXE = b"MZ"
_PACKAGE = b"\nTWIN-PACKAGE "
_SIGNATURE = b"\nTWIN-SIGNATURE "
_LONGEST_TAIL = 4096


def package(head: bytes, about: Mapping[str, str], size: int, organisation: str | None) -> bytes:
    """A package of at least ``size`` bytes.

    head: how the file begins; about: what it says of itself, ``product`` and ``version`` among it
    organisation: who has signed it, None for nobody
    """
    text = head + b"\r\nThis stands for a package of a vendor; only the vengeance twin can install it.\r\n"
    text += random.Random(repr(sorted(about.items()))).randbytes(max(0, size - len(text)))  # noqa: S311
    text += _PACKAGE + json.dumps(dict(about), sort_keys=True).encode()
    return text if organisation is None else sign(text, organisation)


def sign(data: bytes, organisation: str) -> bytes:
    """The same bytes with a signature behind them."""
    signature = {"organisation": organisation, "sha256": hashlib.sha256(data).hexdigest()}
    return data + _SIGNATURE + json.dumps(signature, sort_keys=True).encode()


def about(data: bytes) -> dict[str, str] | None:
    """What a package says of itself, None when it is none. Its last bytes are enough."""
    found = data[-_LONGEST_TAIL:].rpartition(_PACKAGE)[2].partition(_SIGNATURE)[0]
    if _PACKAGE not in data[-_LONGEST_TAIL:]:
        return None
    try:
        said: dict[str, str] = json.loads(found)
    except ValueError:
        return None
    return said


def signature(data: bytes) -> tuple[Literal["Valid", "HashMismatch", "NotSigned"], str]:
    """What Get-AuthenticodeSignature says of a file: its Status, and the organisation of the signer."""
    signed, mark, text = data.rpartition(_SIGNATURE)
    if not mark:
        return "NotSigned", ""
    try:
        said: dict[str, Any] = json.loads(text)
    except ValueError:
        return "HashMismatch", ""
    right = said["sha256"] == hashlib.sha256(signed).hexdigest()
    return ("Valid" if right else "HashMismatch"), str(said["organisation"])


def archive(files: Mapping[str, bytes]) -> bytes:
    """A zip of these files, the same bytes each time; names may have backslashes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name.replace("\\", "/"), (2026, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            made.writestr(entry, data)
    return buffer.getvalue()
