"""What a command sees and gives back through the agent in the distro."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.wire.conftest import DISTRO, ROOT, Box
from vengeance.winrm.client import WinRMClient
from vengeance.winrm.errors import TransferFailed
from vengeance.winrm.frames import Live
from vengeance.winrm.result import Result


@pytest.fixture(params=["agent", "half duplex", "process"])
def client(box: Box, request: pytest.FixtureRequest) -> WinRMClient:
    if request.param == "process":
        return box.client(mode="process")
    return box.client(duplex=request.param == "agent")


def sh(client: WinRMClient, command: str, stdin: str | None = None, timeout: float | None = None) -> Result:
    return client.sh(DISTRO, ROOT, command, stdin=stdin, timeout=timeout)


def test_both_streams_and_the_exit_code_come_back(client: WinRMClient) -> None:
    assert sh(client, "echo out; echo err >&2; exit 3") == Result(3, b"out\n", b"err\n")


@pytest.mark.parametrize("code", [0, 1, 67, 87, 126, 255])
def test_every_exit_code_is_the_commands_own(client: WinRMClient, code: int) -> None:
    assert sh(client, f"exit {code}").code == code


def test_a_command_that_reads_stdin_finds_it_empty_and_the_next_command_runs(client: WinRMClient) -> None:
    assert sh(client, "cat; read -r x; echo end").stdout == b"end\n"
    assert sh(client, "echo next").stdout == b"next\n"


def test_stdin_reaches_the_command(client: WinRMClient) -> None:
    text = "first 'line'\n$HOME %PATH% \\ \U0001f389\n"
    assert sh(client, "cat", stdin=text).stdout == text.encode()


def test_output_may_hold_any_byte(client: WinRMClient) -> None:
    assert sh(client, r"printf 'a\000b\377\r\n\036c'").stdout == b"a\0b\xff\r\n\x1ec"


def test_ten_megabytes_of_output_arrive_whole(client: WinRMClient) -> None:
    result = sh(client, "head -c 10000000 /dev/zero | tr '\\0' x; echo end")
    assert len(result.stdout) == 10_000_004
    assert result.stdout.endswith(b"xend\n")


def test_a_background_child_does_not_hold_the_answer_back(client: WinRMClient) -> None:
    started = time.monotonic()
    assert sh(client, "sleep 20 & echo done").stdout == b"done\n"
    assert time.monotonic() - started < 10


def test_a_command_that_never_ends_is_stopped_with_its_children(client: WinRMClient, box: Box) -> None:
    marker = "12345.4321"
    result = sh(client, f"sleep {marker} & sleep {marker}; echo not reached", timeout=1)
    assert result.timed_out
    assert b"not reached" not in result.stdout
    assert sh(client, "pgrep -f 'sleep [1]2345.4321' || echo none").stdout == b"none\n"


def test_what_one_command_changes_in_its_shell_the_next_does_not_see(client: WinRMClient) -> None:
    sh(client, "cd /tmp; export LEFT=1; umask 077; set -f; IFS=x; exec >/dev/null")
    assert sh(client, 'echo "${LEFT-unset} $(umask)"').stdout == b"unset 0022\n"


def test_output_can_be_watched_while_it_comes(client: WinRMClient) -> None:
    seen: list[tuple[float, bytes]] = []

    def watch(live: Live) -> None:
        seen.append((time.monotonic(), live.data))

    result = client.sh(DISTRO, ROOT, "echo one; sleep 1; echo two", on_live=watch)
    ended = time.monotonic()
    assert result.stdout == b"one\ntwo\n"
    assert seen[0][1] == b"one\n"
    assert ended - seen[0][0] > 0.5


def test_an_empty_command_and_a_syntax_error_leave_the_agent_alive(client: WinRMClient) -> None:
    assert sh(client, "").code == 0
    assert sh(client, "if then 'unclosed").code != 0
    assert sh(client, "echo alive").stdout == b"alive\n"


def test_a_command_too_long_for_one_request_is_refused_in_a_sentence(client: WinRMClient) -> None:
    with pytest.raises(TransferFailed, match="put the text in a file"):
        sh(client, "x" * 300_000)
    assert len(sh(client, f"echo {'y' * 100_000}").stdout) == 100_001


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60))
def test_any_text_survives_as_an_argument(agent_client: WinRMClient, text: str) -> None:
    quoted = "'" + text.replace("'", "'\"'\"'") + "'"
    assert sh(agent_client, f"printf %s {quoted}").stdout == text.encode()


@pytest.fixture
def agent_client(box: Box) -> WinRMClient:
    return box.client()


def test_no_command_of_the_users_stands_on_a_windows_command_line(agent_client: WinRMClient, box: Box) -> None:
    sh(agent_client, "echo secret-word", stdin="other-secret")
    assert box.wsl.lines
    assert not any("secret" in line for line in box.wsl.lines)
