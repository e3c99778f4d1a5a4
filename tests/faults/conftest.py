"""One twin that meets the faults, and where it can be put back to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.faulty_box import FaultyBox
from vengeance.twin.client import Twin


@pytest.fixture(scope="module")
def box(twin_home: Path, request: pytest.FixtureRequest) -> Iterator[FaultyBox]:
    """A twin of this file's own that begins as a Windows that has just been set up."""
    twin = Twin(f"faults-{request.path.stem.removeprefix('test_')}")
    distro = twin.up(bare=True)["distro"]
    try:
        if not distro["systemd"]:
            pytest.skip(f"the twin's distro does not stay up here: {' '.join(distro['missing'])}")
        yield FaultyBox(twin, twin_home / f"{twin.name}-snapshots")
    finally:
        twin.down()
