"""The Python that an environment was made from."""

from __future__ import annotations

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.facts import FactBase


class Interpreter(FactBase["str | None"]):
    """Returns the program that an environment's Python really is, None when there is none.

    + path: folder of the environment

    .. code:: python

        "/usr/bin/python3.12"
    """

    def command(self, path: str) -> StringCommand:
        python = QuoteString(f"{path}/bin/python")
        return StringCommand("if [ -x", python, "]; then readlink -f --", python, "; fi")

    def process(self, output: list[str]) -> str | None:
        return output[0] if output else None
