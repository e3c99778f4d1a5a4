"""The restart of Windows: when it is wanted, and that it comes about whenever the box goes away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from pyinfra.api.command import FunctionCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.operation import OperationMeta
from pyinfra.connectors.util import CommandOutput, OutputLine

from tests.unit.operation_runs import Run, run_operation
from vengeance.box import restart as rules
from vengeance.facts.windows import BootState, PendingReboot
from vengeance.operations import windows
from vengeance.operations.windows import restart
from vengeance.powershell import Script
from vengeance.winrm.connection import Unreachable
from vengeance.winrm.errors import ConnectionLost, OutcomeUnknown, SignInRefused
from vengeance.winrm.result import Result

BOOT = {"boot_file_time": 134151091645000000, "uptime_seconds": 5000.0, "started": True}


def facts(*reasons: str) -> dict[Any, Any]:
    return {PendingReboot: {"pending": bool(reasons), "reasons": [*reasons]}, BootState: BOOT}


def why(run: Run) -> str:
    (command,) = run.commands
    assert isinstance(command, FunctionCommand)
    assert command.function is restart.restart_and_wait
    return str(command.args[2])


def done(changed: bool, *lines: str) -> OperationMeta:
    """An operation that has run, with what its commands printed."""
    meta = OperationMeta("hash", None)
    meta.set_complete(
        True, ["command"] if changed else [], CommandOutput([OutputLine("stdout", line) for line in lines])
    )
    return meta


# --- when ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["component_based_servicing", "windows_update", "installer"])
def test_a_half_installed_feature_or_update_calls_for_a_restart(reason: str) -> None:
    assert why(run_operation(windows.reboot, facts(reason))) == rules.WORDS[reason]


@pytest.mark.parametrize("reason", ["file_rename", "computer_name"])
def test_a_weak_reason_counts_only_when_it_is_named(reason: str) -> None:
    run = run_operation(windows.reboot, facts(reason))
    assert (run.commands, run.noops) == ([], [f"no restart is needed ({reason} does not count)"])
    assert why(run_operation(windows.reboot, facts(reason), reason=reason)) == rules.WORDS[reason]
    assert why(run_operation(windows.reboot, facts(reason), reason=[reason])) == rules.WORDS[reason]


def test_every_reason_has_its_words() -> None:
    assert set(rules.WORDS) == set(rules.REASONS)


def test_nothing_pending_is_no_restart() -> None:
    run = run_operation(windows.reboot, facts())
    assert (run.commands, run.noops) == ([], ["no restart is needed"])


@pytest.mark.parametrize(
    ("need", "needed"),
    [
        (done(False), False),
        (done(True, '{"changed":true,"reboot_required":true}'), True),
        (done(True, '{"changed":true,"reboot_required":false}'), False),
        (done(True, '{"reboot_required":false}', "words", '{"reboot_required":true}'), True),
        (done(True, "no script of ours"), True),
        (OperationMeta("hash", True), True),
        (OperationMeta("hash", False), False),
        (lambda: True, True),
        (lambda: False, False),
    ],
)
def test_what_was_done_before_decides_by_what_its_scripts_said(need: Any, needed: bool) -> None:
    run = run_operation(windows.reboot, facts(), needed=need)
    assert bool(run.commands) is needed
    assert bool(run_operation(windows.reboot, facts(), needed=[done(False), need]).commands) is needed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"reason": "file_renames"}, "did you mean file_rename?"),
        ({"reason": ["updates"]}, "'updates' is no reason why Windows waits for a restart"),
        ({"wait": 0}, "wait is a number of seconds, at least 1, not 0."),
        ({"wait": True}, "wait is a number of seconds, at least 1, not True."),
        ({"wait": "600"}, "wait is a number of seconds, at least 1, not '600'."),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OperationValueError) as caught:
        run_operation(windows.reboot, facts("windows_update"), **arguments)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("boot", "uptime", "elapsed", "another"),
    [
        (BOOT["boot_file_time"], 5010.0, 10.0, False),
        (BOOT["boot_file_time"] + 600_000_000, 12.0, 60.0, True),
        # The clock was put right by an hour: another boot time, and it has run on all the same.
        (BOOT["boot_file_time"] + 36_000_000_000, 5010.0, 10.0, False),
        (BOOT["boot_file_time"] - 36_000_000_000, 4.0, 60.0, True),
    ],
)
def test_a_clock_that_is_put_right_is_no_restart(boot: int, uptime: float, elapsed: float, another: bool) -> None:
    now = {"boot_file_time": boot, "uptime_seconds": uptime}
    before = {"boot_file_time": BOOT["boot_file_time"], "uptime_seconds": BOOT["uptime_seconds"]}
    assert rules.is_another_boot(before, now, elapsed) is another


# --- how ----------------------------------------------------------------------------------------------------


class Box:
    """A box whose time is the test's own; what it does next is a list of what it answers."""

    def __init__(self, *answers: object) -> None:
        self.answers: Iterator[object] = iter(answers)
        self.name = "@winrm/box"
        self.host = self
        self.now = 0.0
        self.asked: list[str] = []
        self.said: list[str] = []

    def log(self, message: str) -> None:
        self.said.append(message)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run_afresh(self, script: Script, *, read_only: bool, timeout: float) -> Result:
        assert read_only is script.script.startswith("Get-")
        self.asked.append(script.script)
        answer = next(self.answers)
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Result):
            return answer
        return Result(0, json.dumps(answer).encode(), b"")

    def restart(self, wait: float = 600.0) -> None:
        """Restart it as the operation does. Raises RestartFailed."""
        with patch.object(restart, "time", self):
            restart._Restart(self, BOOT, 0.0, wait).run()  # type: ignore[arg-type]


AWAY = Unreachable("nothing listens on box:5986")
ON_ITS_WAY = {
    "changed": True,
    "before": {"boot_file_time": BOOT["boot_file_time"]},
    "after": {"code": 0, "took_back": False},
    "reboot_required": True,
}


def old(box: Callable[[], float] = lambda: 0.0) -> dict[str, object]:
    return {**BOOT, "uptime_seconds": 5000.0 + box()}


def new(started: bool = True) -> dict[str, object]:
    return {"boot_file_time": 134151191645000000, "uptime_seconds": 0.5, "started": started}


def test_it_is_asked_once_and_waited_for_until_its_sign_in_screen_is_there() -> None:
    box = Box(old(), ON_ITS_WAY, AWAY, AWAY, AWAY, new(started=False), new(started=False), new())
    box.restart()
    assert box.asked == ["Get-BootState", "Restart-Windows", *["Get-BootState"] * 6]
    assert box.now < 600


@pytest.mark.parametrize("loss", [OutcomeUnknown("the connection was lost"), TimeoutError("30 s")])
def test_a_connection_that_is_cut_by_the_restart_is_success(loss: Exception) -> None:
    box = Box(old(), loss, AWAY, new())
    box.restart()
    assert box.asked.count("Restart-Windows") == 1


def test_a_box_that_restarted_by_itself_meanwhile_is_not_restarted_again() -> None:
    box = Box(AWAY, ConnectionLost("cut"), new(started=False), new())
    box.restart()
    assert "Restart-Windows" not in box.asked


def test_a_box_that_goes_away_before_it_can_be_asked_is_asked_when_it_is_the_same_boot() -> None:
    box = Box(old(), AWAY, AWAY)
    box.answers = iter([old(), AWAY, AWAY, lambda: old(lambda: box.now), ON_ITS_WAY, AWAY, new()])
    box.restart()
    assert box.asked.count("Restart-Windows") == 2


def test_a_restart_that_does_not_come_is_asked_for_again_after_a_minute() -> None:
    box = Box()
    times: list[float] = []

    def answers() -> Iterator[object]:
        while len(times) < 2:
            yield old(lambda: box.now)
            if box.asked[-1] == "Get-BootState" and (not times or box.now - times[-1] > restart.ASK_AGAIN_SECONDS):
                times.append(box.now)
                yield ON_ITS_WAY
        yield new()

    box.answers = answers()
    box.restart()
    assert times[1] - times[0] > restart.ASK_AGAIN_SECONDS


def test_windows_that_answers_before_wmi_does_is_waited_for() -> None:
    broken = Result(1, b"", b"Provider load failure\r\n")
    box = Box(old(), ON_ITS_WAY, AWAY, broken, Result(0, b"", b""), new())
    box.restart()


def test_a_restart_that_windows_refuses_fails_with_its_words() -> None:
    box = Box(old(), Result(1, b"", b"shutdown.exe /r ended with 5.\r\n"))
    with pytest.raises(restart.RestartFailed, match=r"could not be asked for: .* shutdown.exe /r ended with 5\."):
        box.restart()


def test_a_password_is_not_tried_until_the_account_is_locked() -> None:
    box = Box(old(), ON_ITS_WAY, *[SignInRefused("box refused the user 'Steam'")] * 50)
    with pytest.raises(restart.RestartFailed, match="the sign-in was refused 5 times after the restart: box refused"):
        box.restart()
    assert box.asked.count("Get-BootState") == 1 + restart.REFUSALS
    # Windows refuses for a while at its start, so the tries are far apart.
    assert box.now > 40


def test_a_box_that_does_not_come_back_fails_with_what_was_seen_last_and_said_so_on_the_way() -> None:
    box = Box(old(), ON_ITS_WAY, *[AWAY] * 500)
    with pytest.raises(restart.RestartFailed) as caught:
        box.restart(wait=100.0)
    assert "nothing listens on box:5986. Look at the box's screen" in str(caught.value)
    assert "reboot_timeout" in str(caught.value)
    assert [line for line in box.said if "is not back yet" in line]
    assert box.now == pytest.approx(100.0)


def test_the_pauses_grow_to_twelve_seconds() -> None:
    box = Box(old(), ON_ITS_WAY, *[AWAY] * 500)
    with pytest.raises(restart.RestartFailed):
        box.restart(wait=600.0)
    assert 600 / 13.2 < len(box.asked) < 600 / 9
