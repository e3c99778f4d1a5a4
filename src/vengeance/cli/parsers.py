"""How the command line reads its words and explains itself."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

from vengeance.cli import exit_codes

_WIDTH = 100


class Help(argparse.HelpFormatter):
    """argparse's, which fills each paragraph by itself and leaves lines that begin with a blank as they are."""

    def __init__(self, prog: str, **settings: Any) -> None:  # noqa: ANN401 argparse's own
        settings.setdefault("max_help_position", 28)
        super().__init__(prog, **settings)
        self._width = min(self._width, _WIDTH)

    def add_argument(self, action: argparse.Action) -> None:
        """Leave the list of commands out: it is told in groups."""
        if not isinstance(action, argparse._SubParsersAction):
            super().add_argument(action)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        filled = []
        for paragraph in text.strip("\n").split("\n\n"):
            # A heading may stand before lines that are shown as they are.
            as_it_is = any(line.startswith(" ") for line in paragraph.splitlines())
            filled.append(paragraph if as_it_is else super()._fill_text(paragraph, width, indent))
        return "\n\n".join(filled)


class Parser(argparse.ArgumentParser):
    """argparse's, with an exit code of its own for wrong usage."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 argparse's own
        settings.setdefault("formatter_class", Help)
        super().__init__(**settings)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with a command line, and end."""
        self.print_usage(sys.stderr)
        self.exit(exit_codes.WRONG_USAGE, f"{self.prog}: error: {message}\n")
