"""Whatever is cut, a command runs exactly once or the user is told that nobody knows."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from tests.wire.conftest import DISTRO, ROOT, Box
from vengeance.winrm.client import WinRMClient
from vengeance.winrm.errors import OutcomeUnknown

# Every phase of a run is in four commands: the start, the first, one between others, the last, the end.
COMMANDS = 20 if os.environ.get("VENGEANCE_FULL") else 4


def run_counted(client: WinRMClient, counter: Path) -> list[bytes]:
    return [
        client.sh(DISTRO, ROOT, f"echo {number} >>'{counter}'; echo answer {number}").stdout
        for number in range(COMMANDS)
    ]


RIGHT = [f"answer {number}\n".encode() for number in range(COMMANDS)]


def requests_of_a_run(duplex: bool) -> int:
    # Create, Command, the start's Send and Receive, then a Send and a Receive a command.
    return 4 + 2 * COMMANDS


@pytest.mark.parametrize("duplex", [True, False], ids=["duplex", "half duplex"])
@pytest.mark.parametrize("kind", ["cut_before", "cut_after", "bad_request"])
def test_a_run_cut_at_any_request_does_everything_once(box: Box, tmp_path: Path, kind: str, duplex: bool) -> None:
    wrong = []
    for number in range(1, requests_of_a_run(duplex) + 1):
        counter = tmp_path / f"counter-{number}"
        counter.touch()
        box.server.faults.clear()
        box.fault(kind=kind, request=number)
        client = box.client(duplex=duplex)
        answers = run_counted(client, counter)
        client.close()
        if answers != RIGHT or counter.read_text().split() != [str(item) for item in range(COMMANDS)]:
            wrong.append(number)
    assert wrong == []


@pytest.mark.parametrize("kind", ["cut_before", "cut_after"])
def test_three_cuts_in_a_row_change_nothing(box: Box, tmp_path: Path, kind: str) -> None:
    counter = tmp_path / "counter"
    client = box.client()
    client.connect()
    box.fault(kind=kind, request=9, times=3)
    assert run_counted(client, counter) == RIGHT
    assert counter.read_text().split() == [str(item) for item in range(COMMANDS)]


def test_a_shell_that_was_lost_while_nothing_ran_is_replaced(box: Box, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    client = box.client()
    client.sh(DISTRO, ROOT, ":")
    box.server.shells.close()
    assert run_counted(client, counter) == RIGHT


def test_a_shell_that_is_full_is_replaced(box: Box) -> None:
    client = box.client()
    box.fault(kind="fault", code=2150859174, action="Command", request=1)
    assert client.sh(DISTRO, ROOT, "echo ok").stdout == b"ok\n"
    assert box.counted()["by_action"]["Create"] == 2


def test_an_agent_killed_during_a_command_is_an_unknown_outcome_and_the_command_is_not_repeated(
    box: Box, tmp_path: Path
) -> None:
    counter = tmp_path / "counter"
    client = box.client()
    client.sh(DISTRO, ROOT, ":")
    threading.Timer(0.7, box.wsl.started[0].kill).start()
    with pytest.raises(OutcomeUnknown, match="not known"):
        client.sh(DISTRO, ROOT, f"echo once >>'{counter}'; sleep 2")
    time.sleep(0.2)
    assert client.sh(DISTRO, ROOT, "echo again").stdout == b"again\n"
    assert counter.read_text() == "once\n"


def test_a_command_that_only_reads_is_repeated_when_its_agent_is_killed(box: Box, tmp_path: Path) -> None:
    client = box.client()
    client.sh(DISTRO, ROOT, ":")
    threading.Timer(0.5, box.wsl.started[0].kill).start()
    result = client.sh(DISTRO, ROOT, "sleep 1; echo read", read_only=True)
    assert result.stdout == b"read\n"


def test_a_server_that_goes_away_for_two_seconds_is_waited_for(box: Box, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    client = box.client()
    client.sh(DISTRO, ROOT, ":")
    box.fault(kind="refuse", seconds=2)
    box.fault(kind="cut_after", request=3)
    assert run_counted(client, counter) == RIGHT
    assert counter.read_text().split() == [str(item) for item in range(COMMANDS)]


def test_connections_that_the_box_closed_while_idle_are_made_again(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box.server.limits, "connection_idle_seconds", 0.3)
    client = box.client()
    client.sh(DISTRO, ROOT, ":")
    time.sleep(1)
    assert client.sh(DISTRO, ROOT, "echo back").stdout == b"back\n"


def test_closing_leaves_no_shell_on_the_box(box: Box) -> None:
    client = box.client()
    client.sh(DISTRO, ROOT, ":")
    client.close()
    assert box.server.shells.snapshot() == []


def test_an_interrupted_command_is_ended_when_the_client_closes(box: Box) -> None:
    client = box.client()
    client.sh(DISTRO, ROOT, ":")

    seen: list[bool] = []

    def on_live(live: object) -> None:
        seen.append(True)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.sh(DISTRO, ROOT, "echo x; sleep 4321.1234", on_live=on_live)
    client.close()
    assert seen
    other = box.client()
    assert other.sh(DISTRO, ROOT, "pgrep -f '[s]leep 4321.1234' || echo none").stdout == b"none\n"


def test_two_threads_on_one_client_do_not_disturb_each_other(box: Box) -> None:
    client = box.client()
    answers: dict[int, bytes] = {}

    def work(number: int) -> None:
        answers[number] = b"".join(client.sh(DISTRO, ROOT, f"echo {number}.{item}").stdout for item in range(10))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: "".join(f"{n}.{i}\n" for i in range(10)).encode() for n in range(4)}
