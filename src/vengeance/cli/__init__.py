"""``python -m vengeance``: what is done before, and beside, a deploy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vengeance.cli import key, mode, vram
from vengeance.cli.bootstrap import BootstrapError, script


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 with a sentence, or 2 for a wrong command."""
    parser = argparse.ArgumentParser(prog="python -m vengeance", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    bootstrap = commands.add_parser(
        "bootstrap",
        help="print the script that is pasted on a new box",
        description="Print the script that is pasted in an administrator's PowerShell on a new box, with the account "
        "and the addresses of the inventory filled in. It holds no secret. bootstrap/README.md says what it is for.",
    )
    bootstrap.add_argument("host", nargs="?", help="name of the box, where the inventory has several")
    bootstrap.add_argument(
        "--inventory", type=Path, default=Path("inventory/home.py"), help="where the box stands (default: %(default)s)"
    )
    vram.add(commands)
    mode.add(commands)
    key.add(commands)
    given = parser.parse_args(arguments)
    if given.command == "vram":
        return vram.run(given)
    if given.command == "mode":
        return mode.run(given)
    if given.command == "key":
        return key.run(given)
    try:
        text = script(given.inventory, given.host)
    except BootstrapError as error:
        print(error, file=sys.stderr)
        return 1
    # A name need not be ASCII, and where this is piped to, the locale may be.
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()
    return 0
