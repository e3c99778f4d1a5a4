"""Rules of the Windows firewall as the registry holds them, and which of them beats which.

Grammar of a rule: https://learn.microsoft.com/openspecs/windows_protocols/ms-gpfas/2efe0b76-7b4a-41ff-9050-1023f8196d16
Block before allow: https://learn.microsoft.com/windows/security/operating-system-security/network-security/windows-firewall/rules
"""

from __future__ import annotations

import ipaddress
import ntpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from vengeance.box.tailnet import NETWORKS as TAILNET

PROFILES = ("domain", "private", "public")
PROTOCOLS = {"tcp": 6, "udp": 17}
ANY = "any"
LOCAL_SUBNET = "localsubnet"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Conditions that narrow a rule and that are not compared one by one.
_FURTHER = ("IF", "IFType", "RPort", "RPort2_10", "Svc", "Security", "Security2", "Security2_9", "LUAuth", "RUAuth")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}\Z")


@dataclass(frozen=True)
class Rule:
    """One rule.

    + rule: its identity, the name of its registry value; title: what the settings show
    + action: ``allow`` or ``block``
    + protocol: its number, None for every one
    + ports: local ports as (first, last); none means every one
    + remote: canonical addresses as ``scope`` gives them; none means everybody
    + local: the same for the box's own addresses
    + program: full path, None for every one
    + profiles: of ``domain``, ``private``, ``public``
    + further: whether it has conditions that are not listed here
    + policy: whether it comes from a group policy, which is not changed here
    """

    rule: str
    title: str = ""
    action: str = "allow"
    inbound: bool = True
    active: bool = True
    protocol: int | None = None
    ports: tuple[tuple[int, int], ...] = ()
    remote: frozenset[str] = frozenset()
    local: frozenset[str] = frozenset()
    program: str | None = None
    profiles: frozenset[str] = field(default=frozenset(PROFILES))
    further: bool = False
    policy: bool = False

    def concerns(self, protocol: int, port: int) -> bool:
        """Tell whether the rule says something about a port."""
        if self.protocol not in (None, protocol):
            return False
        return not self.ports or any(first <= port <= last for first, last in self.ports)

    @property
    def shown(self) -> str:
        """Its title, and its identity where that is another one."""
        return self.rule if self.title in ("", self.rule) else f"{self.title!r} ({self.rule})"


def parse(rule: str, text: str, policy: bool = False) -> Rule:
    """Read a rule from the registry; what it does not know counts as a further condition.

    + rule: name of the registry value; text: its data, with environment variables expanded
    """
    fields: dict[str, list[str]] = {}
    for part in text.split("|")[1:]:
        name, separator, value = part.partition("=")
        if separator:
            fields.setdefault(name, []).append(value)

    def first(name: str) -> str:
        return fields.get(name, [""])[0]

    ports, odd_ports = _ports(fields.get("LPort", []) + fields.get("LPort2_10", []))
    protocol = first("Protocol")
    return Rule(
        rule=rule,
        title=first("Name"),
        action=first("Action").lower(),
        inbound=first("Dir").lower() == "in",
        active=first("Active").upper() == "TRUE",
        protocol=int(protocol) if protocol.isdigit() else None,
        ports=ports,
        remote=frozenset(_canonical(fields, ("RA4", "RA6", "RA42", "RA62"))),
        local=frozenset(_canonical(fields, ("LA4", "LA6"))),
        program=first("App") or None,
        profiles=frozenset(value.lower() for value in fields.get("Profile", PROFILES)),
        further=odd_ports or any(name in fields for name in _FURTHER),
        policy=policy,
    )


def _ports(values: Iterable[str]) -> tuple[tuple[tuple[int, int], ...], bool]:
    ports: list[tuple[int, int]] = []
    odd = False
    for value in values:
        low, _, high = value.partition("-")
        if low.isdigit() and (high.isdigit() or not high):
            ports.append((int(low), int(high or low)))
        else:
            # A keyword such as RPC: ports that Windows chooses, none of those that are declared here.
            odd = True
    if odd and not ports:
        ports.append((-1, -1))
    return tuple(sorted(ports)), odd


def _canonical(fields: dict[str, list[str]], names: Iterable[str]) -> Iterator[str]:
    for name in names:
        for value in fields.get(name, []):
            try:
                yield str(ipaddress.ip_network(value, strict=False))
            except ValueError:
                yield value.lower()


def check_rule(rule: str) -> None:
    """Check the name of a rule of ours; raises ValueError with a sentence."""
    if not _NAME.match(rule):
        raise ValueError(
            f"{rule!r} cannot be the name of a firewall rule: use letters, digits, blanks, '.', '_' and '-', beginning "
            "with a letter or digit."
        )


def scope(addresses: Iterable[str]) -> frozenset[str]:
    """Return who may come, in canonical form; the empty set is everybody.

    + addresses: IPv4 or IPv6 addresses, with a prefix or without, ``LocalSubnet``; or only ``Any``

    Raises ValueError with a sentence.
    """
    given = list(addresses)
    if not given:
        raise ValueError("A firewall rule without remote addresses lets nobody or everybody in: name who may come.")
    found: set[str] = set()
    for address in given:
        if not isinstance(address, str):
            raise ValueError(f"A remote address is a text such as '100.64.0.0/10', not {address!r}.")
        if address.lower() == ANY:
            if len(given) > 1:
                raise ValueError("'Any' stands alone: with it the other remote addresses say nothing.")
            return frozenset()
        if address.lower() == LOCAL_SUBNET:
            found.add(LOCAL_SUBNET)
            continue
        try:
            found.add(str(ipaddress.ip_network(address)))
        except ValueError:
            raise ValueError(_not_an_address(address)) from None
    return frozenset(found)


def _not_an_address(address: str) -> str:
    try:
        right = ipaddress.ip_network(address, strict=False)
    except ValueError:
        return (
            f"{address!r} is no remote address: give one like 192.168.1.5, 100.64.0.0/10 or fd7a:115c:a1e0::/48, "
            "'LocalSubnet' for the home network, or 'Any'."
        )
    return (
        f"{address!r} has bits behind its prefix: the network is {right}, the single machine {address.split('/')[0]}."
    )


def profiles(wanted: str | Iterable[str]) -> frozenset[str]:
    """Return the profiles that a rule counts in, from ``any`` or some of ``domain``, ``private``, ``public``.

    Raises ValueError with a sentence.
    """
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    if [str(name).lower() for name in names] == [ANY]:
        return frozenset(PROFILES)
    for name in names:
        if name not in PROFILES:
            raise ValueError(f"A profile of the firewall is {', '.join(PROFILES)}, or 'any' for all, not {name!r}.")
    if not names:
        raise ValueError(
            "A firewall rule without a profile never counts: give 'any', or some of domain, private, public"
        )
    return frozenset(names)


def differences(wanted: Rule, found: Rule) -> list[str]:
    """Say in words where a rule is not as it should be; nothing when it is."""
    pairs = (
        ("action", wanted.action, found.action),
        ("active", wanted.active, found.active),
        ("protocol", wanted.protocol, found.protocol),
        ("ports", _shown_ports(wanted.ports), _shown_ports(found.ports)),
        ("remote addresses", shown_scope(wanted.remote), shown_scope(found.remote)),
        ("own addresses", shown_scope(wanted.local), shown_scope(found.local)),
        ("program", (wanted.program or "").lower(), (found.program or "").lower()),
        ("profiles", ", ".join(sorted(wanted.profiles)), ", ".join(sorted(found.profiles))),
        ("further conditions", wanted.further, found.further),
    )
    return [f"{what} {old} -> {new}" for what, new, old in pairs if new != old]


def shown(rule: Rule) -> str:
    """A rule as a person reads it: ``allows port 11434 for 100.64.0.0/10``."""
    whom = shown_scope(rule.remote) if rule.remote else "everybody"
    return f"{rule.action}s port {_shown_ports(rule.ports)} for {whom}"


def shown_scope(addresses: frozenset[str]) -> str:
    """Addresses as a person reads them."""
    return ", ".join(sorted(addresses)) or "any"


def _shown_ports(ports: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ports) or "any"


def that_beat(wanted: Rule, port: int, rules: Iterable[Rule], programs: Iterable[str]) -> list[Rule]:
    """Return the block rules that keep out some of those whom an allow rule lets in.

    + wanted: the allow rule; port: its port
    + rules: all that are there
    + programs: of whom it is known that they answer at the port: full paths, or bare names such as ``ollama.exe``
    """
    known = {program.lower() for program in programs}
    if wanted.program is not None:
        known.add(wanted.program.lower())
    return [
        rule
        for rule in rules
        if rule.action == "block"
        and rule.inbound
        and rule.active
        and rule.concerns(wanted.protocol or 0, port)
        and rule.profiles & wanted.profiles
        and _overlap(rule.remote, wanted.remote)
        and (rule.program is None or _is_one_of(rule.program, known))
    ]


def _is_one_of(program: str, known: set[str]) -> bool:
    low = program.lower()
    return low in known or ntpath.basename(low) in known


def _overlap(one: frozenset[str], other: frozenset[str]) -> bool:
    if not one or not other:
        return True
    return any(_touch(a, b) for a in one for b in other)


def _touch(one: str, other: str) -> bool:
    first, second = _network(one), _network(other)
    if first is None or second is None:
        # A keyword or a span of addresses: which machines that is, only Windows knows.
        return True
    return first.version == second.version and first.overlaps(second)


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def is_within(addresses: frozenset[str], address: str, local_subnets: Iterable[str] = ()) -> bool:
    """Tell whether an address is one of those in a canonical scope.

    + local_subnets: what ``LocalSubnet`` means on the box, as networks
    """
    if not addresses:
        return True
    one = ipaddress.ip_address(address)
    for text in addresses:
        networks = [_network(subnet) for subnet in local_subnets] if text == LOCAL_SUBNET else [_network(text)]
        if any(network is not None and one.version == network.version and one in network for network in networks):
            return True
    return False


def that_let_more_in(wanted: Rule, port: int, rules: Iterable[Rule], programs: Iterable[str]) -> list[Rule]:
    """Return the other allow rules that let in some of those whom an allow rule leaves out.

    Allow rules add up, so a narrow one restricts nothing beside a wide one.

    + wanted, port, rules, programs: as for ``that_beat``
    """
    known = {program.lower() for program in programs}
    return [
        rule
        for rule in rules
        if rule.action == "allow"
        and rule.inbound
        and rule.active
        and not rule.further
        and rule.rule.lower() != wanted.rule.lower()
        and rule.concerns(wanted.protocol or 0, port)
        and (rule.program is None or _is_one_of(rule.program, known))
        and not _is_part(_from(rule), wanted.remote)
    ]


def _from(rule: Rule) -> frozenset[str]:
    # A rule for the tailnet's own address only lets in who can reach that: Tailscale's "Tailscale-In" is one.
    inside = [network for network in (_network(text) for text in rule.local) if network is not None]
    tailnet = [ipaddress.ip_network(text) for text in TAILNET]
    if not rule.remote and inside and all(any(_part(one, net) for net in tailnet) for one in inside):
        return frozenset(str(net) for net in tailnet)
    return rule.remote


def _is_part(narrow: frozenset[str], wide: frozenset[str]) -> bool:
    if not wide:
        return True
    if not narrow:
        return False
    return all(one in wide or any(_part(_network(one), _network(other)) for other in wide) for one in narrow)


def _part(one: Network | None, other: Network | None) -> bool:
    if isinstance(one, ipaddress.IPv4Network) and isinstance(other, ipaddress.IPv4Network):
        return one.subnet_of(other)
    if isinstance(one, ipaddress.IPv6Network) and isinstance(other, ipaddress.IPv6Network):
        return one.subnet_of(other)
    return False
