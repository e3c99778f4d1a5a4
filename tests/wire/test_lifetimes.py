"""Who waits, how long and for whom: long commands, lost agents, hosts that share a shell, and the end of a run."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.wire.conftest import DISTRO, ROOT, Box
from vengeance.winrm.client import WSL_EXE, WinRMClient
from vengeance.winrm.connection import Unreachable
from vengeance.winrm.errors import ConnectFailed, ConnectionLost, OutcomeUnknown, SignInRefused
from vengeance.winrm.sessions import BoxTransport

both_ways = pytest.mark.parametrize("duplex", [True, False], ids=["duplex", "half duplex"])


def process_line(program: str) -> str:
    return f'{WSL_EXE} -d {DISTRO} -u {ROOT} --cd / --exec /bin/sh -c "{program}"'


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        except OSError:
            return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def unreachable(*_: Any, **__: Any) -> None:
    raise Unreachable("nothing listens there")


@both_ways
def test_a_cut_late_in_a_long_command_is_no_reason_to_give_up(
    box: Box, monkeypatch: pytest.MonkeyPatch, duplex: bool
) -> None:
    monkeypatch.setattr("vengeance.winrm.agent.RECONNECT_SECONDS", 1.0)
    client = box.client(operation_timeout=1, duplex=duplex)
    client.sh(DISTRO, ROOT, ":")
    box.fault(kind="cut_before", request=3, action="Receive")
    box.fault(kind="cut_after", request=5, action="Receive")
    assert client.sh(DISTRO, ROOT, "sleep 5; echo x").stdout == b"x\n"


@both_ways
def test_an_agent_that_ended_while_idle_is_replaced_and_the_command_runs(box: Box, duplex: bool) -> None:
    client = box.client(duplex=duplex)
    for _ in range(12):
        client.sh(DISTRO, ROOT, ":")
        box.wsl.started[-1].kill()
        time.sleep(0.05)
        assert client.sh(DISTRO, ROOT, "echo x").stdout == b"x\n"


def test_two_hosts_that_lose_their_shell_at_once_share_one_new_shell(box: Box) -> None:
    client = box.client()
    answers: list[bytes] = []
    for user in ("one", "two"):
        client.sh(DISTRO, user, ":")
    for _ in range(4):
        box.server.shells.close()

        def work(user: str) -> None:
            answers.append(client.sh(DISTRO, user, "echo x").stdout)
            answers.append(client.sh(DISTRO, user, "sleep 0.3; echo x").stdout)

        threads = [threading.Thread(target=work, args=(user,)) for user in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [b"x\n"] * 16
    assert len(box.server.shells.snapshot()) == 1


@pytest.mark.parametrize("way", ["duplex", "half duplex", "process"])
def test_a_command_does_not_wait_for_the_other_hosts_long_one(box: Box, way: str) -> None:
    client = box.client(duplex=way != "half duplex", operation_timeout=4)
    for user in ("one", "two"):
        client.sh(DISTRO, user, ":")
    if way == "process":
        slow = in_thread(lambda: client.cmd(process_line("sleep 5"), stdin=b""))
    else:
        slow = in_thread(lambda: client.sh(DISTRO, "one", "sleep 5"))
    time.sleep(0.5)
    started = time.monotonic()
    client.sh(DISTRO, "two", ":")
    assert time.monotonic() - started < 2
    slow.join()


def test_nobody_goes_on_waiting_for_an_answer_that_was_given_up(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vengeance.winrm.agent.RECONNECT_SECONDS", 0.2)
    monkeypatch.setattr("vengeance.winrm.shell.persistently.__defaults__", (0.2, (ConnectionLost, Unreachable)))
    client = box.client(operation_timeout=1)
    client.sh(DISTRO, ROOT, ":")
    with monkeypatch.context() as broken:
        broken.setattr(client._shell, "send", unreachable)
        with pytest.raises(OSError, match="nothing listens"):
            client.sh(DISTRO, ROOT, ":")
    time.sleep(2)
    assert "vengeance-receive" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("step", ["send", "receive"])
def test_a_process_whose_box_went_away_is_given_up(box: Box, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    monkeypatch.setattr("vengeance.winrm.shell.persistently.__defaults__", (0.3, (Unreachable,)))
    client = box.client()
    client.connect()
    monkeypatch.setattr(client._shell, step, unreachable)
    with pytest.raises(OutcomeUnknown, match="nothing listens"):
        client.cmd(process_line("cat"), stdin=b"x")


def test_a_process_can_be_started_over_a_connection_that_the_box_closed_while_idle(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box.server.limits, "connection_idle_seconds", 0.3)
    client = box.client()
    assert client.cmd(process_line("cat"), stdin=b"one").stdout == b"one"
    time.sleep(1)
    assert client.cmd(process_line("cat"), stdin=b"two").stdout == b"two"


def test_a_command_that_only_reads_opens_no_new_shell_once_the_client_is_closed(box: Box) -> None:
    client = box.client()
    client.sh(DISTRO, ROOT, ":")
    waiting = in_thread(lambda: client.sh(DISTRO, ROOT, "sleep 30", read_only=True))
    time.sleep(0.5)
    client.close()
    waiting.join(10)
    assert not waiting.is_alive()
    assert box.server.shells.snapshot() == []
    with pytest.raises(ConnectFailed, match="was closed"):
        client.sh(DISTRO, ROOT, ":")


def test_closing_does_not_wait_for_a_process_that_still_runs(box: Box) -> None:
    client = box.client()
    client.connect()
    waiting = in_thread(lambda: client.cmd(process_line("sleep 30"), stdin=b""))
    time.sleep(0.5)
    started = time.monotonic()
    client.close()
    assert time.monotonic() - started < 5
    assert box.server.shells.snapshot() == []
    waiting.join(10)
    assert not waiting.is_alive()


def test_an_upload_that_is_interrupted_leaves_no_temporary_file(box: Box, tmp_path: Path) -> None:
    class Interrupted(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1) -> bytes:
            self.reads += 1
            if self.reads == 8:
                raise KeyboardInterrupt
            return super().read(size)

    client = box.client()
    with pytest.raises(KeyboardInterrupt):
        client.upload_to_distro(DISTRO, ROOT, Interrupted(os.urandom(3_000_000)), str(tmp_path / "file"))
    assert [entry.suffix for entry in tmp_path.iterdir()] == [".tmp"]
    client.close()
    for _ in range(50):
        if not list(tmp_path.iterdir()):
            break
        time.sleep(0.1)
    assert list(tmp_path.iterdir()) == []


def agent_folder(client: WinRMClient) -> str:
    return str(client._agents[f"{DISTRO}\0{ROOT}"].proof["directory"])


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("stream", [False, True], ids=["at once", "live"])
def test_output_that_the_distros_disk_has_no_room_for_is_an_error_and_no_endless_wait(box: Box, stream: bool) -> None:
    client = box.client()
    client.sh(DISTRO, ROOT, ":")
    folder = agent_folder(client)
    assert os.system(f"mount -t tmpfs -o size=1m tmpfs '{folder}'") == 0
    try:
        result = client.sh(
            DISTRO, ROOT, "head -c 700000 /dev/zero", timeout=20, on_live=(lambda live: None) if stream else None
        )
        assert (result.code, result.stdout) == (1, b"")
        assert b"ended with exit code 0, but there is no room" in result.stderr
        assert client.sh(DISTRO, ROOT, "exit 3").code == 3
        full = client.sh(
            DISTRO, ROOT, "cat /dev/zero; exit 4", timeout=20, on_live=(lambda live: None) if stream else None
        )
        assert full.code == 1
        assert client.sh(DISTRO, ROOT, "echo x").stdout == b"x\n"
    finally:
        assert os.system(f"umount '{folder}'") == 0


def test_no_room_for_the_agent_itself_is_not_taken_for_a_missing_distro(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere/at/all")
    with pytest.raises(OSError, match="nothing can run") as caught:
        box.client().sh(DISTRO, ROOT, ":")
    assert "Distros belong" not in str(caught.value)


@pytest.mark.parametrize("kind", ["cut_before", "cut_after", "bad_request"])
@both_ways
def test_a_run_over_https_cut_at_any_request_does_everything_once(
    box: Box, tmp_path: Path, kind: str, duplex: bool
) -> None:
    tls: dict[str, Any] = {
        "scheme": "https",
        "port": box.server.https_port,
        "certificate_sha256": box.server.certificate_sha256,
    }
    wrong = []
    for number in range(1, 13):
        counter = tmp_path / f"counter-{number}"
        counter.touch()
        box.server.faults.clear()
        box.fault(kind=kind, request=number)
        client = box.client(duplex=duplex, **tls)
        for item in range(4):
            client.sh(DISTRO, ROOT, f"echo {item} >>'{counter}'")
        client.close()
        if counter.read_text() != "0\n1\n2\n3\n":
            wrong.append(number)
    assert wrong == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_box_that_hangs_up_on_new_connections_for_two_seconds_is_waited_for(box: Box, scheme: str) -> None:
    changes: dict[str, Any] = {}
    if scheme == "https":
        changes = {"port": box.server.https_port, "certificate_sha256": box.server.certificate_sha256}
    client = box.client(scheme=scheme, **changes)
    client.sh(DISTRO, ROOT, ":")
    box.fault(kind="refuse", seconds=2)
    box.fault(kind="cut_after", request=1, times=2)
    assert client.sh(DISTRO, ROOT, "echo x").stdout == b"x\n"


def no_password() -> str:
    raise LookupError("the keyring is locked")


def test_a_refused_password_is_not_tried_again_over_the_same_connection(box: Box) -> None:
    client = box.client(password=lambda: "not it")
    for _ in range(3):
        with pytest.raises(SignInRefused):
            client.connect()
    assert sum(box.counted()["failed_logons"].values()) == 1


@pytest.mark.parametrize("password", [lambda: "", no_password], ids=["empty", "broken"])
def test_a_password_that_is_not_to_be_had_is_a_sentence(box: Box, password: Callable[[], str]) -> None:
    with pytest.raises(ConnectFailed, match="password"):
        box.client(password=password).connect()


def test_a_name_that_wsl_exe_does_not_take_is_an_error_of_its_host_only(box: Box) -> None:
    with pytest.raises(OSError, match="wsl_user is 'a b'"):
        box.client().sh(DISTRO, "a b", ":")


def test_a_tls_handshake_that_is_broken_off_is_tried_again(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    client = box.client(scheme="https", port=box.server.https_port, certificate_sha256=box.server.certificate_sha256)
    client.sh(DISTRO, ROOT, ":")
    send = BoxTransport._send_message_request
    left = [1, 2, 3]

    def broken_off(self: BoxTransport, session: Any, request: Any) -> Any:
        if left:
            left.pop()
            raise requests.exceptions.SSLError(
                "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol"
            )
        return send(self, session, request)

    monkeypatch.setattr(BoxTransport, "_send_message_request", broken_off)
    assert client.sh(DISTRO, ROOT, "echo x").stdout == b"x\n"
    assert left == []
