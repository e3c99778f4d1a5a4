"""What systemd knows of the unit of a server: its state, and those of its settings that decide about the card."""

from __future__ import annotations

from typing import TypedDict

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

_PROPERTIES = (
    "LoadState",
    "ActiveState",
    "Result",
    "ActiveEnterTimestampMonotonic",
    "DropInPaths",
    "Restart",
    "PrivateDevices",
    "DevicePolicy",
    "DeviceAllow",
    "InaccessiblePaths",
)
_READ = """\
systemctl show --property "$1" -- "$2" && read -r up rest < /proc/uptime && echo "Uptime=$up"
"""


class UnitState(TypedDict):
    """A unit as systemd has loaded it; ``active_seconds`` is how long it has been active, None where it is not.

    ``result``: of its last run, ``success`` for one that never ran; ``drop_ins``: files that somebody has put over it
    """

    loaded: bool
    state: str
    result: str
    active_seconds: float | None
    drop_ins: list[str]
    restart: str
    private_devices: bool
    device_policy: str
    devices: list[str]
    inaccessible: list[str]


def parse_unit(output: list[str]) -> UnitState:
    """Read the lines ``NAME=VALUE`` of ``systemctl show``. Raises FactProcessError where one is missing."""
    found: dict[str, list[str]] = {}
    for line in output:
        name, _, value = line.partition("=")
        found.setdefault(name, []).append(value)

    def one(name: str) -> str:
        if name not in found:
            raise FactProcessError(f"systemctl show says nothing of {name}: {output!r}")
        return found[name][0]

    try:
        up, since = float(one("Uptime")), int(one("ActiveEnterTimestampMonotonic")) / 1_000_000
    except ValueError as error:
        raise FactProcessError(f"systemctl show gives times that are no numbers: {error}") from None
    return {
        "loaded": one("LoadState") == "loaded",
        "state": one("ActiveState"),
        "result": one("Result"),
        "active_seconds": max(0.0, up - since) if one("ActiveState") == "active" and since else None,
        "drop_ins": one("DropInPaths").split(),
        "restart": one("Restart"),
        "private_devices": one("PrivateDevices") == "yes",
        "device_policy": one("DevicePolicy"),
        "devices": [value for value in found.get("DeviceAllow", []) if value],
        "inaccessible": [path for value in found.get("InaccessiblePaths", []) for path in value.split()],
    }


class Unit(FactBase[UnitState]):
    """Returns what systemd has loaded of a unit, and how it runs.

    + unit: its name

    .. code:: python

        {
            "loaded": True,
            "state": "active",
            "result": "success",
            "active_seconds": 512.3,
            "drop_ins": [],
            "restart": "always",
            "private_devices": False,
            "device_policy": "closed",
            "devices": ["/dev/dxg rw"],
            "inaccessible": ["-/home/steam/.cache/huggingface/token"],
        }
    """

    def command(self, unit: str) -> StringCommand:
        words = (_READ, "sh", ",".join(_PROPERTIES), unit)
        return StringCommand("sh -c", *(QuoteString(word) for word in words))

    def process(self, output: list[str]) -> UnitState:
        return parse_unit(output)
