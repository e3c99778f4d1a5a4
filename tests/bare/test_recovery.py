"""A run from a bare Windows whose connection is cut: it ends right, or with a sentence, and the next run ends right.

Every tenth request is cut in turn, each in a run of its own from bare, and all of them at once in one run: half an
hour, for `make test-full`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bare.conftest import Peer, changes, tail
from tests.twin_deploys import Deploy, Finished
from vengeance.box.pins import pinned
from vengeance.twin.client import Twin

# A bare run has more requests than this; what lies behind its end is skipped by name.
LAST = 600
REQUESTS = range(10, LAST, 10)


@pytest.fixture
def bare(bare_twin: Twin) -> Iterator[Twin]:
    """The twin, as bare as at first, whatever was done to it."""
    bare_twin.fault("clear")
    bare_twin.reset(bare=True)
    yield bare_twin
    bare_twin.fault("clear")


def ended_well_or_with_a_sentence(finished: Finished) -> None:
    said = finished.stdout + finished.stderr
    assert "Traceback" not in said, tail(finished)
    if finished.returncode != 0:
        assert "WinRM" in said or "connection" in said.lower(), tail(finished)


def mended_by_running_again(deploy: Deploy, peer: Peer) -> None:
    again = deploy()
    assert again.returncode == 0, tail(again)
    last = deploy()
    assert last.returncode == 0, tail(last)
    assert changes(last) == 0, tail(last)
    assert peer.version() == pinned("ollama")
    assert peer.health() == 200
    assert len(peer.models()) == 5


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("request_number", REQUESTS)
def test_a_run_that_is_cut_is_mended_by_running_again(
    bare: Twin, deploy: Deploy, peer: Peer, request_number: int
) -> None:
    kind = "cut_before" if request_number // 10 % 2 else "cut_after"
    bare.fault(kind, request=request_number)
    finished = deploy()
    if bare.status()["faults"]:
        assert finished.returncode == 0, tail(finished)
        pytest.skip(f"the run has fewer requests than {request_number}")
    ended_well_or_with_a_sentence(finished)
    mended_by_running_again(deploy, peer)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["cut_before", "cut_after"])
def test_a_run_whose_every_tenth_request_is_cut_is_mended_by_running_again(
    bare: Twin, deploy: Deploy, peer: Peer, kind: str
) -> None:
    bare.fault(kind, request=10, times=None, every=10)
    finished = deploy()
    bare.fault("clear")
    ended_well_or_with_a_sentence(finished)
    mended_by_running_again(deploy, peer)
