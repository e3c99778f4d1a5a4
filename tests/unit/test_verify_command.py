"""``python -m vengeance verify``: what it says and ends with, on a project whose acceptance list is made here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
HEAD = '"""Acceptance: the small list. More of it."""\nimport os\nimport pathlib\nimport time\n\nimport pytest\n\n'
HOLDS = "def test_it_answers(measure):\n    measure('VRAM idle', '1900 MiB')\n\n"
FAILS = "def test_it_is_fast():\n    assert 1 == 2, 'it makes 3 tokens/s'\n\n"
ADVICE = "@pytest.mark.advice\ndef test_it_could_be_better():\n    assert False, 'its key ends soon'\n\n"
LEFT_OUT = "def test_it_has_a_key():\n    pytest.skip('no key is declared')\n\n"
DEPLOYS = "@pytest.mark.deploys\ndef test_a_second_run_changes_nothing():\n    assert False\n\n"
UNREACHABLE = "@pytest.fixture\ndef box():\n    pytest.exit('nothing listens on 192.0.2.1:5986', returncode=1)\n\n"
NEEDS_BOX = "def test_of_the_box(box):\n    pass\n\n"
BROKEN = "import no_such_module\n\n"
LEAKS = """from vengeance.verify import plugin

def test_it_leaks(request, measure):
    secret = 'hunter2-in-full'
    plugin.hide(request.config, [secret])
    measure('Key', secret)
    assert secret == 'x', f'saw {secret}'

"""
WAITS = "def test_it_waits():\n    pathlib.Path('begun').touch()\n    time.sleep(60)\n\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "home.py").write_text("windows = ['@winrm/box']\n")
    (tmp_path / "tests" / "box").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = '-ra --strict-markers'\n")
    return tmp_path


def command(project: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "vengeance", "verify", *words]


def verify(project: Path, tests: str, *words: str) -> subprocess.CompletedProcess[str]:
    (project / "tests" / "box" / "test_list.py").write_text(HEAD + tests)
    return subprocess.run(
        command(project, *words),
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "NO_COLOR": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_all_right_is_0_with_one_line_for_each_sentence_and_a_report(project: Path) -> None:
    done = verify(project, HOLDS + LEFT_OUT + DEPLOYS, "--report", "seen")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:3] == [
        "The small list",
        "  holds     It answers",
        "  left out  It has a key: no key is declared",
    ]
    assert "1 of 2 sentences hold, 1 was left out" in done.stdout
    assert f"The report: {Path('seen') / 'report.html'}" in done.stdout
    assert sorted(path.name for path in (project / "seen").iterdir()) == [
        "junit.xml",
        "report.html",
        "report.json",
        "report.txt",
    ]
    properties = ElementTree.parse(project / "seen" / "junit.xml").getroot().iter("property")
    assert {one.attrib["name"]: one.attrib["value"] for one in properties} == {"VRAM idle": "1900 MiB"}
    assert "1900 MiB" in (project / "seen" / "report.html").read_text()


def test_something_that_does_not_hold_is_1_with_what_was_seen(project: Path) -> None:
    done = verify(project, HOLDS + FAILS + ADVICE)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    at = lines.index("  fails     It is fast")
    assert lines[at + 1 : at + 3] == ["            it makes 3 tokens/s", "  advice    It could be better"]
    assert "Traceback" not in done.stdout + done.stderr
    assert "test_list.py" not in done.stdout, "nothing of pytest's own words"


def test_an_advice_that_was_not_taken_is_2(project: Path) -> None:
    done = verify(project, HOLDS + ADVICE, "--json")
    assert done.returncode == 2
    found = json.loads(done.stdout)
    assert (found["verdict"], found["counts"]) == ("degraded", {"holds": 1, "fails": 0, "advice": 1, "left_out": 0})
    (advice,) = [one for one in found["sentences"] if one["verdict"] == "advice"]
    assert advice["evidence"].startswith("its key ends soon")


def test_a_secret_that_a_test_shows_is_masked_everywhere(project: Path) -> None:
    done = verify(project, HOLDS + LEAKS, "--report", "seen")
    assert done.returncode == 1
    assert "saw *masked*" in done.stdout
    for text in (done.stdout, done.stderr, *(path.read_text() for path in (project / "seen").iterdir())):
        assert "hunter2-in-full" not in text


def test_a_box_that_cannot_be_reached_is_1_with_one_sentence(project: Path) -> None:
    done = verify(project, UNREACHABLE + NEEDS_BOX)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "nothing listens on 192.0.2.1:5986\n"


def test_tests_that_cannot_be_read_are_1_with_the_reason(project: Path) -> None:
    done = verify(project, BROKEN)
    assert done.returncode == 1
    assert "No module named 'no_such_module'" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(("--inventory", "inventory/none.py"), "There is no "), (("--inventry", "x"), "unrecognized arguments")],
)
def test_wrong_usage_is_64(project: Path, words: tuple[str, ...], sentence: str) -> None:
    done = verify(project, HOLDS, *words)
    assert (done.returncode, done.stdout) == (64, "")
    assert sentence in done.stderr


def test_an_interrupt_is_130(project: Path) -> None:
    (project / "tests" / "box" / "test_list.py").write_text(HEAD + WAITS)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(
        command(project), cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        eventually((project / "begun").exists, "the first sentence")
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=20)
    assert running.returncode == 130
    assert said == "\nInterrupted; nothing has to be mended.\n"
