"""Acceptance: the box is restarted, nobody logs on, and everything is back."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

import pytest
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host as PyinfraHost
from testinfra.host import Host

from tests.box.conftest import Looked, Measure
from tests.box.elsewhere import Elsewhere
from tests.waiting import until
from vengeance.twin.client import Twin
from vengeance.verify.modules.vllm import Vllm

pytestmark = pytest.mark.disturbs("the box is restarted")
_ONE_TRY = 0.5


class Restarted(NamedTuple):
    """A restart with nobody at the screen: when Windows had started before and after, and how long each took.

    ``ollama``, ``vllm``: seconds until another machine got an answer, None where none came in time, or was to
    ``distros``: those that ran before anything of this run asked for one
    """

    before: datetime
    after: datetime
    ollama: float | None
    vllm: float | None
    distros: list[str]


@pytest.fixture(scope="module")
def vllm_at_boot(settings: dict[str, Any], own_twin: bool, profile: dict[str, Any]) -> bool:
    """Whether vLLM is to be back by itself."""
    return bool(settings["systemd"]) and (own_twin or bool(profile.get("enabled", False)))


@pytest.fixture(scope="module")
def restarted(
    looked: Looked,
    windows: Host,
    windows_host: PyinfraHost,
    linux_host: PyinfraHost,
    elsewhere: Elsewhere,
    vllm: Vllm,
    declared: dict[str, Any],
    vllm_at_boot: bool,
) -> Restarted:
    """Windows was told to restart, and asked by another machine alone until everything answered."""
    before, patience = windows.boot.time, float(declared["reboot_timeout"])
    windows.check_output("shutdown /r /t 0")
    for host in looked.box.hosts:
        with suppress(OSError):
            host.disconnect()
    began = time.monotonic()
    after = back(windows_host, windows, before, patience)

    def seconds_until(port: int, path: str) -> float | None:
        answers = until(lambda: elsewhere.get(port, path).status == 200, patience, every=_ONE_TRY)
        return time.monotonic() - began if answers else None

    # The distro is not connected to before: that alone would start it.
    exposed = vllm_at_boot and declared["expose"] != "none" and vllm.port in declared["exposed_ports"]
    made = Restarted(
        before,
        after,
        seconds_until(declared["ollama_port"], "/api/version"),
        seconds_until(vllm.port, "/health") if exposed else None,
        windows.wsl.running,
    )
    linux_host.connect(show_errors=False, raise_exceptions=True)
    return made


def back(host: PyinfraHost, windows: Host, before: datetime, patience: float) -> datetime:
    """Wait until Windows has started again, with a new connection each time; returns when that was."""
    found: list[datetime] = []

    def look() -> bool:
        try:
            host.connect(show_errors=False, raise_exceptions=True)
            found.append(windows.boot.time)
        except (ConnectError, OSError, AssertionError):
            found.append(before)
        if found[-1] == before:
            with suppress(OSError):
                host.disconnect()
        return found[-1] != before

    if not until(look, patience, every=_ONE_TRY):
        pytest.exit(f"{host.name} was restarted {patience:g} s ago and is not back: look at its screen.", returncode=1)
    return found[-1]


def test_windows_has_started_anew(restarted: Restarted) -> None:
    """Windows has started anew, and WinRM is back."""
    assert restarted.after > restarted.before


def test_nobody_has_logged_on(restarted: Restarted, windows: Host) -> None:
    """Nobody has logged on since."""
    assert windows.process.filter(image="explorer.exe") == []


def test_ollama_is_back(restarted: Restarted, measure: Measure) -> None:
    """Another machine gets an answer of Ollama after a restart, with nobody logged on."""
    assert restarted.ollama is not None, "no answer came within reboot_timeout"
    measure("Ollama is back after a restart", f"{restarted.ollama:.0f} s")


def test_vllm_is_back(restarted: Restarted, vllm_at_boot: bool, declared: dict[str, Any], measure: Measure) -> None:
    """Another machine gets an answer of vLLM after a restart, with nobody logged on."""
    if not vllm_at_boot or declared["expose"] == "none":
        pytest.skip("vLLM does not start with the distro here (enabled), or is not exposed")
    assert restarted.vllm is not None, "no answer came within reboot_timeout"
    measure("vLLM is back after a restart", f"{restarted.vllm:.0f} s")


def test_the_distro_is_back_by_itself(restarted: Restarted, linux_host: PyinfraHost) -> None:
    """The distro runs again before anybody has asked for it."""
    assert linux_host.data.wsl_distro in restarted.distros


def test_the_card_is_seen_in_both(restarted: Restarted, windows: Host, linux: Host) -> None:
    """Windows and the distro see the card after a restart, with nobody logged on."""
    assert windows.gpu.is_there
    assert linux.gpu.is_there


def test_a_logoff_ends_nothing(
    restarted: Restarted,
    own_twin: bool,
    elsewhere: Elsewhere,
    declared: dict[str, Any],
    vllm: Vllm,
    vllm_at_boot: bool,
    request: pytest.FixtureRequest,
) -> None:
    """Whoever logs on and off again ends nothing."""
    if not own_twin:
        pytest.skip("nobody can log on at the screen from here: do it by hand, then verify again")
    twin: Twin = request.getfixturevalue("twin")
    twin.logon()
    assert elsewhere.get(declared["ollama_port"], "/api/version").status == 200
    twin.logoff()
    assert elsewhere.get(declared["ollama_port"], "/api/version").status == 200
    if vllm_at_boot:
        assert elsewhere.get(vllm.port, "/health").status == 200
