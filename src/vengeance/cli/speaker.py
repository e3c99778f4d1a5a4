"""A run of pytest for a person at a terminal: a line for each sentence, and nothing of pytest's own words."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from vengeance import colours
from vengeance.verify import report
from vengeance.verify.plugin import recorder
from vengeance.verify.report import Report, Sentence

_COLOURS = {"holds": "green", "fails": "red", "advice": "yellow", "left out": "grey"}


class Speaker:
    """Says each sentence as soon as it has a verdict, in place of pytest's own words.

    + as_json: says nothing but an object at the end
    + disturbs: whether the card may be handed over meanwhile
    """

    def __init__(self, as_json: bool, disturbs: bool) -> None:
        self._disturbs = disturbs
        self._as_json = as_json
        self._coloured = colours.wanted()
        self._noise = io.StringIO()
        self._section = ""
        self._why = ""
        self._report: Report | None = None
        self._interrupted = False

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Take pytest's own reporter away from the terminal; what it says is kept for the case that pytest fails."""
        config.pluginmanager.unregister(name="terminalreporter")
        config.pluginmanager.register(TerminalReporter(config, self._noise), "terminalreporter")
        found = recorder(config)
        self._report = found.report
        if not self._as_json:
            found.listeners.append(self.say)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Ctrl-C; what pytest ends itself with is a kind of KeyboardInterrupt too."""
        self._interrupted = self._interrupted or type(excinfo.value) is KeyboardInterrupt

    def say(self, one: Sentence) -> None:
        """Say one sentence, and where it does not hold what was seen."""
        if one.section != self._section:
            print(f"\n{one.section}" if self._section else one.section)
            self._section = one.section
        mark = colours.painted(f"{one.verdict:<9}", _COLOURS[one.verdict], self._coloured)
        # The same reason is often that of several sentences, and is said once.
        why = " ".join(one.evidence.split()) if one.verdict == "left out" else ""
        print(f"  {mark} {one.said}{f': {why}' if why and why != self._why else ''}")
        self._why = why
        if one.verdict in ("fails", "advice"):
            for line in one.evidence.splitlines():
                print(f"            {line}")
        sys.stdout.flush()

    def conclude(self, ended: int, folder: Path | None) -> str:
        """Say the counts and where the report lies; returns the verdict: right, failed, degraded or interrupted.

        + ended: pytest's exit code
        """
        found = self._report
        if self._interrupted:
            after = "python -m vengeance mode says who has the card" if self._disturbs else "nothing has to be mended"
            print(f"\nInterrupted; {after}.", file=sys.stderr)
            return "interrupted"
        if found is None or (found.problem is None and (ended not in (0, 1) or not found.sentences)):
            print(f"The tests could not be run; pytest says:\n{self._noise.getvalue().strip()}", file=sys.stderr)
            return report.FAILED
        if self._as_json:
            print(json.dumps(report.as_object(found), indent=1))
        elif found.problem is None:
            colour = {"right": "green", "failed": "red", "degraded": "yellow"}[found.verdict]
            print(f"\n{colours.painted(found.conclusion, colour, self._coloured)} {found.summary}")
        if found.problem is not None:
            print(found.problem, file=sys.stderr)
        if folder is not None and not self._as_json:
            print(f"The report: {folder / 'report.html'}, and beside it report.txt, report.json and junit.xml")
        return found.verdict
