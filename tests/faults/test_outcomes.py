"""How the runs that met a fault are judged, and the table of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.faults import outcomes
from tests.faults.kinds import KINDS
from tests.faults.outcomes import RIGHT, SENTENCE, WRONG, Outcome, Ran, Trial, judged
from tests.faults.trials import groups

UNKNOWN = (
    "[@winrm/vengeance]            the connection to 127.0.0.1:1 was lost (the connection to 127.0.0.1:1 was cut) "
    "after a command had been sent: whether it was finished is not known. Look at the box, then run again"
)
GOOD = Trial(Ran(0, "done", 3), Ran(0, "done", 0), None, {"restart of Windows": 1})
MENDED = Trial(Ran(1, UNKNOWN), Ran(0, "done", 2), Ran(0, "done", 0), {"restart of Windows": 1})


def test_a_run_that_goes_through_is_right_and_one_that_says_what_to_do_and_is_mended_a_sentence() -> None:
    assert judged(GOOD) == (RIGHT, "")
    result, sentence = judged(MENDED)
    assert result == SENTENCE
    assert sentence.endswith("is not known. Look at the box, then run again")


@pytest.mark.parametrize(
    ("trial", "why"),
    [
        (replace(GOOD, second=Ran(0, "done", 1)), "the last run changed 1"),
        (replace(GOOD, second=Ran(1, UNKNOWN)), "the next run failed"),
        (replace(GOOD, second=Ran(0, "no grand total")), "the last run changed None"),
        (replace(GOOD, done={"installer of wsl": 2}), "done twice: installer of wsl: 2 times"),
        (replace(GOOD, first=Ran(0, "the password is hunter2"), secrets=("hunter2",)), "a secret"),
        (replace(MENDED, third=Ran(0, "done", 1)), "the last run changed 1"),
        (replace(MENDED, third=Ran(1, UNKNOWN)), "the run after the next failed"),
        (replace(MENDED, first=Ran(1, "Traceback (most recent call last)")), "a traceback"),
        (replace(MENDED, first=Ran(1, "something failed")), "without a sentence"),
        (replace(MENDED, first=Ran(1, "[@winrm/vengeance] the connection was cut")), "names no mend"),
    ],
)
def test_anything_else_is_wrong(trial: Trial, why: str) -> None:
    result, said = judged(trial)
    assert result == WRONG
    assert why in said


def test_what_a_stage_does_twice_without_a_fault_it_may_do_twice_with_one() -> None:
    twice = replace(GOOD, done={"wsl --shutdown": 2})
    assert judged(twice)[0] == WRONG
    assert judged(replace(twice, usual={"wsl --shutdown": 2}))[0] == RIGHT


@pytest.mark.parametrize("requests", [range(1, 101), range(3, 400, 9), [1, 2, 3, 50, 51, 99]])
def test_every_request_is_in_one_run_and_far_from_the_others_of_it(requests: Sequence[int]) -> None:
    made = groups(requests, 10)
    assert sorted(request for group in made for request in group) == list(requests)
    assert all(later - one >= 10 for group in made for one, later in pairwise(group))
    assert len(made) <= 10
    assert groups(requests, 0) == [[request] for request in requests]


def test_outcomes_are_kept_and_the_last_of_a_place_counts(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "outcomes.jsonl"
    one = Outcome("wsl", 7, "quota", WRONG, "a traceback")
    outcomes.add(file, [one, replace(one, request=8)])
    outcomes.add(file, [replace(one, result=RIGHT, why="")])
    assert [(kept.request, kept.result) for kept in outcomes.read(file)] == [(7, RIGHT), (8, WRONG)]


def test_the_table_names_what_is_wrong_and_how_much_was_tried() -> None:
    found = [
        Outcome("wsl", 1, "quota", RIGHT),
        Outcome("wsl", 2, "quota", SENTENCE, "127.0.0.1:5986 is gone: run it again", alone=False),
        Outcome("cuda", 2, "cut_after", WRONG, "done twice"),
    ]
    kinds = {name: kind.title for name, kind in KINDS.items()}
    text = outcomes.table(found, {"wsl": 150, "cuda": 98}, kinds, "2026-11-21", "abc")
    assert "3 faults at 3 of the 248 requests" in text
    assert "| wsl | 150 | - | - | - | - | - | 1 right, 1 a sentence, then right |" in text
    assert "1 WRONG" in text
    assert "- 1 x the box is gone: run it again" in text
    page = outcomes.with_table(f"# Page\n{outcomes.BEGIN}\nold\n{outcomes.END}\nrest", text)
    assert outcomes.between_the_marks(page) == text
    assert page.endswith("rest")
    assert outcomes.faults_tried(text) == 3
