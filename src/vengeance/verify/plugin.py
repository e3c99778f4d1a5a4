"""pytest as an acceptance list: each test is a sentence about a box, with a verdict and a report.

Marks of a test:

- ``advice``: the box does what it is for without it; where it does not hold the box is degraded, and nothing fails
- ``disturbs(what)``: what is done to the box for it; it is left out unless that was asked for
- ``deploys``: it runs deploys, so it is only for a twin that belongs to the test run

A test calls the fixture ``measure`` with a name and a value to have them in the report.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from vengeance.verify import report
from vengeance.verify.report import Report, Sentence
from vengeance.verify.sentences import section, sentence

_MASK = "*masked*"
_LINES = 12
RECORDER = "vengeance-recorder"
_SHORTEST_SECRET = 4


class Listener(Protocol):
    """Who is told of each sentence as soon as it has a verdict."""

    def __call__(self, one: Sentence) -> None:
        """Take one."""


class Recorder:
    """What one run has seen.

    box: what is looked at; problem: why it could not be
    secrets: texts that nothing may show, wherever a test has put them
    """

    def __init__(self) -> None:
        self.report = Report("", datetime.now().astimezone())
        self.secrets: set[str] = set()
        self.listeners: list[Listener] = []
        self._began = time.monotonic()
        self._open: dict[str, list[pytest.TestReport]] = {}

    def masked(self, text: str) -> str:
        """Return a text without the secrets in it."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, _MASK)
        return text

    # --- hooks ---

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Say in the report what the test says; an advice that was not taken is no failure."""
        made = yield
        evidence = self.masked(_evidence(made, call))
        if made.failed and any(secret in made.longreprtext for secret in self.secrets):
            made.longrepr = self.masked(made.longreprtext)
        advice = made.failed and made.when != "teardown" and item.get_closest_marker("advice") is not None
        if advice:
            made.outcome = "skipped"
            made.wasxfail = f"advice: {evidence}"
        function = getattr(item, "obj", None)
        case = item.name.partition("[")[2].removesuffix("]")
        module = getattr(item, "module", None)
        # It travels with the report from the workers of xdist.
        made.says = {  # type: ignore[attr-defined]
            "section": section(getattr(module, "__doc__", None), item.path.stem),
            "said": sentence(item.name.partition("[")[0], getattr(function, "__doc__", None), case),
            "evidence": evidence,
            "advice": advice,
        }
        return made

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in the three reports of a test; the last one closes it."""
        parts = self._open.setdefault(report.nodeid, [])
        parts.append(report)
        if report.when == "teardown":
            self._close(self._open.pop(report.nodeid))

    def _close(self, parts: list[pytest.TestReport]) -> None:
        worst = next((one for one in parts if one.failed), None)
        worst = worst or next((one for one in parts if one.skipped), parts[-1])
        says: dict[str, Any] = getattr(worst, "says", {})
        if not says:
            return
        verdict: report.Verdict = "holds"
        if worst.failed:
            verdict = "fails"
        elif says["advice"]:
            verdict = "advice"
        elif worst.skipped:
            verdict = "left out"
        made = Sentence(
            section=says["section"],
            said=says["said"],
            verdict=verdict,
            evidence="" if verdict == "holds" else says["evidence"],
            seconds=sum(one.duration for one in parts),
            measured={str(name): str(value) for name, value in parts[-1].user_properties},
        )
        self.report.sentences.append(made)
        for listener in self.listeners:
            listener(made)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """``pytest.exit`` is called where the box cannot be looked at at all."""
        if isinstance(excinfo.value, pytest.exit.Exception):
            self.report.problem = self.masked(str(excinfo.value.msg))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the report where one was asked for."""
        self.report.seconds = time.monotonic() - self._began
        folder: Path | None = session.config.getoption("report")
        if folder is not None and not hasattr(session.config, "workerinput"):
            write(self.report, folder)


def write(made: Report, folder: Path) -> None:
    """Write report.txt, report.json and report.html; junit.xml is pytest's own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.txt").write_text(report.as_text(made), encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(report.as_object(made), indent=2) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(report.as_html(made), encoding="utf-8")


def _evidence(made: pytest.TestReport, call: pytest.CallInfo[None]) -> str:
    """Return what was seen, without a traceback: the words of the assertion, the exception or the skip."""
    if made.passed or call.excinfo is None:
        return ""
    if made.skipped and isinstance(made.longrepr, tuple):
        return str(made.longrepr[2]).removeprefix("Skipped: ")
    text = call.excinfo.exconly().removeprefix("AssertionError: ").removeprefix("Failed: ")
    shown = text.splitlines()
    told = [at for at, line in enumerate(shown) if line.startswith("assert ")]
    if told and told[0] > 0:
        # What a test says of it is for a person; how pytest took the comparison apart is for who mends the test.
        shown = shown[: told[0]]
    more = [f"... {len(shown) - _LINES} lines more"] if len(shown) > _LINES else []
    return "\n".join([*shown[:_LINES], *more])


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of an acceptance run."""
    group = parser.getgroup("vengeance", "acceptance of a box")
    group.addoption(
        "--inventory", type=Path, help="look at the box of this inventory as it is (default: a twin that is deployed)"
    )
    group.addoption("--limit", help="of an inventory with several boxes: name of one; or windows, or wsl, for one side")
    group.addoption("--disturb", action="store_true", help="restart the box and hand its card over, too")
    group.addoption("--report", type=Path, metavar="FOLDER", help="write text, JUnit and an HTML page into a folder")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Make the recorder, and have pytest write JUnit where a report was asked for."""
    config.addinivalue_line("markers", "advice: the box is degraded, and not broken, where this does not hold")
    config.addinivalue_line("markers", "disturbs(what): done to a box only where it was asked for")
    config.addinivalue_line("markers", "deploys: runs deploys, so only on a twin of the test run's own")
    folder: Path | None = config.getoption("report")
    if folder is not None and not config.getoption("xmlpath", None):
        config.option.xmlpath = str(folder / "junit.xml")
    config.pluginmanager.register(Recorder(), RECORDER)


def recorder(config: pytest.Config) -> Recorder:
    """Return the recorder of a run."""
    found: Recorder = config.pluginmanager.getplugin(RECORDER)
    return found


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what deploys where a box is looked at as it is."""
    if config.getoption("inventory") is None:
        return
    deploying = [item for item in items if item.get_closest_marker("deploys") is not None]
    if deploying:
        config.hook.pytest_deselected(items=deploying)
        items[:] = [item for item in items if item not in deploying]


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Takes a name and a value with its unit, for the report and for JUnit's properties."""
    properties: list[tuple[str, object]] = request.node.user_properties

    def taken(name: str, value: object) -> None:
        properties.append((name, recorder(request.config).masked(str(value))))

    return taken


def hide(config: pytest.Config, secrets: Iterable[str]) -> None:
    """Have nothing of a run show these texts."""
    recorder(config).secrets.update(one for one in secrets if one)
