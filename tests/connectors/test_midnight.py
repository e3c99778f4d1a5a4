"""What a person reads before anything is done to a new box, and when its box goes away."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vengeance.box.pins import pinned
from vengeance.twin.client import Twin

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bare() -> Iterator[Twin]:
    twin = Twin("midnight")
    twin.up(distro=False, bare=True)
    yield twin
    twin.down()


def pyinfra(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pyinfra", "inventory/twin.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "VENGEANCE_TWIN": "midnight", "PYINFRA_PROGRESS": "off"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout + done.stderr


def test_the_plan_says_of_every_change_what_was_and_what_will_be(bare: Twin) -> None:
    before = bare.windows_state()
    said = pyinfra("deploys/vengeance.py", "--dry")
    for line in (
        "feature VirtualMachinePlatform: Disabled -> Enabled",
        "Fast Startup on -> sleeps never, does not hibernate, Fast Startup off",
        "port 11434: free for all -> set aside",
        "Windows will be restarted: what was changed takes effect with a restart",
        f"Ollama: (not installed) -> {pinned('ollama')}",
        "machine variable OLLAMA_HOST: (not set) -> '0.0.0.0:11434'",
        "model qwen2.5:3b: (not there) -> pulled (1.9 GB)",
        "firewall rule vengeance-ollama: (not there) -> allows port 11434 for 100.64.0.0/10",
        "Tailscale's port 8080: (not forwarded) -> 127.0.0.1:8080",
    ):
        assert line in said
    assert bare.windows_state()["registry"] == before["registry"]


def test_nothing_is_said_of_a_box_that_cannot_be_asked(bare: Twin) -> None:
    bare.fault("refuse", seconds=60)
    try:
        said = pyinfra("deploys/windows.py", "--yes")
    finally:
        bare.fault("clear")
    assert "is the box on, and WinRM enabled" in said
    assert "Traceback" not in said
    assert "has no feature" not in said
