"""Each request of each stage meets each kind of fault: only with VENGEANCE_FULL, and for hours.

VENGEANCE_FAULTS_FROM, _EVERY      the first request that is tried (1), and how far it is to the next (1)
VENGEANCE_FAULTS_APART             faults of one kind share a run, so many requests apart (10); if that run does not end
                                   right, each is tried alone. 0: each is tried alone at once, which takes a day or two
VENGEANCE_FAULTS_KEPT              file that keeps the outcomes (build/faults/outcomes.jsonl): what stands in it is not
                                   tried again, so that a run that was ended goes on; remove it after a change

`-k` chooses stages and kinds, as in `-k "wsl and cut_after"`. At the end the table in docs/reliability.md is written,
unless the one that is there tells of more.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.faults import outcomes
from tests.faults.faulty_box import STAGES, FaultyBox, Usual
from tests.faults.kinds import KINDS
from tests.faults.trials import groups, tried
from tests.twin_deploys import ROOT

FIRST = int(os.environ.get("VENGEANCE_FAULTS_FROM") or 1)
EVERY = int(os.environ.get("VENGEANCE_FAULTS_EVERY") or 1)
APART = int(os.environ.get("VENGEANCE_FAULTS_APART", "10"))
KEPT = Path(os.environ.get("VENGEANCE_FAULTS_KEPT") or ROOT / "build" / "faults" / "outcomes.jsonl")
PAGE = ROOT / "docs" / "reliability.md"

pytestmark = [pytest.mark.full, pytest.mark.timeout(0)]


@pytest.fixture(scope="module")
def usual(box: FaultyBox) -> Iterator[dict[str, Usual]]:
    """What each stage does without a fault; afterwards the table is written."""
    found = box.prepare()
    yield found
    kept = outcomes.read(KEPT)
    page = PAGE.read_text(encoding="utf-8")
    if len(kept) < outcomes.faults_tried(outcomes.between_the_marks(page)):
        return
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    stages = {stage: each.requests for stage, each in found.items()}
    titles = {name: kind.title for name, kind in KINDS.items()}
    day = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    text = outcomes.table(kept, stages, titles, day, commit.stdout.strip() or "unknown")
    PAGE.write_text(outcomes.with_table(page, text), encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_fault_at_any_request_is_mended_by_the_run_or_by_the_next(
    box: FaultyBox, usual: dict[str, Usual], stage: str, kind: str
) -> None:
    known = {one.request for one in outcomes.read(KEPT) if (one.stage, one.kind) == (stage, kind)}
    left = [one for one in range(FIRST, usual[stage].requests + 1, EVERY) if one not in known]
    for requests in groups(left, APART):
        outcomes.add(KEPT, tried(box, stage, KINDS[kind], requests, usual[stage]))
    found = [one for one in outcomes.read(KEPT) if (one.stage, one.kind) == (stage, kind)]
    assert [one for one in found if one.result == outcomes.WRONG] == []


@pytest.mark.parametrize("kind", ["cut_before", "cut_after"])
@pytest.mark.parametrize("request_number", [10, 30, 60, 75, 90])
def test_without_the_agent_a_cut_is_mended_by_the_run_or_by_the_next_too(
    box: FaultyBox, usual: dict[str, Usual], kind: str, request_number: int
) -> None:
    single = replace(KINDS[kind], data=("winrm_mode=process",))
    trial, hit = box.tried("windows", {request_number: single}, usual["windows"].deeds)
    assert len(hit) == 1
    result, why = outcomes.judged(trial)
    assert result != outcomes.WRONG, why
