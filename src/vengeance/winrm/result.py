"""What a command left behind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """Exit code (unsigned 32 bit), output as bytes, and whether the command was stopped because its time was up."""

    code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool = False
