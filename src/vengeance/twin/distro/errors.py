"""What can go wrong on the Linux side of the twin."""

from __future__ import annotations


class DistroError(Exception):
    """The Linux side of the twin could not do something; the text says what, where and what mends it."""
