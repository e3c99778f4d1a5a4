"""The hosts of an inventory file and its group data, read as pyinfra's command line reads them.

pyinfra's own reader lies in ``pyinfra_cli``, and importing that replaces the sockets and threads of the whole process
by gevent's, which a test run that has begun cannot bear.
"""

from __future__ import annotations

import ast
import runpy
from pathlib import Path
from typing import Any

from pyinfra.api.config import Config
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State


def _imported_names(text: str) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name.split(".")[0] for alias in node.names)
    return names


def group_data(folder: Path) -> dict[str, dict[str, Any]]:
    """Return group name -> settings of a folder with one Python file a group."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.glob("*.py")):
        hidden = _imported_names(file.read_text(encoding="utf-8"))
        values = runpy.run_path(str(file))
        found[file.stem] = {
            name: value for name, value in values.items() if not name.startswith("__") and name not in hidden
        }
    return found


def groups(file: Path) -> dict[str, tuple[list[Any], dict[str, Any]]]:
    """Return group name -> (hosts, data) of an inventory file: its lists of hosts that do not begin with ``_``."""
    found: dict[str, tuple[list[Any], dict[str, Any]]] = {}
    for name, value in runpy.run_path(str(file)).items():
        hosts, data = value if isinstance(value, tuple) and len(value) == 2 else (value, {})
        if (
            not name.startswith("_")
            and isinstance(hosts, list)
            and all(isinstance(host, str | tuple) for host in hosts)
        ):
            found[name] = (hosts, dict(data))
    return found


def load(file: Path, settings: Path) -> Inventory:
    """Return the inventory of a file, with the group data of a folder.

    + file: such as ``inventory/twin.py``
    + settings: such as ``group_data``
    """
    by_group, data = groups(file), group_data(settings)
    names = [host[0] if isinstance(host, tuple) else host for hosts, _ in by_group.values() for host in hosts]
    names = list(dict.fromkeys(names))
    by_group.setdefault(file.stem, (names, {}))
    with_data = {name: (hosts, {**own, **data.pop(name, {})}) for name, (hosts, own) in by_group.items()}
    everywhere = data.pop("all", {})
    # A connector can put hosts into groups of its own, such as @winrm.
    with_data.update({name: ([], values) for name, values in data.items()})
    return Inventory((names, everywhere), **with_data)  # type: ignore[no-untyped-call]


def connect(inventory: Inventory) -> State:
    """Return a pyinfra state whose hosts are connected; the caller disconnects them.

    Raises pyinfra.api.exceptions.ConnectError with the sentence of the connector.
    """
    state = State(inventory, Config())  # type: ignore[no-untyped-call]
    for host in inventory:
        host.connect(raise_exceptions=True)
    return state
