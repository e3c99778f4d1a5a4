"""What is refused, or said, when the two sides of a box are looked at together before a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.config import Config
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.context import ctx_host, ctx_inventory, ctx_state

from tests.unit.test_settings import DATA
from vengeance.box.modes import Handover
from vengeance.operations import settings, tenants

ROOT = Path(__file__).resolve().parents[2]
WINDOWS, DISTRO = "@winrm/box", "@wsl/box/Ubuntu-24.04"


@pytest.fixture
def asked() -> dict[str, Any]:
    return {}


@pytest.fixture
def distro(asked: dict[str, Any]) -> Iterator[Host]:
    """The distro of a box, both sides of which are in the run, with the group data and what is asked for."""
    known = Inventory(  # type: ignore[no-untyped-call]
        ([WINDOWS, DISTRO], {**DATA["all"], **asked}),
        windows=([WINDOWS], dict(DATA["windows"])),
        wsl=([DISTRO], {**DATA["wsl"]}),
    )
    state = State(known, Config())  # type: ignore[no-untyped-call]
    state.cwd = str(ROOT)
    for each in known:
        state.activate_host(each)
    host = known.get_host(DISTRO)
    with ctx_state.use(state), ctx_inventory.use(known), ctx_host.use(host):
        yield host


def test_what_the_group_data_say_of_both_sides_goes_together(distro: Host) -> None:
    settings.check_host()


def test_a_vllm_server_on_ollamas_port_is_refused(distro: Host) -> None:
    distro.data.vllm_profiles = {"tried": {"model": "a/b", "port": 11434}}
    distro.data.vllm_profile = "tried"
    with pytest.raises(OperationValueError, match="tried has port 11434, which is Ollama's"):
        settings.check_host()


@pytest.mark.parametrize("asked", [{"mode": "btach"}, {"profile": "x"}])
def test_a_mode_that_is_asked_of_another_deploy_is_said_to_be_unheard_once(
    distro: Host, asked: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(distro, "log", lambda message, log_func=None: said.append(message))
    settings.check_host(asks=True)
    assert said == []
    settings.check_host()
    settings.check_host()
    (sentence,) = said
    ((name, value),) = asked.items()
    assert sentence.startswith(f"{name}={value} counts for deploys/mode.py alone")


@pytest.mark.parametrize("asked", [{"mode": "batch"}, {"mode": "interactive"}])
def test_a_distro_that_is_not_there_is_told_with_what_makes_it(distro: Host, asked: dict[str, str]) -> None:
    assert tenants.handover().mode == asked["mode"]
    distro.connector.missing = "There is no distribution. Error code: Wsl/Service/WSL_E_DISTRO_NOT_FOUND"  # type: ignore[attr-defined]
    with pytest.raises(OperationValueError, match=f"{DISTRO} is not there yet, and deploys/wsl.py"):
        tenants.handover()


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("activating", "another one has started the server of tried meanwhile"),
        ("inactive", "is where it was: no vLLM server runs, and Ollama loads a model when it is asked. Because."),
    ],
)
def test_a_run_that_failed_says_whether_another_one_goes_on(
    distro: Host, state: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distro, "get_fact", lambda fact, **_: {"tried": state})
    tenants.course(distro.state, distro).failure = "Because."
    asked = Handover("batch", "tried")
    (refusal,) = tenants.as_before._inner(
        asked=asked, profiles={}, path="/venv", user="steam", version="0.15.1", start_timeout=1
    )
    assert sentence in refusal.args[0]
