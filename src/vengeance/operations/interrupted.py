"""Ctrl-C in a deploy: pyinfra ends with 0 then, as if all had been done."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import pyinfra
from pyinfra.api.output import echo

EXIT_CODE = 130
"""What shells say of a program that Ctrl-C has ended: 128 and the number of the signal."""


def is_told() -> None:
    """Have Ctrl-C end pyinfra's command line with 130 and a sentence; connections are closed as ever."""
    # A handler of somebody else's, as of a program that pyinfra is only a part of, stays.
    if pyinfra.is_cli and getattr(signal.getsignal(signal.SIGINT), "__module__", None) == "pyinfra_cli.main":
        signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: FrameType | None) -> None:
    echo("Interrupted. The same command goes on where this stopped.", err=True)
    sys.exit(EXIT_CODE)
