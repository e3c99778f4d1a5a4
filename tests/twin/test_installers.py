"""Installing on Windows: exit codes, restarts, silence, and installers that leave something running."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import OperationValueError

from tests.twin.windows_box import Box
from tests.twin.works_box import WorksHost
from vengeance.box import installers as pure
from vengeance.facts.windows import FileVersion, PendingReboot, Product
from vengeance.operations import windows
from vengeance.operations.windows import installers
from vengeance.twin.vendors import packages
from vengeance.twin.windows.installers import INSTALLERS
from vengeance.twin.windows.program import Run
from vengeance.twin.windows.state import WSL_PRODUCT_CODE, WSL_VERSION

FOLDER = "C:\\ProgramData\\vengeance\\downloads"
MSI = f"{FOLDER}\\thing.msi"
SETUP = f"{FOLDER}\\thing-setup.exe"
CODE = "{12345678-1234-1234-1234-123456789ABC}"
PRODUCT = "Thing_is1"
UNINSTALL = "SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Uninstall"
SILENT = ["/VERYSILENT", "/NORESTART"]
CHILD = "C:\\Windows\\thing-tray.exe"


class Things:
    """What the installer of the thing did: the properties it was given each time."""

    def __init__(self) -> None:
        self.given: list[dict[str, str]] = []
        self.leaves_child = False
        self.forgets = False

    def __call__(self, box: Any, run: Run, said: Any) -> int:
        self.given.append(dict(said))
        if self.leaves_child:
            box.launch(CHILD, user=run.user, session=run.session, parent=run.pid)
        if not self.forgets and "product_code" not in said:
            box.registry.set(f"HKLM\\{UNINSTALL}\\{PRODUCT}", "DisplayVersion", said["version"])
        return 0


def stays(run: Run) -> int:
    while True:
        run.job.sleep(0.01)


@pytest.fixture
def things(monkeypatch: pytest.MonkeyPatch) -> Things:
    one = Things()
    monkeypatch.setitem(INSTALLERS, "thing", one)
    monkeypatch.setattr(installers, "_PAUSE_SECONDS", 0.01)
    return one


@pytest.fixture
def there(tmp_path: Path, things: Things) -> Iterator[WorksHost]:
    box = Box(tmp_path)
    folder = box.drive_c / "ProgramData/vengeance/downloads"
    folder.mkdir(parents=True)
    said = {"product": "thing", "version": "1.2.3"}
    package = packages.package(packages.MSI, {**said, "product_code": CODE, "name": "Thing"}, 1000, None)
    (folder / "thing.msi").write_bytes(package)
    (folder / "thing-setup.exe").write_bytes(packages.package(packages.EXE, said, 1000, None))
    box.windows.add_program(CHILD, stays)
    box.windows.place_program(CHILD)
    yield WorksHost(box)
    box.windows.stop_all()


def msi(there: WorksHost, **changes: Any) -> tuple[bool, Any]:
    return there.run(windows.msi, **{"path": MSI, "product_code": CODE, "version": "1.2.3", **changes})


def setup(there: WorksHost, **changes: Any) -> tuple[bool, Any]:
    given = {"path": SETUP, "arguments": SILENT, "product": PRODUCT, "version": "1.2.3", **changes}
    return there.run(windows.installer, **given)


def test_a_package_is_installed_with_its_properties_and_a_second_run_changes_nothing(
    there: WorksHost, things: Things
) -> None:
    good, run = msi(there, properties={"SKIPMSIX": "1", "TARGET": "C:\\Program Files\\Thing"})
    assert good
    assert len(run.commands) == 1
    assert there.box.windows.registry.text(f"HKLM\\{UNINSTALL}\\{CODE}", "DisplayVersion") == "1.2.3"
    assert things.given[0]["SKIPMSIX"] == "1"
    assert things.given[0]["TARGET"] == "C:\\Program Files\\Thing"
    log = there.box.drive_c / "ProgramData/vengeance/downloads/thing.msi.log"
    assert "Installation ended with 0" in log.read_bytes().decode("utf-16")
    good, run = msi(there)
    assert good
    assert run.commands == []
    assert run.noops == ["Thing 1.2.3 is installed"]
    assert len(things.given) == 1


def test_another_version_of_the_product_is_installed_over_the_one_there(there: WorksHost, things: Things) -> None:
    there.box.windows.registry.set(f"HKLM\\{UNINSTALL}\\{CODE}", "DisplayVersion", "1.2.2")
    assert msi(there, version=None)[1].commands == []
    assert msi(there)[0]
    assert "thing.msi: 1.2.2 -> 1.2.3" in there.said
    assert len(things.given) == 1


def test_wsl_of_the_fresh_twin_is_known_by_its_product_code(there: WorksHost) -> None:
    _, run = msi(there, product_code=WSL_PRODUCT_CODE, version="2.7.11")
    assert run.noops == [f"Windows Subsystem for Linux {WSL_VERSION} is installed"]


def test_an_installer_that_is_a_program_is_run_until_its_own_end_and_once(there: WorksHost, things: Things) -> None:
    good, _ = setup(there)
    assert good
    assert there.fact(Product, product=PRODUCT)["version"] == "1.2.3"
    assert setup(there)[1].noops == [f"{PRODUCT} 1.2.3 is installed"]
    assert len(things.given) == 1
    assert there.box.windows.deeds.counts()["installer of thing"] == 1


def test_an_installer_whose_child_stays_does_not_hang_the_operation(there: WorksHost, things: Things) -> None:
    things.leaves_child = True
    assert setup(there)[0]
    images = [process.image for process in there.box.windows.state.processes.values()]
    assert CHILD in images


@pytest.mark.parametrize("code", [3010, 1641])
def test_a_package_that_needs_a_restart_is_installed_and_the_restart_waits(there: WorksHost, code: int) -> None:
    box = there.box.windows
    box.installers.fault(code)
    assert msi(there)[0]
    # /norestart has Windows Installer ask instead of restart.
    assert any("has to restart to finish it (3010)" in text for text in there.said)
    assert there.fact(PendingReboot) == {"pending": True, "reasons": ["installer"]}
    assert there.box.restarts == []
    box.stop_all()
    box.state.boot()
    assert there.fact(PendingReboot) == {"pending": False, "reasons": []}
    assert msi(there)[1].commands == []


def test_a_program_that_restarts_windows_itself_counts_as_installed(there: WorksHost) -> None:
    there.box.windows.installers.fault(1641)
    assert setup(there)[0]
    assert any("(1641)" in text for text in there.said)
    assert there.fact(PendingReboot)["reasons"] == ["installer"]


def test_a_package_that_fails_is_said_with_its_code_its_meaning_and_its_log(there: WorksHost, things: Things) -> None:
    there.box.windows.installers.fault(1603)
    assert not msi(there)[0]
    assert there.said[-1] == (f"somewhere: thing.msi ended with 1603 (it failed while installing). Its log: {MSI}.log")
    assert things.given == []
    assert not there.fact(Product, product=CODE)["installed"]
    assert msi(there)[0]


def test_a_busy_windows_installer_is_waited_for(there: WorksHost, things: Things) -> None:
    there.box.windows.installers.fault(1618, times=3)
    assert msi(there)[0]
    assert len(things.given) == 1


def test_a_windows_installer_that_stays_busy_is_said(there: WorksHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installers, "_BUSY_SECONDS", 0.05)
    there.box.windows.installers.fault(1618, times=1000)
    assert not msi(there)[0]
    assert "1618 (another installation runs)" in there.said[-1]


def test_a_package_that_is_not_there_or_no_package_is_said(there: WorksHost) -> None:
    assert not msi(there, path=f"{FOLDER}\\other.msi")[0]
    assert "1619 (the package cannot be opened)" in there.said[-1]
    (there.box.drive_c / "ProgramData/vengeance/downloads/other.msi").write_bytes(b"<html>Not found</html>")
    assert not msi(there, path=f"{FOLDER}\\other.msi")[0]
    assert "1620 (the file is no package" in there.said[-1]


def test_an_installer_that_asks_something_is_ended_and_said(there: WorksHost, things: Things) -> None:
    assert not setup(there, arguments=["/NORESTART"], timeout=0.2)[0]
    assert "a window that asks something waits for ever" in there.said[-1]
    assert things.given == []
    assert [p.image for p in there.box.windows.state.processes.values()] == []


def test_an_installer_that_installs_nothing_and_ends_well_is_not_believed(there: WorksHost, things: Things) -> None:
    things.forgets = True
    assert not setup(there)[0]
    assert "what was asked for has not come of it" in there.said[-1]


def test_a_program_is_recognised_by_the_version_of_its_file(there: WorksHost) -> None:
    assert there.fact(FileVersion, path=SETUP) == "1.2.3.0"
    assert there.fact(FileVersion, path=f"{FOLDER}\\nothing.exe") is None
    _, run = setup(there, product=None, file=SETUP)
    assert run.commands == []


def test_a_reboot_during_an_installation_is_said_and_the_next_run_installs(there: WorksHost, things: Things) -> None:
    there.before = lambda script: there.box.windows.stop_all() if script == "Get-Work" else None
    assert not setup(there, arguments=["/NORESTART"])[0]
    assert "Windows was restarted" in there.said[-1]
    there.before = lambda script: None
    assert setup(there)[0]


@pytest.mark.parametrize(
    ("operation", "arguments", "sentence"),
    [
        (msi, {"product_code": "WSL"}, "is no product code"),
        (msi, {"version": "latest"}, "is no version"),
        (msi, {"path": "thing.msi"}, "is not a full Windows path"),
        (msi, {"path": "C:\\a&b.msi"}, "cannot be given to msiexec"),
        (msi, {"properties": {"skipmsix": "1"}}, "is no public property"),
        (msi, {"properties": {"X": 'a" /x'}}, "is no value for the property X"),
        (msi, {"timeout": 0}, "a number of seconds above 0"),
        (setup, {"arguments": "/VERYSILENT"}, "are a list of texts"),
        (setup, {"arguments": ['/DIR="C:\\x"']}, "cannot be an argument of an installer"),
        (setup, {"arguments": ["/DIR=C:\\My Things\\"]}, "ends with a backslash"),
        (setup, {"product": None}, "one of them"),
        (setup, {"file": SETUP}, "one of them"),
        (setup, {"product": "a\\b"}, "is no name of a product"),
        (setup, {"version": "1.2.3.4.5"}, "is no version"),
    ],
)
def test_bad_input_is_refused_before_the_box_is_asked(
    there: WorksHost, operation: Any, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(OperationValueError, match=sentence):
        operation(there, **arguments)
    assert there.scripts == []


def test_versions_are_compared_as_numbers() -> None:
    assert pure.same_version("2.7.11.0", "2.7.11")
    assert not pure.same_version("2.7.110", "2.7.11")
    assert not pure.same_version(None, "2.7.11")


def test_a_command_line_has_quotes_where_it_needs_them() -> None:
    assert pure.command_line(["/DIR=C:\\My Things", "/S"]) == '"/DIR=C:\\My Things" /S'
    assert pure.msi_command_line("C:\\a b.msi", {"A": "1", "B": "x y"}, "C:\\l.log") == (
        '/i "C:\\a b.msi" /qn /norestart /L*v "C:\\l.log" A=1 B="x y"'
    )
