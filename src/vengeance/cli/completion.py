"""Completion of the command line, for a shell: ``python -m vengeance completion``."""

from __future__ import annotations

import argparse
from typing import Any

import shtab

from vengeance.cli import exit_codes

COMMAND = "vengeance"
"""What is completed: shells complete by the first word alone, and ``python`` is everybody's."""


def add(commands: Any) -> None:  # noqa: ANN401 argparse has no public name for it
    """Add the command to those of a parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "completion",
        help="print what a shell needs to complete these commands",
        description=f"Print what a shell needs to complete the command {COMMAND}, which is the same as python -m "
        "vengeance and lies beside python in .venv/bin.",
        epilog="""\
Examples:
  eval "$(python -m vengeance completion bash)"                        this shell; in ~/.bashrc: each
  python -m vengeance completion zsh > ~/.zfunc/_vengeance             with ~/.zfunc in zsh's fpath
  python -m vengeance completion tcsh > ~/.vengeance.csh               and in ~/.tcshrc: source ~/.vengeance.csh

Exit code: 0 printed; 64 wrong usage.
""",
    )
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Print the script and return the exit code."""
    # The parser of all commands knows this one too.
    from vengeance.cli import parser

    print(shtab.complete(parser(COMMAND), given.shell))
    return exit_codes.RIGHT
