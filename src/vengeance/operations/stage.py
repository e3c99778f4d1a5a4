"""The order of a deploy across hosts.

pyinfra orders operations by host: what two hosts do on lines of their own runs side by side, by how many operations
each has done, not by line (``State.get_op_order``). An operation that both have keeps the order, so each stage begins
with one.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from weakref import WeakKeyDictionary

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State, StateStage
from pyinfra.context import host, inventory, state

from vengeance.box import stages
from vengeance.operations.refusal import checked, refuse

Begin = tuple[str, str, float]
"""Hash of the operation that begins a stage on a host, the stage, and when that was (time.monotonic)."""

_begun: WeakKeyDictionary[State, dict[str, list[Begin]]] = WeakKeyDictionary()


def begun(state: State, host: Host) -> list[Begin]:
    """Return the stages that have begun on a host in this run, in their order."""
    return _begun.setdefault(state, {}).setdefault(host.name, [])


def same_machine(one: Host, other: Host) -> bool:
    """Tell whether two hosts are the two sides of one box: Windows, and a distro on it."""
    pairs = ((one, other), (other, one))
    return any(a.name == f"@winrm/{b.data.get('wsl_host')}" for a, b in pairs)


def name_of_box(host: Host) -> str:
    """Return the name that both sides of a box know it by: that of its Windows host."""
    return host.name if "windows" in host.groups else f"@winrm/{host.data.get('wsl_host')}"


def on_this_box(group: str) -> list[Host]:
    """Return the hosts of a group that are the other side of this host's box, whether they take part in the run or not.

    + group: ``windows`` or ``wsl``
    """
    return [each for each in inventory.get_group(group, default=[]) if same_machine(host, each)]


def windows_side(distro: Host) -> Host | None:
    """Return the connected Windows side of the box that a distro is on; None where it takes no part in the run.

    + distro: a host in the group ``wsl``
    """
    sides = (each for each in state.active_hosts if each.connected and "windows" in each.groups)
    return next((each for each in sides if same_machine(distro, each)), None)


def failed_sides() -> list[str]:
    """Return the names of the hosts on the same machine that have failed."""
    return [other.name for other in state.failed_hosts if same_machine(host, other)]


@operation()
def begins(of: str = "") -> Generator[PyinfraCommand, None, None]:
    """
    Wait for what the other hosts have to do before this line; stop if the other side of the box has failed.

    + of: name of a stage, a file in ``deploys/`` without ``.py``: what it is going to do on this host is said, in a
      plan and before it is done, and the time until the next one begins is its own in the summary

    Call it for every host, outside of any ``if``.

    **Example:**

    .. code:: python

        stage.begins(name="Stage: wsl", of="wsl")
        local.include("deploys/wsl.py")
    """
    sentences: list[str] = []
    if of:
        sentences = checked(lambda: stages.sentences(of, host.groups, host.data.dict()))  # type: ignore[no-untyped-call]
    failed = failed_sides()
    if failed:
        yield refuse(f"{host.name} is left as it is now, because {', '.join(failed)} on the same machine has failed.")
        return
    for sentence in sentences:
        host.log_styled(f"Stage {of}: {sentence}", fg="blue")
    if of and state.current_stage == StateStage.Execute:
        begun(state, host).append((host.executing_op_hash or "", of, time.monotonic()))
    host.noop("nothing to wait for")
