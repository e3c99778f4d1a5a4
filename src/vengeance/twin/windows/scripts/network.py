"""The models of the scripts about the network: firewall, forwarded and reserved ports, who listens, Tailscale."""

from __future__ import annotations

import ipaddress
import ntpath
from contextlib import suppress
from typing import Literal

from vengeance.box import firewall as rules
from vengeance.powershell.network import (
    FirewallRuleChange,
    FirewallRuleRemoval,
    FirewallRules,
    Listener,
    Listeners,
    NetworkProfile,
    NetworkProfiles,
    PortProxies,
    PortProxyChange,
    Profile,
    ReservedPortChange,
    ReservedPorts,
)
from vengeance.powershell.tailscale import Served, Tailscale, TailscaleChange, TailscaleServeChange
from vengeance.twin.windows import firewall, port_proxy
from vengeance.twin.windows.network import LAN, LOOPBACK, TAILNET
from vengeance.twin.windows.port_ranges import ADMINISTERED, SharingViolation
from vengeance.twin.windows.program import Run
from vengeance.twin.windows.scripts.model import Given, Model, ScriptFailed, thrown
from vengeance.twin.windows.tailscale import ADDRESS6, DNS_NAME, VERSION

_PROFILES: tuple[Profile, ...] = ("domain", "private", "public")
_HIGHEST_PORT = 65535


def get_firewall_rule(run: Run, given: Given) -> FirewallRules:
    """Get-FirewallRule."""
    port, wanted = int(given["port"]), str(given.get("rule") or "").lower()
    programs = [f"\\{program}|".lower() for program in given.get("programs") or []]
    wall = run.windows.firewall

    def is_concerned(text: str) -> bool:
        if "|Dir=In|" not in text or "|Active=TRUE|" not in text:
            return False
        if "|Action=Block|" in text or f"|LPort={port}|" in text or "|LPort2_10=" in text:
            return True
        if "|LPort=" in text:
            return False
        return "|App=" not in text or any(program in text.lower() for program in programs)

    return {
        "rules": [
            {"rule": name, "text": text, "policy": policy}
            for name, text, policy in wall.texts()
            if name.lower() == wanted or is_concerned(text)
        ],
        "enabled": {profile: wall.is_on(profile) for profile in _PROFILES},
    }


def set_firewall_rule(run: Run, given: Given) -> FirewallRuleChange:
    """Set-FirewallRule."""
    name = str(given["rule"])
    try:
        rules.check_rule(name)
    except ValueError:
        raise ScriptFailed(f"'{name}' cannot be the name of a firewall rule.") from None
    registry = run.windows.registry
    before = registry.get(firewall.RULES, name)
    text = firewall.rule_text(
        action=str(given["action"]),
        protocol=str(given["protocol"]),
        port=int(given["port"]),
        title=str(given["title"]),
        remote=[str(address) for address in given["remote_addresses"]],
        program=given["program"],
        profiles=given["profiles"] or rules.PROFILES,
    )
    if before is None or before.data != text:
        run.windows.firewall.put(name, text)
    old = None if before is None else str(before.data)
    return {"changed": old != text, "before": old, "after": text, "reboot_required": False}


def add_firewall_rule(run: Run, given: Given) -> FirewallRuleChange:
    """Add-FirewallRule."""
    name = str(given["rule"])
    known = run.windows.registry.get(firewall.RULES, name)
    if known is not None:
        return {"changed": False, "before": str(known.data), "after": str(known.data), "reboot_required": False}
    text = firewall.rule_text(
        action=str(given["action"]),
        protocol=given["protocol"],
        port=given["port"],
        title=str(given["title"]),
        remote=[str(address) for address in given["remote_addresses"]],
        program=given["program"],
        profiles=given["profiles"] or rules.PROFILES,
    )
    run.windows.firewall.put(name, text)
    return {"changed": True, "before": None, "after": text, "reboot_required": False}


def remove_firewall_rule(run: Run, given: Given) -> FirewallRuleRemoval:
    """Remove-FirewallRule."""
    names = [str(name) for name in given["rules"]]
    registry = run.windows.registry
    before = [name for name in names if registry.get(firewall.RULES, name) is not None]
    for name in before:
        run.windows.firewall.remove(name)
    return {"changed": bool(before), "before": before, "after": [], "reboot_required": False}


def get_port_proxy(run: Run, given: Given) -> PortProxies:
    """Get-PortProxy."""
    proxies = run.windows.port_proxies
    return {
        "proxies": [
            {
                "listen_address": address,
                "listen_port": port,
                "connect_address": target,
                "connect_port": target_port,
                "listening": proxies.is_listening(address, port),
                "address_there": address in run.windows.network.addresses,
            }
            for (address, port), (target, target_port) in proxies.entries.items()
        ],
        "service_running": proxies.running,
    }


def set_port_proxy(run: Run, given: Given) -> PortProxyChange:
    """Set-PortProxy."""
    windows = run.windows
    name = f"{ipaddress.ip_address(given['listen_address'])}/{int(given['listen_port'])}"
    value = None
    if given["connect_address"] is not None:
        value = f"{ipaddress.ip_address(given['connect_address'])}/{int(given['connect_port'])}"
    known = windows.registry.get(port_proxy.ENTRIES, name)
    before = None if known is None else str(known.data)
    if before != value:
        if value is None:
            windows.registry.delete(port_proxy.ENTRIES, name)
        else:
            windows.registry.set(port_proxy.ENTRIES, name, value)
    if windows.port_proxies.running:
        windows.port_proxies.read()
    else:
        windows.services.set_start(port_proxy.SERVICE, "auto")
        windows.services.start(port_proxy.SERVICE)
    return {"changed": before != value, "before": before, "after": value, "reboot_required": False}


def get_reserved_port(run: Run, given: Given) -> ReservedPorts:
    """Get-ReservedPort."""
    ranges = run.windows.port_ranges
    active = [*((one, False) for one in sorted(ranges.taken)), *((one, True) for one in ranges.administered)]
    return {
        "active": [
            {"first": first, "last": last, "administered": administered} for (first, last), administered in active
        ],
        "persistent": [{"first": first, "last": last} for first, last in [*ranges.persistent, ADMINISTERED]],
    }


def set_reserved_port(run: Run, given: Given) -> ReservedPortChange:
    """Set-ReservedPort."""
    port, present = int(given["port"]), bool(given["present"])
    if not 1 <= port <= _HIGHEST_PORT:
        raise ScriptFailed(f"{port} is no TCP port: they go from 1 to 65535.")
    ranges = run.windows.port_ranges

    def is_reserved() -> bool:
        return any(first <= port <= last for first, last in [*ranges.persistent, ADMINISTERED])

    before, stopped = is_reserved(), False
    if present and not before:
        try:
            ranges.set_aside(port)
        except SharingViolation:
            if given["stop_winnat"]:
                ranges.stop()
                stopped = True
                try:
                    with suppress(SharingViolation):
                        ranges.set_aside(port)
                finally:
                    ranges.start()
    elif before and not present:
        ranges.give_back(port)
    after = is_reserved()
    if after != present:
        raise ScriptFailed(f"Port {port} could not be changed: netsh.exe ended with 1. Windows or a program holds it.")
    return {
        "changed": before != after,
        "before": before,
        "after": after,
        "winnat_stopped": stopped,
        "reboot_required": False,
    }


def get_listener(run: Run, given: Given) -> Listeners:
    """Get-Listener."""
    port = given["port"]
    network = run.windows.network
    return {
        "listeners": [
            Listener(
                address=one.address,
                port=one.port,
                pid=one.pid,
                process=ntpath.basename(one.image),
                path=one.image,
            )
            for one in network.listeners
            if port in (None, one.port)
        ]
    }


def get_network_profile(run: Run, given: Given) -> NetworkProfiles:
    """Get-NetworkProfile."""
    wall, addresses = run.windows.firewall, run.windows.network.addresses
    names = {LAN: "Network", TAILNET: "Tailscale"}

    def network(address: str) -> NetworkProfile:
        profile = next(name for name in _PROFILES if name == wall.category(address))
        return {"interface": firewall.INTERFACES[address], "network": names[address], "profile": profile}

    return {"networks": [network(address) for address in (LAN, TAILNET) if address in addresses]}


def get_tailscale(run: Run, given: Given) -> Tailscale:
    """Get-Tailscale."""
    tailscale, host = run.windows.tailscale, run.windows.state.hostname
    unknown: Tailscale = {
        "installed": tailscale.installed,
        "version": None,
        "account": f"{host}\\{run.user}",
        "owner": None,
        "state": None,
        "online": False,
        "addresses": [],
        "dns_name": None,
        "tags": [],
        "key_expiry": None,
        "unattended": False,
        "serve": [],
    }
    if not tailscale.installed:
        return unknown
    if not tailscale.service_running:
        return {**unknown, "state": "NoService"}
    if tailscale.refusal(run.user) is not None:
        return {**unknown, "state": "InUseOtherUser", "owner": f"{host}\\{tailscale.owner}"}
    if run.user.lower() != tailscale.owner.lower() or not tailscale.signed_in:
        return {**unknown, "version": VERSION, "state": "NeedsLogin", "dns_name": ""}
    served: list[Served] = [
        {"port": port, "kind": "tcp", "target": f"{LOOPBACK}:{target}"} for port, target in tailscale.serve.items()
    ]
    running: Literal["Running", "NoState"] = "Running" if tailscale.connected else "NoState"
    return {
        **unknown,
        "version": VERSION,
        "state": "KeyExpired" if tailscale.key_ended else running,
        "online": tailscale.connected,
        "addresses": [TAILNET, ADDRESS6] if tailscale.connected else [],
        "dns_name": DNS_NAME,
        "key_expiry": tailscale.key_expiry,
        "unattended": tailscale.unattended,
        "serve": served,
    }


def _need_tailscale(run: Run) -> None:
    tailscale = run.windows.tailscale
    if not tailscale.installed:
        raise thrown("Start", 1, "The system cannot find the file specified")
    refused = tailscale.refusal(run.user)
    if refused is not None:
        raise ScriptFailed(f"tailscale.exe debug prefs failed: 401 Unauthorized: {refused}")


def set_tailscale(run: Run, given: Given) -> TailscaleChange:
    """Set-Tailscale."""
    _need_tailscale(run)
    tailscale, wanted = run.windows.tailscale, bool(given["unattended"])
    before = tailscale.unattended
    if before != wanted:
        tailscale.set_unattended(wanted)
    return {"changed": before != wanted, "before": before, "after": wanted, "reboot_required": False}


def set_tailscale_serve(run: Run, given: Given) -> TailscaleServeChange:
    """Set-TailscaleServe."""
    _need_tailscale(run)
    tailscale, port = run.windows.tailscale, int(given["port"])
    target = None if given["target_port"] is None else int(given["target_port"])

    def shown(number: int | None) -> str | None:
        return None if number is None else f"{LOOPBACK}:{number}"

    before = tailscale.serve.get(port)
    if before != target:
        if not tailscale.connected:
            # tailscale/tailscale, cmd/tailscale/cli/serve_legacy.go: getLocalClientStatusWithoutPeers
            raise ScriptFailed(f"tailscale.exe serve --bg --tcp={port} failed: unexpected state: NoState")
        tailscale.set_serve(port, target)
    return {"changed": before != target, "before": shown(before), "after": shown(target), "reboot_required": False}


MODELS: dict[str, Model] = {
    "Get-FirewallRule": get_firewall_rule,
    "Set-FirewallRule": set_firewall_rule,
    "Add-FirewallRule": add_firewall_rule,
    "Remove-FirewallRule": remove_firewall_rule,
    "Get-PortProxy": get_port_proxy,
    "Set-PortProxy": set_port_proxy,
    "Get-ReservedPort": get_reserved_port,
    "Set-ReservedPort": set_reserved_port,
    "Get-Listener": get_listener,
    "Get-NetworkProfile": get_network_profile,
    "Get-Tailscale": get_tailscale,
    "Set-Tailscale": set_tailscale,
    "Set-TailscaleServe": set_tailscale_serve,
}
"""Script name -> what does its work here."""
