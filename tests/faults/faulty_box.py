"""A twin that can be put back to where a stage begins, and the runs of a stage on it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.kinds import Kind
from tests.faults.outcomes import Ran, Trial
from tests.twin_deploys import run_pyinfra, told, vllm_at_boot
from vengeance.twin.client import Twin, TwinError
from vengeance.twin.vendors import hub

STAGES = ("preflight", "windows", "ollama", "wsl", "cuda", "vllm", "expose", "verify")
# What is kept of a twin beside its state is no part of where it stands.
_NOT_KEPT = ("control", "up.lock", "daemon.lock", "daemon.log", "requests.jsonl")
# Each line a deed: packages, accounts and servers, as dpkg, useradd and systemd themselves wrote them down.
_LINUX_DEEDS = (
    "sed -n 's/^[^ ]* [^ ]* \\(install\\|upgrade\\) \\([^ ]*\\) .*/dpkg \\1 \\2/p' /var/log/dpkg.log;"
    "journalctl --no-pager -o cat -q | grep -E '^(new user|new group): name|^Started .*vLLM' | sed 's/,.*//'"
)
_FROM_LINUX = "Linux: "
_NOTHING: Mapping[str, int] = {}


@dataclass
class Usual:
    """What a stage does without a fault.

    + requests: how many it has; deeds: what it and a second run after it do
    """

    requests: int
    deeds: dict[str, int] = field(default_factory=dict)


class FaultyBox:
    """A twin under test, and the places it can be put back to.

    + snapshots: folder with one snapshot a stage: where it begins
    """

    def __init__(self, twin: Twin, snapshots: Path) -> None:
        self.twin = twin
        self.snapshots = snapshots
        self._seen = 0

    # Where it stands

    def prepare(self) -> dict[str, Usual]:
        """Build the whole box from bare once, keeping where each stage begins and what it does; once a folder."""
        file = self.snapshots / "usual.json"
        if file.exists():
            return {stage: Usual(**usual) for stage, usual in json.loads(file.read_text()).items()}
        self.snapshots.mkdir(parents=True, exist_ok=True)
        self.twin.up(bare=True)
        self.twin.reset(bare=True)
        found: dict[str, Usual] = {}
        for stage in STAGES:
            self._keep(stage)
            self.twin.up()
            before = self.deeds(reset=True)
            self.twin.log_reset()
            first = self.run(stage)
            requests = int(self.twin.log_snapshot()["messages"])
            second = self.run(stage)
            for one in (first, second):
                if one.code != 0:
                    raise RuntimeError(f"{stage} does not run without a fault: {one.said[-2000:]}")
            after = Counter(self.deeds())
            after.subtract({deed: count for deed, count in before.items() if deed.startswith(_FROM_LINUX)})
            found[stage] = Usual(requests, dict(after))
        file.write_text(json.dumps({stage: vars(usual) for stage, usual in found.items()}, indent=1))
        return found

    def _keep(self, stage: str) -> None:
        self.twin.down()
        place = self.snapshots / stage
        _remove(place)
        _copy(self.twin.folder, place)

    def begin(self, stage: str) -> None:
        """Put the box back to where a stage begins."""
        self.twin.down()
        _remove(self.twin.folder)
        _copy(self.snapshots / stage, self.twin.folder)
        self.twin.up()

    # What is done to it

    def run(self, stage: str, *data: str) -> Ran:
        """One run of a stage, or of the ``vengeance`` whole, as a user's is."""
        given = [word for one in data for word in ("--data", one)]
        finished = run_pyinfra(self.twin.name, f"deploys/{stage}.py", "--yes", *given, *vllm_at_boot(), timeout=1200)
        said = told(finished)
        totals = re.findall(r"Grand total\s+(\d+)\s+(\S+)", said)
        changes = None if not totals else 0 if totals[-1][1] == "-" else int(totals[-1][1])
        return Ran(finished.returncode, said, changes)

    def tried(self, stage: str, faults: Mapping[int, Kind], usual: Mapping[str, int]) -> tuple[Trial, list[str]]:
        """A trial of a stage from where it begins; with the actions of the requests that were really hit.

        + faults: number of a request -> what happens to it; usual: deeds of the stage without a fault
        """
        self.begin(stage)
        return self.run_with(stage, faults, usual)

    def run_with(
        self, stage: str, faults: Mapping[int, Kind], usual: Mapping[str, int] = _NOTHING
    ) -> tuple[Trial, list[str]]:
        """The same from where the box stands."""
        before = self.deeds(reset=True)
        self._seen = self._log_size()
        for request, kind in faults.items():
            self.twin.fault(request=request, **kind.rule)
        first = self.run(stage, *sorted({word for kind in faults.values() for word in kind.data}))
        self.twin.fault("clear")
        hit = self.injected()
        second = self.run(stage)
        third = self.run(stage) if first.code != 0 and second.code == 0 else None
        done = Counter(self.deeds())
        done.subtract({deed: count for deed, count in before.items() if deed.startswith(_FROM_LINUX)})
        return Trial(first, second, third, done, usual, self.secrets()), hit

    # What is seen from there

    def secrets(self) -> tuple[str, ...]:
        """What no run may say."""
        return (str(self.twin.status()["winrm"]["password"]), "the-twins-api-key", hub.TOKEN)

    def deeds(self, reset: bool = False) -> dict[str, int]:
        """What was done to the box, Windows and the distro, by another path than the code under test."""
        done = Counter(self.twin.deeds(reset))
        if self.twin.status()["distro"]["registered"]:
            try:
                said = self.twin.distro_exec(["sh", "-c", _LINUX_DEEDS]).stdout.decode(errors="replace")
            except TwinError:
                said = ""
            done.update(f"{_FROM_LINUX}{line.strip()}" for line in said.splitlines() if line.strip())
        return dict(done)

    def _log_size(self) -> int:
        return (self.twin.folder / "requests.jsonl").stat().st_size

    def injected(self) -> list[str]:
        """The actions of the requests that a fault has hit since the trial began, in order."""
        with (self.twin.folder / "requests.jsonl").open("rb") as log:
            log.seek(self._seen)
            entries: list[dict[str, Any]] = [json.loads(line) for line in log if line.strip()]
        return [str(entry["action"]) for entry in entries if entry["injected"]]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)
    for name in _NOT_KEPT:
        (target / name).unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    if not folder.exists():
        return
    if any(f" {folder}/" in line for line in Path("/proc/self/mounts").read_text().splitlines()):
        raise RuntimeError(f"something is still mounted in {folder}")
    shutil.rmtree(folder)
