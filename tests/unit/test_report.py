"""The acceptance report, its verdict and its three forms; and how a test becomes a sentence."""

from __future__ import annotations

import doctest
import json
import re
from datetime import datetime, timezone
from html.parser import HTMLParser

import pytest

from vengeance.verify import report, sentences
from vengeance.verify.report import Report, Sentence, Verdict

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


def made(*verdicts: Verdict, problem: str | None = None) -> Report:
    """A report with one sentence for each verdict."""
    all_of_them = [
        Sentence(
            "Ollama", f"Sentence {number}", verdict, f"seen <{number}> & more", 1.5, {f"VRAM {number}": "1900 MiB"}
        )
        for number, verdict in enumerate(verdicts)
    ]
    return Report("@winrm/box, @wsl/box/Debian", BEGAN, all_of_them, 12.4, problem)


@pytest.mark.parametrize(
    ("verdicts", "problem", "verdict"),
    [
        (("holds", "holds", "left out"), None, "right"),
        (("holds", "advice"), None, "degraded"),
        (("holds", "advice", "fails"), None, "failed"),
        (("left out", "left out"), None, "failed"),
        ((), None, "failed"),
        (("holds",), "the box does not answer", "failed"),
    ],
)
def test_the_verdict_is_the_worst_that_was_seen_and_nothing_seen_is_no_success(
    verdicts: tuple[Verdict, ...], problem: str | None, verdict: str
) -> None:
    assert made(*verdicts, problem=problem).verdict == verdict


def test_the_summary_counts() -> None:
    assert made("holds", "holds", "fails", "advice", "left out").summary == (
        "2 of 5 sentences hold, 1 does not, 1 could be better, 1 was left out (12 s)."
    )


class Page(HTMLParser):
    """What a page would fetch, and what it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.shown: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect whatever names another file."""
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href", "data", "action", "srcset")]
        self.fetched += [tag] if tag in ("script", "link", "iframe", "img") else []

    def handle_data(self, data: str) -> None:
        """Collect the text."""
        self.shown.append(data.strip())


def test_the_page_shows_everything_and_fetches_nothing() -> None:
    text = report.as_html(made("holds", "fails", "left out"))
    page = Page()
    page.feed(text)
    assert page.fetched == []
    assert not re.search(r"url\(|@import|https?://", text)
    for shown in (
        "@winrm/box, @wsl/box/Debian",
        "Ollama",
        "Sentence 0",
        "seen <1> & more",
        "seen <2> & more",
        "VRAM 1",
    ):
        assert shown in page.shown, shown
    assert "seen <0> & more" not in page.shown, "what holds needs no evidence"
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_the_text_has_the_evidence_below_what_does_not_hold() -> None:
    lines = report.as_text(made("holds", "fails")).splitlines()
    at = lines.index("  fails     Sentence 1")
    assert lines[at + 1].strip() == "seen <1> & more"
    assert "  VRAM 0  1900 MiB" in lines


def test_the_object_for_programs_holds_the_same() -> None:
    found = json.loads(json.dumps(report.as_object(made("holds", "advice"))))
    assert (found["verdict"], found["counts"]["advice"], found["began"]) == (
        "degraded",
        1,
        "2026-03-01T12:00:00+00:00",
    )
    assert [one["said"] for one in found["sentences"]] == ["Sentence 0", "Sentence 1"]


@pytest.mark.parametrize(
    ("name", "docstring", "case", "said"),
    [
        ("test_no_variable_of_the_user_hides_it", None, "", "No variable of the user hides it"),
        ("test_vllm_answers", None, "8080", "vLLM answers (8080)"),
        ("test_wsl_conf_turns_systemd_on", None, "", "wsl.conf turns systemd on"),
        ("test_x", "VRAM returns. \n\n    More of it.", "", "VRAM returns"),
    ],
)
def test_a_test_is_named_by_its_sentence(name: str, docstring: str | None, case: str, said: str) -> None:
    assert sentences.sentence(name, docstring, case) == said


def test_the_examples_of_sentences_are_right() -> None:
    assert doctest.testmod(sentences) == (0, 2)
