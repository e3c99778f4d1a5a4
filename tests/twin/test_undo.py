"""A box is deployed on a Windows that had settings of its own, and taken back: its state is then what it was.

Compared is what the twin wrote to this machine's disk, past WinRM. The tests stand in the order of what a person would
do, on one twin that is deployed once.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.twin_deploys import Finished, right, run_pyinfra, told
from vengeance.twin.client import Twin
from vengeance.twin.windows.machine import POWER, SLEEP_GROUP, STANDBY_IDLE
from vengeance.twin.windows.registry import ENVIRONMENT

NAME = "undo"
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


@pytest.fixture(scope="module")
def twin(twin_home: Path) -> Iterator[Twin]:
    """A running bare Windows that is somebody's."""
    twin = Twin(NAME)
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


@pytest.fixture(scope="module")
def before(twin: Twin) -> Snapshot:
    return snapshot(twin)


@pytest.fixture(scope="module")
def deployed(twin: Twin, before: Snapshot) -> Snapshot:
    right(run_pyinfra(NAME, "deploys/vengeance.py", "--yes"))
    return snapshot(twin)


def undo(*arguments: str) -> Finished:
    return run_pyinfra(NAME, "deploys/undo.py", "--yes", *arguments)


def changed(finished: Finished) -> int:
    """The changes of a run that went well."""
    total = re.findall(r"Grand total\s+\d+\s+(\S+)", right(finished))[-1]
    return 0 if total == "-" else int(total)


def inside(twin: Twin, script: str) -> str:
    """What a shell script prints in the distro, past WinRM and wsl.exe."""
    done: subprocess.CompletedProcess[bytes] = twin.distro_exec(["sh", "-c", script], capture_output=True)
    return done.stdout.decode().strip()


@pytest.fixture(scope="module")
def kept(twin: Twin, deployed: Snapshot) -> Finished:
    """All stages taken back, with nothing named that is to be deleted."""
    finished = undo()
    right(finished)
    return finished


@pytest.fixture(scope="module")
def gone(twin: Twin, kept: Finished) -> Finished:
    """The same again, with all named that can be deleted."""
    finished = undo("--data", "delete=models,distro")
    right(finished)
    return finished


def test_a_misspelled_stage_or_word_is_refused_with_the_right_one(deployed: Snapshot, twin: Twin) -> None:
    said = told(run_pyinfra(NAME, "deploys/undo.py", "--yes", "--data", "stages=exposed"))
    assert "There is no stage to take back 'exposed' (stages)" in said
    assert "did you mean expose?" in said
    said = told(run_pyinfra(NAME, "deploys/undo.py", "--yes", "--data", "delete=model"))
    assert "did you mean models? Nothing is changed." in said


def test_a_plan_says_what_it_would_take_back_and_changes_nothing(deployed: Snapshot, twin: Twin) -> None:
    said = right(run_pyinfra(NAME, "deploys/undo.py", "--dry"))
    for sentence in (
        "Tailscale's port 8080: 127.0.0.1:8080 -> 127.0.0.1:9000",
        "firewall rule vengeance-ollama: (there) -> (removed)",
        "unit vllm-qwen2.5-coder-32b.service: as it was -> (removed)",
        "package cuda-toolkit-12-4: 12.4.1-1 -> (not installed)",
        "machine variable OLLAMA_KEEP_ALIVE: '5m' -> '24h'",
        "user variable OLLAMA_HOST: (not set) -> '127.0.0.1:11434'",
        "port 11434: set aside -> free for all",
        "sleeps after 60 min plugged in, sleeps after 10 min on battery, can hibernate, Fast Startup on",
        f'{DISTRO} stays, with its disk; --data "delete=distro" deletes it',
    ):
        assert sentence in said
    assert "Undo of ollama: " in said
    assert snapshot(twin).differences(deployed) == []


def test_what_took_hours_to_come_stays_with_what_it_runs_on(kept: Finished, twin: Twin) -> None:
    said = told(kept)
    assert said.count('; --data "delete=models" deletes them') == 2
    assert twin.status()["distro"]["registered"] == [DISTRO]
    assert twin.windows_state()["sections"]["features"]["VirtualMachinePlatform"] == "Enabled"
    assert list((twin.drive_c / "Users/Steam/.ollama/models/manifests").rglob("72b"))
    assert inside(twin, "ls -d /home/steam/.cache/huggingface/hub/models--*") != ""


def test_of_what_was_done_in_the_distro_the_user_alone_is_left(kept: Finished, twin: Twin) -> None:
    assert inside(twin, "ls -d /etc/vllm /var/lib/vllm /var/cache/vllm /home/steam/vllm-env /usr/local/cuda") == ""
    assert inside(twin, "ls /etc/systemd/system | grep vllm") == ""
    assert inside(twin, "dpkg-query -W -f '${Package} ${db:Status-Status}\\n' | grep cuda") == ""
    assert inside(twin, "ls /etc/apt/sources.list.d/ | grep cuda; ls /etc/wsl.conf") == ""
    assert inside(twin, "find /home/steam -name token -o -name 'token.*'") == ""
    assert inside(twin, "ls /var/lib/vengeance/before") == "user%20steam"
    assert inside(twin, "id -nu steam") == "steam"


def test_a_second_undo_changes_nothing(kept: Finished) -> None:
    assert changed(undo()) == 0


def test_after_all_is_taken_back_windows_is_as_it_was(gone: Finished, before: Snapshot, twin: Twin) -> None:
    assert before.differences(snapshot(twin)) == []
    assert not any((twin.drive_c / folder).exists() for folder in ("WSL", "ProgramData/vengeance", "Program Files/WSL"))


def test_an_undo_of_what_is_taken_back_changes_nothing(gone: Finished) -> None:
    assert changed(undo("--data", "delete=models,distro")) == 0
