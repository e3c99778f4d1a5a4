"""The tests for a real Windows, tried on the twin, so that what they ask is right before somebody runs them there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vengeance.twin.client import Twin

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def named(twin_home: Path) -> Iterator[dict[str, str]]:
    """The environment that names a twin of its own as the Windows to test."""
    twin = Twin("windows-tests")
    status = twin.up()
    winrm = status["winrm"]
    image = next(sha256 for url, sha256 in status["vendor"].items() if url.endswith(".wsl"))
    settings = {
        "HOST": winrm["host"],
        "PORT": str(winrm["https_port"]),
        "USER": winrm["user"],
        "PASSWORD": winrm["password"],
        "SHA256": winrm["certificate_sha256"],
        "IMAGE_SHA256": image,
        "CHANGES": "1",
        "WSL": "1",
        "TWIN": "1",
    }
    try:
        yield {**os.environ, **{f"VENGEANCE_WINDOWS_{name}": value for name, value in settings.items()}}
    finally:
        twin.down()


@pytest.mark.full
@pytest.mark.timeout(900)
def test_all_of_them_pass_but_those_that_need_programs_which_the_twin_does_not_have(named: dict[str, str]) -> None:
    line = [sys.executable, "-m", "pytest", "-q", "tests/windows", "-p", "no:cacheprovider"]
    done = subprocess.run(line, cwd=ROOT, env=named, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counted = re.search(r"(\d+) passed", done.stdout)
    assert counted is not None
    assert int(counted[1]) > 80
    reasons = re.findall(r"^SKIPPED \[\d+\] \S+ (.*)$", done.stdout, re.MULTILINE)
    assert [reason for reason in reasons if not reason.startswith("the twin ")] == []


def test_without_a_windows_to_test_there_are_none_and_that_is_no_success() -> None:
    unnamed = {name: value for name, value in os.environ.items() if not name.startswith("VENGEANCE_WINDOWS_")}
    line = [sys.executable, "-m", "pytest", "tests/windows", "-p", "no:cacheprovider"]
    done = subprocess.run(line, cwd=ROOT, env=unnamed, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 5, done.stdout
    assert "VENGEANCE_WINDOWS_USER" in done.stdout
