"""windows.scheduled_task through pyinfra: what stays up, and that its password is seen nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.conftest import WINDOWS, Pyinfra
from tests.twin.linux_side import until
from vengeance.twin.client import Twin

DEPLOY = """
from vengeance.operations import windows

windows.scheduled_task(
    name="Ping without an end",
    task="ping",
    command="C:\\\\Windows\\\\System32\\\\PING.EXE",
    arguments="-t 127.0.0.1",
    {changes}
)
"""


@pytest.fixture(scope="module")
def twin(twin_home: Path) -> Iterator[Twin]:
    """A twin of its own: its clock and passwords are changed."""
    twin = Twin("tasks")
    twin.up(distro=False)
    try:
        yield twin
    finally:
        twin.down()


def pings(twin: Twin) -> list[dict[str, Any]]:
    """The programs that run, by the twin's own list."""
    known = json.loads((twin.folder / "processes.json").read_text())["processes"]
    return [process for process in known if process["image"].lower().endswith("ping.exe")]


def declare(pyinfra: Pyinfra, *arguments: str, changes: str = "running=True", **options: Any) -> tuple[int, str]:
    deploy = pyinfra.folder / "tasks.py"
    deploy.write_text(DEPLOY.format(changes=changes))
    done = pyinfra.run(str(deploy), "--yes", "--limit", WINDOWS, *arguments, **options)
    return done.returncode, done.stdout + done.stderr


def test_the_password_of_a_task_is_seen_nowhere(twin: Twin, pyinfra: Pyinfra) -> None:
    password = twin.status()["winrm"]["password"]
    loud = ("-vvv", "--debug")
    plan = pyinfra.folder / "tasks.py"
    plan.write_text(DEPLOY.format(changes="running=True"))
    dry = pyinfra.run(str(plan), "--dry", "--diff", "--limit", WINDOWS, *loud)
    assert dry.returncode == 0, dry.stderr
    assert not pings(twin)
    operations = pyinfra.run(str(plan), "--debug-operations", "--limit", WINDOWS)
    assert "Ping without an end" in operations.stdout + operations.stderr
    code, said = declare(pyinfra, *loud)
    assert code == 0, said
    assert "Set-Task" in said
    assert until(lambda: len(pings(twin)) == 1)
    assert password not in dry.stdout + dry.stderr + operations.stdout + operations.stderr + said
    files = [file for file in twin.folder.rglob("*") if file.is_file() and file.name != "credentials.json"]
    assert twin.folder / "windows.json" in files
    assert not [file for file in files if password.encode() in file.read_bytes()]


def test_a_second_run_changes_nothing_and_the_task_survives_what_it_should(twin: Twin, pyinfra: Pyinfra) -> None:
    assert declare(pyinfra)[0] == 0
    assert until(lambda: len(pings(twin)) == 1)
    first = pings(twin)[0]["pid"]
    code, said = declare(pyinfra)
    assert (code, "No changes" in said) == (0, True), said
    twin.logon()
    twin.logoff()
    twin.advance(72 * 3600)
    assert [process["pid"] for process in pings(twin)] == [first]
    twin.reboot(0)
    assert until(lambda: len(pings(twin)) == 1)
    assert pings(twin)[0]["pid"] != first
    assert (pings(twin)[0]["session"], twin.status()["logged_on"]) == (0, [])


def test_a_password_changed_at_the_screen_is_found_by_the_next_deploy(twin: Twin, pyinfra: Pyinfra) -> None:
    assert declare(pyinfra)[0] == 0
    twin.advance(3600)
    twin.change_password()
    twin.reboot(0)
    twin.advance(3600)
    assert not pings(twin)
    code, said = declare(pyinfra)
    assert code == 0, said
    assert "its stored password is not the account's any more" in said
    assert until(lambda: len(pings(twin)) == 1)
    twin.reboot(0)
    assert until(lambda: len(pings(twin)) == 1)


def test_another_accounts_password_is_judged_by_windows(twin: Twin, pyinfra: Pyinfra) -> None:
    password = twin.add_account("keeper")
    known = 'running=True, user="keeper", password=__import__("vengeance.secret").secret.Secret.of("{}")'
    code, said = declare(pyinfra, changes=known.format("no password of anybody"))
    assert code != 0
    assert "is not that of VENGEANCE\\keeper" in said
    assert "no password of anybody" not in said
    code, said = declare(pyinfra, changes=known.format(password))
    assert code == 0, said
    assert until(lambda: [process["user"] for process in pings(twin)] == ["keeper"])


def test_a_task_goes_with_its_program(twin: Twin, pyinfra: Pyinfra) -> None:
    assert declare(pyinfra)[0] == 0
    assert declare(pyinfra, changes="present=False")[0] == 0
    assert until(lambda: not pings(twin))
    known = json.loads((twin.folder / "windows.json").read_text())["sections"]["tasks"]
    assert known == {}
