"""``python -m vengeance``: what is done before, beside and after a deploy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from vengeance.cli import bootstrap, exit_codes, key, mode, pins, vram

# In the order in which a person meets them.
_COMMANDS = (bootstrap, vram, mode, key, pins)


class Parser(argparse.ArgumentParser):
    """argparse's, with an exit code of its own for wrong usage."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with a command line, and end."""
        self.print_usage(sys.stderr)
        self.exit(exit_codes.WRONG_USAGE, f"{self.prog}: error: {message}\n")


def parser() -> Parser:
    """Return the parser of the whole command line."""
    made = Parser(
        prog="python -m vengeance",
        description=__doc__,
        epilog="Exit codes: 0 all right; 1 it failed, and a sentence says why; 2 it works, but not as it should "
        "(verify alone); 64 wrong usage; 130 interrupted.",
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for each in _COMMANDS:
        each.add(commands)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code, one of ``vengeance.cli.exit_codes``."""
    given = parser().parse_args(arguments)
    code: int = given.run(given)
    return code
