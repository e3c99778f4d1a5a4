"""What the modules of the acceptance list make of what programs print, where no twin can print it."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from pyinfra.api.inventory import Inventory

from vengeance.verify.box import WhichBox, only
from vengeance.verify.modules import http
from vengeance.verify.modules.moments import moment
from vengeance.verify.modules.socket import Listener, listening

# netstat.exe of a German Windows, with IPv6 and with connections that run.
NETSTAT = """
Aktive Verbindungen

  Proto  Lokale Adresse         Remoteadresse          Status           PID
  TCP    0.0.0.0:135            0.0.0.0:0              ABHÖREN         1234
  TCP    127.0.0.1:8080         0.0.0.0:0              ABHÖREN         9012
  TCP    127.0.0.1:8080         127.0.0.1:51822        HERGESTELLT     9012
  TCP    [::1]:8080             [::]:0                 ABHÖREN         9012
"""


def test_who_listens_is_read_in_any_language() -> None:
    assert listening(NETSTAT) == [
        Listener("0.0.0.0", 135, 1234),
        Listener("127.0.0.1", 8080, 9012),
        Listener("[::1]", 8080, 9012),
    ]


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-03-01T12:00:00Z", 0),
        ("2026-03-01T13:00:00.5+01:00", 500_000),
        ("2026-03-01T12:00:00.1234567Z", 123_456),
        ("2026-03-01T12:00:00.123456789Z", 123_456),
    ],
)
def test_times_are_read_with_any_number_of_digits(text: str, microsecond: int) -> None:
    assert moment(text) == datetime(2026, 3, 1, 12, 0, 0, microsecond, tzinfo=timezone.utc)


def test_what_is_sent_survives_the_file_of_options() -> None:
    text = http.options("http://x/", {"a": 'quote " and \\ and\nline'}, {"Authorization": "Bearer k"})
    (line,) = [line for line in text.splitlines() if line.startswith("data = ")]
    quoted = line.removeprefix("data = ")
    # curl's escapes inside of quotes are among those of JSON.
    assert json.loads(json.loads(quoted)) == {"a": 'quote " and \\ and\nline'}
    assert 'header = "Authorization: Bearer k"' in text.splitlines()


def test_an_answer_is_taken_apart_and_none_is_no_answer() -> None:
    found = http.answer('{"a": 1}\n=answer=200 0.012')
    assert (found.status, found.json, found.seconds) == (200, {"a": 1}, 0.012)
    silent = http.answer("\n=answer=000 0.000000", "curl: (7) Failed to connect\n")
    assert (silent.status, silent.error) == (0, "curl: (7) Failed to connect")
    with pytest.raises(ValueError, match="no JSON came, but 0"):
        _ = silent.json


ONE = ["@winrm/a", "@wsl/a/Debian"]
TWO = [*ONE, "@winrm/b", "@wsl/b/Debian", "@wsl/b/Ubuntu"]


@pytest.mark.parametrize(
    ("hosts", "limit", "name"),
    [
        (ONE, None, "@winrm/a, @wsl/a/Debian"),
        (ONE, "windows", "@winrm/a"),
        (ONE, "wsl", "@wsl/a/Debian"),
        (TWO, "a", "@winrm/a, @wsl/a/Debian"),
        (TWO, "@winrm/a", "@winrm/a, @wsl/a/Debian"),
        (TWO, "@wsl/b/Ubuntu", "@winrm/b, @wsl/b/Ubuntu"),
    ],
)
def test_one_box_is_looked_at(hosts: list[str], limit: str | None, name: str) -> None:
    assert only(Inventory((hosts, {})), limit).name == name  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("hosts", "limit", "sentence"),
    [
        ([], None, "has no box"),
        (TWO, None, "has a, b: say which with --limit"),
        (TWO, "b", "has @wsl/b/Debian, @wsl/b/Ubuntu: say which"),
        (ONE, "c", "the inventory has @winrm/a, @wsl/a/Debian"),
        (["@winrm/a"], "wsl", "no host on the side wsl"),
    ],
)
def test_which_box_is_meant_must_be_said(hosts: list[str], limit: str | None, sentence: str) -> None:
    with pytest.raises(WhichBox, match=sentence):
        only(Inventory((hosts, {})), limit)  # type: ignore[no-untyped-call]
