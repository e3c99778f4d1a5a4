"""What the walk found, for a person and for a program."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TypedDict

from vengeance.colours import painted
from vengeance.doctor.findings import SEVERITIES, Finding, Severity
from vengeance.doctor.walk import Looked

PAGE = "docs/doctor.md"
_COLOURS: dict[Severity, str] = {"broken": "red", "degraded": "yellow", "note": "blue"}
_PLACES = {
    "here": "here",
    "box": "on the box, in an administrator's PowerShell",
    "distro": "in the distro, as root",
    "screen": "by hand",
}
_INDENT = " " * 11


class FindingShown(TypedDict):
    """One finding; ``place`` is where the mend is done: here, box, distro or screen."""

    name: str
    link: str
    severity: str
    says: str
    evidence: str
    mend: str
    place: str
    docs: list[str]


class LinkShown(TypedDict):
    """One link; ``state`` is right, note, degraded, broken or not-looked-at (``because`` says why then)."""

    name: str
    title: str
    state: str
    says: str
    because: str | None
    seconds: float


class Shown(TypedDict):
    """One box, as ``doctor --json`` prints a list of them; ``verdict`` is right, degraded or broken."""

    box: str
    verdict: str
    seconds: float
    links: list[LinkShown]
    findings: list[FindingShown]


def verdict(looked: Sequence[Looked]) -> Severity | None:
    """Return the worst of what was found; None where that is nothing, or notes alone."""
    found = {finding.severity for one in looked for finding in one.findings}
    return next((severity for severity in SEVERITIES[:2] if severity in found), None)


def state_of(one: Looked) -> str:
    """Return how a link is, in a word."""
    if one.because is not None:
        return "not-looked-at"
    found = {finding.severity for finding in one.findings}
    return next((severity for severity in SEVERITIES if severity in found), "right")


def mend_of(finding: Finding, inventory: str) -> str:
    """Return what mends a finding, with the inventory's file in it."""
    return finding.mend.replace("{inventory}", inventory)


def as_json(box: str, inventory: str, looked: Sequence[Looked], seconds: float) -> Shown:
    """Return what was found for a program."""
    return {
        "box": box,
        "verdict": verdict(looked) or "right",
        "seconds": round(seconds, 2),
        "links": [
            {
                "name": one.link.name,
                "title": one.link.title,
                "state": state_of(one),
                "says": one.says,
                "because": one.because,
                "seconds": round(one.seconds, 3),
            }
            for one in looked
        ],
        "findings": [
            {
                "name": finding.name,
                "link": one.link.name,
                "severity": finding.severity,
                "says": finding.kind.says,
                "evidence": finding.evidence,
                "mend": mend_of(finding, inventory),
                "place": finding.kind.place,
                "docs": [*finding.kind.docs, f"{PAGE}#{finding.name}"],
            }
            for one in looked
            for finding in one.findings
        ],
    }


def lines(
    box: str, inventory: str, looked: Sequence[Looked], seconds: float, width: int, coloured: bool
) -> Iterator[str]:
    """Give the lines that a person reads.

    + width: columns that there are
    """
    yield f"{box}, from the wire to a token:"
    yield ""
    # What hangs on the same broken link is told at once.
    for because, together in groupby(looked, key=lambda one: one.because):
        if because is None:
            for one in together:
                yield from _link(one, inventory, width, coloured)
        else:
            titles = ", ".join(one.link.title for one in together)
            words = f"not looked at, because {because}: {titles}"
            yield from _wrapped(painted(f"{'-':<9}", "grey", coloured), 9, words, width)
    yield ""
    yield _end(looked, seconds, coloured)


def _link(one: Looked, inventory: str, width: int, coloured: bool) -> Iterator[str]:
    state = state_of(one)
    mark = {"right": "ok"}.get(state, state)
    colour = "green" if state == "right" else _COLOURS[state]  # type: ignore[index]
    words = f"{one.link.title}: {one.says or 'see below'} ({one.seconds:.1f} s)"
    yield from _wrapped(painted(f"{mark:<9}", colour, coloured), 9, words, width)
    for finding in one.findings:
        yield from _finding(finding, inventory, width, coloured)


def _finding(finding: Finding, inventory: str, width: int, coloured: bool) -> Iterator[str]:
    yield f"  {painted(finding.name, _COLOURS[finding.severity], coloured)} ({finding.severity})"
    yield from _wrapped("    ", 4, finding.kind.says, width)
    yield from _wrapped("    seen   ", 11, finding.evidence, width)
    yield from _wrapped("    mend   ", 11, f"{_PLACES[finding.kind.place]}:", width)
    # A command is never broken into lines: it is there to be copied.
    yield f"{_INDENT}{mend_of(finding, inventory)}"
    yield f"    more   {finding.kind.docs[0]}"
    yield f"{_INDENT}{PAGE}#{finding.name}"


def _wrapped(start: str, used: int, text: str, width: int) -> Iterator[str]:
    """The text in lines that are not wider than there is room; ``used`` columns are taken by what stands before it."""
    rows = textwrap.wrap(text, max(40, width - used), break_long_words=False, break_on_hyphens=False) or [""]
    yield f"{start}{rows[0]}"
    yield from (f"{' ' * used}{row}" for row in rows[1:])


def _end(looked: Sequence[Looked], seconds: float, coloured: bool) -> str:
    counted = [
        (severity, sum(f.severity == severity for one in looked for f in one.findings)) for severity in SEVERITIES
    ]
    words = ", ".join(f"{count} {_plural(severity, count)}" for severity, count in counted if count)
    worst = verdict(looked)
    shown = painted(words or "Nothing is wrong", _COLOURS[worst] if worst else "green", coloured)
    skipped = sum(one.because is not None for one in looked)
    rest = f", {skipped} {'link' if skipped == 1 else 'links'} not looked at" if skipped else ""
    return f"{shown}{rest}. It took {seconds:.1f} s, and nothing was changed."


def _plural(severity: Severity, count: int) -> str:
    return "notes" if severity == "note" and count > 1 else severity
