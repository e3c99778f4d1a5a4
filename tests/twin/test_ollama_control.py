"""Ollama in a whole twin, from its command line and from Python: faults, the window's settings, updates."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import ollama
import pytest

from tests.twin.ollama_box import APP_FOLDER, SMALL, STARTUP
from tests.waiting import eventually
from vengeance.box.pins import pinned
from vengeance.twin.__main__ import main, parse_faults, parse_settings
from vengeance.twin.client import Twin, TwinError
from vengeance.twin.ollama import package


def place(twin: Twin, path: str, data: bytes) -> None:
    file = twin.drive_c / path[3:].replace("\\", "/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)


@pytest.fixture(scope="module")
def twin(twin_home: Path) -> Iterator[Twin]:
    """A bare twin on whose desktop Ollama runs, as if a person had installed it."""
    twin = Twin("ollama")
    twin.up(distro=False, bare=True)
    for name, data in package.setup_files(pinned("ollama"), APP_FOLDER).items():
        place(twin, f"{APP_FOLDER}\\{name}", data)
    place(twin, f"{STARTUP}\\Ollama.lnk", package.link_bytes(f"{APP_FOLDER}\\{package.APP}"))
    # A person has it in the Path of the account; here the machine's does, which is there on a bare box too.
    state = json.loads((twin.folder / "windows.json").read_text())
    twin.down()
    key = next(name for name in state["registry"] if name.endswith("\\Session Manager\\Environment"))
    state["registry"][key]["Path"]["value"] += f";{APP_FOLDER}"
    (twin.folder / "windows.json").write_text(json.dumps(state))
    twin.up(distro=False)
    twin.logon()
    try:
        yield twin
    finally:
        twin.down()


def servers(twin: Twin) -> list[dict[str, str]]:
    found: list[dict[str, str]] = twin.status()["ollama"]["servers"]
    return found


def await_server(twin: Twin) -> str:
    """The address at which a client of this machine reaches its server."""

    def there() -> bool:
        twin.advance(1)
        return bool(servers(twin))

    eventually(there, "the server's start")
    return servers(twin)[0]["real"]


@pytest.fixture
def client(twin: Twin) -> Iterator[ollama.Client]:
    client = ollama.Client(host=await_server(twin))
    eventually(lambda: _answers(client), "the server's answer")
    yield client
    twin.fault("clear")


def _answers(client: ollama.Client) -> bool:
    try:
        return client.list() is not None
    except (ConnectionError, OSError):
        return False


def test_status_names_the_models_that_can_be_pulled_and_their_digests(twin: Twin, client: ollama.Client) -> None:
    models = twin.status()["ollama"]["models"]
    assert {"qwen2.5:72b", "deepseek-r1:32b", "deepseek-coder:33b", "qwen2.5:32b", SMALL} <= set(models)
    client.pull(SMALL)
    assert client.list().models[0].digest == models[SMALL]["digest"]
    client.delete(SMALL)


def test_a_pull_fails_as_often_as_it_was_told_to_and_then_goes_on(twin: Twin, client: ollama.Client) -> None:
    state = twin.ollama_fault("fail_at", percent=60, times=2)
    assert state["faults"] == [{"kind": "ollama_pull", "how": "fail_at", "percent": 60, "times": 2}]
    for _ in range(2):
        with pytest.raises(ollama.ResponseError, match="max retries exceeded"):
            list(client.pull(SMALL, stream=True))
    assert [one.status for one in client.pull(SMALL, stream=True)][-1] == "success"
    client.delete(SMALL)


def test_faults_are_set_from_the_command_line(twin: Twin, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fault", "--name", twin.name, "ollama-pull", "fail-at", "60", "--times", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faults"][0]["times"] == 2
    assert main(["fault", "--name", twin.name, "clear"]) == 0
    assert twin.status()["faults"] == []


def test_a_setting_of_the_window_is_changed_from_outside(twin: Twin, client: ollama.Client) -> None:
    before = servers(twin)[0]["pid"]
    twin.ollama_settings(context_length=16384)
    eventually(lambda: before not in [one["pid"] for one in servers(twin)], "the end of the old server")
    await_server(twin)
    file = twin.drive_c / "Users/Steam/AppData/Local/Ollama/db.sqlite"
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT context_length FROM settings").fetchone() == (16384,)
    with pytest.raises(TwinError, match="no 'colour'"):
        twin.ollama_settings(colour="red")


def test_a_tag_is_moved_from_outside(twin: Twin, client: ollama.Client) -> None:
    before = twin.status()["ollama"]["models"][SMALL]["digest"]
    moved = twin.ollama_move_tag(SMALL)
    assert twin.status()["ollama"]["models"][SMALL]["digest"] == moved != before
    with pytest.raises(TwinError, match="has no model 'nothing'"):
        twin.ollama_move_tag("nothing")


def test_a_newer_version_is_published_from_outside(twin: Twin, client: ollama.Client) -> None:
    twin.ollama_update("0.35.0")
    twin.advance(3601)
    assert (twin.drive_c / "Users/Steam/AppData/Local/Ollama/updates_v2/0.35.0/OllamaSetup.exe").is_file()
    twin.ollama_update(None)


def test_after_a_restart_it_waits_for_a_logon(twin: Twin, client: ollama.Client) -> None:
    twin.reboot(0.1)
    twin.advance(60)
    assert servers(twin) == []
    twin.logon()
    await_server(twin)


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["ollama-pull", "fail-at", "60"], {"kind": "ollama", "how": "fail_at", "percent": 60, "times": 3}),
        (["ollama-pull", "stall"], {"kind": "ollama", "how": "stall", "times": 3}),
        (["ollama-busy"], {"kind": "ollama", "how": "busy", "times": 3}),
        (["ollama-app"], {"kind": "ollama", "how": "no_server", "times": 3}),
    ],
)
def test_words_of_the_command_line_become_rules(words: list[str], rule: dict[str, object]) -> None:
    assert parse_faults(words, None, 3) == [rule]


@pytest.mark.parametrize("words", [["ollama-pull"], ["ollama-pull", "sometimes"], ["ollama-pull", "fail-at"]])
def test_a_fault_that_means_nothing_is_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"pull goes wrong by|needs a percentage"):
        parse_faults(words, None, None)


def test_settings_are_numbers_where_they_look_like_them() -> None:
    assert parse_settings(["expose=true", "context_length=8192", "models=C:\\m"]) == {
        "expose": 1,
        "context_length": 8192,
        "models": "C:\\m",
    }
    with pytest.raises(ValueError, match="is no setting"):
        parse_settings(["expose"])
