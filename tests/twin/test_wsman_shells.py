"""Shells and commands of the WinRM server live and die as on Windows."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.twin.raw_wsman import (
    CMD,
    OTHER_PASSWORD,
    SHELL,
    TRANSFER,
    Answer,
    Served,
    message,
    receive_message,
    serving,
)
from tests.waiting import eventually
from vengeance.twin.process import Process, ProcessOutput, Start
from vengeance.twin.wsman.accounts import Accounts
from vengeance.twin.wsman.limits import Limits
from vengeance.twin.wsman.server import ListenSettings, WsmanServer

NOWHERE = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as running:
        yield running


class InBackground:
    """Runs a call in a thread and hands over its result."""

    def __init__(self, call: Callable[[], Answer]) -> None:
        self._answer: Answer | None = None
        self.seconds = 0.0
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[], Answer]) -> None:
        began = time.monotonic()
        self._answer = call()
        self.seconds = time.monotonic() - began

    def result(self) -> Answer:
        self._thread.join(timeout=20)
        assert self._answer is not None
        return self._answer


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_for_a_receive(served: Served) -> None:
    eventually(lambda: any(shell["waiting"] for shell in served.server.shells.snapshot()))


def test_ids_are_upper_case_guids(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create()
    command = connection.command(shell, "true")
    for identifier in (shell, command):
        assert re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", identifier)
    answer = connection.receive(shell.lower(), command.lower())
    assert answer.exit_code == 0
    assert re.fullmatch(r"uuid:[0-9A-F-]{36}", answer.text("MessageID") or "")


def test_an_id_that_the_client_chooses_is_taken(served: Served) -> None:
    wanted = "5879c5bd-fcdb-4f87-9fcf-d1b8870b661c"
    connection = served.signed_in()
    answer = connection.send(message(f"{TRANSFER}/Create", body=f'<rsp:Shell ShellId="{wanted}"/>'))
    assert answer.text("ShellId") == wanted.upper()
    body = f'<rsp:CommandLine CommandId="{wanted}"><rsp:Command>true</rsp:Command></rsp:CommandLine>'
    assert connection.send(message(f"{SHELL}/Command", wanted, body)).text("CommandId") == wanted.upper()


def test_the_answer_relates_to_its_request(served: Served) -> None:
    answer = served.signed_in().send(message(f"{TRANSFER}/Create", body="<rsp:Shell/>", message_id="uuid:Mine-1"))
    assert answer.text("RelatesTo") == "uuid:Mine-1"
    fault = served.signed_in().send(message(f"{TRANSFER}/Delete", NOWHERE, message_id="uuid:Mine-2"))
    assert fault.text("RelatesTo") == "uuid:Mine-2"


def test_what_the_client_gave_the_shell_reaches_the_program(served: Served) -> None:
    connection = served.signed_in()
    inner = (
        "<rsp:Environment><rsp:Variable Name='A&amp;B'>x &lt; y</rsp:Variable></rsp:Environment>"
        "<rsp:WorkingDirectory>C:\\Program Files</rsp:WorkingDirectory>"
    )
    shell = connection.create(inner, {"WINRS_CODEPAGE": "65001", "WINRS_NOPROFILE": "FALSE"})
    connection.command(shell, "true")
    start = served.programs.starts[0]
    assert start.environment == {"A&B": "x < y"}
    assert (start.working_directory, start.codepage) == ("C:\\Program Files", 65001)
    assert (start.user, start.console_mode_stdin) == ("Steam", False)


def test_a_shell_works_from_every_connection_of_its_owner(served: Served) -> None:
    first, second = served.signed_in(), served.signed_in(tls=True)
    shell = first.create()
    command = first.command(shell, "cat")
    assert second.input(shell, command, b"over another connection", end=True).status == 200
    first.close()
    assert second.receive_all(shell, command) == (b"over another connection", b"", 0)


def test_a_shell_works_for_nobody_else(served: Served) -> None:
    owner, other = served.signed_in(), served.signed_in("Other", OTHER_PASSWORD)
    shell = owner.create()
    command = owner.command(shell, "cat")
    for answer in (
        other.receive(shell, command),
        other.input(shell, command, b"x"),
        other.signal(shell, command),
        other.delete(shell),
    ):
        assert (answer.status, answer.fault) == (500, 5)
    assert owner.input(shell, command, b"", end=True).status == 200


def test_an_unknown_shell_and_an_unknown_command_differ_in_words_only(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create()
    no_shell = connection.receive(NOWHERE, NOWHERE)
    no_command = connection.receive(shell, NOWHERE)
    assert (no_shell.status, no_shell.fault) == (no_command.status, no_command.fault) == (500, 2150858843)
    assert b"the shell was not found on the server" in no_shell.body
    assert b"a command identifier that does not exist" in no_command.body
    assert connection.input(shell, NOWHERE, b"").fault == 2150858843
    assert connection.signal(shell, NOWHERE).fault == 2150858843
    assert connection.delete(NOWHERE).fault == 2150858843


def test_a_receive_or_signal_without_a_command_is_an_invalid_parameter(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create()
    bare = receive_message(shell, "x").replace(b' CommandId="x"', b"")
    assert connection.send(bare).fault == 87
    assert connection.send(message(f"{SHELL}/Signal", shell, "<rsp:Signal/>")).fault == 87
    assert connection.send(message(f"{SHELL}/Command", shell, "<rsp:Nothing/>")).fault == 87


def test_a_program_that_cannot_start_is_a_provider_fault(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create()
    body = "<rsp:CommandLine><rsp:Command>no-such-program</rsp:Command></rsp:CommandLine>"
    answer = connection.send(message(f"{SHELL}/Command", shell, body))
    assert (answer.status, answer.fault) == (500, 2147942402)
    assert b'<f:ProviderFault provider="Shell cmd plugin" path="%systemroot%\\system32\\winrscmd.dll">' in answer.body
    assert served.server.shells.snapshot()[0]["commands"] == []


def test_output_and_the_end_come_together_when_the_program_has_ended(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create()
    command = connection.command(shell, "echo out; echo err >&2; exit 7")
    assert served.programs.outputs[-1].wait(10) == 7
    answer = connection.receive(shell, command)
    assert answer.streams == {"stdout": b"out\n", "stderr": b"err\n"}
    assert answer.exit_code == 7
    ends = [e.attrib["Name"] for e in answer.xml.iter(f"{{{SHELL}}}Stream") if e.attrib.get("End") == "true"]
    assert ends == ["stdout", "stderr"]
    assert b"CommandState/Done" in answer.body


def test_after_its_end_a_command_is_unknown_but_may_still_be_signalled_once(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create()
    command = connection.command(shell, "true")
    assert connection.receive_all(shell, command) == (b"", b"", 0)
    assert connection.receive(shell, command).fault == 2150858843
    assert connection.input(shell, command, b"x").fault == 2150858843
    assert connection.signal(shell, command, "ctrl_c").status == 200
    assert connection.signal(shell, command, "Terminate").status == 200
    assert connection.signal(shell, command, "terminate").fault == 2150858843


def test_input_for_a_program_that_has_ended_says_the_pipe_has_ended(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create()
    command = connection.command(shell, "exit 3")
    assert served.programs.outputs[-1].wait(10) == 3
    assert connection.input(shell, command, b"too late").fault == 109
    assert connection.receive_all(shell, command) == (b"", b"", 3)


def test_input_that_the_program_does_not_take_times_out_and_is_not_lost(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create()
    command = connection.command(shell, "sleep 1; wc -c")
    # more than a pipe of Linux holds
    assert connection.input(shell, command, b"x" * 200_000, timeout="PT0.3S").fault == 1460
    assert connection.input(shell, command, b"y" * 7, end=True).status == 200
    out, _, code = connection.receive_all(shell, command)
    assert (out.strip(), code) == (b"200007", 0)


def test_a_receive_waits_on_one_connection_while_another_sends(served: Served) -> None:
    reader, writer = served.signed_in(), served.signed_in()
    shell = writer.create()
    command = writer.command(shell, "cat")
    slowest = 0.0
    for number in range(50):
        waiting = InBackground(lambda: reader.receive(shell, command))
        wait_for_a_receive(served)
        sent = time.monotonic()
        text = f"line {number}\n".encode()
        assert writer.input(shell, command, text).status == 200
        assert waiting.result().streams["stdout"] == text
        slowest = max(slowest, time.monotonic() - sent)
    assert slowest < 0.5  # it wakes at once; the bound is wide for a busy machine


def test_many_clients_work_at_the_same_time(served: Served) -> None:
    results: list[tuple[bytes, bytes, int]] = []

    def work(number: int) -> None:
        connection = served.signed_in()
        shell = connection.create()
        for turn in range(5):
            command = connection.command(shell, f"echo {number}.{turn}; exit {number}")
            results.append(connection.receive_all(shell, command))
        connection.delete(shell)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted((f"{n}.{t}\n".encode(), b"", n) for n in range(10) for t in range(5))


@pytest.mark.parametrize("tls", [False, True])
def test_a_receive_whose_client_has_gone_swallows_nothing(served: Served, tls: bool) -> None:
    connection = served.signed_in()
    shell = connection.create()
    command = connection.command(shell, "cat")
    lost = served.signed_in(tls=tls)
    lost.http.putrequest("POST", "/wsman")
    body = lost.seal(receive_message(shell, command))
    lost.http.putheader("Content-Length", str(len(body)))
    lost.http.putheader("Content-Type", "multipart/encrypted")
    lost.http.endheaders(body)
    wait_for_a_receive(served)
    lost.close()
    eventually(lambda: not served.server.shells.snapshot()[0]["waiting"])
    assert connection.input(shell, command, b"for the living").status == 200
    assert connection.receive(shell, command).streams["stdout"] == b"for the living"


def test_ctrl_c_ends_the_program_and_its_end_is_received(served: Served) -> None:
    connection, other = served.signed_in(), served.signed_in()
    shell = connection.create()
    command = connection.command(shell, "echo begun; sleep 60")
    assert connection.receive(shell, command).streams["stdout"] == b"begun\n"
    waiting = InBackground(lambda: other.receive(shell, command))
    wait_for_a_receive(served)
    assert connection.signal(shell, command, "ctrl_c").status == 200
    answer = waiting.result()
    assert (answer.status, b"CommandState/Done" in answer.body) == (200, True)


def test_an_unknown_signal_is_an_invalid_parameter(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create()
    command = connection.command(shell, "cat")
    assert connection.signal(shell, command, "hello").fault == 87
    assert connection.input(shell, command, b"alive", end=True).status == 200


def test_terminate_kills_the_program_and_aborts_a_waiting_receive(served: Served) -> None:
    connection, other = served.signed_in(), served.signed_in()
    shell = connection.create()
    command = connection.command(shell, "echo $$; sleep 60")
    pid = int(connection.receive(shell, command).streams["stdout"])
    waiting = InBackground(lambda: other.receive(shell, command))
    wait_for_a_receive(served)
    assert connection.signal(shell, command).status == 200
    assert waiting.result().fault == 995
    assert connection.receive(shell, command).fault == 2150858843
    eventually(lambda: gone(pid))


def test_commands_die_with_their_shell(served: Served) -> None:
    connection, other = served.signed_in(), served.signed_in()
    shell = connection.create()
    command = connection.command(shell, "echo $$; sleep 60")
    pid = int(connection.receive(shell, command).streams["stdout"])
    waiting = InBackground(lambda: other.receive(shell, command))
    wait_for_a_receive(served)
    assert connection.delete(shell).status == 200
    assert waiting.result().fault == 995
    assert connection.receive(shell, command).fault == 2150858843
    eventually(lambda: gone(pid))


class Stubborn:
    """A program that nothing ends."""

    def start(self, start: Start, output: ProcessOutput) -> Process:
        return self

    def write(self, data: bytes) -> None: ...

    def close_stdin(self) -> None: ...

    def terminate(self) -> None: ...


def test_a_waiting_receive_is_aborted_even_when_the_program_does_not_end(tmp_path: Path) -> None:
    with serving(tmp_path, launcher=Stubborn()) as served:
        connection, other = served.signed_in(), served.signed_in()
        shell = connection.create()
        command = connection.command(shell, "anything")
        waiting = InBackground(lambda: other.receive(shell, command))
        wait_for_a_receive(served)
        connection.signal(shell, command)
        assert waiting.result().fault == 995
        assert waiting.seconds < 5  # and not the 20 s of its OperationTimeout


def test_an_idle_shell_dies_and_any_request_keeps_it_alive(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create("<rsp:IdleTimeOut>PT2S</rsp:IdleTimeOut>")
    command = connection.command(shell, "echo $$; exec sleep 60")
    pid = int(connection.receive(shell, command).streams["stdout"])
    for _ in range(5):
        time.sleep(0.5)
        assert connection.receive(shell, command, timeout="PT0.01S").fault == 2150858793
    eventually(lambda: gone(pid))
    assert connection.receive(shell, command).fault == 2150858843


def test_the_operation_limit_is_per_shell_and_does_not_sink_when_commands_end(tmp_path: Path) -> None:
    with serving(tmp_path, limits=Limits(max_operations_per_shell=3)) as served:
        connection = served.signed_in()
        shell = connection.create()
        for _ in range(3):
            command = connection.command(shell, "true")
            connection.receive_all(shell, command)
            connection.signal(shell, command)
        body = "<rsp:CommandLine><rsp:Command>true</rsp:Command></rsp:CommandLine>"
        refused = connection.send(message(f"{SHELL}/Command", shell, body))
        assert (refused.status, refused.fault) == (500, 2150859174)
        assert b"allowed a maximum number of 3 concurrent operations" in refused.body
        assert b"<s:Value>w:QuotaLimit</s:Value>" in refused.body
        connection.delete(shell)
        connection.command(connection.create(), "true")


def test_the_shell_limit_is_per_user(tmp_path: Path) -> None:
    with serving(tmp_path, limits=Limits(max_shells_per_user=2)) as served:
        connection, other = served.signed_in(), served.signed_in("Other", OTHER_PASSWORD)
        shells = [connection.create() for _ in range(2)]
        refused = connection.send(message(f"{TRANSFER}/Create", body="<rsp:Shell/>"))
        assert (refused.status, refused.fault) == (500, 2150859173)
        assert b"allowed a maximum number of 2 concurrent shells" in refused.body
        assert other.create()
        connection.delete(shells[0])
        assert connection.create()


def test_get_of_a_shell_tells_its_state(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create("<rsp:IdleTimeOut>PT60S</rsp:IdleTimeOut>")
    answer = connection.send(message(f"{TRANSFER}/Get", shell, resource=SHELL))
    assert (answer.text("ShellId"), answer.text("State")) == (shell, "Connected")
    assert answer.text("IdleTimeOut") == "PT60.000S"
    assert connection.send(message(f"{TRANSFER}/Get", NOWHERE, resource=CMD)).fault == 2150858843


def test_ten_megabytes_and_every_byte_come_through(served: Served) -> None:
    connection = served.signed_in()
    shell = connection.create()
    command = connection.command(shell, "cat")
    block = bytes(range(256)) * 1200  # 307,200 bytes, near the limit once in base64
    for _ in range(35):
        assert connection.input(shell, command, block).status == 200
        got = b""
        while len(got) < len(block):
            got += connection.receive(shell, command, max_envelope=512_000).streams["stdout"]
        assert got == block


def test_a_program_that_nobody_reads_is_held_up_instead_of_filling_the_memory(served: Served, tmp_path: Path) -> None:
    connection = served.signed_in()
    shell = connection.create()
    count = tmp_path / "count"
    line = f"i=0; while [ $i -lt 40 ]; do head -c 1000000 /dev/zero; i=$((i+1)); echo $i > '{count}'; done"
    command = connection.command(shell, line)
    eventually(lambda: count.exists() and count.read_text().strip() in ("3", "4", "5"))
    time.sleep(0.5)
    assert int(count.read_text()) <= 6
    got = 0
    while True:
        answer = connection.receive(shell, command, max_envelope=512_000)
        got += len(answer.streams["stdout"])
        if answer.exit_code is not None:
            break
    assert got == 40_000_000
    held_up = connection.command(shell, "yes")
    time.sleep(0.2)
    assert connection.signal(shell, held_up).status == 200


def test_stop_cuts_connections_kills_programs_and_start_opens_the_same_ports(served: Served) -> None:
    server = served.server
    connection, other = served.signed_in(), served.signed_in(tls=True)
    shell = connection.create()
    command = connection.command(shell, "echo $$; sleep 60")
    pid = int(connection.receive(shell, command).streams["stdout"])
    ports = (server.http_port, server.https_port)
    failures: list[Exception] = []

    def receive() -> None:
        try:
            other.receive(shell, command)
        except Exception as error:
            failures.append(error)

    waiting = threading.Thread(target=receive)
    waiting.start()
    wait_for_a_receive(served)
    server.stop()
    waiting.join(timeout=5)
    assert len(failures) == 1
    assert isinstance(failures[0], OSError)
    eventually(lambda: gone(pid))
    with pytest.raises(ConnectionRefusedError):
        served.signed_in()
    server.start()
    assert (server.http_port, server.https_port) == ports
    again = served.signed_in()
    assert again.receive(shell, command).fault == 2150858843
    assert again.create()


def test_a_taken_port_is_an_error_that_names_it(served: Served, tmp_path: Path) -> None:
    taken = served.server.http_port
    settings = ListenSettings(tmp_path, http_port=taken, https_port=None)
    second = WsmanServer(settings, Accounts(tmp_path / "other"), served.programs)
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{taken}: Address already in use"):
        second.start()


def test_a_listener_can_be_left_out(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        server = WsmanServer(ListenSettings(tmp_path, https_port=None), Accounts(tmp_path / "other"), served.programs)
        server.start()
        assert server.https_port is None
        assert server.http_port
        server.stop()
