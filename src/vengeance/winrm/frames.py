"""The lines that go to an agent and come back: pure encoding and parsing, no I/O.

To the agent: ``NONCE ID VERB FIELD...``, each line begun and ended by LF; fields are base64 of UTF-8, or ``-``.
From it: ``RS NONCE ID KIND ...``; whatever does not begin so is stray output of some child and never parsed.
Only ASCII travels, so no code page of either side can change it.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

RECORD_SEPARATOR = b"\x1e"


def encode_field(value: str | bytes | None) -> str:
    """Return one field: base64, or ``-`` for nothing."""
    if not value:
        return "-"
    raw = value.encode() if isinstance(value, str) else value
    return base64.b64encode(raw).decode("ascii")


def request_line(nonce: str, request_id: int, verb: str, *words: str) -> bytes:
    """Return a whole request; ``words`` are fields already encoded.

    The leading LF ends whatever half line a cut connection may have left in the agent's stdin.
    """
    return ("\n" + " ".join((nonce, str(request_id), verb, *words)) + "\n").encode("ascii")


@dataclass(frozen=True)
class Live:
    """Output of a command that still runs; ``stream`` is ``stdout`` or ``stderr``."""

    request_id: int
    stream: str
    data: bytes


@dataclass(frozen=True)
class Data:
    """A piece of a file that is being read, at ``offset`` bytes."""

    request_id: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class End:
    """The answer to a request: exit code, whether its time ran out, and everything it printed."""

    request_id: int
    code: int
    timed_out: bool
    stdout: bytes
    stderr: bytes


Frame = Live | Data | End


def parse_line(line: bytes, nonce: str) -> Frame | None:
    """Return the frame in one line, None when it is no whole frame of this agent."""
    words = line.split(b" ")
    if len(words) < 4 or words[0] != RECORD_SEPARATOR + nonce.encode("ascii"):
        return None
    try:
        request_id = int(words[1])
        kind = words[2]
        if kind in (b"out", b"err") and len(words) == 4:
            return Live(request_id, "stdout" if kind == b"out" else "stderr", _decode(words[3]))
        if kind == b"data" and len(words) == 5:
            return Data(request_id, int(words[3]), _decode(words[4]))
        if kind == b"end" and len(words) == 9:
            stdout, stderr = _decode(words[6]), _decode(words[8])
            if len(stdout) != int(words[5]) or len(stderr) != int(words[7]):
                return None
            return End(request_id, int(words[3]), words[4] != b"0", stdout, stderr)
    except (ValueError, binascii.Error):
        return None
    return None


def _decode(field: bytes) -> bytes:
    return b"" if field == b"-" else base64.b64decode(field, validate=True)


class FrameAssembler:
    """Puts the pieces of an agent's stdout together into frames; keeps the last stray lines for error messages.

    + nonce: of this agent
    """

    STRAY_BYTES = 4096

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce
        self._pieces: list[bytes] = []
        self._stray = b""

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes and return the frames that they complete."""
        if b"\n" not in data:
            if data:
                self._pieces.append(data)
            return []
        *lines, rest = (b"".join(self._pieces) + data).split(b"\n")
        self._pieces = [rest] if rest else []
        frames = []
        for line in lines:
            frame = parse_line(line.rstrip(b"\r"), self._nonce)
            if frame is not None:
                frames.append(frame)
            elif line.strip() and not line.startswith(RECORD_SEPARATOR):
                self._stray = (self._stray + line + b"\n")[-self.STRAY_BYTES :]
        return frames

    def forget_partial_line(self) -> None:
        """Drop a half line: some output was lost, and its other half must not be read as one with it."""
        self._pieces = []

    @property
    def stray(self) -> bytes:
        """What arrived that was no frame, the unfinished line included, at most the last 4 kB."""
        return (self._stray + b"".join(self._pieces))[-self.STRAY_BYTES :]
