"""The one box of an inventory that is looked at: its Windows, and its distro."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory

SIDES = ("windows", "wsl")


class WhichBox(Exception):
    """The inventory does not say which box is meant; the message says what there is."""


@dataclass(frozen=True)
class Box:
    """The two hosts of a box; None for a side that there is not, or that is not looked at."""

    windows: Host | None
    distro: Host | None

    @property
    def hosts(self) -> list[Host]:
        """Those that there are, Windows first."""
        return [host for host in (self.windows, self.distro) if host is not None]

    @property
    def name(self) -> str:
        """Both, for a person."""
        return ", ".join(host.name for host in self.hosts)


def only(found: Inventory, limit: str | None = None) -> Box:
    """Return the box of an inventory that is looked at.

    + limit: name of one of several, as in ``vengeance`` or ``@winrm/vengeance``; ``windows`` and ``wsl`` are one side
      of the only one; a distro's name is that distro with its Windows

    Raises WhichBox.
    """
    hosts = [host for host in found if host.name.startswith(("@winrm/", "@wsl/"))]
    if limit is not None and limit not in SIDES:
        hosts = _named(hosts, limit)
    machines = {_machine(host): None for host in hosts}
    if not machines:
        raise WhichBox("The inventory has no box: a host whose name begins with @winrm/.")
    if len(machines) > 1:
        raise WhichBox(
            f"The inventory has {', '.join(machines)}: say which with --limit, as in --limit {next(iter(machines))}"
        )
    windows = [host for host in hosts if host.name.startswith("@winrm/") and limit != "wsl"]
    distros = [host for host in hosts if host.name.startswith("@wsl/") and limit != "windows"]
    if len(distros) > 1:
        raise WhichBox(f"The box has {', '.join(host.name for host in distros)}: say which with --limit.")
    if not windows and not distros:
        raise WhichBox(f"The inventory has no host on the side {limit}.")
    return Box(windows[0] if windows else None, distros[0] if distros else None)


def _machine(host: Host) -> str:
    return host.name.removeprefix("@winrm/").removeprefix("@wsl/").partition("/")[0]


def _named(hosts: Iterable[Host], limit: str) -> list[Host]:
    there = list(hosts)
    wanted = limit.removeprefix("@winrm/")
    of_machine = [host for host in there if _machine(host) == wanted]
    distro = [host for host in there if host.name in {limit, f"@wsl/{limit}"} and host.name.startswith("@wsl/")]
    if distro:
        return [host for host in there if host.name == f"@winrm/{_machine(distro[0])}"] + distro
    if not of_machine:
        raise WhichBox(f"--limit {limit}: the inventory has {', '.join(host.name for host in there) or 'no box'}.")
    return of_machine
