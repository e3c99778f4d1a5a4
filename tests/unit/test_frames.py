"""The agent's lines: whole frames are read, everything else is left alone."""

from __future__ import annotations

import base64
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vengeance.winrm.frames import Data, End, FrameAssembler, Live, encode_field, request_line

NONCE = "0123456789abcdef0123456789abcdef"


def end_line(request_id: int, code: int, stdout: bytes, stderr: bytes) -> bytes:
    return (
        f"\n\x1e{NONCE} {request_id} end {code} 0 {len(stdout)} {encode_field(stdout)} "
        f"{len(stderr)} {encode_field(stderr)}\n"
    ).encode()


@given(st.binary(), st.binary(), st.integers(0, 2**32 - 1), st.lists(st.integers(0, 400)))
def test_an_answer_is_read_whole_wherever_the_wire_cuts_it_into_pieces(
    stdout: bytes, stderr: bytes, code: int, cuts: list[int]
) -> None:
    wire = end_line(7, code, stdout, stderr)
    assembler = FrameAssembler(NONCE)
    places = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    frames = [frame for start, stop in itertools.pairwise(places) for frame in assembler.feed(wire[start:stop])]
    assert frames == [End(7, code, False, stdout, stderr)]


@given(st.binary(max_size=300))
def test_stray_output_of_a_child_is_never_taken_for_an_answer(junk: bytes) -> None:
    assembler = FrameAssembler(NONCE)
    frames = assembler.feed(junk + b"\n" + end_line(1, 0, b"right", b""))
    assert frames == [End(1, 0, False, b"right", b"")]


def test_frames_of_another_agent_are_ignored() -> None:
    other = end_line(1, 0, b"x", b"").replace(NONCE.encode(), b"f" * 32)
    assert FrameAssembler(NONCE).feed(other) == []


def test_the_end_of_a_line_whose_beginning_was_lost_is_not_joined_to_what_came_before() -> None:
    first, second = end_line(1, 0, b"a" * 90, b""), end_line(1, 0, b"a" * 90, b"")
    assembler = FrameAssembler(NONCE)
    assembler.feed(first[:60])
    assembler.forget_partial_line()
    assert assembler.feed(first[90:] + second) == [End(1, 0, False, b"a" * 90, b"")]


def test_an_answer_with_a_wrong_length_is_not_believed() -> None:
    broken = end_line(1, 0, b"abcdef", b"").replace(b" 6 ", b" 9 ")
    assert FrameAssembler(NONCE).feed(broken) == []


def test_live_output_and_file_pieces_are_told_apart() -> None:
    piece = base64.b64encode(b"piece").decode()
    wire = f"\n\x1e{NONCE} 3 out {piece}\n\x1e{NONCE} 3 err {piece}\n\x1e{NONCE} 3 data 261120 {piece}\n".encode()
    assert FrameAssembler(NONCE).feed(wire) == [
        Live(3, "stdout", b"piece"),
        Live(3, "stderr", b"piece"),
        Data(3, 261120, b"piece"),
    ]


def test_what_is_no_frame_is_kept_for_the_error_message() -> None:
    assembler = FrameAssembler(NONCE)
    assembler.feed(b"wsl.exe has something to say\r\nand more")
    assert b"something to say" in assembler.stray
    assert b"and more" in assembler.stray


@given(st.text(min_size=1))
def test_a_request_is_one_line_of_ascii_whatever_is_in_it(text: str) -> None:
    line = request_line(NONCE, 5, "run", encode_field(text), encode_field(None))
    assert line.startswith(b"\n")
    assert line.count(b"\n") == 2
    assert line.isascii()
    fields = line.split()
    assert base64.b64decode(fields[3]).decode() == text
    assert fields[4] == b"-"


@pytest.mark.parametrize("value", ["", None, b""])
def test_nothing_is_sent_as_a_dash(value: str | bytes | None) -> None:
    assert encode_field(value) == "-"
