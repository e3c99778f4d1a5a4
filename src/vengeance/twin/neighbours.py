"""Other machines around the twin's box, each a network namespace: one of the tailnet, one of the LAN, a stranger.

A program in one of them connects to the box's own address there, such as 100.98.226.75, over a real link and through
real sockets, and the box's model of its firewall judges it as the machine that it stands for. Each of them reaches that
one address and nothing else: the machine of the LAN has no way into the tailnet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.network import NAMESPACES, unwire, wire
from vengeance.twin.distro.programs import run
from vengeance.twin.windows.network import LAN, LAN_PEER, STRANGER, TAILNET, TAILNET_PEER

if TYPE_CHECKING:
    from vengeance.twin.windows.network import Network


@dataclass(frozen=True)
class Place:
    """Where a machine is: the box's address that it knows, and its own as the box sees it."""

    box: str
    own: str
    letter: str


PLACES = {
    "tailnet": Place(TAILNET, TAILNET_PEER, "t"),
    "lan": Place(LAN, LAN_PEER, "l"),
    "stranger": Place(LAN, STRANGER, "s"),
}

# In the namespace the box's address leads to the link; the near end of that is one of this machine's own.
_RULES = """\
table ip vengeance {{
  chain output {{
    type nat hook output priority -100;
    ip daddr {box} dnat to {near};
  }}
}}
"""


class Neighbours:
    """The machines around one twin's box.

    identity: eight characters that no other twin on this machine has
    able: whether this user may make network namespaces
    """

    def __init__(self, identity: str, network: Network, able: bool) -> None:
        self._identity = identity
        self._network = network
        self._able = able
        self._near: dict[str, str] = {}

    def prefix(self, place: str) -> list[str]:
        """The words before a command that is to run on the machine at a place, made when it is first asked for.

        Raises DistroError for a place that there is not, and where there can be no such machines.
        """
        where = PLACES.get(place)
        if where is None:
            raise DistroError(f"There is no machine at {place!r}: there are {', '.join(PLACES)}.")
        if not self._able:
            raise DistroError(
                "Other machines are network namespaces, which need root and the programs ip and nft. Without them bind "
                "a client to one of the addresses under 'network' in the twin's status."
            )
        name = self._name(place)
        if place not in self._near:
            near, _ = wire(name, self._link(where))
            what = f"lead {where.box} to the box"
            run(["ip", "-n", name, "route", "add", f"{where.box}/32", "via", near], what=what)
            rules = _RULES.format(box=where.box, near=near)
            run(["ip", "netns", "exec", name, "nft", "-f", "-"], what=what, input_text=rules)
            self._network.attach(near, where.box, where.own)
            self._near[place] = near
        return ["ip", "netns", "exec", name]

    def close(self) -> None:
        """Remove them all, those of a twin that died too."""
        for place, where in PLACES.items():
            near = self._near.pop(place, None)
            if near is not None:
                self._network.detach(near)
            if near is not None or (NAMESPACES / self._name(place)).exists():
                unwire(self._name(place), self._link(where))

    def _name(self, place: str) -> str:
        return f"vg-{self._identity}-{place}"

    def _link(self, where: Place) -> str:
        return f"vg{self._identity}{where.letter}"
