"""What is done before, beside and after a deploy of the box."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version

from vengeance.cli import bootstrap, completion, doctor, exit_codes, key, mode, pins, twin, verify, vram
from vengeance.cli.boxes import InventoryError
from vengeance.cli.parsers import Parser

# In the order in which a person meets them.
_GROUPS = {
    "Before a deploy, asking nothing of the box": (bootstrap, vram, pins),
    "The box": (doctor, mode, key, verify),
    "Without a box": (twin,),
    "Your shell": (completion,),
}
_EPILOG = """\
The deploys are pyinfra's, in the folder that holds inventory/, group_data/ and deploys/:
  pyinfra inventory/home.py deploys/vengeance.py          the whole box; again, it changes nothing
  pyinfra inventory/home.py deploys/ollama.py --dry       one stage, and only what it would do

Examples:
  python -m vengeance bootstrap > enable-winrm.ps1        what is pasted on a new box
  python -m vengeance vram --profile qwen2.5-coder-32b    does it fit on the card?
  python -m vengeance doctor                              what is wrong with it, and what mends that
  python -m vengeance mode                                who has the card now
  python -m vengeance verify                              is everything as it should be?
  python -m vengeance twin up --bare                      no box at hand: begin with a stand-in
  python -m vengeance COMMAND --help                      what a command does, and with which options

Exit codes: 0 all right; 1 it failed, and a sentence says why; 2 it works, but not as it should (verify and doctor);
64 wrong usage; 130 interrupted. twin has its own, which its help says.

Colours are for terminals, and not with NO_COLOR set. docs/cli.md has all of this on one page.
"""


def parser(prog: str = "python -m vengeance") -> Parser:
    """Return the parser of the whole command line.

    + prog: what a person has typed before the command
    """
    made = Parser(prog=prog, usage=f"{prog} [--help] [--version] COMMAND ...", epilog=_EPILOG)
    made.add_argument("--version", action="version", version=_versions())
    commands = made.add_subparsers(dest="command", metavar="COMMAND", prog=prog)
    parts = [(__doc__ or "").strip()]
    for title, modules in _GROUPS.items():
        before = len(commands._choices_actions)
        for each in modules:
            each.add(commands)
        listed = commands._choices_actions[before:]
        parts.append("\n".join([f"{title}:", *(f"  {one.dest:<12} {one.help}" for one in listed)]))
    made.description = "\n\n".join(parts)
    return made


def _versions() -> str:
    return f"vengeance {version('vengeance')} (pyinfra {version('pyinfra')}, Python {platform.python_version()})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code, one of ``vengeance.cli.exit_codes``."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == [twin.NAME]:
        # argparse would read the options among them itself.
        return twin.run(words[1:])
    made = parser()
    given: argparse.Namespace = made.parse_args(words)
    if given.command is None:
        made.print_help()
        return exit_codes.RIGHT
    try:
        code: int = given.run(given)
    except InventoryError as error:
        print(error, file=sys.stderr)
        return exit_codes.WRONG_USAGE
    return code
