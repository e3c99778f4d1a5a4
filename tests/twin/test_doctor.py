"""The doctor on a deployed twin: nothing on a healthy one, and for every fault that is planted exactly its name."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.twin.doctor_box import DISTRO, Changes, Patient, patient
from tests.twin.doctor_faults import FAULTS, Fault
from tests.twin_deploys import TWIN
from vengeance.cli import main
from vengeance.doctor.catalogue import CATALOGUE
from vengeance.doctor.links import LINKS, link

pytestmark = pytest.mark.timeout(300)
FULL = bool(os.environ.get("VENGEANCE_FULL"))
NAME = "doctor-tests"
_ENOUGH = 6
WIDEST = 100


@pytest.fixture(scope="module")
def box() -> Iterator[Patient]:
    with patient(NAME) as one:
        yield one


def masked(broken: str) -> set[str]:
    """The links that are not looked at where one is broken."""
    found = {broken}
    for each in LINKS:
        if found & set(each.needs):
            found.add(each.name)
    return found - {broken}


def fit(one: Fault, others: list[Fault]) -> bool:
    """Whether a fault can be seen beside others: none hides the other, and no link has two of them."""
    mine = CATALOGUE[one.name]
    for other in others:
        theirs = CATALOGUE[other.name]
        if mine.link == theirs.link:
            return False
        if theirs.severity == "broken" and mine.link in masked(theirs.link):
            return False
        if mine.severity == "broken" and theirs.link in masked(mine.link):
            return False
    return True


def rows() -> list[list[Fault]]:
    """What is planted at once: a fault with others that it has nothing to do with, or alone where it needs that.

    A walk costs the same whatever it finds, so what is left over of links with many faults is for the full tests.
    """
    together: list[list[Fault]] = []
    for fault in FAULTS:
        if fault.alone or (fault.slow and not FULL):
            continue
        row = next((each for each in together if fit(fault, each)), None)
        if row is None:
            together.append([fault])
        else:
            row.append(fault)
    worth = [row for row in together if FULL or len(row) >= _ENOUGH]
    return [*worth, *([fault] for fault in FAULTS if fault.alone and (FULL or not fault.slow))]


def merged(all_changes: list[Changes]) -> Changes:
    """Several changes of what is declared as one."""
    found: Changes = {"windows": {}, "inside": {}}
    for changes in all_changes:
        for side, settings in changes.items():
            assert not found[side].keys() & settings.keys(), "two faults declare the same setting"
            found[side].update(settings)
    return found


def everything(box: Patient) -> dict[str, Any]:
    """What the twin is, read past the doctor: Windows' state, its files, the distro's files and units."""
    state = box.twin.windows_state()
    state.pop("processes", None)
    listed = {
        str(file.relative_to(box.twin.drive_c)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(box.twin.drive_c.rglob("*"))
        if file.is_file() and not file.is_symlink() and not file.name.endswith(".log")
    }
    linux = box.inside(
        "find /etc /opt /home /root /usr/local /var/lib/vllm /var/cache/vllm -xdev -type f "
        "-printf '%p %s %m %u %T@\\n' 2>/dev/null | sort | sha256sum; "
        "systemctl list-units --all --plain --no-legend --type service | sort"
    )
    processes = sorted(one.image for one in box.windows.state.processes.values())
    return {"state": state, "files": listed, "linux": linux, "processes": processes, "card": box.twin.card()}


def in_use(box: Patient) -> tuple[object, list[str]]:
    """Shells of WinRM, and the shells that run in the distro: what goes through a connection begins with one."""
    running = box.inside("ps -eo args= | grep -v '^ps ' | grep '^[^ ]*sh ' || true")
    return box.twin.status()["shells"], sorted(running.splitlines())


def test_a_healthy_box_gives_nothing_and_is_as_it_was_before(box: Patient) -> None:
    before, used = everything(box), in_use(box)
    looked = box.examined()
    assert [finding.name for one in looked for finding in one.findings] == []
    assert [one.link.title for one in looked if one.because is not None] == []
    assert everything(box) == before
    assert in_use(box) == used


@pytest.mark.parametrize("row", rows(), ids=lambda row: "+".join(fault.name for fault in row))
def test_what_is_planted_is_found_by_exactly_its_name(box: Patient, row: list[Fault]) -> None:
    with ExitStack() as planted:
        changes = [planted.enter_context(fault.plant(box)) for fault in row]
        ran = box.running()
        looked = box.examined(merged(changes))
        assert box.running() == ran, "a distro that is stopped is not started"
    found = [finding for one in looked for finding in one.findings]
    assert sorted(finding.name for finding in found) == sorted(fault.name for fault in row), [
        f"{finding.name}: {finding.evidence}" for finding in found
    ]
    assert all(finding.evidence for finding in found)
    for one in looked:
        needed = [each for each in looked if each.link.name in one.link.needs]
        assert (one.because is not None) == any(not each.holds for each in needed)


def test_after_all_that_the_box_is_healthy(box: Patient) -> None:
    assert [f"{finding.name}: {finding.evidence}" for finding in box.found()] == []


def test_every_finding_there_is_was_planted() -> None:
    assert set(CATALOGUE) - {fault.name for fault in FAULTS} == set()


def test_every_fault_that_is_planted_is_in_the_catalogue() -> None:
    assert {fault.name for fault in FAULTS} - set(CATALOGUE) == set()


@pytest.fixture
def chosen(box: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENGEANCE_TWIN", NAME)
    monkeypatch.setenv("COLUMNS", "200")


def test_the_command_ends_with_0_and_says_of_each_link_what_is_there(
    box: Patient, chosen: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--inventory", str(TWIN)]) == 0
    text = capsys.readouterr().out
    assert all(each.title in text for each in LINKS)
    assert "Nothing is wrong. It took" in text
    assert "\x1b" not in text
    assert all(len(line) <= WIDEST for line in text.splitlines())


def fault_named(name: str) -> Fault:
    return next(fault for fault in FAULTS if fault.name == name)


def test_as_json_a_box_that_lasts_not_ends_with_2(
    box: Patient, chosen: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with fault_named("keepalive-gone").plant(box):
        assert main(["doctor", "--inventory", str(TWIN), "--json"]) == 2
    (shown,) = json.loads(capsys.readouterr().out)
    (finding,) = shown["findings"]
    assert shown["verdict"] == "degraded"
    assert finding["name"] == "keepalive-gone"
    assert finding["link"] == "distro"
    assert finding["place"] == "here"
    assert finding["mend"] == f"pyinfra {TWIN} deploys/wsl.py"
    assert DISTRO in finding["evidence"]
    assert finding["docs"][-1] == "docs/doctor.md#keepalive-gone"
    assert {one["name"]: one["state"] for one in shown["links"]}["distro"] == "degraded"


def test_a_broken_box_ends_with_1_and_shows_what_hangs_on_it(
    box: Patient, chosen: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with fault_named("virtualization-off").plant(box):
        assert main(["doctor", "--inventory", str(TWIN)]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "virtualization-off (broken)" in text
    assert "mend on the box, in an administrator's PowerShell: shutdown /r /fw /t 0" in text
    assert "not looked at, because of virtualization-off (WSL): Distro, systemd, CUDA in the distro, vLLM's" in text
    assert "Ollama: Ollama 0.34.1 answers" in text


def test_an_inventory_that_there_is_not_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--inventory", str(tmp_path / "nowhere.py")]) == 64
    assert "There is no inventory" in capsys.readouterr().err


def test_a_link_is_known_by_its_name() -> None:
    assert link("distro").title == "Distro"
