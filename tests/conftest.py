"""Fixtures that several test folders share."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gevent import monkey

if TYPE_CHECKING:
    from vengeance.twin.client import Twin

# pyinfra's command line replaces threads, locks and sockets of the whole process as soon as it is imported. Here
# servers run on threads in the same process, begun before or after that; halves of both kinds wait on each other
# for ever. Tests that need the command line as it is start it as a process of its own.
monkey.patch_all = lambda *args, **kwargs: None

# Who only looks at a box with these tests has no hypothesis.
with contextlib.suppress(ModuleNotFoundError):
    from hypothesis import HealthCheck, settings

    # How long an example takes tells how busy the machine is, and nothing of what is tested.
    settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy")

HERE = Path(__file__).parent
# Folders whose files look at one and the same deployed box.
_ONE_BOX = ("box",)
# What takes longest in one piece begins first, so that no worker is left with it at the end.
_FIRST = (
    "box",
    "bare/test_from_bare.py",
    "twin/test_distro_delegated.py",
    "twin/test_modes.py",
    "connectors/test_cuda.py",
    "faults/",
    "twin/test_vllm_running.py",
    "connectors/test_wsl_from_bare.py",
    "twin/test_modes_cut.py",
    "twin/test_vllm_model.py",
    "connectors/",
    "twin/",
    "wire/",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes minutes, and put each file, and each folder that shares one box, on one worker.

    Groups are those of pytest-xdist's ``--dist loadgroup``.
    """
    if not os.environ.get("VENGEANCE_FULL"):
        long = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: next((place for place, name in enumerate(_FIRST) if _group(item).startswith(name)), 99))


def _group(item: pytest.Item) -> str:
    file = item.path.relative_to(HERE) if item.path.is_relative_to(HERE) else item.path
    return file.parts[0] if file.parts[0] in _ONE_BOX else file.as_posix()


@pytest.fixture(scope="session", autouse=True)
def twin_home() -> Iterator[Path]:
    """A folder for the state of every twin of this test run, so that none of the user's own is touched.

    Short, since the path of a Unix socket has at most 107 bytes. The root filesystem's cache stays shared.
    """
    folder = Path(tempfile.mkdtemp(prefix="vt-"))
    before = os.environ.get("VENGEANCE_TWIN_HOME")
    os.environ["VENGEANCE_TWIN_HOME"] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ["VENGEANCE_TWIN_HOME"]
        else:
            os.environ["VENGEANCE_TWIN_HOME"] = before
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def twin(twin_home: Path) -> Iterator[Twin]:
    """One running twin for the whole test run; a test that changes what others rely on puts it back."""
    from vengeance.twin.client import Twin

    twin = Twin("tests")
    twin.up()
    try:
        yield twin
    finally:
        twin.down()
