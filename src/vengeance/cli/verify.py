"""The acceptance list, sentence by sentence: ``python -m vengeance verify``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vengeance.cli import boxes, exit_codes

TESTS = Path("tests") / "box"
_AUTOLOAD = "PYTEST_DISABLE_PLUGIN_AUTOLOAD"
_CODES = {
    "right": exit_codes.RIGHT,
    "failed": exit_codes.FAILED,
    "degraded": exit_codes.DEGRADED,
    "interrupted": exit_codes.INTERRUPTED,
}


def add(commands: Any) -> None:  # noqa: ANN401 argparse has no public name for it
    """Add the command to those of a parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "verify",
        help="prove that the box is what it should be, sentence by sentence",
        description="Look at the box from outside, sentence by sentence: what it was validated with, and what keeps it "
        "up. Nothing is deployed and no setting is changed; the smallest model of Ollama, and vLLM if it runs, are "
        "asked questions. docs/verify.md says what it proves.",
        epilog="""\
Examples:
  python -m vengeance verify                                       the box of inventory/home.py
  python -m vengeance verify --report verified                     and keep what was seen in the folder verified/
  python -m vengeance verify --disturb                             restart it, too, and hand its card over and back
  python -m vengeance verify --inventory inventory/twin.py         the twin, as it is now

Exit code: 0 everything holds; 1 something does not, or the box cannot be reached; 2 it does what it is for, but
something could be better; 64 wrong usage; 130 interrupted.
""",
    )
    boxes.add_inventory(parser)
    parser.add_argument("--limit", metavar="NAME", help="one of several boxes; or windows, or wsl, for one side of it")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="write text, JSON, JUnit and an HTML page there")
    parser.add_argument("--disturb", action="store_true", help="restart the box and hand its card over for it, too")
    parser.add_argument("--json", action="store_true", help="as JSON, at the end")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Look at the box, say what was seen, and return the exit code."""
    folder: Path = given.inventory.resolve().parent.parent
    for needed in (given.inventory.resolve(), folder / TESTS, folder / "pyproject.toml"):
        if not needed.exists():
            print(
                f"There is no {needed}: run this in the project's folder, which holds inventory/ and {TESTS}.",
                file=sys.stderr,
            )
            return exit_codes.WRONG_USAGE
    try:
        import pytest
    except ImportError:
        print("pytest is not installed here: pip install 'vengeance[verify]'", file=sys.stderr)
        return exit_codes.FAILED
    from vengeance.cli.speaker import Speaker

    speaker = Speaker(given.json, given.disturb)
    words = ["-p", "vengeance.verify.plugin", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    words += ["-c", str(folder / "pyproject.toml"), "--inventory", str(given.inventory.resolve())]
    words += ["--limit", given.limit] if given.limit else []
    words += ["--report", str(given.report.resolve())] if given.report else []
    words += ["--disturb"] if given.disturb else []
    with _no_other_plugins():
        ended = pytest.main([*words, str(folder / TESTS)], plugins=[speaker])
    return _CODES[speaker.conclude(int(ended), given.report)]


@contextmanager
def _no_other_plugins() -> Iterator[None]:
    """Whatever plugins of pytest are installed beside ours, they only take time here."""
    before = os.environ.get(_AUTOLOAD)
    os.environ[_AUTOLOAD] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_AUTOLOAD)
        else:
            os.environ[_AUTOLOAD] = before
