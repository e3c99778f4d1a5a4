"""Which run has a box: what it writes down, when it counts as dead, and what another one is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vengeance.box.run_lock import LETS_GO_MINUTES, Owner, is_dead, parse, refusal
from vengeance.winrm.shell import IDLE_TIMEOUT

OWNER = Owner("anna", "laptop", "deploys/ollama.py", "2026-11-21 20:41 UTC", 4242, "81234", "boot pid:[1]")


def test_what_a_run_writes_down_is_read_as_it_was() -> None:
    assert parse(OWNER.text) == OWNER
    assert OWNER.text.isascii()


def test_names_of_any_length_fit_into_what_the_box_keeps() -> None:
    long = "ä" * 4000
    text = Owner(long, long, long, long, 2**31, long, long).text
    assert len(text) < 4000
    assert parse(text) is not None


@pytest.mark.parametrize("text", ["", "{}", "[]", "not JSON", '{"user": "anna"}', "null"])
def test_what_is_no_run_is_nobody_known(text: str) -> None:
    assert parse(text) is None


def test_a_run_of_this_machine_is_dead_when_its_process_is_gone_or_another_has_its_number() -> None:
    assert not is_dead(OWNER, OWNER.processes, lambda pid: "81234")
    assert is_dead(OWNER, OWNER.processes, lambda pid: None)
    assert is_dead(OWNER, OWNER.processes, lambda pid: "99999")


@pytest.mark.parametrize("here", ["boot pid:[2]", "another pid:[1]", ""])
def test_a_run_of_another_machine_or_container_is_never_taken_for_dead(here: str) -> None:
    assert not is_dead(OWNER, here, lambda pid: None)
    assert not is_dead(replace(OWNER, processes=""), "", lambda pid: None)


def test_a_refusal_says_who_since_when_and_what_to_do() -> None:
    assert refusal("@winrm/box", OWNER, 7788) == (
        "@winrm/box: another run is at work on this box (deploys/ollama.py, started by anna on laptop at "
        "2026-11-21 20:41 UTC, process 4242), so nothing was changed. Wait until it has ended. Should it have died, "
        "the box lets go 15 minutes after its last word, or at once if you run this with --data take_over=7788."
    )
    assert "take_over" not in refusal("@winrm/box", None, 0)


def test_the_time_after_which_a_box_lets_go_is_that_of_an_idle_shell() -> None:
    assert f"PT{LETS_GO_MINUTES * 60}.000S" == IDLE_TIMEOUT
