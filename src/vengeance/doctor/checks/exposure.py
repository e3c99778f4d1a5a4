"""Ports, Tailscale, forwarded ports and the firewall: what lies between a server and those who may use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from pyinfra.api.facts import FactBase

from vengeance.box import firewall, modes, ports, tailnet, vllm_profiles
from vengeance.box.ollama_server import LOOPBACK
from vengeance.box.ollama_settings import asked_at
from vengeance.doctor.box import Box, NotReadable, Told
from vengeance.doctor.catalogue import finding
from vengeance.doctor.checks.vllm import address
from vengeance.doctor.findings import Finding
from vengeance.facts import ollama
from vengeance.facts.tailscale import Status
from vengeance.facts.windows import FirewallRules, Listeners, PortProxies, ReservedPorts
from vengeance.facts.windows.answers import parse
from vengeance.operations.reach import silence, url_of
from vengeance.operations.vllm import ports_without_key
from vengeance.powershell import Script
from vengeance.powershell.ollama import Answer

_ANY = "0.0.0.0"  # noqa: S104
_OLLAMA = "ollama.exe"
_OLLAMA_RULE = "vengeance-ollama"


class StatusOnWindows(FactBase["int | None"]):
    """Returns the HTTP status that a web server gives to the box's own Windows, None where nobody answers.

    + port: TCP port of its 127.0.0.1

    Any status tells that something answers.
    """

    shell_executable = "ps"

    def command(self, port: int) -> Script:
        return Script("Get-OllamaAnswer", {"address": LOOPBACK, "port": port, "question": "version"})

    def process(self, output: list[str]) -> int | None:
        return parse("Get-OllamaAnswer", output, Answer)["status"]


def port(box: Box) -> Told:
    """Whether our ports are ours: no other program, no reservation of Windows' NAT; and WSL's forwarding."""
    ask, settings = box.on_windows, box.settings
    ours = {settings["ollama_port"]: "Ollama", **settings["exposed_ports"]}
    reserved = ask(ReservedPorts)
    taken = [(one["first"], one["last"]) for one in reserved["active"] if not one["administered"]]
    kept = [(one["first"], one["last"]) for one in reserved["persistent"]]
    for number, what in ours.items():
        held = ports.holding(taken, number)
        if held is not None:
            evidence = f"port {number} ({what}) lies in {held[0]}-{held[1]}, which Windows keeps for itself"
            yield finding("port-reserved-by-nat", evidence)
        elif ports.holding(kept, number) is None:
            users = ", ".join(sorted({str(one["process"]) for one in ask(Listeners, port=number)}))
            now = f"; {users} listens there now, and it can be set aside only while nobody does" if users else ""
            yield finding("port-not-kept", f"port {number} ({what}) is in no range that is set aside at boot{now}")
        yield from _taken(box, number, what)
    for name in box.running:
        profile = vllm_profiles.parse(name, box.inside["vllm_profiles"][name], box.inside["vllm_version"])
        if ask(StatusOnWindows, port=profile.port) is None:
            evidence = f"{name} answers in the distro on port {profile.port}, and nobody on {LOOPBACK} of Windows"
            yield finding("server-not-forwarded", evidence)
    yield "ours: " + ", ".join(f"{number} ({what})" for number, what in ours.items())


def _taken(box: Box, number: int, what: str) -> Iterator[Finding]:
    listeners = box.on_windows(Listeners, port=number)
    if number == box.settings["ollama_port"]:
        others = [one for one in listeners if str(one["process"] or "").lower().removesuffix(".exe") != "ollama"]
    else:
        others = [one for one in listeners if modes.port_taken(number, what, [one]) is not None]
    for one in others:
        evidence = (
            f"port {number} ({what}) of {one['address']} is {one['process'] or 'a program'}'s, process {one['pid']}"
        )
        yield finding("port-taken-on-windows", evidence, pid=one["pid"])


def exposure(box: Box) -> Told:
    """Tailscale, what is forwarded, the firewall, and whether this machine gets through."""
    settings = box.settings
    found: list[Finding | str] = []
    if settings["tailscale_wanted"] or settings["expose"] != "none":
        found += _tailscale(box)
    if settings["expose"] == "serve":
        found += _served(box)
    found += [*_forwarded(box), *_firewall(box)]
    yield from found
    if settings["expose"] != "none":
        open_ports = sorted(set(settings["exposed_ports"]) & ports_without_key([box.inside] if box.inside else []))
        if open_ports:
            yield finding("vllm-without-key", f"port {', '.join(map(str, open_ports))}, vllm_api_key is None")
    # What is broken there is why this machine would not get through.
    if not any(isinstance(one, Finding) and one.severity == "broken" for one in found):
        yield from _from_here(box)


_STATES = {
    "NoService": "tailscale-service-stopped",
    "InUseOtherUser": "tailscale-of-another-account",
    "KeyExpired": "tailscale-key-ended",
    "NeedsLogin": "tailscale-signed-out",
    "NeedsMachineAuth": "tailscale-not-approved",
}


def _tailscale(box: Box) -> Told:
    found = box.on_windows(Status)
    if not found["installed"]:
        yield finding("tailscale-not-installed", "there is no tailscale.exe", account=found["account"])
        return
    name = _STATES.get(str(found["state"]))
    if name is not None:
        owner = f"; it belongs to {found['owner']}" if found["owner"] else ""
        ended = f"; its key ended at {found['key_expiry']}" if found["key_expiry"] and name.endswith("ended") else ""
        yield finding(name, f"{found['account']} is told {found['state']}{owner}{ended}", account=found["account"])
        return
    if not found["unattended"]:
        yield finding("tailscale-not-unattended", "ForceDaemon is off")
    if found["state"] != "Running" or not found["online"]:
        yield finding("tailscale-not-connected", f"the state is {found['state']}")
        return
    expiry = found["key_expiry"]
    if expiry is not None and tailnet.parse_moment(expiry) - datetime.now(timezone.utc) < tailnet.SOON:
        yield finding("tailscale-key-ends-soon", f"the key ends at {expiry}")
    yield f"{', '.join(found['addresses'])} in the tailnet"


def _served(box: Box) -> Iterator[Finding]:
    found = box.on_windows(Status)
    if found["state"] != "Running":
        return
    by_port = {one["port"]: one for one in found["serve"]}
    for number, what in box.settings["exposed_ports"].items():
        one = by_port.get(number)
        if one is None:
            has = ", ".join(map(str, by_port)) or "none"
            yield finding("serve-missing", f"port {number} ({what}) is not forwarded; forwarded are {has}")
        elif one["kind"] != "tcp" or one["target"] not in (f"{LOOPBACK}:{number}", f"localhost:{number}"):
            yield finding("serve-leads-elsewhere", f"port {number} ({what}) is {one['kind']} to {one['target']}")


def _forwarded(box: Box) -> Iterator[Finding]:
    found, settings = box.on_windows(PortProxies), box.settings
    ours = {settings["ollama_port"], *settings["exposed_ports"]}
    there = set()
    for one in found["proxies"]:
        number = one["listen_port"]
        if number not in ours:
            continue
        shown = f"{one['listen_address']}:{number} to {one['connect_address']}:{one['connect_port']}"
        if one["listen_address"] in (_ANY, "*"):
            yield finding("portproxy-on-every-address", shown, address=one["listen_address"], port=number)
            continue
        there.add(number)
        if one["connect_address"] not in (LOOPBACK, "localhost"):
            yield finding("portproxy-leads-elsewhere", shown)
        elif settings["expose"] == "portproxy" and not (found["service_running"] and one["listening"]):
            service = "IP Helper runs" if found["service_running"] else "IP Helper does not run"
            yield finding("portproxy-not-listening", f"{shown}; {service}")
    if settings["expose"] == "portproxy":
        for number, what in settings["exposed_ports"].items():
            if number not in there:
                yield finding("portproxy-missing", f"port {number} ({what}) is not forwarded")


def _firewall(box: Box) -> Iterator[Finding]:
    settings = box.settings
    number = settings["ollama_port"]
    found = box.on_windows(FirewallRules, port=number, rule=_OLLAMA_RULE, programs=[_OLLAMA])
    rules = [firewall.parse(one["rule"], one["text"], one["policy"]) for one in found["rules"]]
    wanted = firewall.Rule(
        rule=_OLLAMA_RULE,
        protocol=firewall.PROTOCOLS["tcp"],
        ports=((number, number),),
        remote=firewall.scope(settings["remote_addresses"]),
    )
    mine = next((one for one in rules if one.rule.lower() == _OLLAMA_RULE), None)
    if mine is None:
        yield finding("firewall-rule-missing", f"there is no rule {_OLLAMA_RULE}")
    elif differences := firewall.differences(wanted, mine):
        yield finding("firewall-rule-missing", f"{_OLLAMA_RULE}: {'; '.join(differences)}")
    for rule in firewall.that_beat(wanted, number, rules, [_OLLAMA]):
        yield finding("firewall-blocks", f"{rule.shown} {firewall.shown(rule)}")
    for rule in firewall.that_let_more_in(wanted, number, rules, [_OLLAMA]):
        yield finding("firewall-lets-more-in", f"{rule.shown} {firewall.shown(rule)}", rule=rule.rule)


def _from_here(box: Box) -> Iterator[Finding]:
    settings = box.settings
    asked = asked_at(settings["ollama_machine_variables"], settings["ollama_user_variables"])
    try:
        version = box.on_windows(ollama.Version, address=asked, port=settings["ollama_port"])
    except NotReadable:
        # What answers there is told at its own link.
        version = None
    if version is not None:
        url = url_of(address(box), settings["ollama_port"], "/api/version")
        reason = silence(url, within=0)
        if reason is not None:
            yield finding("ollama-not-reached-from-here", f"{url}: {reason}")
    for name in box.running if settings["expose"] != "none" else []:
        fields: Mapping[str, Any] = box.inside["vllm_profiles"][name]
        if fields["port"] not in settings["exposed_ports"]:
            continue
        url = url_of(address(box), fields["port"], "/health")
        reason = silence(url, within=0)
        if reason is not None:
            yield finding("vllm-not-reached-from-here", f"{url}: {reason}")
