"""Rules of the Windows firewall, as they lie in the registry.

The grammar: MS-GPFAS 2.2.2.19, https://learn.microsoft.com/openspecs/windows_protocols/ms-gpfas.
"""

from __future__ import annotations

import ipaddress
from functools import cached_property

from testinfra.modules.base import Module

from vengeance.verify.modules.registry import Registry

RULES = r"HKLM\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules"
_PROTOCOLS = {"6": "tcp", "17": "udp"}


class FirewallRule(Module):  # type: ignore[misc]
    """A rule by its identity: ``host.firewall_rule("vengeance-ollama").remote_addresses``."""

    def __init__(self, rule: str) -> None:
        self.rule = rule

    @property
    def exists(self) -> bool:
        """Whether there is such a rule."""
        return Registry.get_module(self._host)(RULES).get(self.rule) is not None

    @cached_property
    def _fields(self) -> dict[str, list[str]]:
        text = Registry.get_module(self._host)(RULES)[self.rule].data
        found: dict[str, list[str]] = {}
        for part in text.split("|"):
            name, sign, value = part.partition("=")
            if sign:
                found.setdefault(name, []).append(value)
        return found

    def _one(self, name: str) -> str:
        return self._fields.get(name, [""])[0]

    @property
    def is_enabled(self) -> bool:
        """Whether it counts."""
        return self._one("Active").upper() == "TRUE"

    @property
    def action(self) -> str:
        """``allow`` or ``block``."""
        return self._one("Action").lower()

    @property
    def direction(self) -> str:
        """``in`` or ``out``."""
        return self._one("Dir").lower()

    @property
    def protocol(self) -> str | None:
        """``tcp`` or ``udp``; None for any. Raises NotImplementedError for another one."""
        number = self._one("Protocol")
        if number and number not in _PROTOCOLS:
            raise NotImplementedError(f"{self.rule}: the protocol {number} has no name here")
        return _PROTOCOLS[number] if number else None

    @property
    def ports(self) -> list[str]:
        """The ports of the box, as text: a range is written 8000-8010. [] is every port."""
        return self._fields.get("LPort", [])

    @property
    def remote_addresses(self) -> set[str]:
        """Who is let in, as networks: ``100.64.0.0/10``, ``LocalSubnet``. An empty set is everybody."""
        written = [value for name in ("RA4", "RA6") for value in self._fields.get(name, [])]
        return {_network(value) for value in written}

    def __repr__(self) -> str:
        return f"<firewall_rule {self.rule}>"


def _network(value: str) -> str:
    """``100.64.0.0/255.192.0.0`` is how Windows writes a network of IPv4; a range and a word are left as they are."""
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        return value
