"""``python -m vengeance twin``: the twin's own command line, under the name that a person looks for."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

NAME = "twin"


def add(commands: Any) -> None:  # noqa: ANN401 argparse has no public name for it
    """Add the command to those of a parser, so that it is listed; its words are not read here."""
    parser: argparse.ArgumentParser = commands.add_parser(
        NAME,
        help="start, stop, look at and break the stand-in for the box",
        description="The same as python -m vengeance.twin, which says more with --help.",
    )
    parser.set_defaults(run=lambda given: run([]))


def run(words: Sequence[str]) -> int:
    """Run ``python -m vengeance.twin`` with these words, and return its exit code.

    In a process of its own: nothing here knows the twin.
    """
    with subprocess.Popen([sys.executable, "-m", "vengeance.twin", *words]) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            # The terminal has told the other process too.
            process.wait()
            raise
    return code if code >= 0 else 128 - code
