"""The network of Windows as it was: firewall, forwarded and reserved ports, Tailscale."""

from __future__ import annotations

import ipaddress
from collections.abc import Generator, Iterable

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.box import before, firewall, ports, tailnet
from vengeance.facts.before import OnWindows
from vengeance.facts.tailscale import Status
from vengeance.facts.windows import FirewallRules, PortProxies, ReservedPorts
from vengeance.operations.before import forgotten
from vengeance.operations.refusal import refuse
from vengeance.operations.tailscale import awaited_status, what_is_missing
from vengeance.powershell import Script

_NAMES = {number: name for name, number in firewall.PROTOCOLS.items()}


@operation()
def firewall_rules(rules: Iterable[str]) -> Generator[PyinfraCommand, None, None]:
    """
    Remove the rules that the deploys have made, and put those back that they have removed.

    + rules: names of the deploys' own rules

    **Example:**

    .. code:: python

        undo.firewall_rules(name="The firewall is as it was", rules=["vengeance-ollama", "vengeance-8080"])
    """
    entries = host.get_fact(OnWindows)
    if entries is None:
        return  # it could not be read: pyinfra has said so and failed the host
    # Any port will do: the rule of the name is read whatever it says.
    read = {rule: host.get_fact(FirewallRules, port=1, rule=rule, programs=[]) for rule in rules}
    ours = [
        rule
        for rule, found in read.items()
        if found is not None
        and any(one["rule"].lower() == rule.lower() and not one["policy"] for one in found["rules"])
    ]
    removed = before.of_kind(entries, "rule")
    if not ours and not removed:
        host.noop("the firewall has no rule of the deploys, and lacks none")
        return
    for rule in ours:
        host.log(f"firewall rule {rule}: (there) -> (removed)")
    back = [command for rule, text in removed.items() for command in _put_back(firewall.parse(rule, text))]
    if ours:
        yield Script("Remove-FirewallRule", {"rules": [*ours]})
    yield from back
    yield from forgotten(before.rule(rule) for rule in removed)


def _put_back(was: firewall.Rule) -> Generator[PyinfraCommand, None, None]:
    if was.further or len(was.ports) > 1 or any(first != last for first, last in was.ports):
        host.log(
            f"firewall rule {was.shown} had conditions that are not put back: make it anew in Windows Defender "
            "Firewall, Inbound Rules",
            logger.warning,
        )
        return
    host.log(f"firewall rule {was.shown}: (removed) -> {firewall.shown(was)}")
    yield Script(
        "Add-FirewallRule",
        {
            "rule": was.rule,
            "title": was.title,
            "action": was.action,
            "protocol": None if was.protocol is None else _NAMES.get(was.protocol),
            "port": was.ports[0][0] if was.ports else None,
            "remote_addresses": [*sorted(was.remote)],
            "program": was.program,
            "profiles": [] if len(was.profiles) == len(firewall.PROFILES) else [*sorted(was.profiles)],
        },
    )


@operation()
def served_ports() -> Generator[PyinfraCommand, None, None]:
    """
    Have Tailscale forward the ports that a deploy has changed as it did before.

    **Example:**

    .. code:: python

        undo.served_ports(name="Tailscale forwards what it did")
    """
    entries = host.get_fact(OnWindows)
    if entries is None:
        return  # it could not be read: pyinfra has said so and failed the host
    served = before.of_kind(entries, "serve")
    if not served:
        host.noop("no deploy has changed what Tailscale forwards")
        return
    status = awaited_status()
    if status is None:
        return  # it could not be read: pyinfra has said so and failed the host
    now = {str(one["port"]): one["target"] for one in status["serve"]}
    wrong = {port: was for port, was in served.items() if now.get(port) != was}
    missing = what_is_missing(status)
    if wrong and missing is not None and status["installed"]:
        yield refuse(missing)
        return
    commands: list[PyinfraCommand] = []
    for port, was in wrong.items():
        host.log(f"Tailscale's port {port}: {now.get(port) or '(not forwarded)'} -> {was or '(not forwarded)'}")
        if status["installed"]:
            commands += _serve(int(port), was)
    yield from commands
    yield from forgotten(before.served(int(port)) for port in served)


def _serve(port: int, target: str | None) -> Generator[PyinfraCommand, None, None]:
    machine, _, number = (target or "").rpartition(":")
    here = machine in (ports.LOOPBACK, "localhost")
    if target is not None and not here:
        host.log(f"by hand, on the box: tailscale serve --bg --tcp={port} tcp://{target}", logger.warning)
    yield Script("Set-TailscaleServe", {"port": port, "target_port": int(number) if here else None})


@operation()
def forwarded_ports() -> Generator[PyinfraCommand, None, None]:
    """
    Have Windows forward the ports that a deploy has changed as it did before.

    **Example:**

    .. code:: python

        undo.forwarded_ports(name="Windows forwards what it did")
    """
    entries, found = host.get_fact(OnWindows), host.get_fact(PortProxies)
    if entries is None or found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    proxied = before.of_kind(entries, "proxy")
    if not proxied:
        host.noop("no deploy has changed what Windows forwards")
        return
    now = {
        f"{one['listen_address']} {one['listen_port']}": f"{one['connect_address']}:{one['connect_port']}"
        for one in found["proxies"]
    }
    commands: list[PyinfraCommand] = []
    for place, was in proxied.items():
        if now.get(place) != was:
            address, _, port = place.partition(" ")
            target, _, target_port = (was or "").rpartition(":")
            host.log(f"{address}:{port}: {now.get(place) or '(not forwarded)'} -> {was or '(not forwarded)'}")
            commands.append(
                Script(
                    "Set-PortProxy",
                    {
                        "listen_address": address,
                        "listen_port": int(port),
                        "connect_address": target or None,
                        "connect_port": int(target_port) if target_port else None,
                    },
                )
            )
    yield from commands
    yield from forgotten(f"proxy {place}" for place in proxied)


@operation()
def reserved_ports() -> Generator[PyinfraCommand, None, None]:
    """
    Give back to Windows' own NAT the ports that a deploy has set aside.

    **Example:**

    .. code:: python

        undo.reserved_ports(name="No port is set aside any more")
    """
    entries, found = host.get_fact(OnWindows), host.get_fact(ReservedPorts)
    if entries is None or found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    reserved = before.of_kind(entries, "reserved")
    if not reserved:
        host.noop("no deploy has set a port aside")
        return
    there = [(one["first"], one["last"]) for one in found["persistent"]]
    aside = [port for port in reserved if (int(port), int(port)) in there]
    for port in aside:
        host.log(f"port {port}: set aside -> free for all")
    for port in aside:
        yield Script("Set-ReservedPort", {"port": int(port), "present": False, "stop_winnat": False})
    yield from forgotten(before.reserved(int(port)) for port in reserved)


@operation()
def tailscale(reached_at: str) -> Generator[PyinfraCommand, None, None]:
    """
    Have Tailscale stay connected with nobody logged on, or not, as before the first deploy.

    + reached_at: address or name that this run reaches the host at; where that leads through the tailnet, Tailscale is
      left alone, as the run would cut itself off

    **Example:**

    .. code:: python

        undo.tailscale(name="Tailscale runs as it did", reached_at="192.168.1.20")
    """
    entries, status = host.get_fact(OnWindows), host.get_fact(Status)
    if entries is None or status is None:
        return  # it could not be read: pyinfra has said so and failed the host
    was, missing = entries.get(before.TAILSCALE), what_is_missing(status)
    if was is None:
        host.noop("Tailscale has not been set by a deploy")
    elif status["installed"] and missing is not None:
        host.log(missing, logger.warning)
        host.noop("Tailscale is left as it is")
    elif not was and status["installed"] and status["unattended"] and _in_tailnet(reached_at):
        host.log(
            f"Tailscale on {host.name} stays connected with nobody logged on: this run comes that way ({reached_at}), "
            "and would be cut off; at the box: tailscale set --unattended=false, then run this again",
            logger.warning,
        )
        host.noop("Tailscale is left as it is")
    else:
        if status["installed"] and status["unattended"] != was:
            host.log(f"Tailscale with nobody logged on: {status['unattended']} -> {was}")
            yield Script("Set-Tailscale", {"unattended": was})
        yield from forgotten([before.TAILSCALE])


def _in_tailnet(address: str) -> bool:
    try:
        one = ipaddress.ip_address(address)
    except ValueError:
        # A name may be one of MagicDNS, with or without its domain.
        return "." not in address or address.rstrip(".").endswith(".ts.net")
    return any(one in ipaddress.ip_network(network) for network in tailnet.NETWORKS)
