"""Fixtures that several test folders share."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gevent import monkey

if TYPE_CHECKING:
    from vengeance.twin.client import Twin

# pyinfra's command line replaces threads, locks and sockets of the whole process as soon as it is imported. Here
# servers run on threads in the same process, begun before or after that; halves of both kinds wait on each other
# for ever. Tests that need the command line as it is start it as a process of its own.
monkey.patch_all = lambda *args, **kwargs: None

# A shell that starts something in the background has it ignore Ctrl-C, and so would all that the tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Who only looks at a box with these tests has no hypothesis.
with contextlib.suppress(ModuleNotFoundError):
    from hypothesis import HealthCheck, settings

    # How long an example takes tells how busy the machine is, and nothing of what is tested.
    settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy")

# Folders whose files look at one and the same deployed box.
_ONE_BOX = ("box",)
# What takes longest in one piece begins first, so that no worker is left with it at the end.
_FIRST = (
    "real/",
    "box",
    "bare/test_from_bare.py",
    "twin/test_distro_delegated.py",
    "twin/test_modes.py",
    "connectors/test_cuda.py",
    "faults/",
    "twin/test_vllm_running.py",
    "twin/test_doctor.py",
    "twin/test_undo.py",
    "twin/test_vllm_model.py",
    "connectors/",
    "twin/",
    "wire/",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes minutes, and begin with what takes longest."""
    if not os.environ.get("VENGEANCE_FULL"):
        long = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    items.sort(key=lambda item: _place(_group(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Have one worker run all of a file, and all of a folder whose files look at one box (``--dist loadfile``).

    pytest-xdist 3.8 has groups for that (``--dist loadgroup``), which it does not see with pytest 9.2.
    """
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return ByGroup(config, log)


def _place(group: str) -> int:
    return next((place for place, name in enumerate(_FIRST) if group.startswith(name)), len(_FIRST))


def _group(nodeid: str) -> str:
    file = nodeid.partition("::")[0].removeprefix("tests/")
    folder = file.partition("/")[0]
    return folder if folder in _ONE_BOX else file


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
