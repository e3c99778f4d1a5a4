"""Fault rules strike where they are told to, and nowhere else; the log counts what has happened."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.twin.raw_wsman import (
    CONFIG,
    PASSWORD,
    TRANSFER,
    RawConnection,
    Served,
    command_message,
    message,
    serving,
)
from vengeance.twin.wsman.faults import FaultPlan, FaultRule

CUT = (http.client.RemoteDisconnected, ConnectionResetError)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as running:
        yield running


def get_config() -> bytes:
    return message(f"{TRANSFER}/Get", resource=CONFIG)


def counted(folder: Path, connection: RawConnection, shell: str) -> None:
    """Run a program that leaves a mark each time it runs."""
    connection.command(shell, f"echo mark >> '{folder / 'marks'}'")


def marks(folder: Path, served: Served) -> int:
    for output in served.programs.outputs:
        assert output.wait(10) == 0
    file = folder / "marks"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_a_cut_before_leaves_nothing_done(served: Served, tmp_path: Path) -> None:
    connection = served.signed_in()
    shell = connection.create()
    served.server.faults.add({"kind": "cut_before", "request": 2})
    counted(tmp_path, connection, shell)
    with pytest.raises(CUT):
        counted(tmp_path, connection, shell)
    assert marks(tmp_path, served) == 1
    counted(tmp_path, served.signed_in(), shell)  # the rule is spent, the shell lives on
    assert marks(tmp_path, served) == 2


def test_a_cut_after_leaves_it_done(served: Served, tmp_path: Path) -> None:
    connection = served.signed_in()
    shell = connection.create()
    served.server.faults.add({"kind": "cut_after", "request": 2})
    counted(tmp_path, connection, shell)
    with pytest.raises(CUT):
        counted(tmp_path, connection, shell)
    assert marks(tmp_path, served) == 2


def test_a_receive_cut_after_loses_its_output(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create()
    command = connection.command(shell, "cat")
    served.server.faults.add({"kind": "cut_after", "action": "Receive"})
    connection.input(shell, command, b"lost")
    with pytest.raises(CUT):
        connection.receive(shell, command)
    again = served.signed_in()
    again.input(shell, command, b"found", end=True)
    assert again.receive_all(shell, command) == (b"found", b"", 0)


def test_a_receive_cut_before_keeps_its_output(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create()
    command = connection.command(shell, "echo kept")
    served.server.faults.add({"kind": "cut_before", "action": "Receive"})
    with pytest.raises(CUT):
        connection.receive(shell, command)
    assert served.signed_in().receive_all(shell, command) == (b"kept\n", b"", 0)


def test_a_cut_strikes_the_message_that_comes_with_the_last_token(served: Served) -> None:
    served.server.faults.add({"kind": "cut_before"})
    with pytest.raises(CUT):
        served.connect().sign_in("Steam", PASSWORD, last_body=get_config())


def test_handshake_legs_are_not_counted(served: Served) -> None:
    served.server.faults.add({"kind": "bad_request", "request": 2})
    for _ in range(3):
        served.signed_in()
    connection = served.signed_in()
    assert [connection.send(get_config()).status for _ in range(3)] == [200, 400, 200]


def test_requests_are_counted_from_when_the_rule_was_set(served: Served) -> None:
    connection = served.signed_in()
    for _ in range(5):
        connection.send(get_config())
    served.server.faults.add({"kind": "bad_request", "request": 1})
    assert [connection.send(get_config()).status for _ in range(2)] == [400, 200]


def test_a_rule_can_strike_several_times_or_for_ever(served: Served) -> None:
    connection = served.signed_in()
    served.server.faults.add({"kind": "bad_request", "request": 2, "times": 2})
    assert [connection.send(get_config()).status for _ in range(5)] == [200, 400, 400, 200, 200]
    assert served.server.faults.snapshot() == []
    served.server.faults.add({"kind": "bad_request", "times": None})
    assert [connection.send(get_config()).status for _ in range(4)] == [400] * 4
    served.server.faults.clear()
    assert connection.send(get_config()).status == 200


def test_a_rule_for_an_action_leaves_the_others_alone(served: Served) -> None:
    connection = served.signed_in()
    served.server.faults.add({"kind": "fault", "code": 170, "action": "Send", "request": 2})
    shell = connection.create()
    command = connection.command(shell, "cat")
    assert connection.input(shell, command, b"a").status == 200
    assert connection.receive(shell, command).status == 200
    assert connection.input(shell, command, b"b").fault == 170
    assert connection.input(shell, command, b"c", end=True).status == 200
    assert connection.receive_all(shell, command) == (b"c", b"", 0)


@pytest.mark.parametrize(
    "code", [2150858793, 2150858843, 2150859174, 2150859173, 2147942402, 170, 995, 1460, 5, 87, 4711]
)
def test_any_fault_code_can_be_answered_and_nothing_is_done(served: Served, tmp_path: Path, code: int) -> None:
    connection = served.signed_in()
    shell = connection.create()
    served.server.faults.add({"kind": "fault", "code": code, "action": "Command"})
    with pytest.raises(AssertionError):
        counted(tmp_path, connection, shell)
    assert marks(tmp_path, served) == 0
    served.server.faults.add({"kind": "fault", "code": code})
    answer = connection.send(get_config())
    assert (answer.status, answer.fault) == (500, code)


def test_a_delay_holds_up_every_request_and_handshake_leg(served: Served) -> None:
    served.server.faults.add({"kind": "delay", "milliseconds": 60})
    began = time.monotonic()
    connection = served.signed_in()
    connection.send(get_config())
    connection.send(get_config())
    assert 4 * 0.06 <= time.monotonic() - began < 4 * 0.06 + 2
    assert served.server.faults.snapshot()[0]["milliseconds"] == 60
    served.server.faults.clear()
    assert connection.send(get_config()).status == 200
    assert served.server.faults.delay_seconds() == 0


def test_delays_of_several_connections_pass_side_by_side(served: Served) -> None:
    connections = [served.signed_in() for _ in range(10)]
    served.server.faults.add({"kind": "delay", "milliseconds": 200})
    began = time.monotonic()
    threads = [threading.Thread(target=connection.send, args=(get_config(),)) for connection in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began < 1.5  # one after the other would take 2 s


def test_refused_connections_leave_open_ones_alone_and_come_back(served: Served) -> None:
    connection = served.signed_in()
    served.server.faults.add({"kind": "refuse", "seconds": 1.5})
    with pytest.raises(ConnectionRefusedError):
        served.signed_in()
    with pytest.raises(ConnectionRefusedError):
        served.signed_in(tls=True)
    assert connection.send(get_config()).status == 200
    assert served.server.faults.snapshot()[0]["kind"] == "refuse"
    time.sleep(1.6)
    assert served.signed_in().send(get_config()).status == 200
    assert served.signed_in(tls=True).send(get_config()).status == 200
    assert served.server.faults.snapshot() == []


def test_clear_ends_a_refusal_at_once(served: Served) -> None:
    served.server.faults.add({"kind": "refuse", "seconds": 60})
    with pytest.raises(ConnectionRefusedError):
        served.signed_in()
    served.server.faults.clear()
    time.sleep(0.2)
    assert served.signed_in().send(get_config()).status == 200


def test_a_plan_speaks_json(served: Served) -> None:
    plan = served.server.faults
    plan.add(FaultRule("cut_after", request=3, action="Send"))
    plan.add(json.loads('{"kind": "delay", "milliseconds": 20}'))
    assert json.loads(json.dumps(plan.snapshot())) == [
        {"kind": "cut_after", "request": 3, "times": 1, "action": "Send", "seen": 0},
        {"kind": "delay", "request": 1, "times": 1, "milliseconds": 20, "seen": 0},
    ]


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"kind": "explode"}, "There is no fault of the kind 'explode'; use one of cut_before"),
        ({"kind": "cut_before", "requests": 3}, "A fault rule has no field requests; it has kind, request"),
        ({"kind": "cut_before", "request": 0}, "counts requests from 1, so request=0 never comes"),
        ({"kind": "cut_before", "times": 0}, "needs times of at least 1"),
        ({"kind": "fault"}, "kind 'fault' needs a value for 'code'"),
        ({"kind": "delay"}, "kind 'delay' needs a value for 'milliseconds'"),
        ({"kind": "refuse"}, "kind 'refuse' needs a value for 'seconds'"),
        ({"request": 3}, "A fault rule needs a kind"),
    ],
)
def test_a_wrong_rule_is_refused_in_a_sentence(rule: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        FaultPlan().add(rule)


def test_the_counters_tell_what_came_and_went(served: Served) -> None:
    log = served.server.log
    connection = served.signed_in()
    shell = connection.create()
    command = connection.command(shell, "echo hi")
    connection.receive_all(shell, command)
    connection.delete(shell)
    snapshot = log.snapshot()
    receives = snapshot["by_action"]["Receive"]
    assert snapshot["by_action"] == {"Create": 1, "Command": 1, "Receive": receives, "Delete": 1}
    assert snapshot["messages"] == 3 + receives
    assert snapshot["requests"] == snapshot["messages"] + 2  # and the two legs of the handshake
    assert snapshot["connections"] == 1
    lines = [json.loads(line) for line in served.log_file.read_text().splitlines()]
    assert len(lines) == snapshot["requests"]
    assert sum(line["bytes_in"] for line in lines) == snapshot["bytes_in"] > 3000
    assert sum(line["bytes_out"] for line in lines) == snapshot["bytes_out"] > 3000
    assert [line["status"] for line in lines[:2]] == [401, 200]
    assert [line["leg"] for line in lines[:3]] == ["handshake", "handshake", "message"]
    log.reset()
    assert log.snapshot()["requests"] == 0
    assert log.snapshot()["by_action"] == {}


def test_the_log_names_what_a_rule_did(served: Served) -> None:
    connection = served.signed_in()
    served.server.faults.add({"kind": "fault", "code": 170})
    connection.send(get_config())
    served.server.faults.add({"kind": "cut_before"})
    with pytest.raises(CUT):
        connection.send(get_config())
    fault, cut = [json.loads(line) for line in served.log_file.read_text().splitlines()][-2:]
    assert (fault["injected"], fault["fault"], fault["status"], fault["action"]) == ("fault", 170, 500, "Get")
    assert (cut["injected"], cut["status"], cut["action"]) == ("cut_before", None, "Get")


def test_a_rule_can_hit_every_third_request() -> None:
    plan = FaultPlan()
    plan.add(FaultRule("cut_before", request=2, times=2, every=3))
    assert [plan.hit("Send") is not None for _ in range(10)] == [False, True, False, False, True] + 5 * [False]
    assert plan.snapshot() == []


def test_a_request_without_an_answer_is_done_and_nothing_is_said_until_the_client_goes(
    served: Served, tmp_path: Path
) -> None:
    connection = served.signed_in()
    shell = connection.create()
    served.server.faults.add({"kind": "no_answer"})
    connection.http.timeout = 0.3
    if connection.http.sock is not None:
        connection.http.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        counted(tmp_path, connection, shell)
    connection.close()
    assert marks(tmp_path, served) == 1
    counted(tmp_path, served.signed_in(), shell)
    assert marks(tmp_path, served) == 2


@pytest.mark.parametrize(("action", "code"), [("Command", 2150858793), ("Send", 1460)])
def test_what_has_timed_out_was_done_all_the_same(served: Served, action: str, code: int) -> None:
    connection = served.signed_in()
    shell = connection.create()
    command = connection.command(shell, "cat")
    served.server.faults.add({"kind": "timed_out", "action": action})
    if action == "Send":
        assert connection.input(shell, command, b"read", end=True).fault == code
        assert connection.receive_all(shell, command) == (b"read", b"", 0)
    else:
        assert connection.send(command_message(shell, "true")).fault == code
        assert len(served.programs.outputs) == 2


def test_a_receive_that_has_timed_out_took_nothing(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create()
    command = connection.command(shell, "echo all")
    assert served.programs.outputs[0].wait(10) == 0
    served.server.faults.add({"kind": "timed_out", "action": "Receive"})
    assert connection.receive(shell, command).fault == 2150858793
    assert connection.receive_all(shell, command) == (b"all\n", b"", 0)
