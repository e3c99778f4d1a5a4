"""Facts of the network: firewall, forwarded and reserved ports, who listens."""

from __future__ import annotations

from pyinfra.api.facts import FactBase

from vengeance.facts.windows.answers import parse
from vengeance.powershell import Script, network


class FirewallRules(FactBase[network.FirewallRules]):
    """Returns the inbound rules that can concern a port, as the registry has them, and where the firewall is on.

    + port: TCP or UDP port
    + rule: identity of a further rule to read, whatever it says
    + programs: file names of the programs that answer there, whose rules without a port concern it too

    ``box.firewall.parse`` reads a rule's text.

    .. code:: python

        {
            "rules": [
                {
                    "rule": "vengeance-ollama",
                    "text": "v2.33|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=11434|RA4=100.64.0.0/...",
                    "policy": False,
                },
            ],
            "enabled": {"domain": True, "private": True, "public": True},
        }
    """

    shell_executable = "ps"

    def command(self, port: int, rule: str | None = None, programs: list[str] | None = None) -> Script:
        return Script("Get-FirewallRule", {"port": port, "rule": rule, "programs": [*(programs or [])]})

    def process(self, output: list[str]) -> network.FirewallRules:
        return parse("Get-FirewallRule", output, network.FirewallRules)


class PortProxies(FactBase[network.PortProxies]):
    """Returns which ports Windows forwards (``netsh interface portproxy``), and whether IP Helper runs, which does it.

    .. code:: python

        {
            "proxies": [
                {
                    "listen_address": "100.98.226.75",
                    "listen_port": 8080,
                    "connect_address": "127.0.0.1",
                    "connect_port": 8080,
                    "listening": True,
                    "address_there": True,
                },
            ],
            "service_running": True,
        }
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-PortProxy", {})

    def process(self, output: list[str]) -> network.PortProxies:
        return parse("Get-PortProxy", output, network.PortProxies)


class ReservedPorts(FactBase[network.ReservedPorts]):
    """Returns the ranges of TCP ports that Windows keeps from programs now, and those set aside at each boot.

    A program that asks for a port in an active range that is not ``administered`` gets WinSock's error 10013.

    .. code:: python

        {
            "active": [{"first": 11400, "last": 11499, "administered": False}],
            "persistent": [{"first": 50000, "last": 50059}],
        }
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-ReservedPort", {})

    def process(self, output: list[str]) -> network.ReservedPorts:
        return parse("Get-ReservedPort", output, network.ReservedPorts)


class Listeners(FactBase["list[network.Listener]"]):
    """Returns who listens on a TCP port, or on any.

    + port: the port, None for all

    .. code:: python

        [
            {
                "address": "0.0.0.0",
                "port": 11434,
                "pid": 7012,
                "process": "ollama.exe",
                "path": "C:\\\\Users\\\\Steam\\\\AppData\\\\Local\\\\Programs\\\\Ollama\\\\ollama.exe",
            },
        ]
    """

    shell_executable = "ps"

    def command(self, port: int | None = None) -> Script:
        return Script("Get-Listener", {"port": port})

    def process(self, output: list[str]) -> list[network.Listener]:
        return parse("Get-Listener", output, network.Listeners)["listeners"]


class NetworkProfiles(FactBase["list[network.NetworkProfile]"]):
    """Returns the networks that the box is in, and the firewall's profile that counts in each.

    .. code:: python

        [{"interface": "Ethernet", "network": "Network 2", "profile": "public"}]
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-NetworkProfile", {})

    def process(self, output: list[str]) -> list[network.NetworkProfile]:
        return parse("Get-NetworkProfile", output, network.NetworkProfiles)["networks"]
