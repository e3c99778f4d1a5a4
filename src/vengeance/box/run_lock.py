"""Which run has a box to itself: how it writes itself down, whether it is dead, and what another one is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields

# As winrm/shell.py has it for an idle shell, which ends all that was held in it.
LETS_GO_MINUTES = 15


@dataclass(frozen=True)
class Owner:
    """A run.

    + user, machine: who started it, and where
    + deploy: the file that it runs
    + since: ISO 8601, UTC, by that machine's clock
    + pid: its process there
    + started: when that process was, in the words of its system, so that no other process is taken for it
    + processes: which table of processes ``pid`` counts in; empty when that is not known
    """

    user: str
    machine: str
    deploy: str
    since: str
    pid: int
    started: str
    processes: str

    @property
    def text(self) -> str:
        """What is written down on the box; ASCII, at most some 2,000 characters."""
        return json.dumps(
            {name: value[:60] if isinstance(value, str) else value for name, value in asdict(self).items()},
            separators=(",", ":"),
        )

    def __str__(self) -> str:
        return f"{self.deploy}, started by {self.user} on {self.machine} at {self.since}, process {self.pid}"


def parse(text: str) -> Owner | None:
    """Read what a run wrote down; None when it was another version of this, or cannot be read."""
    try:
        said = json.loads(text)
        return Owner(**{one.name: type(said[one.name])(said[one.name]) for one in fields(Owner)})
    except (ValueError, TypeError, KeyError):
        return None


def is_dead(owner: Owner, processes: str, started: Callable[[int], str | None]) -> bool:
    """Tell whether a run has surely ended without leaving its box: it was one of this machine, and is no more.

    + processes: which table of processes can be seen from here
    + started: when a process of it was started, None when there is none of that number
    """
    return bool(processes) and owner.processes == processes and started(owner.pid) != owner.started


def refusal(host: str, owner: Owner | None, holder: int) -> str:
    """Return the sentence for a run that comes while another one has the box.

    + host: name of the box
    + owner: who has it, None when that cannot be read
    + holder: process of the box that holds it, 0 when that cannot be read
    """
    who = "of another account, so it cannot be read which" if owner is None else owner
    waits = (
        f"Wait until it has ended. Should it have died, the box lets go {LETS_GO_MINUTES} minutes after its last word"
    )
    at_once = "" if not holder else f", or at once if you run this with --data take_over={holder}"
    return f"{host}: another run is at work on this box ({who}), so nothing was changed. {waits}{at_once}."


def displaced(host: str, owner: Owner | None) -> str:
    """Return the sentence for a run that finds, after it was cut off from its box, another one there."""
    who = "one of another account" if owner is None else str(owner)
    return (
        f"{host} was lost for a while, and meanwhile another run has begun to work on it ({who}): this one stops here. "
        "Wait until the other has ended, then run this again"
    )
