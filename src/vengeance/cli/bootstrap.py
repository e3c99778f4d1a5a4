"""The script of ``bootstrap/``, with what an inventory and its group data know of the box."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host

from vengeance.box import bootstrap
from vengeance.verify import inventory

SCRIPT = Path("bootstrap") / "enable-winrm.ps1"
LOCAL_SUBNET = "LocalSubnet"


class BootstrapError(Exception):
    """The script cannot be printed; the message says why, and what to do."""


def script(file: Path, name: str | None = None) -> str:
    """Return the script for a box.

    + file: the inventory; the folder above its own holds group_data/ and bootstrap/
    + name: the box, as in ``@winrm/vengeance`` or ``vengeance``; needed where there are several

    Raises BootstrapError.
    """
    folder = file.resolve().parent.parent
    if not file.is_file():
        raise BootstrapError(
            f"There is no inventory {file}: run this in the folder that holds inventory/, or name one."
        )
    if not (folder / SCRIPT).is_file():
        raise BootstrapError(f"{folder} holds no {SCRIPT}: the inventory lies beside that folder.")
    text = (folder / SCRIPT).read_text(encoding="utf-8")
    data = _box(file, folder / "group_data", name)
    try:
        return bootstrap.filled(
            text,
            account=_account(data.get("winrm_user")),
            remote_addresses=_remote_addresses(data.get("remote_addresses")),
            box_address=data.get("winrm_host") or None,
            port=data.get("winrm_port") or None,
        )
    except (ValueError, TypeError) as error:
        raise BootstrapError(f"{file}: {error}") from None


def _box(file: Path, settings: Path, name: str | None) -> dict[str, Any]:
    try:
        hosts = {host.name: host for host in inventory.load(file, settings) if host.name.startswith("@winrm/")}
    except (PyinfraError, SyntaxError, ValueError, OSError) as error:
        raise BootstrapError(f"{file} cannot be read: {error}") from None
    if name is not None:
        wanted = name if name.startswith("@") else f"@winrm/{name}"
        if wanted not in hosts:
            raise BootstrapError(f"{file} has no {wanted}; it has {', '.join(hosts) or 'no box'}.")
        return _data(hosts[wanted])
    if len(hosts) != 1:
        raise BootstrapError(
            f"{file} has {', '.join(hosts)}: say which, as in python -m vengeance bootstrap {next(iter(hosts))}"
            if hosts
            else f"{file} has no box: a host whose name begins with @winrm/."
        )
    return _data(next(iter(hosts.values())))


def _data(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = host.data.dict()  # type: ignore[no-untyped-call]
    return found


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
