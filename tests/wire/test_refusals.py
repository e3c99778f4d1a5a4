"""A request that the box refuses, or does not get done in time: asked again where that is safe, else told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.wire.conftest import DISTRO, ROOT, Box
from vengeance.winrm import connection
from vengeance.winrm.errors import Fault, OutcomeUnknown

COMMANDS = 5
OPERATIONS_QUOTA, SHELLS_QUOTA, SOMETHING_ELSE = 2150859174, 2150859173, 4711
QUOTA: dict[str, Any] = {"kind": "fault", "code": OPERATIONS_QUOTA}
TIMED_OUT: dict[str, Any] = {"kind": "timed_out"}


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "QUOTA_WAITS", (0.01, 0.02))


@pytest.mark.parametrize("duplex", [True, False], ids=["duplex", "half duplex"])
@pytest.mark.parametrize("rule", [QUOTA, TIMED_OUT], ids=["quota", "time is up"])
def test_a_run_with_one_request_refused_or_late_does_everything_once(
    box: Box, tmp_path: Path, rule: dict[str, Any], duplex: bool
) -> None:
    wrong = []
    # Create, Command, the start's Send and Receive, a Send and a Receive a command, and Delete.
    for number in range(1, 4 + 2 * COMMANDS + 2):
        counter = tmp_path / f"counter-{number}"
        box.server.faults.clear()
        box.fault(request=number, **rule)
        client = box.client(duplex=duplex)
        client.connect()
        for command in range(COMMANDS):
            client.sh(DISTRO, ROOT, f"echo {command} >>'{counter}'")
        client.close()
        if counter.read_text().split() != [str(command) for command in range(COMMANDS)]:
            wrong.append(number)
    assert wrong == []


@pytest.mark.parametrize("action", ["Create", "Command"])
def test_a_quota_that_stays_used_up_is_a_sentence_with_its_mend(box: Box, action: str) -> None:
    box.fault(times=None, action=action, **QUOTA)
    with pytest.raises(Fault, match=r"lets this account do no more at once.*Restart-Service WinRM.*run this again"):
        box.client().sh(DISTRO, ROOT, ":")


def test_a_shells_quota_is_waited_for_when_a_run_connects(box: Box) -> None:
    box.fault(kind="fault", code=SHELLS_QUOTA, action="Create", times=2)
    client = box.client()
    client.connect()
    assert client.sh(DISTRO, ROOT, "echo in").stdout == b"in\n"


def test_a_request_that_a_full_agent_never_took_is_given_to_another_one(box: Box, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    client = box.client()
    client.sh(DISTRO, ROOT, ":")
    box.fault(action="Send", times=3, **QUOTA)
    client.sh(DISTRO, ROOT, f"echo once >>'{counter}'")
    assert counter.read_text() == "once\n"
    assert len(box.wsl.started) == 2


def test_a_command_of_which_no_more_is_told_is_an_unknown_outcome_and_not_repeated(box: Box, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    client = box.client(duplex=False)
    client.sh(DISTRO, ROOT, ":")
    box.fault(action="Receive", times=3, **QUOTA)
    with pytest.raises(OutcomeUnknown, match=r"is not known.*run this again"):
        client.sh(DISTRO, ROOT, f"echo once >>'{counter}'")
    assert client.sh(DISTRO, ROOT, "echo goes on").stdout == b"goes on\n"
    assert counter.read_text() == "once\n"


def test_one_that_only_reads_is_asked_again_then(box: Box) -> None:
    client = box.client(duplex=False)
    client.sh(DISTRO, ROOT, ":")
    box.fault(action="Receive", times=3, **QUOTA)
    assert client.sh(DISTRO, ROOT, "echo read", read_only=True).stdout == b"read\n"


def test_a_send_with_a_fault_that_says_nothing_of_its_fate_is_an_unknown_outcome(box: Box) -> None:
    client = box.client()
    client.sh(DISTRO, ROOT, ":")
    box.fault(kind="fault", code=SOMETHING_ELSE, action="Send")
    with pytest.raises(OutcomeUnknown, match="4711"):
        client.sh(DISTRO, ROOT, "echo never or once")
