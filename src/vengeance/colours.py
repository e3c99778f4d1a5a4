"""Colours for a person at a terminal; a file or a pipe gets the words alone."""

from __future__ import annotations

import os
import sys
from typing import TextIO

_CODES = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "magenta": "35", "cyan": "36", "grey": "90"}


def wanted(stream: TextIO | None = None) -> bool:
    """Whether a stream is a terminal, and nobody has asked for none (https://no-color.org).

    + stream: default stdout
    """
    return (stream or sys.stdout).isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: str, coloured: bool) -> str:
    """Return a text in a colour, one of red, green, yellow, blue, magenta, cyan and grey, or as it is."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if coloured else text
