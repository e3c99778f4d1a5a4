"""``python -m vengeance key``: the API key of the vLLM servers, for the person who asks."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pyinfra.api.config import Config
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State

from vengeance.cli import boxes, exit_codes
from vengeance.facts.vllm import api_key_file
from vengeance.operations.vllm import made_key
from vengeance.secret import Secret, SecretError


class NoKeyError(Exception):
    """The key cannot be shown; the message says why, and what to do."""


def add(commands: Any) -> None:  # noqa: ANN401 argparse has no public name for it
    """Add the command to those of a parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "key",
        help="print the API key of the vLLM servers",
        description="Print the key that the vLLM servers ask for, to send as a bearer token: the declared one, or the "
        "one that the box has made for itself, which is read from the box. It is shown nowhere else.",
        epilog="""\
Examples:
  export VLLM_API_KEY="$(python -m vengeance key)"
  curl -H "Authorization: Bearer $VLLM_API_KEY" http://BOX:8080/v1/models

Exit code: 0 printed; 1 there is none, or it cannot be read, and a sentence says why; 64 there is no such inventory or
distro, or wrong usage.
""",
    )
    parser.add_argument("host", nargs="?", help="name of the distro, where the inventory has several")
    boxes.add_inventory(parser)
    parser.add_argument("--json", action="store_true", help='print {"distro": ..., "key": ...}')
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Print the key alone and return the exit code: 0, or 1 with a sentence on stderr. Raises InventoryError."""
    try:
        name, shown = key(given.inventory, given.host)
    except NoKeyError as error:
        print(error, file=sys.stderr)
        return exit_codes.FAILED
    print(json.dumps({"distro": name, "key": shown}) if given.json else shown)
    return exit_codes.RIGHT


def key(file: Path, name: str | None = None) -> tuple[str, str]:
    """Return the name of a distro, and the key that its vLLM servers ask for, read there where it was made there.

    + file: the inventory; the folder above its own holds group_data/
    + name: the distro, as in ``@wsl/vengeance/Ubuntu-24.04``; needed where there are several

    Raises InventoryError, NoKeyError.
    """
    found = boxes.load(file)
    host = boxes.one_of(found, file, "@wsl/", "distro", "key", name)
    declared = host.data.get("vllm_api_key")
    if declared is None:
        raise NoKeyError(
            f"{host.name} asks for no key (vllm_api_key = None in group_data/wsl.py, or in the inventory)."
        )
    if isinstance(declared, Secret):
        try:
            return host.name, declared.reveal()
        except SecretError as error:
            raise NoKeyError(f"vllm_api_key: {error}") from None
    return host.name, _of_the_box(found, host)


def _of_the_box(found: Inventory, host: Host) -> str:
    State(found, Config())  # type: ignore[no-untyped-call]
    try:
        host.connect(show_errors=False, raise_exceptions=True)
        made = made_key(host)
    except (ConnectError, OSError) as error:
        raise NoKeyError(str(error)) from None
    finally:
        if host.connected:
            host.disconnect()
    if made is None:
        raise NoKeyError(
            f"{host.name} has made no key yet ({api_key_file()} is not there, or damaged): deploys/vllm.py makes it."
        )
    return made.reveal()
