"""The network of WSL's virtual machine: behind NAT in a network namespace of its own, one per twin."""

from __future__ import annotations

import ipaddress
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vengeance.twin.distro.cache import locked
from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.programs import run, runs

NAMESPACES = Path("/run/netns")
"""Where ``ip`` keeps network namespaces by name."""

_RUN = Path("/run/vengeance-twin")
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
# WSL chooses from 172.16.0.0/12; /30 blocks in a corner of 10.0.0.0/8 collide less with what a developer's
# machine already has there.
_BLOCKS = ipaddress.ip_network("10.213.0.0/16")


@dataclass(frozen=True)
class NatNetwork:
    """One network namespace behind NAT.

    namespace: its name under /run/netns
    gateway: the host's address on the link; the twin's own servers listen there
    address: the distro's address
    """

    namespace: str
    link: str
    gateway: str
    address: str

    @property
    def path(self) -> Path:
        """The file that names the namespace."""
        return NAMESPACES / self.namespace

    @staticmethod
    def up(identity: str) -> NatNetwork:
        """Make the namespace, its link to the host and the NAT rule.

        identity: eight characters that no other twin on this machine has
        Raises DistroError when there is no free block of addresses or the kernel refuses.
        """
        name, link = f"vg-{identity}", f"vg{identity}"
        with locked(_RUN / "network.lock"):
            _remove(name, link)
            subnet, gateway, address = _wire(name, link)
            network = NatNetwork(name, link, gateway, address)
            what = "give the distro a network of its own"
            try:
                run(["ip", "-n", name, "route", "add", "default", "via", gateway], what=what)
                _forward(identity, True)
                rules = (
                    f"table ip {name} {{\n"
                    "  chain outgoing {\n"
                    "    type nat hook postrouting priority 100;\n"
                    f'    ip saddr {subnet} oifname != "{link}" masquerade;\n'
                    "  }\n"
                    "}\n"
                )
                run(["nft", "-f", "-"], what=what, input_text=rules)
                _pass_docker(link)
            except DistroError:
                _remove(name, link)
                _forward(identity, False)
                raise
        return network

    def down(self) -> None:
        """Remove everything that ``up`` made, and put the forwarding switch back if nobody else needs it."""
        with locked(_RUN / "network.lock"):
            _remove(self.namespace, self.link)
            _forward(self.namespace.removeprefix("vg-"), False)


def clear_network(identity: str) -> None:
    """Remove what a twin that died left of its network; nothing happens when there is nothing."""
    NatNetwork(f"vg-{identity}", f"vg{identity}", "", "").down()


def wire(name: str, link: str) -> tuple[str, str]:
    """Make a network namespace with a link to this machine's network, and no way further; one of that name goes first.

    name: of the namespace; link: of the link's end here, 15 letters at most
    Returns the addresses of the end here and of the one in there.
    Raises DistroError when there is no free block of addresses or the kernel refuses.
    """
    with locked(_RUN / "network.lock"):
        unwire(name, link)
        _, near, far = _wire(name, link)
    return near, far


def unwire(name: str, link: str) -> None:
    """Remove such a namespace; nothing happens when there is none."""
    runs(["ip", "link", "del", link])
    runs(["ip", "netns", "del", name])


def _wire(name: str, link: str) -> tuple[ipaddress.IPv4Network, str, str]:
    subnet = _free_block()
    near, far = (str(host) for host in subnet.hosts())
    what = "make a network of its own"
    try:
        run(["ip", "netns", "add", name], what=what)
        run(["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name], what=what)
        run(["ip", "addr", "add", f"{near}/30", "dev", link], what=what)
        run(["ip", "link", "set", link, "up"], what=what)
        run(["ip", "-n", name, "addr", "add", f"{far}/30", "dev", "eth0"], what=what)
        run(["ip", "-n", name, "link", "set", "lo", "up"], what=what)
        run(["ip", "-n", name, "link", "set", "eth0", "up"], what=what)
    except DistroError:
        unwire(name, link)
        raise
    return subnet, near, far


def _remove(name: str, link: str) -> None:
    _pass_docker(link, remove=True)
    runs(["nft", "delete", "table", "ip", name])
    unwire(name, link)


def _free_block() -> ipaddress.IPv4Network:
    listing = json.loads(
        run(["ip", "-json", "-4", "route", "show", "table", "all"], what="list the host's routes") or "[]"
    )
    taken: list[ipaddress.IPv4Network] = []
    for route in listing:
        with suppress(ValueError, KeyError):
            network = ipaddress.ip_network(route["dst"], strict=False)
            if isinstance(network, ipaddress.IPv4Network) and network.prefixlen > 0:
                taken.append(network)
    for block in _BLOCKS.subnets(new_prefix=24):
        subnet = ipaddress.IPv4Network(f"{block.network_address}/30")
        if not any(subnet.overlaps(other) for other in taken):
            return subnet
    raise DistroError(
        f"No free block of addresses for the distro's network in {_BLOCKS}: too many twins, or a route covers it."
    )


def _forward(identity: str, wanted: bool) -> None:
    """Switch forwarding on while any twin needs it; the value from before the first one comes back."""
    users = _RUN / "forwarding"
    users.mkdir(parents=True, exist_ok=True)
    before = _RUN / "forwarding-was"
    mark = users / identity
    if wanted:
        if not before.exists():
            before.write_text(_FORWARDING.read_text(encoding="ascii"), encoding="ascii")
        mark.touch()
        _FORWARDING.write_text("1", encoding="ascii")
    elif mark.exists():
        mark.unlink()
        if not os.listdir(users) and before.exists():
            _FORWARDING.write_text(before.read_text(encoding="ascii"), encoding="ascii")
            before.unlink()


def _pass_docker(link: str, remove: bool = False) -> None:
    """Docker drops what it does not know in the FORWARD chain, but asks DOCKER-USER first."""
    if not runs(["nft", "list", "chain", "ip", "filter", "DOCKER-USER"]):
        return
    if not remove:
        for direction in ("iifname", "oifname"):
            runs(["nft", f'insert rule ip filter DOCKER-USER {direction} "{link}" accept comment "vengeance twin"'])
        return
    listing = run(["nft", "--handle", "list", "chain", "ip", "filter", "DOCKER-USER"], what="read Docker's rules")
    for line in listing.splitlines():
        if f'"{link}"' in line and "# handle " in line:
            runs(["nft", "delete", "rule", "ip", "filter", "DOCKER-USER", "handle", line.rsplit(" ", 1)[1]])
