"""Versions as numbers, which compare as people mean them: 0.9 is older than 0.15."""

from __future__ import annotations

import re


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version: ``(0, 34, 1)`` for ``0.34.1``; digits without an end are no number."""
    return tuple(int(part) for part in re.findall(r"(?<!\d)\d{1,18}(?!\d)", version))
