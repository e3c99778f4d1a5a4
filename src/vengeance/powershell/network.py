"""The JSON of the scripts about the network: firewall, forwarded and reserved ports, who listens."""

from __future__ import annotations

from typing import Literal, TypedDict

from vengeance.powershell.windows import Nothing

Protocol = Literal["tcp", "udp"]
Profile = Literal["domain", "private", "public"]
Action = Literal["allow", "block"]


class FirewallRuleInput(TypedDict):
    """Input of Get-FirewallRule; ``rule`` is read whatever it says, ``programs`` are file names."""

    port: int
    rule: str | None
    programs: list[str]


class FirewallRuleText(TypedDict):
    """One rule as the registry holds it; ``policy``: it comes from a group policy."""

    rule: str
    text: str
    policy: bool


class FirewallRules(TypedDict):
    """Output of Get-FirewallRule; ``enabled``: whether the firewall is on, by profile."""

    rules: list[FirewallRuleText]
    enabled: dict[Profile, bool]


class SetFirewallRuleInput(TypedDict):
    """Input of Set-FirewallRule; empty ``remote_addresses`` and ``profiles`` are all of them."""

    rule: str
    title: str
    action: Action
    protocol: Protocol
    port: int
    remote_addresses: list[str]
    program: str | None
    profiles: list[Profile]


class AddFirewallRuleInput(TypedDict):
    """Input of Add-FirewallRule; ``protocol`` and ``port`` None are every one, empty lists all there are."""

    rule: str
    title: str
    action: Action
    protocol: Protocol | None
    port: int | None
    remote_addresses: list[str]
    program: str | None
    profiles: list[Profile]


class FirewallRuleChange(TypedDict):
    """Output of Set-FirewallRule and Add-FirewallRule: the rule's text in the registry."""

    changed: bool
    before: str | None
    after: str | None
    reboot_required: bool


class RemoveFirewallRuleInput(TypedDict):
    """Input of Remove-FirewallRule: identities."""

    rules: list[str]


class FirewallRuleRemoval(TypedDict):
    """Output of Remove-FirewallRule: which of them were and are there."""

    changed: bool
    before: list[str]
    after: list[str]
    reboot_required: bool


class PortProxy(TypedDict):
    """One forwarded port; ``listening``: somebody listens there now, ``address_there``: an adapter has the address."""

    listen_address: str
    listen_port: int
    connect_address: str
    connect_port: int
    listening: bool
    address_there: bool


class PortProxies(TypedDict):
    """Output of Get-PortProxy; ``service_running``: of IP Helper, which forwards."""

    proxies: list[PortProxy]
    service_running: bool


class SetPortProxyInput(TypedDict):
    """Input of Set-PortProxy; ``connect_address`` None ends it."""

    listen_address: str
    listen_port: int
    connect_address: str | None
    connect_port: int | None


class PortProxyChange(TypedDict):
    """Output of Set-PortProxy: ``address/port`` that it leads to."""

    changed: bool
    before: str | None
    after: str | None
    reboot_required: bool


class PortRange(TypedDict):
    """Ports that are set aside at each boot."""

    first: int
    last: int


class ActivePortRange(TypedDict):
    """Ports that are kept from programs now, or, ``administered``, from Windows' own NAT."""

    first: int
    last: int
    administered: bool


class ReservedPorts(TypedDict):
    """Output of Get-ReservedPort."""

    active: list[ActivePortRange]
    persistent: list[PortRange]


class SetReservedPortInput(TypedDict):
    """Input of Set-ReservedPort; ``stop_winnat``: for the moment that it takes, when NAT has the port."""

    port: int
    present: bool
    stop_winnat: bool


class ReservedPortChange(TypedDict):
    """Output of Set-ReservedPort: whether the port was and is set aside."""

    changed: bool
    before: bool
    after: bool
    winnat_stopped: bool
    reboot_required: bool


class ListenerInput(TypedDict):
    """Input of Get-Listener; None reads every port."""

    port: int | None


class Listener(TypedDict):
    """Who listens on a port; ``process`` and ``path`` are None where Windows does not tell."""

    address: str
    port: int
    pid: int
    process: str | None
    path: str | None


class Listeners(TypedDict):
    """Output of Get-Listener."""

    listeners: list[Listener]


class NetworkProfile(TypedDict):
    """A network that the box is in, and the firewall's profile that counts there."""

    interface: str
    network: str
    profile: Profile


class NetworkProfiles(TypedDict):
    """Output of Get-NetworkProfile."""

    networks: list[NetworkProfile]


INPUT: dict[str, type] = {
    "Get-FirewallRule": FirewallRuleInput,
    "Set-FirewallRule": SetFirewallRuleInput,
    "Add-FirewallRule": AddFirewallRuleInput,
    "Remove-FirewallRule": RemoveFirewallRuleInput,
    "Get-PortProxy": Nothing,
    "Set-PortProxy": SetPortProxyInput,
    "Get-ReservedPort": Nothing,
    "Set-ReservedPort": SetReservedPortInput,
    "Get-Listener": ListenerInput,
    "Get-NetworkProfile": Nothing,
}
"""Script name -> type of its input."""

OUTPUT: dict[str, type] = {
    "Get-FirewallRule": FirewallRules,
    "Set-FirewallRule": FirewallRuleChange,
    "Add-FirewallRule": FirewallRuleChange,
    "Remove-FirewallRule": FirewallRuleRemoval,
    "Get-PortProxy": PortProxies,
    "Set-PortProxy": PortProxyChange,
    "Get-ReservedPort": ReservedPorts,
    "Set-ReservedPort": ReservedPortChange,
    "Get-Listener": Listeners,
    "Get-NetworkProfile": NetworkProfiles,
}
"""Script name -> type of its output."""
