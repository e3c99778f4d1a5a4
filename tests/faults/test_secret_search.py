"""The search for secrets finds them: whatever does not show here would hide a leak there."""

from __future__ import annotations

import base64
import io
import json
import shlex
import tarfile
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from tests.faults.secret_search import Search, token

CORE = token()
SECRET = f"é\"'{CORE}\\&<% $`;"


def base64_of(text: str, encoding: str = "utf-8") -> str:
    return base64.b64encode(text.encode(encoding)).decode()


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "in JSON": json.dumps,
    "in JSON in JSON": lambda text: json.dumps(json.dumps({"a": text})),
    "in a URL": urllib.parse.quote,
    "in a form": urllib.parse.quote_plus,
    "for a shell": shlex.quote,
    "in XML": escape,
    "as Python shows it": repr,
    "in base64": base64_of,
    "in base64 of a longer text": lambda text: base64_of("x" + text + "y"),
    "in base64 of a still longer text": lambda text: base64_of("xx" + text),
    "as -EncodedCommand": lambda text: base64_of("Get-Item '" + text + "'", "utf-16-le"),
    "in a frame of the agent, in a Send": lambda text: base64_of("nonce 1 run - " + base64_of(json.dumps([text]))),
    "in hexadecimal": lambda text: text.encode().hex(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_secret_is_found_in_every_spelling(spelling: str) -> None:
    text = "before " + SPELLINGS[spelling](SECRET) + " behind"
    found = Search({"a": CORE, "b": token()}).text("here", text.encode())
    assert {(one.name, one.place) for one in found} == {("a", "here")}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_a_secret_is_found_in_the_text_files_of_windows(encoding: str) -> None:
    for text in (SECRET, base64_of(SECRET)) if encoding != "utf-16-be" else (SECRET,):
        assert Search({"a": CORE}).text("here", f"before {text} behind".encode(encoding))


@pytest.mark.parametrize("offset", range(3))
def test_base64_is_seen_through_at_each_offset(offset: int) -> None:
    assert Search({"a": CORE}).text("", base64.b64encode(bytes(offset) + SECRET.encode("utf-16-le") + b"tail"))
    once = base64.b64encode(bytes(offset) + SECRET.encode() + b"tail")
    assert Search({"a": CORE}).text("", once)
    for further in range(3):
        assert Search({"a": CORE}).text("", base64.b64encode(bytes(further) + once)), further


def test_what_is_no_secret_is_not_found() -> None:
    other = f"{token()} {CORE[:-1]} {base64_of(token())}"
    assert Search({"a": CORE}).text("", other.encode()) == []


def test_a_secret_between_two_pieces_of_a_large_file_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.faults.secret_search._PIECE", 4096)
    for start in range(4096 - len(CORE) - 1, 4097):
        data = b"." * start + CORE.encode() + b"." * 6000
        assert len(Search({"a": CORE}).file("", io.BytesIO(data))) == 1, start


def test_a_secret_is_found_in_files_names_and_links(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("nothing")
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/file").write_text(SECRET)
    (tmp_path / f"named {CORE}").touch()
    (tmp_path / "link").symlink_to(CORE)
    (tmp_path / "left out").mkdir()
    (tmp_path / "left out/file").write_text(SECRET)
    found = Search({"a": CORE}).folder(tmp_path, leave_out=[tmp_path / "left out"])
    assert {one.place.removeprefix(f"{tmp_path}/") for one in found} == {
        "deep/er/file",
        f"the name of {tmp_path}/named {CORE}",
        "link",
    }


def test_a_secret_is_found_in_a_tar(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(SECRET)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(tmp_path / "file", "./etc/file")
    buffer.seek(0)
    assert [one.place for one in Search({"a": CORE}).tar(buffer)] == ["/etc/file"]
