"""Commands that take minutes: what a person is told meanwhile, and that they stay the commands they were."""

from __future__ import annotations

from threading import Event

from pyinfra.api.command import FunctionCommand, PyinfraCommand, StringCommand

from vengeance.connectors.long_command import LastLine, LongCommand, long_commands, told
from vengeance.winrm.frames import Live


def test_it_is_said_that_the_command_runs_and_what_it_printed_last() -> None:
    said: list[str] = []
    twice = Event()

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 1:
            last.take(Live(1, "stdout", b"Get:1 cuda-nvcc\nUnpacking 10 %\rUnpacking 20 %\rUnp"))
        else:
            twice.set()

    last = LastLine()
    with told(say, last, every=0.01):
        assert twice.wait(30)
    assert said[:2] == ["still at it after 0 s", "still at it after 0 s: Unpacking 20 %"]
    count = len(said)
    assert not Event().wait(0.05)
    assert len(said) == count, "a command that has ended runs no more"


def test_a_letter_that_comes_in_two_pieces_and_a_long_line_are_shown_as_they_are() -> None:
    last = LastLine()
    for piece in (b"gr\xc3", b"\xb6\xc3\x9fer\n", b"\n  \n"):
        last.take(Live(1, "stderr", piece))
    assert last.text == "größer"


def test_shell_commands_stay_what_they_were_and_others_are_left_alone() -> None:
    function = FunctionCommand(print, [], {})
    given: list[PyinfraCommand | str] = ["apt-get update", StringCommand("pip", "install", _su_user="steam"), function]
    first, second, third = long_commands(given)
    assert (isinstance(first, LongCommand), str(first)) == (True, "apt-get update")
    assert isinstance(second, LongCommand)
    assert (str(second), second.connector_arguments) == ("pip install", {"_su_user": "steam"})
    assert third is function
