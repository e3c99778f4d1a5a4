"""What is known to go wrong on such a box, and which finding it is, or why it cannot be seen from outside."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trap:
    """``what`` goes wrong; ``findings``: what it is seen as; ``unseen``: why it is not, where it is not."""

    what: str
    findings: tuple[str, ...] = ()
    unseen: str = ""


TRAPS: dict[str, tuple[Trap, ...]] = {}
