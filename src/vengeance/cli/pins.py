"""Every version that the box gets, and which of them your settings replace: ``python -m vengeance pins``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyinfra.api.inventory import Inventory

from vengeance import colours
from vengeance.box import pins
from vengeance.box.pins import Pin
from vengeance.cli import boxes, exit_codes
from vengeance.verify.inventory import group_data


@dataclass(frozen=True)
class Replaced:
    """A setting that says something else than its pin, on one host, and the file that it stands in."""

    host: str
    setting: str
    value: str
    stands_in: str


def add(commands: Any) -> None:  # noqa: ANN401 argparse has no public name for it
    """Add the command to those of a parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "pins",
        help="list every version that the box gets, with its hash and who says so",
        description="List every version that the box gets: where it comes from, the SHA-256 of the file and who gives "
        "it, and where your group data or inventory says otherwise. Nothing is asked of the box.",
        epilog="""\
Examples:
  python -m vengeance pins
  python -m vengeance pins --json | jq '.[] | {name, version}'

Exit code: 0 shown; 64 the inventory cannot be read.
""",
    )
    boxes.add_inventory(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Print the pins and return the exit code: 0, or 64 with a sentence on stderr. Raises InventoryError."""
    try:
        shipped = pins.shipped()
        hosts = boxes.load(given.inventory)
    except ValueError as error:
        print(error, file=sys.stderr)
        return exit_codes.WRONG_USAGE
    told = [(pin, list(replaced(pin, hosts, given.inventory))) for pin in shipped.values()]
    if given.json:
        print(json.dumps([{**asdict(pin), "replaced": [asdict(each) for each in by]} for pin, by in told], indent=1))
    else:
        print("\n\n".join("\n".join(report(pin, by, colours.wanted())) for pin, by in told))
    return exit_codes.RIGHT


def replaced(pin: Pin, hosts: Inventory, file: Path) -> Iterator[Replaced]:
    """Give each setting that says something else than a pin.

    + file: the inventory; the folder above its own holds group_data/
    """
    folder = file.resolve().parent.parent / "group_data"
    by_group = group_data(folder)
    for host in hosts:
        for field, setting in pin.settings.items():
            value = host.data.get(setting)
            # Without one an address is made from the version.
            if value is None or value == getattr(pin, field):
                continue
            groups = [group for group in host.groups if by_group.get(group, {}).get(setting) == value]
            yield Replaced(host.name, setting, str(value), f"group_data/{groups[0]}.py" if groups else str(file))


def report(pin: Pin, by: list[Replaced], coloured: bool = False) -> Iterator[str]:
    """Give the lines that are shown of a pin."""
    yield f"{colours.painted(pin.name, 'cyan', coloured)} {pin.version}: {pin.what}"
    if pin.url is not None:
        yield f"  from      {pin.url}"
    if pin.sha256 is not None:
        yield f"  sha256    {pin.sha256}"
        yield f"            given by {pin.sha256_from}"
    else:
        yield f"  no hash   {pin.unhashed}"
    if pin.renewed is not None:
        yield f"  renewed   {pin.renewed}"
    for each in by:
        changed = colours.painted("replaced", "yellow", coloured)
        yield f"  {changed}  {each.setting} = {each.value} ({each.stands_in}, {each.host})"
