"""The facts and operations of Ollama, without a box: what they read, and what they refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pyinfra.api.exceptions import FactProcessError, OperationValueError

from tests.unit.operation_runs import run_operation
from vengeance.box import ollama_faults, ollama_settings, ollama_start
from vengeance.facts import ollama as facts
from vengeance.operations import ollama

SHA256 = "a" * 64
HEAD = "time=2026-02-09T08:12:44.123+01:00 level=INFO source=routes.go:1845 msg="
CONFIG = HEAD + '"server config" env="map[OLLAMA_HOST:http://0.0.0.0:11434 OLLAMA_KEEP_ALIVE:5m0s]"'
LISTENING = HEAD + '"Listening on [::]:11434 (version 0.34.1)"'


def process(name: str = "ollama.exe", **changes: Any) -> dict[str, Any]:
    return {
        "pid": 4242,
        "parent": 4200,
        "parent_name": "ollama app.exe",
        "name": name,
        "image": f"C:\\Ollama\\{name}",
        "command_line": f'"C:\\Ollama\\{name}" serve',
        "session": 1,
        "started": "2026-02-09T07:12:43Z",
        **changes,
    }


def server(*processes: dict[str, Any], **logs: Any) -> facts.ServerFact:
    log = {"path": "C:\\server.log", "config": CONFIG, "listening": LISTENING, "last": "Error: no"}
    said = {"processes": list(processes), "app_log": log, "boot_log": None, "signed_in": True, **logs}
    return facts.Server().process(json.dumps(said).splitlines())


# --- facts --------------------------------------------------------------------------------------------------


def test_the_tray_apps_server_is_known_by_its_parent() -> None:
    found = server(process(), process("ollama app.exe", command_line="ollama app.exe hidden"))
    assert found["app_runs"]
    (one,) = found["servers"]
    assert one["started_by"] == "app"
    assert one["environment"] == {"OLLAMA_HOST": "http://0.0.0.0:11434", "OLLAMA_KEEP_ALIVE": "5m0s"}
    assert (one["listening"], one["version"]) == ("[::]:11434", "0.34.1")


def test_the_boot_tasks_server_has_its_own_log() -> None:
    log = {"path": "C:\\boot.log", "config": CONFIG, "listening": None, "last": "the end"}
    found = server(process(parent_name="cmd.exe", session=0), app_log=None, boot_log=log)
    assert found["servers"][0]["started_by"] == "task"
    assert found["servers"][0]["environment"] is not None
    assert found["last_words"] == "the end"


@pytest.mark.parametrize(
    "changes",
    [
        {"started": "2026-02-09T08:00:00Z"},
        {"parent_name": "powershell.exe"},
        {"parent_name": None},
    ],
)
def test_a_log_of_another_server_tells_nothing_of_this_one(changes: dict[str, Any]) -> None:
    (one,) = server(process(**changes))["servers"]
    assert one["environment"] is None


def test_a_client_is_no_server() -> None:
    assert server(process(command_line='"C:\\Ollama\\ollama.exe" run qwen2.5:3b'))["servers"] == []


def said(body: object, status: int | None = 200) -> list[str]:
    text = body if isinstance(body, str) or body is None else json.dumps(body)
    return [json.dumps({"status": status, "body": text, "error": None})]


def test_the_answers_of_the_api_are_read() -> None:
    assert facts.Version().process(said({"version": "0.34.1"})) == "0.34.1"
    model = {"name": "m:1", "digest": "357c", "size": 7, "details": {"quantization_level": "Q4_K_M"}}
    assert facts.Models().process(said({"models": [model]})) == {"m:1": {"digest": "357c", "size": 7}}
    assert facts.Models().process(said({"models": None})) == {}
    loaded = {"name": "m:1", "size": 7, "size_vram": 5, "expires_at": "2026-02-09T08:17:44+01:00"}
    assert facts.Loaded().process(said({"models": [loaded]})) == {
        "m:1": {"size": 7, "size_vram": 5, "expires_at": "2026-02-09T08:17:44+01:00", "context_length": None}
    }


@pytest.mark.parametrize("fact", [facts.Version, facts.Models, facts.Loaded])
def test_nobody_answers_is_none_and_somebody_else_is_an_error(fact: Any) -> None:
    assert fact().process(said(None, None)) is None
    for body, status in (("<html>", 200), ({"version": "1"}, 404), ("[]", 200)):
        with pytest.raises(FactProcessError, match="is not Ollama"):
            fact().process(said(body, status))


@pytest.mark.parametrize("fact", [facts.Models, facts.Loaded])
def test_a_model_without_its_fields_is_an_error(fact: Any) -> None:
    with pytest.raises(FactProcessError, match="should give"):
        fact().process(said({"models": [{"name": "m:1"}]}))


# --- what is wrong with what runs ---------------------------------------------------------------------------

DECLARED = {"OLLAMA_HOST": "0.0.0.0:11434"}


def faults(found: facts.ServerFact, start: Any) -> list[str]:
    return ollama_faults.of_servers(found["servers"], found["app_runs"], DECLARED, start)


def test_a_server_as_it_should_be_has_no_fault() -> None:
    assert faults(server(process()), "logon") == []


@pytest.mark.parametrize(
    ("found", "start", "sentence"),
    [
        (server(), "logon", "no Ollama server runs"),
        (server(process("ollama app.exe", command_line="")), "logon", "though its tray app does"),
        (server(process(), process(pid=4343)), "logon", "2 Ollama servers run"),
        (server(process(session=0)), "logon", "in session 0, where nobody sees it"),
        (server(process()), "boot", "was started by app, not by the task"),
        (server(process(parent_name="cmd.exe", session=0)), "boot", "does not tell what the server"),
    ],
)
def test_each_fault_has_its_sentence(found: facts.ServerFact, start: Any, sentence: str) -> None:
    assert sentence in "; ".join(faults(found, start))


def test_a_variable_of_the_window_is_named_with_what_it_puts() -> None:
    assert ollama_settings.put_by_app(expose=True, browser=True, models="D:\\m", context_length=8192) == {
        "OLLAMA_HOST": "0.0.0.0",
        "OLLAMA_ORIGINS": "*",
        "OLLAMA_MODELS": "D:\\m",
        "OLLAMA_CONTEXT_LENGTH": "8192",
    }
    assert ollama_settings.put_by_app(expose=False, browser=False, models="", context_length=0) == {}


def test_the_task_keeps_the_log_and_begins_without_a_quote() -> None:
    line = ollama_start.server_arguments("C:\\Program Files\\Ollama", "C:\\logs\\server.log")
    assert line == (
        '/d /c mkdir "C:\\logs" 2>nul & move /y "C:\\logs\\server.log" "C:\\logs\\server-1.log" >nul 2>nul & '
        '"C:\\Program Files\\Ollama\\ollama.exe" serve >"C:\\logs\\server.log" 2>&1'
    )


# --- bad input ----------------------------------------------------------------------------------------------

INSTALL = {"version": "0.34.1", "sha256": SHA256}
NO_VARIABLES: dict[str, Any] = {"machine_variables": {}, "user_variables": {}}


@pytest.mark.parametrize(
    ("operation", "arguments", "sentence"),
    [
        (ollama.installed, {**INSTALL, "version": "latest"}, "three numbers, as 0.34.1, not 'latest'"),
        (ollama.installed, {**INSTALL, "package": "winget"}, "as setup .with the tray app. or as zip, not as 'winget'"),
        (ollama.installed, {**INSTALL, "path": "Ollama"}, "is a full path as D:"),
        (ollama.installed, {**INSTALL, "path": 'C:\\a" & calc "'}, "of letters, digits, blanks"),
        (ollama.installed, {**INSTALL, "path": "C:\\%TEMP%"}, "of letters, digits, blanks"),
        (ollama.settings, {**NO_VARIABLES, "autostart": "login"}, "at boot or at logon, not 'login'"),
        (ollama.settings, {**NO_VARIABLES, "user_variables": {"OLLAMA_GPU": "1"}}, "does not read OLLAMA_GPU"),
        (ollama.settings, {**NO_VARIABLES, "machine_variables": {"OLLAMA_KEEP_ALIVE": "5 min"}}, "is a duration"),
        (ollama.autostart, {"start": "service"}, "at boot or at logon, not 'service'"),
        (ollama.autostart, {"start": "logon", "package": "zip"}, "has no tray app to start at logon"),
        (ollama.autostart, {"package": "msi"}, "not as 'msi'"),
        (ollama.autostart, {"log": "server.log"}, "log is a full path"),
        (ollama.autostart, {"log": "C:\\%x%\\server.log"}, "without % and"),
        (ollama.restarted, {"port": 0}, "from 1 to 65535, not 0"),
        (ollama.restarted, {"address": "box/evil"}, "no address to ask Ollama at"),
        (ollama.models, {"models": [{"name": "qwen2.5:3b:x"}]}, "is no name of a model"),
        (ollama.models, {"models": [{"name": "m:1", "size": 1}]}, "the nearest key that is read is 'size_gb'"),
        (ollama.models, {"models": [], "timeout": 0}, "timeout is a number of seconds"),
        (ollama.unloaded, {"models": ["m@sha256:1"]}, "does not read: write model:tag"),
    ],
)
def test_bad_input_is_refused_before_anything_is_read(operation: Any, arguments: Any, sentence: str) -> None:
    def unread(**_: object) -> None:
        pytest.fail("a fact was read")

    known = dict.fromkeys(
        (facts.Installation, facts.Server, facts.Settings, facts.Models, facts.Loaded, facts.Version), unread
    )
    with pytest.raises(OperationValueError, match=sentence):
        run_operation(operation, known, **arguments)


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        (ollama.installed, INSTALL),
        (ollama.settings, NO_VARIABLES),
        (ollama.autostart, {}),
        (ollama.restarted, {}),
    ],
)
def test_facts_that_could_not_be_read_change_nothing(operation: Any, arguments: Any) -> None:
    assert run_operation(operation, {}, **arguments).commands == []
