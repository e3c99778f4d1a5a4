"""The operations on WSL: what is refused, what is planned, and that right is left alone."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Generator
from typing import Any

import pytest
from pyinfra.api.command import FunctionCommand, StringCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.operation import operation
from pyinfra.api.state import StateStage

from tests.unit.operation_runs import Run, run_operation
from vengeance.box.wslconfig import Machine, Timeouts
from vengeance.facts import windows as windows_facts
from vengeance.facts import wsl as facts
from vengeance.operations import windows, wsl
from vengeance.operations.wsl.program import terminate_distro
from vengeance.powershell import Script

GB = 1 << 30
DISTRO = "Ubuntu-24.04"
HASH = "a" * 64
PACKAGE: dict[str, Any] = {
    "version": "2.7.11",
    "url": "https://github.com/microsoft/WSL/releases/download/2.7.11/wsl.2.7.11.0.x64.msi",
    "sha256": HASH,
    "product_code": "{497CB23D-8747-4047-A079-DD98E0EDFC18}",
}
IMAGE: dict[str, Any] = {
    "distro": DISTRO,
    "image_url": "https://releases.ubuntu.com/24.04.4/ubuntu-24.04.4-wsl-amd64.wsl",
    "image_sha256": HASH,
    "path": r"C:\WSL\Ubuntu-24.04",
}
SETTINGS: dict[str, Any] = {
    "general": {"instanceIdleTimeout": -1},
    "wsl2": {"memory": "24GB", "swap": "8GB", "processors": 8, "guiApplications": False, "vmIdleTimeout": -1},
}
RIGHT = Machine(int(24 * GB * 0.984), 8 * GB - 4096, 8)


def box(
    version: str | None = "2.7.11.0",
    distros: tuple[str, ...] = (DISTRO,),
    running: tuple[str, ...] = (),
    feature: str | None = "Enabled",
    text: str | None = None,
    machine: Machine | None = None,
    state: int = 1,
    disk: bool = False,
) -> dict[Any, Any]:
    """The facts of a box."""
    path = None if version is None else facts.WSL_EXE
    named = [{"name": name, "state": state} for name in distros]
    return {
        facts.Installation: {"version": version, "path": path, "default": None, "distributions": named},
        facts.Running: list(running),
        facts.Configuration: {"path": r"C:\Users\Steam\.wslconfig", "text": text},
        facts.Machine: machine,
        windows_facts.Feature: feature,
        windows_facts.File: {"exists": disk},
    }


def refusal(run: Run) -> str:
    """The sentence that a host was refused with; it must be the only command."""
    (command,) = run.commands
    assert isinstance(command, FunctionCommand)
    (sentence,) = command.args
    return str(sentence)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The operations on Windows that others are built of, written down in place of what they do."""
    taken: list[tuple[str, dict[str, Any]]] = []

    def stand_in(name: str) -> Any:
        @operation()
        def step(**given: Any) -> Generator[StringCommand, None, None]:
            taken.append((name, given))
            yield StringCommand(name)

        return step

    for name in ("download", "msi", "scheduled_task"):
        monkeypatch.setattr(windows, name, stand_in(name), raising=False)
    return taken


# --- installed ----------------------------------------------------------------------------------------------


def test_the_pinned_package_is_downloaded_and_installed_without_the_stores_part(steps: list[Any]) -> None:
    run_operation(wsl.installed, box(version=None, distros=()), **PACKAGE)
    assert [name for name, _ in steps] == ["download", "msi"]
    package = r"C:\ProgramData\vengeance\downloads\wsl.2.7.11.0.x64.msi"
    assert steps[0][1] == {"url": PACKAGE["url"], "dest": package, "sha256": HASH, "proxy": None}
    assert steps[1][1]["path"] == package
    assert steps[1][1]["properties"] == {"SKIPMSIX": "1"}


@pytest.mark.parametrize("feature", ["Disabled", "EnablePending", None])
def test_wsl_is_not_installed_before_the_feature_is_really_on(steps: list[Any], feature: str | None) -> None:
    sentence = refusal(run_operation(wsl.installed, box(version=None, distros=(), feature=feature), **PACKAGE))
    assert "VirtualMachinePlatform" in sentence
    assert "deploys/windows.py" in sentence
    assert steps == []


def test_the_version_that_is_there_and_a_newer_one_stay(steps: list[Any]) -> None:
    same = run_operation(wsl.installed, box(version="2.7.11.0"), **PACKAGE)
    assert (same.commands, same.logged, len(same.noops)) == ([], [], 1)
    newer = run_operation(wsl.installed, box(version="2.10.1.0"), **PACKAGE)
    assert newer.commands == []
    assert "newer than 2.7.11 and stays" in newer.logged[0]


def test_an_update_says_beforehand_which_distros_it_stops(steps: list[Any]) -> None:
    run = run_operation(wsl.installed, box(version="2.6.1.0", running=(DISTRO,)), **PACKAGE)
    assert run.logged == [
        f"WSL 2.6.1.0 -> 2.7.11: {DISTRO} will be stopped once, with all that runs in it",
    ]
    assert [name for name, _ in steps] == ["download", "msi"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": "latest"}, "'latest' is no version of WSL: it has three or four numbers"),
        ({"version": "2.0.14"}, "2.5.9 is the oldest that will do"),
        ({"url": "http://example.com/wsl.msi"}, "begins with https://"),
        ({"url": "https://example.com/wsl.msixbundle"}, "is no MSI"),
        ({"sha256": "a611"}, "'a611' is no SHA-256: it has 64 hex digits"),
        ({"product_code": "497CB23D-8747-4047-A079-DD98E0EDFC18"}, "is no product code"),
        ({"folder": "vengeance"}, "is not a full Windows path"),
    ],
)
def test_a_package_that_cannot_be_meant_is_refused(steps: list[Any], change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OperationValueError, match=re.escape(sentence)):
        run_operation(wsl.installed, box(), **{**PACKAGE, **change})
    assert steps == []


# --- config and machine -------------------------------------------------------------------------------------


def written(run: Run) -> dict[str, Any]:
    """What is given to the script that writes .wslconfig."""
    (script,) = [command for command in run.commands if isinstance(command, Script)]
    assert script.script == "Set-WslConfiguration"
    given: dict[str, Any] = json.loads(script.parameters)
    return given


def functions(run: Run) -> list[Any]:
    return [command.function for command in run.commands if isinstance(command, FunctionCommand)]


def test_a_change_of_wslconfig_tells_the_outage_shuts_down_once_and_is_verified_inside() -> None:
    facts_now = box(running=(DISTRO, "Debian"), distros=(DISTRO, "Debian"), text="[wsl2]\nmemory=8GB\n", machine=RIGHT)
    run = run_operation(wsl.config, facts_now, settings=SETTINGS, distro=DISTRO)
    assert run.logged == [
        ".wslconfig [general] instanceIdleTimeout: (not set) -> -1",
        ".wslconfig [wsl2] memory: 8GB -> 24GB",
        ".wslconfig [wsl2] swap: (not set) -> 8GB",
        ".wslconfig [wsl2] processors: (not set) -> 8",
        ".wslconfig [wsl2] guiApplications: (not set) -> false",
        ".wslconfig [wsl2] vmIdleTimeout: (not set) -> -1",
        f"a new .wslconfig: {DISTRO}, Debian will be stopped once, with all that runs in it",
    ]
    given = written(run)
    assert given["shutdown"] is True
    assert "memory=24GB\n" in given["text"]
    assert "guiApplications=false\n" in given["text"]
    assert functions(run) == [wsl.check_machine]
    again = run_operation(wsl.config, box(text=given["text"], machine=RIGHT), settings=SETTINGS, distro=DISTRO)
    assert (again.commands, len(again.noops)) == ([], 1)


def test_the_first_wslconfig_is_written_where_no_distro_is_yet() -> None:
    run = run_operation(wsl.config, box(distros=()), settings=SETTINGS, distro=DISTRO)
    assert "vmIdleTimeout=-1\n" in written(run)["text"]
    assert functions(run) == []
    assert ".wslconfig [wsl2] memory: (not set) -> 24GB" in run.logged
    assert not any("stopped" in line for line in run.logged)


def test_a_machine_that_was_started_without_its_wslconfig_is_shut_down_once() -> None:
    text = written(run_operation(wsl.config, box(), settings=SETTINGS))["text"]
    wrong = box(text=text, machine=Machine(32 * GB, 8 * GB, 16), running=(DISTRO,))
    run = run_operation(wsl.config, wrong, settings=SETTINGS, distro=DISTRO)
    assert functions(run) == [wsl.shut_down, wsl.check_machine]
    assert "memory is 32.0 GB, not 24GB, processors are 16, not 8" in run.logged[0]
    later = run_operation(wsl.machine, wrong, settings=SETTINGS, distro=DISTRO)
    assert functions(later) == [wsl.shut_down, wsl.check_machine]
    assert run_operation(wsl.machine, box(machine=RIGHT), settings=SETTINGS, distro=DISTRO).commands == []


def test_wslconfig_that_wsl_would_pass_over_is_refused() -> None:
    more: dict[str, Any]
    for operation_ in (wsl.config, wsl.machine):
        more = {"distro": DISTRO, "stage": StateStage.Execute}
        with pytest.raises(OperationValueError, match="did you mean memory"):
            run_operation(operation_, box(), settings={"wsl2": {"memry": "24GB"}}, **more)
        with pytest.raises(OperationValueError, match="a sparse disk has lost data"):
            run_operation(operation_, box(), settings={"experimental": {"sparseVhd": True}}, **more)


# --- distro -------------------------------------------------------------------------------------------------


def test_a_distro_is_imported_from_the_pinned_image_and_looked_for_afterwards(steps: list[Any]) -> None:
    run = run_operation(wsl.distro, box(distros=()), **IMAGE)
    image = r"C:\ProgramData\vengeance\downloads\ubuntu-24.04.4-wsl-amd64.wsl"
    assert steps[0] == ("download", {"url": IMAGE["image_url"], "dest": image, "sha256": HASH, "proxy": None})
    assert functions(run)[-1] is wsl.check_registered
    assert len(functions(run)) == 2


def test_an_existing_distro_is_kept(steps: list[Any]) -> None:
    run = run_operation(wsl.distro, box(), **IMAGE)
    assert (run.commands, len(run.noops), steps) == ([], 1, [])
    # Its name must be the same to the letter: another is another.
    assert len(functions(run_operation(wsl.distro, box(distros=("Ubuntu", "Ubuntu-24.04-old")), **IMAGE))) == 2


def test_a_distro_that_was_cut_while_it_was_made_and_a_disk_without_one_are_not_touched(steps: list[Any]) -> None:
    assert "wsl.exe --unregister Ubuntu-24.04" in refusal(run_operation(wsl.distro, box(state=3), **IMAGE))
    sentence = refusal(run_operation(wsl.distro, box(distros=(), disk=True), **IMAGE))
    assert r"--import-in-place Ubuntu-24.04 C:\WSL\Ubuntu-24.04\ext4.vhdx" in sentence
    assert steps == []


@pytest.mark.parametrize("name", ["Ubuntu 24.04", "", "-d", "a;b", "a\nb"])
def test_a_distro_name_that_wsl_exe_would_misread_is_refused(name: str) -> None:
    for operation_, given in (
        (wsl.distro, {**IMAGE, "distro": name}),
        (wsl.keepalive, {"distro": name}),
        (wsl.terminated, {"distro": name}),
        (wsl.restarted, {"distro": name}),
        (wsl.config, {"settings": SETTINGS, "distro": name}),
    ):
        with pytest.raises(OperationValueError, match="is no name of a WSL distribution"):
            run_operation(operation_, box(), **given)


@pytest.mark.parametrize(
    "path", ["WSL", "C:", "C:\\WSL\\", 'C:\\a" "b', "\\\\server\\share\\x", "C:\\a\\..\\b", "C:\\%TEMP%\\a"]
)
def test_a_folder_that_cannot_stand_on_a_command_line_is_refused(path: str) -> None:
    with pytest.raises(OperationValueError):
        run_operation(wsl.distro, box(), **{**IMAGE, "path": path})


# --- keepalive, terminated, restarted, user -----------------------------------------------------------------


def test_the_keepalive_is_a_boot_task_without_an_end_that_uses_the_distro_as_root(steps: list[Any]) -> None:
    run = run_operation(wsl.keepalive, box(), distro=DISTRO, logon="s4u")
    ((_, given),) = steps
    assert given["command"] == r"C:\Program Files\WSL\wsl.exe"
    assert given["arguments"] == f"-d {DISTRO} -u root --cd / --exec /usr/bin/sleep infinity"
    assert (given["trigger"], given["time_limit"], given["highest"], given["logon"]) == ("boot", "PT0S", True, "s4u")
    assert given["running"] is True
    assert functions(run) == [wsl.check_running]


def test_a_keepalive_that_waits_for_a_logon_is_refused() -> None:
    with pytest.raises(OperationValueError, match="waits for nobody to log on"):
        run_operation(wsl.keepalive, box(), distro=DISTRO, logon="interactive")


def test_a_distro_is_terminated_only_when_it_runs() -> None:
    assert functions(run_operation(wsl.terminated, box(running=(DISTRO,)), distro=DISTRO)) == [terminate_distro]
    assert run_operation(wsl.terminated, box(), distro=DISTRO).commands == []
    assert run_operation(wsl.terminated, box(distros=()), distro=DISTRO).commands == []
    assert len(functions(run_operation(wsl.restarted, box(), distro=DISTRO))) == 2


@pytest.mark.parametrize("user", ["Steam", "1st", "a b", "-x", "a" * 33, ""])
def test_a_name_that_useradd_would_not_take_is_refused(user: str) -> None:
    with pytest.raises(OperationValueError, match="is no name of a Linux user"):
        run_operation(wsl.user, {}, user=user)


def test_everything_is_planned_on_a_box_that_has_nothing_yet(steps: list[Any]) -> None:
    bare = box(version=None, distros=(), feature="Disabled")
    for operation_, given in (
        (wsl.installed, PACKAGE),
        (wsl.config, {"settings": SETTINGS, "distro": DISTRO}),
        (wsl.distro, IMAGE),
        (wsl.machine, {"settings": SETTINGS, "distro": DISTRO}),
        (wsl.keepalive, {"distro": DISTRO}),
    ):
        assert run_operation(operation_, bare, StateStage.Prepare, **given).commands


# --- facts --------------------------------------------------------------------------------------------------


def said(code: int, text: str) -> list[str]:
    """What Invoke-Program prints for a program that ended so."""
    out = base64.b64encode(text.encode()).decode()
    return [json.dumps({"rc": code, "stdout": out, "stderr": "", "timed_out": False})]


def test_the_distros_that_run_are_read_by_exit_code_and_never_by_a_translated_sentence() -> None:
    assert facts.Running().process(said(0, "Ubuntu-24.04\r\nDebian\r\n")) == ["Ubuntu-24.04", "Debian"]
    assert facts.Running().process(said(0, "")) == []
    assert facts.Running().process(said(4294967295, "Es werden keine Distributionen ausgef\u00fchrt.\r\n")) == []


def test_the_machine_is_read_inside_and_none_when_the_distro_does_not_start() -> None:
    inside = "MemTotal:  100 kB\nSwapTotal:  0 kB\n\nprocessor\t: 0\nvendor_id\t: x\n\nprocessor\t: 1\n"
    assert facts.Machine().process(said(0, inside)) == Machine(102400, 0, 2)
    assert facts.Machine().process(said(4294967295, "WSL2 is not supported")) is None


def test_only_the_packages_own_wsl_exe_is_called_without_a_shell_in_the_distro() -> None:
    for command in (facts.Running().command(), facts.Machine().command(DISTRO)):
        given = json.loads(command.parameters)
        assert given["file"] == r"C:\Program Files\WSL\wsl.exe"
        assert given["env"] == {"WSL_UTF8": "1", "WSL_DISABLE_WARNINGS": "1"}
    assert json.loads(facts.Machine().command(DISTRO).parameters)["arguments"].startswith(
        f"-d {DISTRO} -u root --cd / --exec "
    )


def test_timeouts_and_owners_are_read() -> None:
    text = json.dumps({"path": r"C:\Users\Steam\.wslconfig", "text": "[general]\ninstanceIdleTimeout=-1\n"})
    assert facts.Timeouts().process([text]) == Timeouts(None, 60_000)
    owners = {"account": "BOX\\Steam", "owners": [{"sid": "S-1-5-21-1", "account": None, "distributions": [DISTRO]}]}
    assert facts.Owners().process([json.dumps(owners)]) == owners
