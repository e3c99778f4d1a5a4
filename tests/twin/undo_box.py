"""A bare Windows that is somebody's, and all that it is as the twin wrote it to this machine's disk, past WinRM."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.twin_deploys import Finished, right
from vengeance.twin.client import Twin
from vengeance.twin.windows.machine import POWER, SLEEP_GROUP, STANDBY_IDLE
from vengeance.twin.windows.registry import ENVIRONMENT

DISTRO = "Ubuntu-24.04"
OWN_WSLCONFIG = "[wsl2]\r\nmemory=4GB\r\n"
OLLAMA = r"C:\Users\Steam\AppData\Local\Programs\Ollama\ollama.exe"
BLOCK = f"TCP Query User{{7E9D5B52-9C0C-4A42-9C55-B9E7C1C5BBD5}}{OLLAMA}"
FIREWALL = r"HKLM\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules"
PLAN = "381b4222-f694-41f0-9685-ff5bb260df2e"
# What rightly differs, and why.
LEFT_FILES = (
    r"Users/Steam/\.ollama/id_ed25519(\.pub)?",  # Ollama's own key pair: its uninstaller leaves it
    r"Users/Steam/AppData/Local/Temp/Setup Log .*\.txt",  # what its installer tells, for a person to read
)
LEFT_STATE = (
    r"boot_time",  # Windows was restarted
    r"processes( .*)?",
    r"registry HKU\\[^\\]+\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Lxss",  # WSL leaves its empty key
    r"sections port_ranges starts",  # how often Windows' own NAT has started
)


@dataclass(frozen=True)
class Snapshot:
    """All that a Windows is: flat names -> JSON text, and files -> their hashes."""

    state: dict[str, str]
    files: dict[str, str]

    def differences(self, other: Snapshot) -> list[str]:
        """What differs, but for what rightly does."""
        found = []
        for mine, theirs, left in ((self.state, other.state, LEFT_STATE), (self.files, other.files, LEFT_FILES)):
            for name in sorted(mine.keys() | theirs.keys()):
                if mine.get(name) != theirs.get(name) and not any(re.fullmatch(each, name) for each in left):
                    found.append(f"{name}: {mine.get(name)} -> {theirs.get(name)}")
        return found


def flat(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Names of the leaves of a JSON object, and their texts."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{name} {key}".strip())
    else:
        yield name, json.dumps(value)


def snapshot(twin: Twin) -> Snapshot:
    files = [path for path in twin.drive_c.rglob("*") if path.is_file()]
    hashes = {str(path.relative_to(twin.drive_c)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return Snapshot(dict(flat(twin.windows_state())), hashes)


def make_it_somebodys(twin: Twin) -> None:
    """Give a bare Windows what a person may have set before the first deploy; the twin does not run meanwhile."""
    file = twin.folder / "windows.json"
    state: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))

    def put(key: str, name: str, value: str | int) -> None:
        kind = "DWord" if isinstance(value, int) else "String"
        state["registry"].setdefault(key, {})[name] = {"kind": kind, "value": value}

    put(ENVIRONMENT, "OLLAMA_KEEP_ALIVE", "24h")
    put(f"HKU\\{state['users']['Steam']}\\Environment", "OLLAMA_HOST", "127.0.0.1:11434")
    put(
        FIREWALL,
        BLOCK,
        f"v2.33|Action=Block|Active=TRUE|Dir=In|Protocol=6|Profile=Public|App={OLLAMA}|Name=ollama.exe|",
    )
    for index, seconds in (("ACSettingIndex", 3600), ("DCSettingIndex", 600)):
        put(f"{POWER}\\User\\PowerSchemes\\{PLAN}\\{SLEEP_GROUP}\\{STANDBY_IDLE}", index, seconds)
    state["sections"]["tailscale"]["serve"] = {"8080": 9000}
    file.write_text(json.dumps(state), encoding="utf-8")
    (twin.drive_c / "Users/Steam/.wslconfig").write_text(OWN_WSLCONFIG, encoding="utf-8", newline="")


@contextmanager
def somebodys_twin(name: str) -> Iterator[Twin]:
    """A running bare Windows that is somebody's; skips where no distro can be deployed whole."""
    twin = Twin(name)
    distro = twin.up(bare=True)["distro"]
    try:
        if not distro["systemd"] or not distro["vendor_repository"]:
            pytest.skip(f"the twin's distro is not whole here: {' '.join(distro['missing'])}")
        twin.down()
        make_it_somebodys(twin)
        twin.up()
        yield twin
    finally:
        twin.down()


def changed(finished: Finished) -> int:
    """The changes of a run that went well."""
    total = re.findall(r"Grand total\s+\d+\s+(\S+)", right(finished))[-1]
    return 0 if total == "-" else int(total)
