"""Long work on the box, which goes on when the connection is gone: start it or join it, and watch it to its end."""

from __future__ import annotations

import atexit
import hashlib
import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pyinfra import logger
from pyinfra.api.command import FunctionCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State

from vengeance.box import private_directory
from vengeance.box.downloads import time_text
from vengeance.connectors.errors import Displaced, SignInRefused
from vengeance.facts.windows.answers import parse
from vengeance.operations.refusal import failed, in_a_sentence
from vengeance.powershell import JSON, Script, files, load
from vengeance.powershell import work as shapes

T = TypeVar("T")

# Start-Work puts what it starts below this, and starts nothing where others than administrators can write.
FOLDER = r"%ProgramData%\vengeance"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# How often a person is told how far it is, and how long a box may be away in one go (a restart), both seconds.
_TELL_EVERY = 5.0
# What has not moved for so long is told as such, and less often, seconds.
_STILL_AFTER = 15.0
_AWAY_AT_MOST = 900.0
_LONGEST_PAUSE = 12.0
# What is done at once is not waited for long, seconds.
_FIRST_LOOK = 0.05


class WorkError(Exception):
    """Work cannot be started or looked at, or did not end well; the text is a sentence."""


@dataclass(frozen=True)
class _Wish:
    name: str
    work: str
    input: str
    say: Callable[[Mapping[str, Any]], str]
    timeout: float
    read_every: float
    check: Callable[[Host, Mapping[str, Any]], str | None]


def name_of(*parts: str) -> str:
    """Return a name for a piece of work: the same parts give the same name, and no others do.

    + parts: what it is about; the first is kept readable, as in ``OllamaSetup.exe-1f0c77a2b0d4``
    """
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", parts[0]).strip("-.")[:60] or "work"
    return f"{readable}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:12]}"


def run_work(
    name: str,
    work: str,
    input: Mapping[str, object],
    *,
    say: Callable[[Mapping[str, Any]], str],
    timeout: float,
    read_every: float = 2.0,
    check: Callable[[Host, Mapping[str, Any]], str | None] = lambda host, result: None,
) -> FunctionCommand:
    """Return a command that has the box do a piece of long work, and watches it until it is done.

    + name: of this piece of work; the same work with the same input that runs already under it is joined
    + work: which script of ``powershell/work`` does it
    + input: what the script gets, typed beside the shapes of its domain; no secret: it is written to a file on the box
    + say: makes a line for a person of what the work said last, printed at most every 5 seconds
    + timeout: seconds to watch it; after that the host fails, and the work goes on
    + read_every: seconds between two looks
    + check: called with what the work gave; returns the sentence that fails the host, or None

    A connection that drops meanwhile is made again, and the work does not notice. Raises ValueError for a name that
    cannot be one, FileNotFoundError for work that there is not.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of work: use letters, digits, '.', '_' and '-'.")
    load(f"work/{work}")
    text = json.dumps(input, separators=(",", ":"), sort_keys=True)
    wish = _Wish(name, work, text, say, timeout, read_every, check)

    @in_a_sentence
    def do_work(state: State, host: Host) -> bool:
        try:
            result = watch(host, wish)
            complaint = check(host, result)
        except WorkError as error:
            complaint = str(error)
        return complaint is None or failed(host, complaint)

    return FunctionCommand(do_work, [], {})


def _ask(host: Host, script: str, given: Mapping[str, JSON], shape: type[T]) -> T:
    succeeded, output = host.run_shell_command(Script(script, given), _shell_executable="ps")
    if not succeeded:
        raise WorkError(f"{host.name} could not run {script}: {output.stderr.strip() or output.stdout.strip()}")
    return parse(script, output.stdout_lines, shape)


def _make_folder(host: Host) -> None:
    """Have the folder that work lies in, with what is in it, in nobody else's hands. Raises WorkError."""
    found = _ask(host, "Get-DirectoryAccess", {"path": FOLDER}, files.DirectoryAccess)
    problem = private_directory.objection(host.name, found["path"], found["account"], found["foreign"])
    if problem is not None:
        raise WorkError(problem)
    if not found["closed"]:
        _ask(host, "Protect-Directory", {"path": FOLDER}, files.DirectoryProtection)


def watch(host: Host, wish: _Wish) -> Mapping[str, Any]:
    """Start or join work and wait for its end; return what it gave. Raises WorkError with a sentence."""
    start: dict[str, JSON] = {
        "name": wish.name,
        "work": wish.work,
        "runner": load("work/runner"),
        "text": load(f"work/{wish.work}"),
        "input": wish.input,
        "token": uuid.uuid4().hex,
    }

    def goes_on() -> None:
        host.log(f"the box goes on with that by itself; run this again to watch it ({wish.name})")

    try:
        return _watch(host, wish, start, lambda: atexit.register(goes_on))
    finally:
        # Ctrl-C ends the process and leaves no time for this.
        atexit.unregister(goes_on)


def _watch(host: Host, wish: _Wish, start: Mapping[str, JSON], on_start: Callable[[], object]) -> Mapping[str, Any]:
    deadline = time.monotonic() + wish.timeout
    started = False
    told = moved = time.monotonic()
    progress: Mapping[str, Any] | None = None
    lost: float | None = None
    pause = look = min(_FIRST_LOOK, wish.read_every)
    while True:
        try:
            if not started:
                _make_folder(host)
                answer = _ask(host, "Start-Work", start, shapes.Started)
                started = True
                on_start()
                if answer["joined"]:
                    host.log(f"the box does that already; watching it ({wish.name})")
            found = _ask(host, "Get-Work", {"name": wish.name}, shapes.Work)
        except (SignInRefused, Displaced):
            raise
        except OSError as error:
            # Asking again for a start does nothing when the first was heard: it carries the same token.
            if lost is None:
                lost = time.monotonic()
                host.log(
                    f"the connection is lost, the box goes on by itself; connecting again ({error})", logger.warning
                )
            if time.monotonic() - lost > _AWAY_AT_MOST or time.monotonic() > deadline:
                raise
            pause = min(pause * 2, _LONGEST_PAUSE)
            time.sleep(pause)
            continue
        lost, pause = None, _FIRST_LOOK
        if found["state"] == "done":
            return found["result"] or {}
        if found["state"] == "failed":
            raise WorkError(f"{host.name}: {found['error']}")
        if found["state"] != "running":
            raise WorkError(
                f"{host.name}: the work {wish.name} ended without a result: Windows was restarted, or somebody ended "
                "its process. Run the deploy again: it goes on where it stopped."
            )
        now = time.monotonic()
        if found["progress"] != progress:
            progress, moved = found["progress"], now
        still = now - moved >= _STILL_AFTER
        if progress is not None and now - told >= (_STILL_AFTER if still else _TELL_EVERY):
            told = now
            host.log(wish.say(progress) + (f", nothing new for {time_text(now - moved)}" if still else ""))
        if time.monotonic() > deadline:
            raise WorkError(
                f"{host.name}: the work {wish.name} is not done after {wish.timeout:.0f} s; it goes on by itself. "
                "Run the deploy again to watch it on, or give it a longer timeout."
            )
        time.sleep(look)
        look = min(look * 2, wish.read_every)
