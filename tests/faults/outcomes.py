"""What became of runs that met a fault: judged, kept, and put into a table."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

RIGHT, SENTENCE, WRONG = "right", "sentence", "wrong"
BEGIN, END = "<!-- outcomes: begin -->", "<!-- outcomes: end -->"
# A run takes its lock on the box again whenever the process that holds it was lost.
_AS_OFTEN_AS_NEEDED = "change Set-RunLock "
# What a person can do about it: run it again, look at something, or change it.
_MEND = re.compile(
    r"run (it |this |them )?again|see that|\bcheck\b|is the box on|Look at the box|Restart-Service", re.I
)
# How pyinfra begins the line of a host that has failed.
_COMPLAINT = re.compile(r"\[@\S+\]\s+(?:Error: )?(?P<text>.*(?:not known|was cut|was lost|is gone|at once|in time).*)")


@dataclass(frozen=True)
class Outcome:
    """What became of a run with a fault at one request of a stage.

    + request: its number in a run of the stage without faults, from 1
    + kind: name of the fault; result: RIGHT, SENTENCE or WRONG
    + why: the sentence, or what was wrong
    + action: what the request was, as the twin saw it: Create, Command, Send, Receive, Signal, Delete
    + alone: whether the run met no other fault
    """

    stage: str
    request: int
    kind: str
    result: str
    why: str = ""
    action: str = ""
    alone: bool = True


@dataclass
class Ran:
    """What is known of a run.

    + code: of the process; said: all that a person saw; changes: as it told, None when it did not come to that
    """

    code: int
    said: str
    changes: int | None = None


@dataclass
class Trial:
    """A run with faults, the runs after it, and what was done on the far side in all of them.

    + third: only where the first failed
    + done: deed -> how often; usual: the same of two runs without a fault
    + secrets: texts that must not be said
    """

    first: Ran
    second: Ran
    third: Ran | None
    done: Mapping[str, int]
    usual: Mapping[str, int] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()


def done_too_often(done: Mapping[str, int], usual: Mapping[str, int]) -> list[str]:
    """The deeds that were done more often than without a fault, and than once."""
    counted = {deed: count for deed, count in done.items() if not deed.startswith(_AS_OFTEN_AS_NEEDED)}
    return sorted(f"{deed}: {count} times" for deed, count in counted.items() if count > max(1, usual.get(deed, 0)))


def complaint_of(said: str) -> str:
    """The sentence that a run failed with, as one line; "" when there is none."""
    found = _COMPLAINT.search(said)
    return " ".join(found["text"].split()) if found else ""


def judged(trial: Trial) -> tuple[str, str]:
    """RIGHT, SENTENCE or WRONG, and the sentence or what was wrong."""
    for one in (trial.first, trial.second, trial.third):
        if one is not None and "Traceback" in one.said:
            return WRONG, "a traceback: " + one.said[one.said.index("Traceback") :][:600]
        if one is not None and any(secret in one.said for secret in trial.secrets):
            return WRONG, "a secret was said"
    for which, after in (("next run", trial.second), ("run after the next", trial.third)):
        if after is not None and after.code != 0:
            return WRONG, f"the {which} failed: {complaint_of(after.said) or after.said[-600:]}"
    last = trial.third or trial.second
    if last.changes != 0:
        return WRONG, f"the last run changed {last.changes}"
    too_often = done_too_often(trial.done, trial.usual)
    if too_often:
        return WRONG, "done twice: " + "; ".join(too_often)
    if trial.first.code == 0:
        return RIGHT, ""
    sentence = complaint_of(trial.first.said)
    if not sentence:
        return WRONG, "it failed without a sentence: " + trial.first.said[-600:]
    if not _MEND.search(sentence):
        return WRONG, "its sentence names no mend: " + sentence
    return SENTENCE, sentence


# Kept


def read(file: Path) -> list[Outcome]:
    """The outcomes that a file keeps, one JSON object a line; of the same fault at the same request the last counts."""
    if not file.exists():
        return []
    kept = [Outcome(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines() if line]
    return list({(one.stage, one.request, one.kind): one for one in kept}.values())


def add(file: Path, outcomes: Iterable[Outcome]) -> None:
    """Add outcomes to the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(asdict(one)) + "\n" for one in outcomes)


# Told


def table(outcomes: Sequence[Outcome], stages: Mapping[str, int], kinds: Mapping[str, str], day: str, code: str) -> str:
    """The outcomes as Markdown, a row a stage and a column a kind of fault.

    + stages: their names in order, and how many requests each has; kinds: name -> title
    + day: when they were found, as 2026-11-21; code: of which commit
    """
    places = {(one.stage, one.request) for one in outcomes}
    alone = sum(one.alone for one in outcomes)
    lines = [
        f"Found on {day} at commit {code}: {len(outcomes):,} faults at {len(places):,} of the {sum(stages.values()):,} "
        f"requests that the stages have from bare. {alone:,} of them had a run with no other fault; the others shared "
        "one with some that came much earlier or later, and count because it ended right.",
        "",
        "| stage | requests | " + " | ".join(kinds.values()) + " |",
        "|---|---:" + "|---" * len(kinds) + "|",
    ]
    for stage, requests in stages.items():
        cells = [_cell(one for one in outcomes if (one.stage, one.kind) == (stage, kind)) for kind in kinds]
        lines.append(f"| {stage} | {requests} | " + " | ".join(cells) + " |")
    sums = [_cell(one for one in outcomes if one.kind == kind) for kind in kinds]
    lines.append(f"| all | {sum(stages.values())} | " + " | ".join(sums) + " |")
    sentences = Counter(re.sub(r"127\.0\.0\.1:\d+", "the box", one.why) for one in outcomes if one.result == SENTENCE)
    if sentences:
        lines += ["", "The sentences, and how often each was said:", ""]
        lines += [f"- {count} x {sentence}" for sentence, count in sentences.most_common()]
    return "\n".join(lines)


def _cell(outcomes: Iterable[Outcome]) -> str:
    counts = Counter(one.result for one in outcomes)
    words = {RIGHT: "right", SENTENCE: "a sentence, then right", WRONG: "WRONG"}
    return ", ".join(f"{counts[result]} {word}" for result, word in words.items() if counts[result]) or "-"


def between_the_marks(page: str) -> str:
    """What a page has between the marks."""
    return page.partition(BEGIN)[2].partition(END)[0].strip()


def with_table(page: str, text: str) -> str:
    """The page with another table between the marks. ValueError when they are not there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The page has no {BEGIN} and {END} to put the table between.")
    return f"{before}{begin}\n{text}\n{end}{after}"


def faults_tried(text: str) -> int:
    """How many faults a table tells of, from its first line; 0 when there is none."""
    found = re.search(r"([\d,]+) faults at", text)
    return int(found[1].replace(",", "")) if found else 0
