"""Models for vLLM: what is refused before anything is done, and what the operation does on given facts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.command import FileUploadCommand, StringCommand
from pyinfra.api.exceptions import FactProcessError, OperationValueError

from tests.unit.operation_runs import Run, run_operation
from vengeance.box import model_store
from vengeance.connectors.long_command import LongCommand
from vengeance.facts.vllm import Model, parse_model
from vengeance.facts.vllm.model import NO_MODEL
from vengeance.operations import vllm
from vengeance.programs import look_for_model
from vengeance.secret import Secret

QWEN = "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ"
COMMIT = "1ed0a6145da0ce550c628e8e8b678f51e695995d"
HOME = "/home/steam/.cache/huggingface"
DECLARED: dict[str, Any] = {
    "model": QWEN,
    "revision": COMMIT,
    "hf_home": HOME,
    "user": "steam",
    "path": "/home/steam/vllm-env",
}
NOTHING = {**NO_MODEL, "place": HOME, "file_system": "ext4"}
WHOLE = {**NOTHING, "commit": COMMIT, "complete": True, "size": 19_341_000_000}


def run(found: dict[str, Any], **declared: Any) -> Run:
    return run_operation(vllm.model, {Model: found}, **{**DECLARED, **declared})


def token_state(token: str, **other: Any) -> dict[str, Any]:
    sha256 = hashlib.sha256(token.encode()).hexdigest()
    return {"sha256": sha256, "mode": "600", "owner": "steam", "ours": True, **other}


def test_a_model_that_is_missing_is_downloaded_as_the_user_by_the_environments_python() -> None:
    done = run(NOTHING)
    (download,) = done.commands
    assert isinstance(download, LongCommand)
    assert str(download) == f"/home/steam/vllm-env/bin/python -I - {HOME} {QWEN} {COMMIT} 2000000000"
    assert download.connector_arguments["_su_user"] == "steam"
    assert download.connector_arguments["_timeout"] == 21600
    assert "def download(" in str(download.connector_arguments["_stdin"])
    assert done.logged == [f"model {QWEN}: (not complete) -> complete at {COMMIT}, in {HOME}"]


def test_a_whole_model_at_a_commit_is_nothing_to_do_and_no_remark() -> None:
    done = run(WHOLE)
    assert (done.commands, done.logged) == ([], [])
    assert done.noops == [f"{QWEN} is complete at {COMMIT} (19.3 GB)"]


@pytest.mark.parametrize("revision", [None, "main", "v1.0"])
def test_a_revision_that_can_move_is_told_with_the_commit_that_pins_it(revision: str | None) -> None:
    done = run(WHOLE, revision=revision)
    assert done.commands == []
    assert done.logged == [
        f"{QWEN} is not pinned, and {revision or 'main'} can be another model tomorrow: "
        f'revision="{COMMIT}" pins what is there'
    ]


def test_a_token_is_uploaded_into_a_closed_folder_and_stands_in_no_command() -> None:
    done = run(WHOLE, token=Secret.of("hf_secret"))
    folder, upload, move = done.commands
    assert str(folder) == f"mkdir -p -- {HOME}/vengeance && chmod 700 {HOME}/vengeance"
    assert isinstance(upload, FileUploadCommand)
    assert upload.dest == f"{HOME}/vengeance/token.new"
    assert isinstance(move, StringCommand)
    assert "hf_secret" not in "".join([*done.texts, *done.logged])
    for command in (folder, upload, move):
        assert command.connector_arguments["_su_user"] == "steam"


@pytest.mark.parametrize(
    "there",
    [
        {"mode": "644"},
        {"owner": "root"},
        {"ours": False},
        {"sha256": hashlib.sha256(b"hf_other").hexdigest()},
    ],
)
def test_a_token_that_is_not_right_in_every_way_is_put_there_again(there: dict[str, Any]) -> None:
    assert run({**WHOLE, "token": token_state("hf_secret")}, token=Secret.of("hf_secret")).commands == []
    assert run({**WHOLE, "token": {**token_state("hf_secret"), **there}}, token=Secret.of("hf_secret")).commands


def test_only_our_own_token_is_taken_away() -> None:
    (removal,) = run({**WHOLE, "token": token_state("hf_secret")}).texts
    assert removal == f"rm -f -- {HOME}/token {HOME}/vengeance/token.sha256 {HOME}/vengeance/token.new"
    assert run({**WHOLE, "token": token_state("hf_secret", ours=False)}).commands == []


def test_a_token_that_a_cut_left_on_its_way_is_taken_away() -> None:
    cut = {**WHOLE, "token_left": True}
    assert run(cut).texts == [f"rm -f -- {HOME}/vengeance/token.new"]
    there = {**cut, "token": token_state("hf_secret")}
    assert run(there, token=Secret.of("hf_secret")).commands, "the same token is put there again, over what was left"


@pytest.mark.parametrize(("complete", "commands"), [(True, 0), (False, 1)])
def test_a_model_in_a_folder_is_only_looked_at(complete: bool, commands: int) -> None:
    done = run({**NOTHING, "complete": complete}, model="/srv/mine", revision=None, token=Secret.of("hf_secret"))
    assert len(done.commands) == commands
    assert ("has no config.json" in "".join(done.texts)) is not complete


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": "Qwen2.5-Coder"}, "is no name of a model: write OWNER/NAME"),
        ({"model": "Qwen/../x"}, "is no name of a model"),
        ({"model": "-Qwen/x"}, "is no name of a model"),
        ({"model": "/srv/with blank"}, "is no full path of a model"),
        ({"revision": "a b"}, "is no revision"),
        ({"revision": "--main"}, "is no revision"),
        ({"revision": "../../x"}, "is no revision"),
        ({"hf_home": "models"}, "is no full path of a folder for models"),
        ({"hf_home": "/srv/$(reboot)"}, "is no full path of a folder for models"),
        ({"user": "-x"}, "is no name of a Linux user"),
        ({"token": "hf_plain"}, "The token is a secret: give it as Secret"),
        ({"token": Secret.of("hf_line\nbreak")}, "has a blank, a line break"),
        ({"token": Secret.of("hf_\u00e4")}, "has a blank, a line break"),
    ],
)
def test_a_wrong_argument_stops_with_a_sentence_that_holds_no_secret(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OperationValueError, match=sentence) as caught:
        run(NOTHING, **changes)
    assert "hf_" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "file_system", "fits"),
    [
        (HOME, "ext4", True),
        ("/mnt/c/models", "9p", False),
        ("/mnt/d", "overlay", False),
        ("/srv/windows", "drvfs", False),
        ("/srv/windows", "virtiofs", False),
        ("/mnt/data/models", "ext4", True),
        ("/mnt/wslg", "tmpfs", True),
    ],
)
def test_a_drive_of_windows_keeps_no_models(place: str, file_system: str, fits: bool) -> None:
    assert (model_store.unfit(place, place, file_system) is None) is fits
    commands = run({**NOTHING, "place": place, "file_system": file_system}, hf_home=place).commands
    assert isinstance(commands[0], LongCommand) is fits


@pytest.mark.parametrize(
    ("revision", "pinned"),
    [(COMMIT, True), (COMMIT[:12], False), (COMMIT.upper(), False), ("main", False), (None, False)],
)
def test_a_whole_commit_alone_is_a_pin(revision: str | None, pinned: bool) -> None:
    assert model_store.is_commit(revision) is pinned


@pytest.mark.parametrize("output", [[], ["{}"], ['{"commit": null'], [json.dumps({**NOTHING, "size": "large"})]])
def test_an_answer_of_another_shape_is_no_state_of_a_model(output: list[str]) -> None:
    with pytest.raises(FactProcessError, match="What is there of the model"):
        parse_model(output)


def test_a_look_at_a_new_distro_finds_nothing_and_tells_where_it_would_be(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    found = look_for_model.look(str(tmp_path / "link/hf"), QWEN, COMMIT)
    assert parse_model([json.dumps(found)])["place"] == str(tmp_path / "real/hf")
    assert (found["complete"], found["token"], found["writable"]) == (False, None, True)
    assert found["file_system"] not in ("unknown", "")
    assert found["token_left"] is False
    (tmp_path / "real/hf/vengeance").mkdir(parents=True)
    (tmp_path / "real/hf/vengeance/token.new").touch()
    assert look_for_model.look(str(tmp_path / "link/hf"), QWEN, COMMIT)["token_left"] is True


def test_a_list_without_its_files_is_a_model_that_has_gone(tmp_path: Path) -> None:
    listed = tmp_path / "vengeance/models--Qwen--Qwen2.5-Coder-32B-Instruct-AWQ" / f"{COMMIT}.json"
    listed.parent.mkdir(parents=True)
    listed.write_text(json.dumps({"files": {"config.json": {"size": 3}, "empty": {"size": 0}}}), encoding="utf-8")
    found = look_for_model.look(str(tmp_path), QWEN, COMMIT)
    assert (found["complete"], found["faulty"]) == (False, ["config.json", "empty"])
    snapshot = tmp_path / "hub/models--Qwen--Qwen2.5-Coder-32B-Instruct-AWQ/snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{ }", encoding="utf-8")
    (snapshot / "empty").touch()
    assert look_for_model.look(str(tmp_path), QWEN, COMMIT)["complete"] is True
    listed.write_text("{", encoding="utf-8")
    assert look_for_model.look(str(tmp_path), QWEN, COMMIT)["complete"] is False
