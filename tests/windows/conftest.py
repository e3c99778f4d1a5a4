"""A real Windows over WinRM. Where the environment names none there are no tests here, which pytest ends with 5."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.windows.machine import PREFIX, Machine
from vengeance.winrm.client import WinRMClient

MISSING = [PREFIX + name for name in ("USER", "PASSWORD", "SHA256") if not os.environ.get(PREFIX + name)]
collect_ignore_glob = ["test_*.py"] if MISSING else []


def pytest_report_header() -> str:
    """Why there are none, for who asks for this folder alone."""
    if MISSING:
        return f"tests/windows: no Windows is named, {', '.join(MISSING)} not set; see docs/real-windows.md"
    return f"tests/windows: {os.environ.get(PREFIX + 'HOST', '127.0.0.1')}"


@pytest.fixture(scope="session")
def machine() -> Machine:
    """The Windows that the environment names."""
    return Machine.from_environment()


@pytest.fixture(scope="session")
def client(machine: Machine) -> Iterator[WinRMClient]:
    """A client of ours that all tests share, as the hosts of one run do."""
    client = machine.client()
    client.connect()
    try:
        yield client
    finally:
        client.close()


@pytest.fixture(scope="session")
def may_change() -> None:
    """For a test that changes Windows and takes it back: it has to be asked for."""
    if os.environ.get(PREFIX + "CHANGES") != "1":
        pytest.skip("it changes Windows and takes it back: VENGEANCE_WINDOWS_CHANGES=1 allows that")
