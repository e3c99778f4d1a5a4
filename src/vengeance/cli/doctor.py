"""What is wrong with a box, and what mends it: ``python -m vengeance doctor``."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyinfra import logger
from pyinfra.api.config import Config
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from typeguard import TypeCheckError

from vengeance import colours
from vengeance.cli import boxes, exit_codes
from vengeance.cli.boxes import InventoryError
from vengeance.doctor import report
from vengeance.doctor.box import Box
from vengeance.doctor.walk import walk
from vengeance.operations.stage import same_machine

_WIDEST = 100
_CODES = {"broken": exit_codes.FAILED, "degraded": exit_codes.DEGRADED, None: exit_codes.RIGHT}


def add(commands: Any) -> None:  # noqa: ANN401 argparse has no public name for it
    """Add the command to those of a parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "doctor",
        help="say what is wrong with a box, and what mends it",
        description="Look at a box from the wire to a token: network, certificate, WinRM, account, Windows, driver, "
        "WSL, distro, systemd, CUDA, vLLM, ports, exposure, Ollama, models, who has the card. Nothing is changed, and "
        "a distro that is stopped is not started. What hangs on a broken link is not looked at. Every finding has a "
        "name, and docs/doctor.md says more about it.",
        epilog="""\
Examples:
  python -m vengeance doctor
  python -m vengeance doctor --json | jq '.[].findings[].name'

Exit code: 0 nothing is wrong; 1 something is broken, or the box cannot be reached; 2 all works, and something is not as
declared or will not last; 64 wrong usage; 130 interrupted.
""",
    )
    boxes.add_inventory(parser)
    parser.add_argument("--json", action="store_true", help="as JSON: a list with an object for each box")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Look at each box of an inventory, show what was found, and return the exit code."""
    known = boxes.load(given.inventory)
    state, found = of(known, given)
    shown: list[report.Shown] = []
    worst = exit_codes.RIGHT
    width = min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns)
    for box in found:
        began = time.monotonic()
        with _quiet():
            looked = walk(box)
        seconds = time.monotonic() - began
        code = _CODES[report.verdict(looked)]
        worst = code if worst != exit_codes.FAILED and code != exit_codes.RIGHT else worst
        inventory = str(given.inventory)
        shown.append(report.as_json(box.name, inventory, looked, seconds))
        if not given.json:
            text = report.lines(box.name, inventory, looked, seconds, width, colours.wanted())
            print("\n".join(text), end="\n\n" if box is not found[-1] else "\n")
    if given.json:
        print(json.dumps(shown, indent=1))
    # pyinfra keeps a state by weak references alone.
    del state
    return worst


@contextmanager
def _quiet() -> Iterator[None]:
    """Have the connectors not warn of what a finding says better."""
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def of(known: Inventory, given: argparse.Namespace) -> tuple[State, list[Box]]:
    """Return the boxes of an inventory, and pyinfra's state, which they live as long as.

    Raises InventoryError.
    """
    try:
        state = State(known, Config())  # type: ignore[no-untyped-call]
    except (PyinfraError, TypeCheckError, ValueError) as error:
        raise InventoryError(f"{given.inventory} cannot be used: {error}") from None
    found: list[Box] = []
    for host in known:
        if "windows" not in host.groups:
            continue
        distro = next((each for each in known if "wsl" in each.groups and same_machine(host, each)), None)
        settings: dict[str, Any] = host.data.dict()  # type: ignore[no-untyped-call]
        inside: dict[str, Any] = {} if distro is None else distro.data.dict()  # type: ignore[no-untyped-call]
        found.append(Box(host, distro, given.inventory, settings, inside))
    if not found:
        raise InventoryError(f"{given.inventory} has no box: a host in the group windows, of the kind @winrm/NAME.")
    return state, found
