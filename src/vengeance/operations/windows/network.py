"""Operations on the network of Windows: firewall, forwarded and reserved ports."""

from __future__ import annotations

import ipaddress
import ntpath
from collections.abc import Generator, Iterable, Mapping
from typing import Literal

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.box import before as kept_names
from vengeance.box import firewall, ports, tailnet
from vengeance.box.firewall import Rule
from vengeance.facts.windows.network import FirewallRules, Listeners, PortProxies, ReservedPorts
from vengeance.operations.before import kept
from vengeance.operations.refusal import checked, refuse
from vengeance.operations.tailscale import awaited_status
from vengeance.powershell import Script
from vengeance.powershell.network import Action, PortProxy, Profile, Protocol

TAILSCALE = "tailscale"
"""As an address: the one that the box has in the tailnet."""


def _rule(
    rule: str,
    port: int,
    protocol: str,
    remote_addresses: Iterable[str] | None,
    action: str,
    program: str | None,
    profiles: str | Iterable[str],
    present: bool,
) -> Rule:
    """Return what is asked for as a rule. Raises ValueError with a sentence."""
    firewall.check_rule(rule)
    ports.check_port(port, "The port of a firewall rule")
    if protocol not in firewall.PROTOCOLS:
        raise ValueError(f"The protocol of a firewall rule is tcp or udp, not {protocol!r}.")
    if action not in ("allow", "block"):
        raise ValueError(f"A firewall rule can allow or block, not {action!r}.")
    if program is not None and program[1:3] != ":\\":
        raise ValueError(f"{program!r} is not the full path of a program: begin with a drive, as in C:\\Programs.")
    if present and remote_addresses is None:
        raise ValueError(f"Who may reach port {port}? Give remote_addresses, such as ['100.64.0.0/10'].")
    if isinstance(remote_addresses, str):
        raise ValueError(f"remote_addresses is a list of texts: write [{remote_addresses!r}].")
    return Rule(
        rule=rule,
        title=rule,
        action=action,
        protocol=firewall.PROTOCOLS[protocol],
        ports=((port, port),),
        remote=firewall.scope(remote_addresses) if remote_addresses is not None else frozenset(),
        program=program,
        profiles=firewall.profiles(profiles),
    )


@operation()
def firewall_rule(
    rule: str,
    port: int,
    remote_addresses: list[str] | None = None,
    protocol: Protocol = "tcp",
    action: Action = "allow",
    program: str | None = None,
    profiles: str | list[str] = "any",
    present: bool = True,
    remove_blocks: bool = False,
    listener: str | None = None,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have an inbound rule of the Windows firewall exactly as declared, and find what makes it useless.

    + rule: the rule's name
    + port: the port it is for
    + remote_addresses: who it is for: addresses with or without prefix, ``LocalSubnet``; ``["Any"]`` is everybody
    + protocol: ``tcp`` or ``udp``
    + action: ``allow`` or ``block``
    + program: full path of the program it is for, every one by default
    + profiles: ``any``, or some of ``domain``, ``private``, ``public``
    + present: whether the rule should be there
    + remove_blocks: whether block rules that Windows' question left for the program at that port are removed
    + listener: file name of the program that answers there, for when it does not run yet

    A block rule beats every allow rule: Windows makes two for a program when its question is dismissed. Allow rules add
    up: beside a wide one a narrow one restricts nothing. Both are named.

    **Example:**

    .. code:: python

        windows.firewall_rule(
            name="Ollama's port is open for the tailnet",
            rule="vengeance-ollama",
            port=11434,
            remote_addresses=["100.64.0.0/10", "fd7a:115c:a1e0::/48"],
            listener="ollama.exe",
            remove_blocks=True,
        )
    """
    wanted = checked(lambda: _rule(rule, port, protocol, remote_addresses, action, program, profiles, present))
    programs = _programs(port, listener) if present else []
    names = sorted({ntpath.basename(one) for one in programs})
    found = host.get_fact(FirewallRules, port=port, rule=rule, programs=names)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    rules = [firewall.parse(one["rule"], one["text"], one["policy"]) for one in found["rules"]]
    mine = next((one for one in rules if one.rule.lower() == rule.lower() and not one.policy), None)
    if not present:
        if mine is None:
            host.noop(f"there is no firewall rule {rule}")
        else:
            yield Script("Remove-FirewallRule", {"rules": [rule]})
        return
    left: list[Rule] = []
    if action == "allow":
        left = _look_around(wanted, port, rules, programs, remove_blocks)
        _warn_where_it_is_off(found["enabled"], port)
    changes = [f"(not there) -> {firewall.shown(wanted)}"] if mine is None else firewall.differences(wanted, mine)
    if not changes and not left:
        host.noop(f"firewall rule {rule} is as it should be")
        return
    if left:
        host.log(f"block rules that are removed: {', '.join(one.shown for one in left)}")
        texts = {one["rule"]: one["text"] for one in found["rules"]}
        yield from kept({kept_names.rule(one.rule): texts[one.rule] for one in left})
        yield Script("Remove-FirewallRule", {"rules": [one.rule for one in left]})
    if changes:
        host.log(f"firewall rule {rule}: {'; '.join(changes)}")
        yield _set(wanted, port, protocol)


def _set(wanted: Rule, port: int, protocol: Protocol) -> Script:
    everywhere = len(wanted.profiles) == len(firewall.PROFILES)
    return Script(
        "Set-FirewallRule",
        {
            "rule": wanted.rule,
            "title": wanted.title,
            "action": wanted.action,
            "protocol": protocol,
            "port": port,
            "remote_addresses": [*sorted(wanted.remote)],
            "program": wanted.program,
            "profiles": [] if everywhere else [*sorted(wanted.profiles)],
        },
    )


def _warn_where_it_is_off(profiles: Mapping[Profile, bool], port: int) -> None:
    off = [profile for profile, enabled in profiles.items() if not enabled]
    if off:
        host.log(
            f"the firewall is off in {' and '.join(off)} networks, so that everybody there reaches port {port}; in "
            "PowerShell: Set-NetFirewallProfile -All -Enabled True",
            logger.warning,
        )


def _programs(port: int, listener: str | None) -> list[str]:
    found = host.get_fact(Listeners, port=port) or []
    return [*([] if listener is None else [listener]), *(one["path"] for one in found if one["path"] is not None)]


def _look_around(wanted: Rule, port: int, rules: list[Rule], programs: list[str], remove: bool) -> list[Rule]:
    """Name the rules that make an allow rule useless; return those block rules that are to be removed."""
    others = [one for one in rules if one.rule.lower() != wanted.rule.lower()]
    left: list[Rule] = []
    for one in firewall.that_beat(wanted, port, others, programs):
        whom = "everybody" if not one.remote else firewall.shown_scope(one.remote)
        text = f"block rule {one.shown} keeps {whom} from port {port}, whatever {wanted.rule} allows"
        if one.policy:
            host.log(f"{text}: a group policy has set it, and only there it can be changed", logger.warning)
        elif remove and one.program is not None:
            left.append(one)
        else:
            host.log(f"{text}; in PowerShell: Remove-NetFirewallRule -Name '{one.rule}'", logger.warning)
    for one in firewall.that_let_more_in(wanted, port, others, programs):
        host.log(
            f"allow rule {one.shown} lets in {firewall.shown_scope(one.remote)} at port {port}, more than "
            f"{wanted.rule} does: remove it, restrict the tailnet by its access controls, or block by a rule",
            logger.warning,
        )
    return left


@operation()
def reserved_port(port: int, present: bool = True, stop_winnat: bool = True) -> Generator[PyinfraCommand, None, None]:
    """
    Set a TCP port aside, so that Windows' own NAT (WinNAT, of Hyper-V and WSL) does not take it at some boot.

    + port: the port that a program is to listen on
    + present: whether it should be set aside
    + stop_winnat: when NAT has the port already, stop NAT for the moment that it takes; a distro that runs may have no
      network afterwards until ``wsl --shutdown``. False refuses, and a reboot deals the ranges anew

    A program that wants a port that NAT has gets error 10013, "access forbidden by its access permissions". While a
    program listens on the port it cannot be set aside: that is a warning, as the port works for now.

    **Example:**

    .. code:: python

        windows.reserved_port(name="No NAT takes Ollama's port", port=11434)
    """
    checked(lambda: ports.check_port(port))
    found = host.get_fact(ReservedPorts)
    if found is None:
        return
    held = ports.holding([(one["first"], one["last"]) for one in found["persistent"]], port)
    if present == (held is not None):
        host.noop(f"port {port} is {'' if present else 'not '}set aside")
        return
    if held is not None and held != (port, port):
        yield refuse(
            f"{host.name} has port {port} set aside in the range {held[0]}-{held[1]}, which was not made here: netsh "
            f"interface ipv4 delete excludedportrange tcp {held[0]} {held[1] - held[0] + 1}, or keep the port."
        )
        return
    users = _programs(port, None) if present else []
    if users:
        host.log(
            f"{users[0]} listens on port {port} now, so it cannot be set aside, and some boot may give it to Windows' "
            "own NAT: stop that program, run this again, and start it",
            logger.warning,
        )
        host.noop(f"port {port} is in use")
        return
    taken = ports.holding([(one["first"], one["last"]) for one in found["active"] if not one["administered"]], port)
    if present and taken is not None:
        span = f"{taken[0]}-{taken[1]}"
        if not stop_winnat:
            yield refuse(
                f"{host.name} cannot set port {port} aside: WinNAT holds {span} now. Reboot and run this again, as the "
                "ranges are dealt anew at each boot; or say stop_winnat=True."
            )
            return
        host.log(
            f"WinNAT holds {span}, with port {port} in it, and is stopped for a moment; a distro that runs may be "
            "without network afterwards, until wsl --shutdown",
            logger.warning,
        )
    host.log(f"port {port}: {'free for all -> set aside' if present else 'set aside -> free for all'}")
    yield from kept({kept_names.reserved(port): held is not None})
    yield Script("Set-ReservedPort", {"port": port, "present": present, "stop_winnat": stop_winnat})


@operation()
def port_proxy(
    listen_address: str | Literal["tailscale"],
    listen_port: int,
    connect_port: int | None = None,
    connect_address: str = ports.LOOPBACK,
    present: bool = True,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have Windows forward a TCP port of one of its addresses (``netsh interface portproxy``).

    + listen_address: the box's IPv4 address that others use; ``tailscale`` is the one in its tailnet
    + listen_port: the port there
    + connect_port: the port that it leads to, the same by default
    + connect_address: where that is; 127.0.0.1 leads to the distro too, and stays right when the distro's address
      changes
    + present: whether the port should be forwarded

    IP Helper (iphlpsvc) forwards, and is told; a firewall rule is a matter of its own.

    **Example:**

    .. code:: python

        windows.port_proxy(name="vLLM is reached at the tailnet address", listen_address="tailscale", listen_port=8080)
    """
    target_port = listen_port if connect_port is None else connect_port
    named = "100.64.0.1" if listen_address == TAILSCALE else listen_address
    checked(lambda: ports.check_forwarding(named, listen_port, connect_address, target_port))
    found = host.get_fact(PortProxies)
    if found is None:
        return
    if not present:
        gone = _forwarded(found["proxies"], listen_address, listen_port)
        if not gone:
            host.noop(f"port {listen_port} of {listen_address} is not forwarded")
        for one in gone:
            host.log(f"{one['listen_address']}:{listen_port}: {_target(one)} -> (not forwarded)")
            yield from kept({kept_names.proxied(one["listen_address"], listen_port): _target(one)})
            yield _forwarding(one["listen_address"], listen_port, None, None)
        return
    address = _own_address(listen_address)
    if address is None:
        yield refuse(
            f"{host.name} has no tailnet address now, so port {listen_port} cannot be forwarded from it: connect "
            "Tailscale on the box (tailscale status), and run this again."
        )
        return
    mine = next((one for one in _forwarded(found["proxies"], address, listen_port)), None)
    if mine is not None and (mine["connect_address"], mine["connect_port"]) == (connect_address, target_port):
        if found["service_running"] and (mine["listening"] or not mine["address_there"]):
            if not mine["listening"]:
                host.log(f"{address} is not an address of {host.name} now, so nobody listens there", logger.warning)
            host.noop(f"{address}:{listen_port} leads to {connect_address}:{target_port}")
            return
        host.log(f"{address}:{listen_port} is forwarded, but nobody listens: IP Helper is told again")
    else:
        before = "(not forwarded)" if mine is None else _target(mine)
        host.log(f"{address}:{listen_port}: {before} -> {connect_address}:{target_port}")
        yield from kept({kept_names.proxied(address, listen_port): None if mine is None else _target(mine)})
    yield _forwarding(address, listen_port, connect_address, target_port)


def _own_address(address: str) -> str | None:
    if address != TAILSCALE:
        return address
    status = awaited_status()
    return None if status is None else tailnet.address4(status["addresses"])


def _forwarded(proxies: list[PortProxy], address: str, port: int) -> list[PortProxy]:
    def fits(one: PortProxy) -> bool:
        if address != TAILSCALE:
            return one["listen_address"] == address
        # Also when Tailscale is not connected now.
        return ipaddress.ip_address(one["listen_address"]) in ipaddress.ip_network(tailnet.NETWORKS[0])

    return [one for one in proxies if one["listen_port"] == port and fits(one)]


def _target(proxy: PortProxy) -> str:
    return f"{proxy['connect_address']}:{proxy['connect_port']}"


def _forwarding(address: str, port: int, target: str | None, target_port: int | None) -> Script:
    return Script(
        "Set-PortProxy",
        {"listen_address": address, "listen_port": port, "connect_address": target, "connect_port": target_port},
    )
