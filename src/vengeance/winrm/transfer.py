"""Files through an agent: streamed in pieces, checked by SHA-256, put in place in one step, skipped when equal."""

from __future__ import annotations

import hashlib
import time
from typing import IO

from vengeance.winrm.agent import Agent
from vengeance.winrm.errors import CommandTimeout, TransferFailed
from vengeance.winrm.frames import Data, encode_field

# How much one request of a download brings: after a cut only this much is fetched again.
DOWNLOAD_BYTES = 16 * 1024 * 1024
_BLOCK = 1024 * 1024
_STALLED_READS = 5


def digest_of(source: IO[bytes]) -> tuple[str, int]:
    """Return SHA-256 (hexadecimal) and size of what is left to read in a seekable file, which is then rewound."""
    start = source.tell()
    digest = hashlib.sha256()
    size = 0
    while block := source.read(_BLOCK):
        digest.update(block)
        size += len(block)
    source.seek(start)
    return digest.hexdigest(), size


def upload(
    agent: Agent, source: IO[bytes], path: str, piece_bytes: int, mode: str = "", deadline: float | None = None
) -> bool:
    """Write a file on the box; return False when it was there already with the same content.

    + source: seekable, read from where it stands
    + path: absolute, on the agent's side
    + piece_bytes: raw bytes a Send may carry
    + mode: octal permissions of a new file (the distro only); an existing file keeps its own
    + deadline: on the monotonic clock, None for none

    Raises TransferFailed with the box's own words, or CommandTimeout; the old file is intact then.
    """
    sha256, size = digest_of(source)
    opened = agent.request(
        "open",
        encode_field(path),
        encode_field(sha256),
        encode_field(str(size)),
        encode_field(mode),
        timeout=_left(deadline, path),
    )
    if opened.code != 0:
        raise TransferFailed(f"cannot write {path}: {opened.stderr.decode(errors='replace').strip()}")
    if opened.stdout.strip() == b"equal":
        return False
    offset = 0
    while piece := source.read(piece_bytes):
        _left(deadline, path)
        agent.piece(opened.request_id, offset, piece)
        offset += len(piece)
    closed = agent.request("close", timeout=_left(deadline, path))
    if closed.code != 0:
        raise TransferFailed(f"cannot write {path}: {closed.stderr.decode(errors='replace').strip()}")
    return True


def _left(deadline: float | None, path: str) -> float | None:
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise CommandTimeout(f"{path} was not carried over in time")
    return left


def download(agent: Agent, path: str, target: IO[bytes], deadline: float | None = None) -> str:
    """Read a file from the box into ``target``; return its SHA-256.

    Raises TransferFailed with the box's own words, or when the file changed while it was read; CommandTimeout.
    """
    digest = hashlib.sha256()
    offset = 0
    size, sha256 = 1, ""
    stalled = 0
    while offset < size:
        base = offset
        pieces = _Pieces(base, target, digest)
        end = agent.request(
            "read",
            encode_field(path),
            encode_field(str(base)),
            encode_field(str(DOWNLOAD_BYTES)),
            timeout=_left(deadline, path),
            read_only=True,
            on_data=pieces.take,
        )
        if end.code != 0:
            raise TransferFailed(f"cannot read {path}: {end.stderr.decode(errors='replace').strip()}")
        size_word, sha_word = end.stdout.decode("ascii", errors="replace").split()
        size = int(size_word)
        if base == 0:
            sha256 = sha_word
        # Pieces that a cut connection took are not repeated with the answer: they are asked for again from there.
        stalled = stalled + 1 if pieces.offset == base and base < size else 0
        if stalled == _STALLED_READS:
            raise TransferFailed(f"cannot read {path}: it became shorter while it was read, or none of it arrives")
        offset = pieces.offset
    if digest.hexdigest() != sha256:
        raise TransferFailed(f"{path} changed while it was read: run again")
    return sha256


class _Pieces:
    """Takes the pieces of one read in order; what a repeated answer brings again is dropped."""

    def __init__(self, offset: int, target: IO[bytes], digest: hashlib._Hash) -> None:
        self.offset = offset
        self._target = target
        self._digest = digest

    def take(self, data: Data) -> None:
        if data.offset != self.offset:
            return
        self._target.write(data.data)
        self._digest.update(data.data)
        self.offset += len(data.data)
