"""The script of ``bootstrap/``, with what an inventory and its group data know of the box."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from vengeance.box import bootstrap
from vengeance.cli import boxes, exit_codes

SCRIPT = Path("bootstrap") / "enable-winrm.ps1"
LOCAL_SUBNET = "LocalSubnet"


class BootstrapError(Exception):
    """The script cannot be printed; the message says why, and what to do."""


def add(commands: Any) -> None:  # noqa: ANN401 argparse has no public name for it
    """Add the command to those of a parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "bootstrap",
        help="print the script that is pasted on a new box",
        description="Print the script that is pasted in an administrator's PowerShell on a new box, with the account "
        "and the addresses of the inventory filled in. It holds no secret. bootstrap/README.md says what it is for.",
        epilog="""\
Examples:
  python -m vengeance bootstrap > enable-winrm.ps1        a file to carry to the box
  python -m vengeance bootstrap | xclip -sel clip         or straight into a shared clipboard

Exit code: 0 printed; 1 it cannot be, and a sentence says why; 64 there is no such inventory or box, or wrong
usage.
""",
    )
    parser.add_argument("host", nargs="?", help="name of the box, where the inventory has several")
    boxes.add_inventory(parser)
    parser.add_argument("--json", action="store_true", help='print {"box": ..., "script": ...}')
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Print the script and return the exit code: 0, or 1 with a sentence on stderr. Raises InventoryError."""
    try:
        name, text = script(given.inventory, given.host)
    except BootstrapError as error:
        print(error, file=sys.stderr)
        return exit_codes.FAILED
    if given.json:
        print(json.dumps({"box": name, "script": text}))
        return exit_codes.RIGHT
    # A name need not be ASCII, and where this is piped to, the locale may be.
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()
    return exit_codes.RIGHT


def script(file: Path, name: str | None = None) -> tuple[str, str]:
    """Return the name of a box, and the script for it.

    + file: the inventory; the folder above its own holds group_data/ and bootstrap/
    + name: the box, as in ``@winrm/vengeance`` or ``vengeance``; needed where there are several

    Raises InventoryError, BootstrapError.
    """
    folder = file.resolve().parent.parent
    found = boxes.load(file)
    if not (folder / SCRIPT).is_file():
        raise BootstrapError(f"{folder} holds no {SCRIPT}: the inventory lies beside that folder.")
    text = (folder / SCRIPT).read_text(encoding="utf-8")
    box = boxes.one_of(found, file, "@winrm/", "box", "bootstrap", name)
    data: dict[str, Any] = box.data.dict()  # type: ignore[no-untyped-call]
    try:
        return box.name, bootstrap.filled(
            text,
            account=_account(data.get("winrm_user")),
            remote_addresses=_remote_addresses(data.get("remote_addresses")),
            box_address=data.get("winrm_host") or None,
            port=data.get("winrm_port") or None,
        )
    except (ValueError, TypeError) as error:
        raise BootstrapError(f"{file}: {error}") from None


def _account(user: str | None) -> str | None:
    """BOX\\name and .\\name are the local account ``name``; an address of a Microsoft account is none."""
    if not user:
        return None
    name = re.sub(r"^[^\\]*\\", "", user)
    return None if "@" in name else name


def _remote_addresses(declared: list[str] | None) -> list[str] | None:
    """Whoever may reach Ollama, and the home network, so that a box without its tailnet can be mended."""
    if declared is None or any(address.lower() in (LOCAL_SUBNET.lower(), "any") for address in declared):
        return declared
    return [*declared, LOCAL_SUBNET]
