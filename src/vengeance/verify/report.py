"""What was looked at, as a person keeps it: text, JSON, and one HTML page that needs nothing else."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

import jinja2

Verdict = Literal["holds", "fails", "advice", "left out"]
VERDICTS: tuple[Verdict, ...] = ("holds", "fails", "advice", "left out")
RIGHT, FAILED, DEGRADED = "right", "failed", "degraded"
_SAID = {
    RIGHT: "Everything that was looked at is as it should be.",
    FAILED: "Something that the box is for does not hold.",
    DEGRADED: "The box does what it is for, and something could be better.",
}


@dataclass(frozen=True)
class Sentence:
    """One sentence and what came of it.

    ``section``: what it belongs to; ``evidence``: what was seen where it does not hold, or why it was left out
    ``seconds``: how long looking took; ``measured``: name -> value with its unit
    """

    section: str
    said: str
    verdict: Verdict
    evidence: str = ""
    seconds: float = 0.0
    measured: dict[str, str] = field(default_factory=dict)


@dataclass
class Report:
    """What was seen of one box; ``problem`` is why it could not be looked at."""

    box: str
    began: datetime
    sentences: list[Sentence] = field(default_factory=list)
    seconds: float = 0.0
    problem: str | None = None

    @property
    def counts(self) -> dict[Verdict, int]:
        """Verdict -> how many sentences have it."""
        verdicts = [one.verdict for one in self.sentences]
        return {each: verdicts.count(each) for each in VERDICTS}

    @property
    def verdict(self) -> str:
        """``right``, ``failed`` or ``degraded``: all required sentences hold, and an advice was not taken."""
        if self.problem is not None or self.counts["fails"] or not self.counts["holds"]:
            return FAILED
        return DEGRADED if self.counts["advice"] else RIGHT

    @property
    def measured(self) -> dict[str, str]:
        """All that was measured, in the order of the sentences."""
        return {name: value for one in self.sentences for name, value in one.measured.items()}

    @property
    def sections(self) -> dict[str, list[Sentence]]:
        """Section -> its sentences."""
        found: dict[str, list[Sentence]] = {}
        for one in self.sentences:
            found.setdefault(one.section, []).append(one)
        return found

    @property
    def summary(self) -> str:
        """The counts, as a sentence."""
        counts = self.counts
        said = [f"{counts['holds']} of {len(self.sentences)} sentences hold"]
        if counts["fails"]:
            said.append(f"{counts['fails']} {_do(counts['fails'], 'does', 'do')} not")
        if counts["advice"]:
            said.append(f"{counts['advice']} could be better")
        if counts["left out"]:
            said.append(f"{counts['left out']} {_do(counts['left out'], 'was', 'were')} left out")
        return f"{', '.join(said)} ({self.seconds:.0f} s)."

    @property
    def title(self) -> str:
        """Which box it was; several processes that share a run (pytest-xdist) do not tell each other."""
        return self.box or "A box"

    @property
    def conclusion(self) -> str:
        """The verdict, as a sentence."""
        return self.problem or _SAID[self.verdict]


def _do(count: int, one: str, many: str) -> str:
    return one if count == 1 else many


def as_object(report: Report) -> dict[str, Any]:
    """Return the report for a program."""
    return {
        "box": report.box,
        "began": report.began.isoformat(),
        "seconds": round(report.seconds, 1),
        "verdict": report.verdict,
        "conclusion": report.conclusion,
        "problem": report.problem,
        "counts": {name.replace(" ", "_"): count for name, count in report.counts.items()},
        "measured": report.measured,
        "sentences": [asdict(one) for one in report.sentences],
    }


def lines(one: Sentence) -> Iterable[str]:
    """Return a sentence and what was seen, as lines of text."""
    yield f"  {one.verdict:<9} {one.said}"
    if one.verdict != "holds":
        yield from (f"            {line}" for line in one.evidence.splitlines())


def as_text(report: Report) -> str:
    """Return the report as a text of lines."""
    said = [f"{report.title}, {report.began:%Y-%m-%d %H:%M %Z}".rstrip(), report.conclusion, report.summary, ""]
    if report.measured:
        wide = max(len(name) for name in report.measured)
        said += ["Measured", *(f"  {name:<{wide}}  {value}" for name, value in report.measured.items()), ""]
    for section, sentences in report.sections.items():
        said += [section, *(line for one in sentences for line in lines(one)), ""]
    return "\n".join(said)


def as_html(report: Report) -> str:
    """Return the report as one page, with its style in it and nothing to fetch."""
    text = (importlib.resources.files("vengeance.verify") / "report.html.j2").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)
    return page.render(report=report, verdicts=VERDICTS)
