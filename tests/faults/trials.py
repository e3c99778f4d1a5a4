"""Faults at chosen requests of a stage: some to a run, and each alone where that run did not end right."""

from __future__ import annotations

from collections.abc import Iterable

from tests.faults.faulty_box import FaultyBox, Usual
from tests.faults.kinds import Kind
from tests.faults.outcomes import RIGHT, Outcome, judged


def groups(requests: Iterable[int], apart: int) -> list[list[int]]:
    """Split requests, in their order, into as few runs as can be.

    + apart: how many requests there are at least from one fault of a run to the next; 0: each has its own

    >>> groups(range(1, 8), 3)
    [[1, 4, 7], [2, 5], [3, 6]]
    """
    made: list[list[int]] = []
    for request in requests:
        group = next((each for each in made if apart and request - each[-1] >= apart), None)
        if group is None:
            made.append([request])
        else:
            group.append(request)
    return made


def tried(box: FaultyBox, stage: str, kind: Kind, requests: list[int], usual: Usual) -> list[Outcome]:
    """What became of a fault at each of these requests; those that were not reached are left out.

    All of them go into one run. If it ends right, each of them did; if not, each gets a run of its own.
    """
    trial, hit = box.tried(stage, {request: kind for request in requests}, usual.deeds)
    result, why = judged(trial)
    alone = len(requests) == 1
    if not alone and result != RIGHT:
        return [one for request in requests for one in tried(box, stage, kind, [request], usual)]
    return [
        Outcome(stage, request, kind.name, result, why, action, alone)
        for request, action in zip(requests, hit, strict=False)
    ]
