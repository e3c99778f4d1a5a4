"""The restart of Windows, as ansible.windows does it, over connections that are made anew for each look.

https://github.com/ansible-collections/ansible.windows/blob/main/plugins/plugin_utils/_reboot.py
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Generator, Iterable, Sequence

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.exceptions import FactProcessError, OperationValueError
from pyinfra.api.host import Host
from pyinfra.api.operation import OperationMeta, operation
from pyinfra.api.state import State, StateStage
from pyinfra.context import host, state

from vengeance.box import restart
from vengeance.connectors.errors import OutcomeUnknown, SignInRefused
from vengeance.connectors.output import text_lines
from vengeance.connectors.winrm import WinRMConnector
from vengeance.facts.windows import BootState, PendingReboot, parse
from vengeance.operations.refusal import checked, failed
from vengeance.powershell import JSON, Script, system

Need = OperationMeta | Callable[[], bool]
"""What can say that a restart is needed: an operation that was called before, or a function."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 12.0
SCRIPT_SECONDS = 30.0
# A box that was asked to restart and has not, for so many seconds, is asked again.
ASK_AGAIN_SECONDS = 60.0
SAY_EVERY_SECONDS = 30.0
# Windows may refuse a sign-in while its services start; more would lock the account.
REFUSALS = 5


class RestartFailed(Exception):
    """Windows was not restarted, or is not back; the text is a sentence."""


class ScriptFailed(Exception):
    """A script on the box ended with an error; the text is its own."""


def asks_for_restart(need: Need) -> bool:
    """Tell whether an operation, or a function, says that Windows has to be restarted.

    In a plan an operation that would change something does. Afterwards one does whose scripts said
    ``reboot_required``; one that ran no script of ours does if it changed something.
    """
    if not isinstance(need, OperationMeta):
        return need()
    if not need.is_complete():
        return need.will_change
    if not need.did_change():
        return False
    answers = list(_answers(need.stdout_lines))
    return any(answers) if answers else True


def _answers(lines: Iterable[str]) -> Iterable[bool]:
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and isinstance(said.get("reboot_required"), bool):
            yield said["reboot_required"]


@operation()
def reboot(
    reason: str | Sequence[str] | None = None, wait: int = 600, needed: Need | Sequence[Need] | None = None
) -> Generator[PyinfraCommand, None, None]:
    """
    Restart Windows if it waits for that, and go on when it is back.

    + reason: further reasons that count: ``file_rename``, ``computer_name``. A half-installed feature or update
      (``component_based_servicing``, ``windows_update``) always does
    + wait: seconds until it must be back; installing updates on the way takes its time
    + needed: operations (or functions) that may ask for a restart themselves; see ``asks_for_restart``

    All connections to the box and to the distros on it come back by themselves. Everything that runs there ends, and
    to Linux it is a power cut.

    **Example:**

    .. code:: python

        feature = windows.feature(name="Virtual machines for WSL", feature="VirtualMachinePlatform")
        windows.reboot(name="Restart if needed", needed=feature, wait=900)
    """
    named = [reason] if isinstance(reason, str) else [*(reason or [])]
    checked(lambda: restart.check_reasons(named))
    if isinstance(wait, bool) or not isinstance(wait, int) or wait < 1:
        raise OperationValueError(f"wait is a number of seconds, at least 1, not {wait!r}.")
    pending, before = host.get_fact(PendingReboot), host.get_fact(BootState)
    if pending is None or before is None:
        return  # it could not be read: pyinfra has said so and failed the host
    read_at = time.monotonic()
    why: list[str] = restart.that_count(pending["reasons"], named)
    needs = [needed] if isinstance(needed, OperationMeta) or callable(needed) else [*(needed or [])]
    if not why and any(asks_for_restart(need) for need in needs):
        why = ["what was changed takes effect with a restart"]
    if not why:
        left = f" ({', '.join(pending['reasons'])} does not count)" if pending["reasons"] else ""
        host.noop(f"no restart is needed{left}")
        return
    words = ", ".join(restart.WORDS.get(each, each) for each in why)
    if state.current_stage != StateStage.Execute:
        host.log(f"Windows will be restarted: {words}")
    yield FunctionCommand(restart_and_wait, [before, read_at, words, wait], {})


def restart_and_wait(state: State, host: Host, before: system.BootState, read_at: float, why: str, wait: float) -> bool:
    """Restart Windows and wait until it is back; False, with the sentence said, when it does not come."""
    connector = host.connector
    if not isinstance(connector, WinRMConnector):
        raise TypeError(f"{host.name} is no @winrm host")
    host.log_styled(f"Windows restarts: {why}", log_func=logger.info, fg="yellow")
    started = time.monotonic()
    try:
        _Restart(connector, before, read_at, started + wait).run()
        connector.reconnect()
    except (RestartFailed, OSError) as error:
        return failed(host, f"{host.name}: {error}")
    host.log(f"Windows is back after {time.monotonic() - started:.0f} s")
    return True


class _Restart:
    """One restart: looks which boot it is, asks for another, and looks again until it is there.

    Each look is over a connection of its own and decides anew, so it does not matter when the box goes away.
    """

    def __init__(self, connector: WinRMConnector, before: system.BootState, read_at: float, deadline: float) -> None:
        self.connector = connector
        self.before = before
        self.read_at = read_at
        self.deadline = deadline
        self.asked_at: float | None = None
        self.refusals = 0
        self.seen = "it has not answered since"

    def run(self) -> None:
        """Restart it. Raises RestartFailed."""
        place = self.connector.host.name
        pause, said_at = FIRST_PAUSE, time.monotonic()
        while True:
            try:
                if self._look():
                    return
            except ScriptFailed as error:
                raise RestartFailed(f"the restart could not be asked for: {error}") from error
            except SignInRefused as error:
                self.refusals += 1
                self.seen = str(error)
                pause = LONGEST_PAUSE
                if self.refusals >= REFUSALS:
                    raise RestartFailed(
                        f"the sign-in was refused {REFUSALS} times after the restart: {error}"
                    ) from None
            except (OSError, FactProcessError) as error:
                self.seen = str(error)
            now = time.monotonic()
            if now >= self.deadline:
                raise RestartFailed(
                    f"Windows did not come back in time: {self.seen}. Look at the box's screen: it may install updates "
                    "or wait for a person; if it is only slow, set reboot_timeout higher (seconds) and run again"
                )
            if now - said_at >= SAY_EVERY_SECONDS:
                said_at = now
                left = self.deadline - now
                self.connector.host.log(f"{place} is not back yet, {left:.0f} s left: {self.seen}")
            time.sleep(min(pause, max(0.0, self.deadline - now)))
            pause = min(pause * 2, LONGEST_PAUSE) * random.uniform(0.9, 1.1)  # noqa: S311

    def _look(self) -> bool:
        now = parse("Get-BootState", self._ask("Get-BootState", {}), system.BootState)
        self.refusals = 0
        elapsed = time.monotonic() - self.read_at
        if restart.is_another_boot(_numbers(self.before), _numbers(now), elapsed):
            self.seen = "it answers, and its sign-in screen is not there yet"
            return now["started"]
        if self.asked_at is None or time.monotonic() - self.asked_at > ASK_AGAIN_SECONDS:
            self.seen = "it still runs as it was before the restart"
            try:
                self._ask("Restart-Windows", {"boot_file_time": now["boot_file_time"]})
            except (OutcomeUnknown, TimeoutError) as error:
                # What cut the connection may well be the restart; the next look tells.
                self.seen = str(error)
            self.asked_at = time.monotonic()
        return False

    def _ask(self, script: str, parameters: dict[str, JSON]) -> list[str]:
        result = self.connector.run_afresh(
            Script(script, parameters), read_only=script.startswith("Get-"), timeout=SCRIPT_SECONDS
        )
        if result.code != 0:
            said = " ".join(text_lines(result.stderr)) or "it said nothing"
            if script.startswith("Get-"):
                # Windows answers before all of it is there, WMI for one.
                raise OSError(f"{script}.ps1 failed: {said}")
            raise ScriptFailed(f"{script}.ps1 failed: {said}")
        return text_lines(result.stdout)


def _numbers(one: system.BootState) -> dict[str, float]:
    return {"boot_file_time": one["boot_file_time"], "uptime_seconds": one["uptime_seconds"]}
