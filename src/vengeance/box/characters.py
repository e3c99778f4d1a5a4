"""Texts that can be given to a program as they are, on Windows and on Linux."""

from __future__ import annotations

import re

_HALF = re.compile(r"[\ud800-\udfff]")


def check(what: str, text: str) -> None:
    """Check that a text can be sent and stored without losing a character.

    + what: names it, for the sentence

    Raises ValueError with a sentence that does not hold the text: it may be a secret.
    """
    if "\0" in text:
        raise ValueError(f"{what} holds a NUL character, which no program can be given.")
    if _HALF.search(text):
        raise ValueError(f"{what} holds half of a UTF-16 pair (U+D800 to U+DFFF), which is no character.")
