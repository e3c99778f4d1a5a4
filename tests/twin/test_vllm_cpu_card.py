"""The plugin by which a real vLLM on the processor holds memory of the twin's card, against the card's own socket."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import eventually
from vengeance.twin.distro.card import CardSocket
from vengeance.twin.vllm_cpu import vengeance_twin_card as plugin

TOTAL = 24564


class Card:
    """As much of the card's model as its socket asks for."""

    present, cuda, total_mib = True, "13.1", TOTAL

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.desktop = 1900

    @property
    def used_mib(self) -> int:
        return self.desktop + sum(self.held.values())

    @property
    def free_mib(self) -> int:
        return self.total_mib - self.used_mib

    def take(self, owner: str, mib: int, image: str, pid: int = 0, label: str = "") -> bool:
        if mib > self.free_mib:
            return False
        self.held[owner] = mib
        return True

    def give_back(self, owner: str) -> None:
        self.held.pop(owner, None)


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    """A card whose socket this process finds where vLLM's engine does, which it is taken for."""
    card = Card()
    served = CardSocket(tmp_path, card)
    monkeypatch.setattr(plugin, "SOCKET", str(tmp_path / ".card"))
    monkeypatch.setattr(plugin, "_held", [])
    monkeypatch.setattr(multiprocessing.current_process(), "_name", "EngineCore_DP0")
    yield card
    served.close()


def command_line(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["vllm", "serve", "/models/tiny", *words])


def test_the_engine_holds_the_part_that_its_command_line_asks_for_until_it_ends(
    card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    command_line(monkeypatch, "--gpu-memory-utilization", "0.5")
    plugin.take_memory()
    # vLLM calls its plugins more than once.
    plugin.take_memory()
    assert list(card.held.values()) == [TOTAL // 2]
    plugin._held.pop().close()
    eventually(lambda: not card.held, "the return of the memory")


def test_what_is_not_free_is_refused_in_vllms_words(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    card.desktop = 20000
    command_line(monkeypatch, "--gpu_memory_utilization=0.5")
    with pytest.raises(
        ValueError, match=r"\(4\.46/23\.99 GiB\) on startup is less than desired GPU memory utilization"
    ):
        plugin.take_memory()
    assert card.held == {}


def test_another_process_of_vllm_holds_nothing_and_neither_does_an_engine_where_no_card_is(
    card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    command_line(monkeypatch)
    monkeypatch.setattr(multiprocessing.current_process(), "_name", "VllmWorker-0")
    plugin.take_memory()
    monkeypatch.setattr(multiprocessing.current_process(), "_name", "EngineCore_DP0")
    monkeypatch.setattr(plugin, "SOCKET", "/nowhere/.card")
    plugin.take_memory()
    assert card.held == {}


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], 0.92),
        (["--device-memory-utilization", "0.7"], 0.7),
        (["--gpu-memory-utilization", "0.7", "--gpu-memory-utilization=0.8"], 0.8),
    ],
)
def test_the_last_word_about_the_memory_counts_and_without_one_vllms_own_part(words: list[str], part: float) -> None:
    assert plugin.wanted_part(["vllm", "serve", *words]) == part
