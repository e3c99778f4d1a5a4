"""A box that one run has to itself: held by its PowerShell process, over the real wire, looked at from the far side."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.twin.windows_box import Box
from tests.waiting import eventually
from vengeance.connectors.pool import agent_texts
from vengeance.powershell import load
from vengeance.twin.windows.model import Windows
from vengeance.twin.wsman.accounts import Accounts
from vengeance.twin.wsman.server import ListenSettings, WsmanServer
from vengeance.winrm.client import WinRMClient
from vengeance.winrm.errors import Displaced
from vengeance.winrm.result import Result
from vengeance.winrm.settings import WinRMSettings

READ = load("Get-RunLock")


@dataclass
class There:
    """A Windows behind WinRM."""

    windows: Windows
    server: WsmanServer

    @property
    def owner(self) -> str | None:
        holder = self.windows.run_lock.holder
        return None if holder is None else holder["owner"]


class A:
    """A run, as far as it holds the box."""

    def __init__(self, there: There, name: str, mode: str) -> None:
        self.name = name
        port = there.server.http_port or 0
        self.client = WinRMClient(
            WinRMSettings("127.0.0.1", "Steam", lambda: "secret", port, "http", mode=mode), agent_texts()
        )

    def take(self, instead_of: int = 0) -> dict[str, Any]:
        given = {"owner": self.name, "instead_of": instead_of}
        said = self.client.hold(load("Set-RunLock"), lambda stay: json.dumps({**given, "stay": stay}))
        assert said.code == 0, said.stderr
        after: dict[str, Any] = json.loads(said.stdout)["after"]
        if after["owner"] == self.name:
            given["instead_of"] = 0
            self.client.keep(self.complaint)
        return after

    def complaint(self, said: Result) -> str | None:
        owner = json.loads(said.stdout)["after"]["owner"]
        return None if owner == self.name else f"{owner} has it"

    def read(self) -> str | None:
        holder = json.loads(self.client.powershell(READ, "{}", read_only=True).stdout)["holder"]
        return None if holder is None else str(holder["owner"])


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    folder: Path = tmp_path_factory.mktemp("box")
    accounts = Accounts(folder / "accounts")
    accounts.add("Steam", "secret")
    windows = Box(folder).windows
    server = WsmanServer(ListenSettings(folder=folder), accounts, windows)
    server.start()
    yield There(windows, server)
    server.stop()


@pytest.fixture(params=["agent", "process"])
def run(there: There, request: pytest.FixtureRequest) -> Iterator[Callable[[str], A]]:
    """Makes runs, in either way to run PowerShell."""
    runs: list[A] = []

    def made(name: str) -> A:
        runs.append(A(there, name, request.param))
        return runs[-1]

    yield made
    for one in runs:
        one.client.close()
    eventually(lambda: there.owner is None, "the end of every hold")


def test_a_box_is_had_by_one_run_and_let_go_with_its_shell(there: There, run: Callable[[str], A]) -> None:
    first, second = run("first"), run("second")
    assert first.take()["owner"] == "first"
    assert second.take()["owner"] == "first"
    assert second.read() == there.owner == "first"
    first.client.close()
    eventually(lambda: there.owner is None, "the end of the hold")
    assert second.take()["owner"] == there.owner == "second"


def test_to_take_what_one_has_changes_nothing(there: There, run: Callable[[str], A]) -> None:
    first = run("first")
    assert first.take()["owner"] == "first"
    assert first.take()["owner"] == "first"
    assert first.read() == "first"


def test_a_holder_is_put_out_of_the_way_by_its_process_alone(there: There, run: Callable[[str], A]) -> None:
    first, second = run("first"), run("second")
    process = first.take()["pid"]
    assert second.take(instead_of=process + 1)["owner"] == "first"
    assert second.take(instead_of=process)["owner"] == there.owner == "second"
    assert process not in there.windows.state.processes


def test_a_hold_that_was_lost_is_taken_again_before_anything_else(there: There, run: Callable[[str], A]) -> None:
    first = run("first")
    first.take()
    there.server.shells.close()
    eventually(lambda: there.owner is None, "the end of the hold")
    assert first.read() == "first"


def test_a_run_that_lost_the_box_to_another_does_nothing_more(there: There, run: Callable[[str], A]) -> None:
    first, second = run("first"), run("second")
    process = first.take()["pid"]
    there.server.shells.close()
    eventually(lambda: there.owner is None, "the end of the hold")
    second.take()
    for _ in range(2):
        with pytest.raises(Displaced, match="second has it"):
            first.client.powershell(load("New-File"), json.dumps({"path": "C:\\Users\\new"}))
    assert process not in there.windows.state.processes
    assert not there.windows.drive.is_file("C:\\Users\\new", "C:\\")
    assert there.owner == "second"
