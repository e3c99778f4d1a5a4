"""A folder that an administrator's programs lie in is nobody else's, or nothing is put there and nothing started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.command import FunctionCommand
from pyinfra.api.exceptions import OperationValueError

from tests.twin.windows_box import Box
from tests.twin.works_box import WorksHost
from tests.unit.operation_runs import Run, run_operation
from vengeance.facts.windows import DirectoryAccess
from vengeance.operations import windows
from vengeance.operations.work import run_work
from vengeance.powershell import Script, load
from vengeance.twin.windows.state import State
from vengeance.twin.windows.works import WORKS

BASE = "C:\\ProgramData\\vengeance"


@pytest.fixture
def there(tmp_path: Path) -> WorksHost:
    return WorksHost(Box(tmp_path))


def work(there: WorksHost, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Have it do a work that is done at once."""
    monkeypatch.setitem(WORKS, "Save-Download", lambda work: {"changed": True})
    command = run_work("trial", "Save-Download", {}, say=str, timeout=60, read_every=0.01)
    with there.pyinfra(Run()) as (state, host):
        return bool(command.execute(state, host, {}))


def closed(there: WorksHost) -> dict[str, Any]:
    """Which folders are closed for whom, as the twin remembers it on disk."""
    known: dict[str, Any] = State(there.box.folder).section("ownership")["closed"]
    return known


def test_a_folder_is_made_that_nobody_else_gets_into_and_stays(there: WorksHost) -> None:
    assert there.run(windows.private_directory, path=BASE)[0]
    assert (there.box.drive_c / "ProgramData/vengeance").is_dir()
    assert closed(there) == {BASE.lower(): "Steam"}
    there.scripts.clear()
    assert there.run(windows.private_directory, path=BASE.upper())[0]
    assert there.scripts == ["Get-DirectoryAccess"]


def test_a_folder_that_administrators_made_is_closed_with_what_is_in_it(there: WorksHost) -> None:
    there.box.windows.drive.make_directory(f"{BASE}\\downloads")
    assert there.fact(DirectoryAccess, path="%ProgramData%\\vengeance")["closed"] is False
    assert there.run(windows.private_directory, path=BASE)[0]
    assert there.fact(DirectoryAccess, path=BASE) == {
        "path": BASE,
        "exists": True,
        "account": "VENGEANCE\\Steam",
        "closed": True,
        "foreign": [],
    }


@pytest.mark.parametrize("theirs", ["", "\\work", "\\work\\trial\\work.ps1"])
def test_what_somebody_else_has_put_there_stops_the_work_and_is_named(
    there: WorksHost, monkeypatch: pytest.MonkeyPatch, theirs: str
) -> None:
    drive = there.box.windows.drive
    drive.make_directory(f"{BASE}\\work\\trial")
    drive.write(f"{BASE}\\work\\trial\\work.ps1", b"# something else\r\n")
    there.box.windows.state.add_user("Kid")
    there.box.windows.ownership.give(BASE + theirs, "Kid")
    assert not work(there, monkeypatch)
    assert there.said[-1].startswith(f"{BASE} on somewhere is not used: {BASE}{theirs} belongs to VENGEANCE\\Kid, and")
    assert 'icacls "C:\\ProgramData\\vengeance" /setowner *S-1-5-32-544 /T' in there.said[-1]
    assert [name for name in there.scripts if not name.startswith("Get-")] == []
    assert not there.run(windows.private_directory, path=BASE)[0]
    assert drive.read(f"{BASE}\\work\\trial\\work.ps1") == b"# something else\r\n"


def test_a_link_is_not_followed(there: WorksHost, monkeypatch: pytest.MonkeyPatch) -> None:
    drive = there.box.windows.drive
    drive.make_directory("C:\\Users\\Public\\mine")
    drive.make_directory(BASE)
    drive.link(f"{BASE}\\work", "C:\\Users\\Public\\mine")
    assert not work(there, monkeypatch)
    assert f"{BASE}\\work is a link, and what lies there" in there.said[-1]
    assert drive.entries("C:\\Users\\Public\\mine") == []


def test_work_closes_its_folder_before_it_starts_and_starts_nothing_in_an_open_one(
    there: WorksHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = {"name": "trial", "work": "Save-Download", "runner": load("work/runner"), "input": "{}", "token": "1"}
    good, _, complaint = there.run_script(Script("Start-Work", {**start, "text": load("work/Save-Download")}))
    assert not good
    assert "others than administrators can write into it: nothing is started there" in complaint
    assert not (there.box.drive_c / "ProgramData/vengeance").exists()
    there.scripts.clear()
    assert work(there, monkeypatch)
    assert there.scripts[:3] == ["Get-DirectoryAccess", "Protect-Directory", "Start-Work"]
    there.scripts.clear()
    assert work(there, monkeypatch)
    assert there.scripts[:2] == ["Get-DirectoryAccess", "Start-Work"]


def test_a_folder_that_was_closed_for_another_account_is_closed_for_this_one(there: WorksHost) -> None:
    there.box.windows.state.add_user("Andi")
    there.box.windows.drive.make_directory(BASE)
    there.box.windows.ownership.close(BASE, "Andi")
    assert there.run(windows.private_directory, path=BASE)[0]
    assert closed(there) == {BASE.lower(): "Steam"}


@pytest.mark.parametrize(("path", "sentence"), [("C:\\", "C:\\\\ is a drive"), ("vengeance", "is not a full")])
def test_a_path_that_cannot_be_closed_is_refused(path: str, sentence: str) -> None:
    with pytest.raises(OperationValueError, match=sentence):
        run_operation(windows.private_directory, {}, path=path)


def test_a_plan_changes_nothing_and_a_refusal_is_one_hosts(there: WorksHost) -> None:
    found = {"path": BASE, "exists": True, "account": "A\\B", "closed": False}
    foreign = [{"path": BASE, "owner": "A\\C", "link": False}]
    (command,) = run_operation(
        windows.private_directory, {DirectoryAccess: {**found, "foreign": foreign}}, path=BASE
    ).commands
    assert isinstance(command, FunctionCommand)
    assert run_operation(windows.private_directory, {}, path=BASE).commands == []
