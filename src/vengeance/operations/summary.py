"""What a person reads at the end of a deploy."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from pathlib import Path

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State, StateStage
from pyinfra.context import host, state

from vengeance.box import summary
from vengeance.facts.tailscale import Status
from vengeance.facts.vllm.states import States
from vengeance.operations import reach, stage
from vengeance.operations.refusal import refuse


def _changed(state: State, host: Host) -> Iterable[tuple[str, str]]:
    """Stage and name of each operation that changed something on a host."""
    beginnings = {op_hash: name for op_hash, name, _ in stage.begun(state, host)}
    current = ""
    for op_hash in host.op_hash_order:
        current = beginnings.get(op_hash, current)
        done = state.ops[host][op_hash].operation_meta
        if current and done.is_complete() and done.did_change():
            # A stage's file stands before the name: "deploys/wsl.py | The distro".
            yield current, " and ".join(sorted(name.rpartition(" | ")[2] for name in state.get_op_meta(op_hash).names))


def _stages(state: State, host: Host, other: Host | None) -> list[summary.Stage]:
    changed = [*_changed(state, host), *(_changed(state, other) if other else ())]
    begun = stage.begun(state, host)
    ends = [*(at for _, _, at in begun[1:]), time.monotonic()]
    return [
        summary.Stage(name, end - at, tuple(dict.fromkeys(what for where, what in changed if where == name)))
        for (_, name, at), end in zip(begun, ends, strict=True)
    ]


def inventory_file(folder: Path, groups: Iterable[str]) -> str | None:
    """Return the inventory's file where our own commands would take another one.

    + folder: where pyinfra runs
    + groups: those that a host is in; pyinfra makes one with the name of the inventory's file
    """
    files = [Path("inventory") / f"{group}.py" for group in groups]
    found = next((file for file in files if (folder / file).is_file()), None)
    return None if found is None or found.stem == "home" else str(found)


def serving_in(distro: Host | None) -> str | None:
    """Return the profile whose vLLM server runs in a distro, None where none does."""
    states = {} if distro is None else distro.get_fact(States)
    return next((profile for profile, one in states.items() if one == "active"), None)


@operation()
def of_the_box(address: str | None = None) -> Generator[PyinfraCommand, None, None]:
    """
    Say what changed on a box and how long it took, what to try first, and what is left to do by hand; reads only.

    + address: where others reach the box; None is its address in the tailnet, or else the one of the connection

    Call it for every host, outside of any ``if``: the Windows side tells for both. A plan has nothing to say yet.

    **Example:**

    .. code:: python

        summary.of_the_box(name="Summary")
    """
    failed = stage.failed_sides()
    if failed:
        yield refuse(f"{host.name} is not what it should be, because {', '.join(failed)} on it has failed.")
        return
    if state.current_stage != StateStage.Execute or "windows" not in host.groups:
        host.noop("told by the Windows side when the deploy has run")
        return
    distro = next(iter(stage.on_this_box("wsl")), None)
    reached = reach.address(address)
    tailscale = host.get_fact(Status) if host.data.tailscale_wanted else None
    key_expiry = tailscale["key_expiry"] if tailscale else None
    windows = host.data.dict()  # type: ignore[no-untyped-call]
    inside = distro.data.dict() if distro else None  # type: ignore[no-untyped-call]
    serving = serving_in(distro)
    done = _stages(state, host, distro)
    first, *lines = summary.what_changed(done)
    host.log_styled(first, fg="green", bold=True)
    for line in lines:
        host.log(line)
    host.log_styled("Try first, from this machine:", bold=True)
    named = inventory_file(Path(state.cwd or "."), host.groups)
    for line in summary.to_try(reached, windows, inside, serving, named):
        host.log(f"  {line}")
    changed = any(one.changed for one in done)
    left = summary.left_to_do(reached, windows, inside, key_expiry, changed, serving, named)
    if left:
        host.log_styled("Left for you:", bold=True)
    for line in left:
        host.log(f"  {line}")
    host.noop("a summary changes nothing")
