"""What the model of a shipped script is: a function from its JSON input to its JSON output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from vengeance.twin.windows.program import Run

Given: TypeAlias = "dict[str, Any]"
Model: TypeAlias = "Callable[[Run, Given], Any]"


class ScriptFailed(Exception):
    """A script threw; the text is the message of its exception."""


class Stays:
    """An answer of a script that does not end after it, but stays until its process is ended."""

    def __init__(self, answer: object) -> None:
        self.answer = answer


def thrown(method: str, count: int, message: str) -> ScriptFailed:
    return ScriptFailed(f'Exception calling "{method}" with "{count}" argument(s): "{message}"')
