"""TCP ports that the twin's Windows keeps from programs: those that Hyper-V's NAT takes, and those that are set aside.

WinNAT takes its ranges when it starts, other ones each time, out of what is not set aside; what it has taken cannot be
set aside until it stops. A program may take a port that is set aside by its number.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows

# What Windows 11 has set aside from the start.
ADMINISTERED = (50000, 50059)
_COUNT = 6
_SIZE = 100
_LOWEST, _HIGHEST = 49300, 65200

Range = tuple[int, int]


class SharingViolation(Exception):
    """Somebody holds a port of the range: Windows' error 32."""


class PortRanges:
    """The reserved ranges of one Windows.

    unlucky: a port that WinNAT takes whenever it starts and can, None for none
    """

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._memory = windows.state.section("port_ranges")
        self._memory.setdefault("persistent", [])
        self._memory.setdefault("starts", 0)
        self._memory.setdefault("unlucky", None)
        self.taken: list[Range] = []
        windows.network.port_rules = self
        windows.at_boot.append(self.start)
        windows.at_shutdown.append(self.stop)

    @property
    def unlucky(self) -> int | None:
        """A port that WinNAT takes whenever it starts and can."""
        port: int | None = self._memory["unlucky"]
        return port

    @unlucky.setter
    def unlucky(self, port: int | None) -> None:
        self._memory["unlucky"] = port
        self._windows.state.save()

    @property
    def persistent(self) -> list[Range]:
        """What is set aside at each boot, besides Windows' own."""
        return [(first, last) for first, last in self._memory["persistent"]]

    @property
    def administered(self) -> list[Range]:
        """What is set aside now."""
        return sorted([ADMINISTERED, *self.persistent])

    def faults(self) -> list[dict[str, object]]:
        """The bad luck that is set, as the command line shows it."""
        return [] if self.unlucky is None else [{"kind": "nat_port", "port": self.unlucky}]

    def is_taken(self, port: int) -> bool:
        """Whether a program that asks for the port gets error 10013."""
        return any(first <= port <= last for first, last in self.taken)

    def start(self) -> None:
        """WinNAT starts and takes its ranges."""
        self._memory["starts"] += 1
        chance = random.Random(self._memory["starts"])  # noqa: S311
        wanted = [(first, first + _SIZE - 1) for first in (chance.randrange(_LOWEST, _HIGHEST) for _ in range(_COUNT))]
        if self.unlucky is not None:
            first = self.unlucky // _SIZE * _SIZE
            wanted.append((first, first + _SIZE - 1))
        in_use = [(listener.port, listener.port) for listener in self._windows.network.listeners]
        self.taken = [one for one in wanted if not any(_meet(one, other) for other in [*self.administered, *in_use])]
        self._windows.state.save()

    def stop(self) -> None:
        """WinNAT stops and lets its ranges go."""
        self.taken = []

    def set_aside(self, port: int) -> None:
        """Set a port aside for good; SharingViolation when WinNAT or a program has it."""
        if self.is_taken(port) or any(one.port == port for one in self._windows.network.listeners):
            raise SharingViolation
        if not any(first <= port <= last for first, last in self.persistent):
            self._memory["persistent"].append([port, port])
            self._windows.state.save()

    def give_back(self, port: int) -> None:
        """Set a port aside no longer."""
        self._memory["persistent"] = [[first, last] for first, last in self.persistent if (first, last) != (port, port)]
        self._windows.state.save()


def _meet(one: Range, other: Range) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]
