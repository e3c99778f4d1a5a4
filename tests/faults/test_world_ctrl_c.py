"""Ctrl-C at twelve places of a deploy from bare, each run one place further: nothing is left, and the last is right."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.test_world import AGAIN, INTERRUPTED, WHOLE, World, interrupted, right
from tests.faults.world import Follower
from tests.faults.worldly_table import record
from tests.twin_deploys import vllm_at_boot
from vengeance.twin.client import Twin

PLACES = [
    ("Starting operation: No other run is at work", "before anything is changed"),
    ("| Feature VirtualMachinePlatform", "while a feature is switched on"),
    ("Windows restarts: ", "while Windows restarts"),
    ("| Ollama 0.34.1", "while Ollama is installed"),
    ("| Ollama's variables", "while Ollama is set"),
    ("| Ollama's models", "while a model is pulled"),
    ("| WSL from its package", "while WSL is installed"),
    ("| The distro Ubuntu-24.04", "while the distro is imported"),
    ("| CUDA toolkit", "while packages are installed"),
    ("| Python environment with vLLM", "while vLLM is installed"),
    ("| The model of", "while vLLM's model is downloaded"),
    ("| From this machine", "while the box is asked"),
]


@pytest.fixture(scope="module")
def world(twin_home: object) -> Iterator[World]:
    twin = Twin("ctrl-c")
    distro = twin.up(bare=True)["distro"]
    try:
        if not distro["systemd"] or not distro["vendor_repository"]:
            pytest.skip("; ".join(distro["missing"]) or "no distro with systemd on this machine")
        yield World(twin, Follower("ctrl-c", vllm_at_boot()))
    finally:
        twin.down()


@pytest.mark.full
@pytest.mark.parametrize(("at", "when"), PLACES)
def test_ctrl_c_leaves_nothing_behind(world: World, at: str, when: str) -> None:
    interrupted(world, WHOLE, at)
    record("Ctrl-C", when, INTERRUPTED, AGAIN, "faults/test_world_ctrl_c.py", "test_ctrl_c_leaves_nothing_behind")


@pytest.mark.full
def test_after_all_of_that_the_next_run_ends_right_and_the_one_after_it_changes_nothing(world: World) -> None:
    right(world.run(WHOLE))
    last = world.run(WHOLE)
    right(last)
    assert last.changes == []
    deeds = world.twin.deeds()
    once = [name for name in deeds if name.startswith("installer of ") or name.endswith(" imported")]
    assert len(once) == 3, deeds
    assert {name: deeds[name] for name in once} == dict.fromkeys(once, 1)
