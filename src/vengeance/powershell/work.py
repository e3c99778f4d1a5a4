"""The JSON of long work on the box: what starts it, what tells how far it is, and what each kind takes and gives."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypedDict

State: TypeAlias = Literal["absent", "running", "done", "failed", "died"]
"""``died``: it ended without a result, as when Windows restarted or somebody ended the process."""


class StartInput(TypedDict):
    """Input of Start-Work; ``input`` is the JSON text for the work, ``token`` another one for each wish."""

    name: str
    work: str
    runner: str
    text: str
    input: str
    token: str


class Started(TypedDict):
    """Output of Start-Work; ``joined``: the same work with the same input runs already."""

    started: bool
    joined: bool
    pid: int | None


class WorkInput(TypedDict):
    """Input of Get-Work."""

    name: str


class Work(TypedDict):
    """Output of Get-Work; ``progress`` and ``result`` are what the kind of work makes them, ``error`` a sentence."""

    state: State
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: str | None


INPUT: dict[str, type] = {
    "Start-Work": StartInput,
    "Get-Work": WorkInput,
}
"""Script name -> type of its input."""

OUTPUT: dict[str, type] = {
    "Start-Work": Started,
    "Get-Work": Work,
}
"""Script name -> type of its output."""
