"""The preflight of the whole deploy, on a twin that cannot become what it should be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.twin_deploys import run_pyinfra
from vengeance.twin.client import Twin

GB = 10**9


@pytest.fixture(scope="module")
def unfit() -> Iterator[Twin]:
    """A bare Windows with a nearly full disk, and a WinRM that lets in two shells only."""
    twin = Twin("unfit")
    twin.up(distro=False, bare=True)
    twin.fault("disk_full", bytes=40 * GB)
    twin.limits(max_shells_per_user=2)
    yield twin
    twin.down()


@pytest.mark.parametrize("how", ["--dry", "--yes"])
def test_everything_in_the_way_is_said_at_once_and_nothing_is_changed(unfit: Twin, how: str) -> None:
    before = unfit.windows_state()
    unfit.log_reset()
    done = run_pyinfra("unfit", "deploys/vengeance.py", how, "--data", "gpu_name=RTX 5090", timeout=300)
    said = done.stdout + done.stderr
    for sentence in (
        "The card is NVIDIA GeForce RTX 4090, and gpu_name is 'RTX 5090'",
        "C: has 40 GB free, and",
        "WinRM's MaxShellsPerUser is 2, too low to work under.",
    ):
        assert sentence in said
    assert done.returncode == (0 if how == "--dry" else 1)
    after = unfit.windows_state()
    assert (after["registry"], after["sections"]) == (before["registry"], before["sections"])
    assert "Windows restarts" not in said
