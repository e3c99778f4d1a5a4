"""The firewall of the twin's Windows: rules in the registry, asked for each connection that comes from another machine.

Block beats allow, and what no rule allows is not let in. A program on a desktop that listens where no rule speaks of it
raises Windows' question; whoever does not say yes leaves two block rules behind. In session 0 nobody is asked.
"""

from __future__ import annotations

import ipaddress
import ntpath
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING

from vengeance.box import firewall
from vengeance.box.firewall import Rule
from vengeance.twin.windows.network import LAN, LOOPBACK, TAILNET, Arrival, Listener

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows

POLICY = r"HKLM\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy"
RULES = f"{POLICY}\\FirewallRules"
GROUP_POLICY_RULES = r"HKLM\SOFTWARE\Policies\Microsoft\WindowsFirewall\FirewallRules"
PROFILE_KEYS = {"domain": "DomainProfile", "private": "StandardProfile", "public": "PublicProfile"}
SUBNETS = ("192.168.1.0/24", "100.98.226.75/32")
INTERFACES = {LAN: "Ethernet", TAILNET: "Tailscale"}

_VERSION = "v2.33"
_TCP = 6
# A few of the five hundred rules that a fresh Windows has.
_FRESH = {
    "CoreNet-ICMP6-DU-In": "Action=Allow|Active=TRUE|Dir=In|Protocol=58|ICMP6=1:*|App=System|Name=@Fw.dll,-25110|",
    "FPS-SMB-In-TCP-V2": (
        "Action=Allow|Active=FALSE|Dir=In|Protocol=6|Profile=Private|Profile=Public|LPort=445|RA4=LocalSubnet|"
        "RA6=LocalSubnet|App=System|Name=@FirewallAPI.dll,-28511|"
    ),
    "RemoteAssistance-In-TCP-EdgeScope-Active": (
        "Action=Allow|Active=TRUE|Dir=In|Protocol=6|Profile=Domain|Profile=Private|LPort=49152-65535|"
        "App=%SystemRoot%\\system32\\msra.exe|Name=@FirewallAPI.dll,-33003|Edge=TRUE|Defer=App|"
    ),
}


def rule_text(
    *,
    action: str,
    protocol: str | None,
    port: int | None = None,
    title: str,
    remote: Iterable[str] = (),
    local: Iterable[str] = (),
    program: str | None = None,
    profiles: Iterable[str] = firewall.PROFILES,
) -> str:
    """A rule as Windows writes it: IPv4 networks with their mask as an address, single machines without one."""
    parts = [_VERSION, f"Action={action.capitalize()}", "Active=TRUE", "Dir=In"]
    if protocol is not None:
        parts.append(f"Protocol={firewall.PROTOCOLS[protocol]}")
    named = sorted(set(profiles))
    if named != sorted(firewall.PROFILES):
        parts += [f"Profile={name.capitalize()}" for name in named]
    if port is not None:
        parts.append(f"LPort={port}")
    for letters, addresses in (("L", local), ("R", remote)):
        parts += [f"{letters}{written}" for address in addresses for written in _address(address)]
    if program is not None:
        parts.append(f"App={program}")
    return "|".join([*parts, f"Name={title}"]) + "|"


def _address(address: str) -> list[str]:
    if address.lower() == firewall.LOCAL_SUBNET:
        return ["A4=LocalSubnet", "A6=LocalSubnet"]
    network = ipaddress.ip_network(address)
    single = network.num_addresses == 1
    if isinstance(network, ipaddress.IPv4Network):
        return [f"A4={network.network_address}" if single else f"A4={network.with_netmask}"]
    return [f"A6={network.network_address}" if single else f"A6={network}"]


class Firewall:
    """The firewall of one Windows.

    questions: programs that Windows asks its desktop about, and nobody has answered
    """

    def __init__(self, windows: Windows) -> None:
        self.questions: list[str] = []
        self._windows = windows
        self._memory = windows.state.section("firewall")
        if not self._memory:
            # A network that Windows has not been told to trust is a public one.
            self._memory["categories"] = {"Ethernet": "public", "Tailscale": "private"}
            for key in PROFILE_KEYS.values():
                windows.registry.set(f"{POLICY}\\{key}", "EnableFirewall", 1, "DWord")
            for name, text in _FRESH.items():
                self.put(name, f"{_VERSION}|{text}")
        windows.network.gate = self
        windows.network.at_listen.append(self._ask)
        windows.at_shutdown.append(self.questions.clear)

    def put(self, rule: str, text: str) -> None:
        """Add or replace a rule."""
        self._windows.registry.set(RULES, rule, text)

    def remove(self, rule: str) -> bool:
        """Remove a rule; False when it was not there."""
        return self._windows.registry.delete(RULES, rule)

    def texts(self) -> list[tuple[str, str, bool]]:
        """Every rule: its identity, its text, and whether a group policy set it."""
        registry = self._windows.registry
        return [
            (value.name, _expanded(str(value.data)), key == GROUP_POLICY_RULES)
            for key in (RULES, GROUP_POLICY_RULES)
            for value in registry.values(key)
        ]

    def rules(self) -> list[Rule]:
        """Every rule that counts now."""
        rules = [firewall.parse(name, text, policy) for name, text, policy in self.texts()]
        return [rule for rule in rules if rule.inbound and rule.active]

    def is_on(self, profile: str) -> bool:
        """Whether it works in networks of a kind."""
        return self._windows.registry.number(f"{POLICY}\\{PROFILE_KEYS[profile]}", "EnableFirewall") == 1

    def category(self, address: str) -> str:
        """The kind of the network that an address of the box is in."""
        return str(self._memory["categories"][INTERFACES[address]])

    def set_category(self, interface: str, category: str) -> None:
        """Say that a network is private or public."""
        self._memory["categories"][interface] = category
        self._windows.state.save()

    def admits(self, arrival: Arrival) -> bool:
        """Whether a connection from another machine reaches the program."""
        profile = self.category(arrival.address)
        if not self.is_on(profile):
            return True
        actions = {
            rule.action
            for rule in self.rules()
            if (rule.program is None or _is_program(rule, arrival.image))
            and rule.concerns(_TCP, arrival.port)
            and profile in rule.profiles
            and firewall.is_within(rule.remote, arrival.peer, SUBNETS)
            and firewall.is_within(rule.local, arrival.address)
        }
        return "block" not in actions and "allow" in actions

    # --- Windows' own question ---

    def _ask(self, listener: Listener) -> None:
        process = self._windows.state.processes.get(listener.pid)
        if listener.address == LOOPBACK or process is None or process.session == 0:
            return
        known = any(
            _is_program(rule, listener.image)
            or (rule.action == "allow" and rule.program is None and rule.ports and rule.concerns(_TCP, listener.port))
            for rule in self.rules()
        )
        if not known and listener.image not in self.questions:
            self.questions.append(listener.image)

    def answer(self, allow: bool = False) -> None:
        """Somebody answers what is asked on the desktop, or closes it, which is a no."""
        questions, self.questions[:] = list(self.questions), []
        for image in questions:
            for protocol in ("tcp", "udp"):
                self.put(
                    f"{protocol.upper()} Query User{{{str(uuid.uuid4()).upper()}}}{image}",
                    rule_text(
                        action="allow" if allow else "block",
                        protocol=protocol,
                        title=ntpath.basename(image),
                        program=image,
                        profiles=[self.category(LAN)],
                    ),
                )


def _expanded(text: str) -> str:
    return text.replace("%SystemRoot%", "C:\\Windows").replace("%ProgramFiles%", "C:\\Program Files")


def _is_program(rule: Rule, image: str) -> bool:
    return rule.program is not None and rule.program.lower() == image.lower()
