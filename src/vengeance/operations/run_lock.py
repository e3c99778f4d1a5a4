"""One run at a time on a box: it is taken before anything is changed, and let go with the connection.

Windows holds it for the PowerShell process of the run, so whatever ends that ends it too: the end of the run, a failed
one, Ctrl-C, a restart of the box, and for a run that died without a word WinRM's idle timeout. See Set-RunLock.ps1.
"""

from __future__ import annotations

import getpass
import os
import socket
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from weakref import WeakKeyDictionary

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.exceptions import FactProcessError, OperationValueError
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State, StateStage
from pyinfra.context import host, state

from vengeance.box.run_lock import Owner, displaced, is_dead, parse, refusal
from vengeance.connectors import holding
from vengeance.facts.windows import parse as parse_answer
from vengeance.operations import interrupted
from vengeance.operations.refusal import refuse
from vengeance.operations.stage import name_of_box
from vengeance.powershell import run_lock


@dataclass
class Box:
    """How far a run has got with one box.

    deploy: file that is run; hosts: those of the box that have asked for it
    stages: those of pyinfra in which it was asked for; refused: why it was not to be had, in the last of them
    """

    deploy: str
    hosts: set[str] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)
    stages: set[StateStage] = field(default_factory=set)
    refused: str | None = None


_boxes: WeakKeyDictionary[State, dict[str, Box]] = WeakKeyDictionary()


def take() -> None:
    """Have the box of this host for this run alone, before anything is changed on it; another run is refused.

    Call it in each deploy that changes anything, for every host, before its first operation. The stages of a whole
    deploy that follow have it already. Raises OperationValueError for a ``take_over`` that is no process.
    """
    if not holding.is_ours(host.connector) or not {"windows", "wsl"} & set(host.groups):
        return
    asked = host.data.get("take_over")
    if asked is not None and (isinstance(asked, bool) or not isinstance(asked, int)):
        raise OperationValueError(
            f"take_over is the number of the process that has the box, as the refusal gives it, not {asked!r}."
        )
    interrupted.is_told()
    deploy = Path(state.current_exec_filename or "a deploy")
    box = _boxes.setdefault(state, {}).setdefault(name_of_box(host), Box("/".join(deploy.parts[-2:])))
    if host.name not in box.hosts:
        box.hosts.add(host.name)
        held(name="No other run is at work on this box")


@operation()
def held() -> Generator[PyinfraCommand, None, None]:
    """
    Take the box for this run alone, and stop the host if another run has it; a plan only says so. See ``take``.

    A run that died is no hindrance: one of this machine is found out, and any other's hold ends with its shell. Another
    one is put out of the way with ``--data take_over=PROCESS``, by the process that the refusal names.

    **Example:**

    .. code:: python

        run_lock.take()  # calls held(name="No other run is at work on this box") once for each host
    """
    box = _boxes[state][name_of_box(host)]
    plan = state.current_stage != StateStage.Execute
    with box.lock:
        # The two sides of a box come here side by side.
        first, box.stages = state.current_stage not in box.stages, {*box.stages, state.current_stage}
        if first:
            try:
                box.refused = _look(host) if plan else _seize(host, box)
            except (OSError, FactProcessError) as error:
                box.refused = f"{host.name}: {error}"
    if box.refused is not None and not plan:
        yield refuse(box.refused if first else f"{host.name} is left as it is, because its box was not to be had.")
        return
    if box.refused is not None and first:
        host.log(box.refused, logger.warning)
    host.noop("no other run is at work on this box")


def _look(host: Host) -> str | None:
    """Return why the box would not be to be had now; a plan takes nothing."""
    holder = parse_answer("Get-RunLock", holding.read(host.connector, "Get-RunLock"), run_lock.RunLock)["holder"]
    if holder is None or _dead(parse(holder["owner"])):
        return None
    return refusal(name_of_box(host), parse(holder["owner"]), holder["pid"])


def _seize(host: Host, box: Box) -> str | None:
    """Take the box; return why not, None when it is taken."""
    owner = _owner(box.deploy)
    given: dict[str, str | int] = {"owner": owner.text, "instead_of": host.data.get("take_over") or 0}

    def after(said: list[str]) -> run_lock.Holder:
        return parse_answer("Set-RunLock", said, run_lock.RunLockChange)["after"]

    def ask() -> run_lock.Holder:
        return after(holding.hold(host.connector, "Set-RunLock", lambda stay: {**given, "stay": stay}))

    def complaint(said: list[str]) -> str | None:
        holder = after(said)
        return None if holder["owner"] == owner.text else displaced(name_of_box(host), parse(holder["owner"]))

    holder = ask()
    other = parse(holder["owner"])
    if holder["owner"] != owner.text and _dead(other):
        host.log(f"a run that has died had the box: {other}")
        given["instead_of"] = holder["pid"]
        holder = ask()
        other = parse(holder["owner"])
    if holder["owner"] != owner.text:
        return refusal(name_of_box(host), other, holder["pid"])
    # Should it be lost on the way, it is not taken from anybody again.
    given["instead_of"] = 0
    holding.keep(host.connector, "Set-RunLock", complaint)
    return None


def _owner(deploy: str) -> Owner:
    return Owner(
        user=_user(),
        machine=socket.gethostname(),
        deploy=deploy,
        since=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        pid=os.getpid(),
        started=_started(os.getpid()) or "",
        processes=_processes(),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _processes() -> str:
    """Which table of processes this one is in: of which start of the machine, and of which container in it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process was started, in ticks since the machine was (proc_pid_stat(5)); None when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name, in brackets, may hold anything.
    return stat.rpartition(")")[2].split()[19]


def _dead(owner: Owner | None) -> bool:
    return owner is not None and is_dead(owner, _processes(), _started)
