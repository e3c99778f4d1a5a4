"""A box that cannot be reached any more: what pyinfra asks of it after that costs no further time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vengeance.connectors.errors import fails_its_host_only
from vengeance.connectors.wsl import why_missing
from vengeance.operations.refusal import in_a_sentence, refuse
from vengeance.winrm.errors import ConnectionLost, OutcomeUnknown


class Host:
    name = "@winrm/box"

    def __init__(self) -> None:
        self.said: list[str] = []

    def log_styled(self, text: str, **style: object) -> None:
        self.said.append(text)


class Connector:
    """Asks a box that answers with what stands in ``answers``."""

    lost: str | None = None

    def __init__(self, *answers: object) -> None:
        self.host: Any = Host()
        self.state: Any = SimpleNamespace(failed_hosts=set())
        self.answers = list(answers)

    @fails_its_host_only
    def ask(self) -> object:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def one(connector: Connector) -> Connector:
    with pytest.raises((ConnectionLost, OutcomeUnknown)):
        connector.ask()
    return connector


def test_a_box_that_is_lost_is_not_tried_again_once_its_host_has_failed() -> None:
    connector = one(Connector(ConnectionLost("the line is cut"), "too late"))
    connector.state.failed_hosts.add(connector.host)
    with pytest.raises(ConnectionLost, match="not tried again"):
        connector.ask()
    assert connector.answers == ["too late"]


def test_it_is_tried_again_as_long_as_its_host_has_not_failed() -> None:
    connector = one(Connector(ConnectionLost("cut"), "there", OutcomeUnknown("who knows"), "again"))
    assert connector.ask() == "there"
    connector = one(connector)
    connector.state.failed_hosts.add(connector.host)
    assert connector.ask() == "again", "a box that answers is asked, whatever its host did"


def test_a_function_says_that_its_box_is_gone_and_a_refusal_nothing_about_what_was_not_read() -> None:
    connector = Connector()
    said = connector.host.said

    @in_a_sentence
    def deed(state: Any, host: Any, text: str) -> bool:
        raise ConnectionLost(text)

    assert not deed(connector.state, connector.host, "the line is cut")
    assert said == ["@winrm/box: the line is cut"]
    connector.state.failed_hosts.add(connector.host)
    assert not refuse("Windows has no such feature").execute(connector.state, connector.host, {})
    assert said == ["@winrm/box: the line is cut"]


@pytest.mark.parametrize(
    ("complaint", "words"),
    [
        ("wsl.exe cannot run anything: The system cannot find the path specified.", "is not there yet"),
        ("Kein Name. Fehlercode: Wsl/Service/WSL_E_DISTRO_NOT_FOUND. Distros", "is not there yet"),
        (
            "... Error code: Wsl/Service/CreateInstance/CreateVm/HCS/HCS_E_HYPERV_NOT_INSTALLED. Distros belong",
            "does not start (Wsl/Service/CreateInstance/CreateVm/HCS/HCS_E_HYPERV_NOT_INSTALLED)",
        ),
    ],
)
def test_a_distro_that_does_not_start_is_told_from_one_that_is_not_there(complaint: str, words: str) -> None:
    assert why_missing(complaint) == words
