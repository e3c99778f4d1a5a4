"""What a run has on its box is taken again when it is lost, and is not taken for held where that failed."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from vengeance.winrm.errors import Displaced
from vengeance.winrm.holding import Holding
from vengeance.winrm.result import Result


class Box:
    """A box that gives what is asked of it to whoever ``holder`` is."""

    def __init__(self) -> None:
        self.holder = b"us"
        self.code = 0
        self.taken = 0
        self.lost = 0

    def take(self) -> tuple[Result, Callable[[], bool]]:
        """Start a process, which lives until it is lost."""
        self.taken += 1
        process = self.taken
        return Result(self.code, self.holder, b""), lambda: process > self.lost

    def lose(self) -> None:
        """Lose the last process."""
        self.lost = self.taken


def complaint(said: Result) -> str | None:
    if said.code != 0:
        raise OSError("the script failed")
    return None if said.stdout == b"us" else "another has it"


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def holding(box: Box) -> Holding:
    held = Holding(threading.RLock())
    held.take(box.take)
    held.keep(complaint)
    return held


def test_what_is_held_is_not_taken_again(box: Box, holding: Holding) -> None:
    holding.see_to_it()
    assert box.taken == 1


def test_what_was_lost_is_taken_again_once(box: Box, holding: Holding) -> None:
    box.lose()
    holding.see_to_it()
    holding.see_to_it()
    assert box.taken == 2


def test_what_another_has_stops_each_command_until_he_has_left(box: Box, holding: Holding) -> None:
    box.lose()
    box.holder = b"another"
    for _ in range(2):
        with pytest.raises(Displaced, match="another has it"):
            holding.see_to_it()
    box.holder = b"us"
    holding.see_to_it()


def test_a_failed_attempt_to_take_it_again_is_no_hold_although_its_process_lives(box: Box, holding: Holding) -> None:
    box.lose()
    box.code = 1
    for _ in range(2):
        with pytest.raises(OSError, match="the script failed"):
            holding.see_to_it()
    assert box.taken == 3
