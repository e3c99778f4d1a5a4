"""The inventory that a command is about."""

from __future__ import annotations

import argparse
from pathlib import Path

import shtab
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory

from vengeance.verify import inventory

HOME = Path("inventory") / "home.py"


class InventoryError(Exception):
    """The inventory cannot be used; the message says why, and what to do."""


def add_inventory(parser: argparse.ArgumentParser) -> None:
    """Add the option that every command has which is about a box."""
    option = parser.add_argument(
        "--inventory", type=Path, default=HOME, metavar="FILE", help="where the box stands (default: %(default)s)"
    )
    # What shtab looks for; a shell then completes the names of files.
    option.complete = shtab.FILE  # type: ignore[attr-defined]


def load(file: Path) -> Inventory:
    """Return the hosts of an inventory with their settings; nothing is connected.

    + file: such as ``inventory/home.py``; the folder above its own holds group_data/

    Raises InventoryError.
    """
    if not file.is_file():
        raise InventoryError(
            f"There is no inventory {file}: run this in the folder that holds inventory/, or name one."
        )
    try:
        return inventory.load(file, file.resolve().parent.parent / "group_data")
    except SyntaxError as error:
        raise InventoryError(
            f"{error.filename or file} cannot be read: line {error.lineno} is not Python: {error.msg}."
        ) from None
    except (PyinfraError, ValueError, OSError, NameError, TypeError, AttributeError, ImportError) as error:
        raise InventoryError(f"{file} cannot be read: {error}") from None


def one_of(found: Inventory, file: Path, kind: str, what: str, command: str, name: str | None) -> Host:
    """Return the host of a kind that is named, or the only one that there is.

    + file: the inventory, for sentences
    + kind: what its name begins with, as ``@winrm/``
    + what: such a host in a word, as ``box``
    + command: the one that is told which
    + name: with the kind before it or without; None for the only one

    Raises InventoryError.
    """
    hosts = {host.name: host for host in found if host.name.startswith(kind)}
    if not hosts:
        raise InventoryError(f"{file} has no {what}: a host whose name begins with {kind}.")
    first = next(iter(hosts))
    if name is None and len(hosts) > 1:
        raise InventoryError(f"{file} has {', '.join(hosts)}: say which, as in python -m vengeance {command} {first}")
    wanted = first if name is None else name if name.startswith("@") else f"{kind}{name}"
    if wanted not in hosts:
        raise InventoryError(f"{file} has no {wanted}; it has {', '.join(hosts)}.")
    return hosts[wanted]
