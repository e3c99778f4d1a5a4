"""Names of Linux users, by the rules of useradd(8)."""

from __future__ import annotations

import re

_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


def check(user: str) -> None:
    """Check the name of a Linux user. Raises ValueError with a sentence."""
    if not _NAME.fullmatch(user):
        raise ValueError(
            f"{user!r} is no name of a Linux user: it begins with a small letter and has small letters, digits, '-' "
            "and '_', at most 32, as steam."
        )
