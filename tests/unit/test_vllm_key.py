"""The API key that the box makes for itself: made once, closed, and shown to the person who asks alone."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from unittest.mock import patch

import pytest
from pyinfra.api.command import StringCommand

from tests.unit.operation_runs import run_operation
from vengeance.cli import main
from vengeance.facts.vllm import api_key, server
from vengeance.operations import vllm

KEY = re.compile(r'VLLM_API_KEY="sk-[A-Za-z0-9_-]{43}"\n')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Stands for /etc/vllm, made by the user of the tests where that is not root."""
    return tmp_path / "vllm"


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the operation in this folder, as root or as if."""
    text = command.replace("/etc/vllm", str(folder))
    if os.geteuid() != 0:
        me = f"{folder.parent.owner()}:{folder.parent.group()}"
        text = text.replace("-o root -g root", "").replace("root:root", me)
    return subprocess.run(["sh", "-c", text], capture_output=True, text=True)


def state(folder: Path) -> str:
    """What the fact says."""
    with patch.object(server, "FOLDER", str(folder)):
        return api_key.KeyFile().process(shell(api_key.KeyFile().command().get_raw_value(), folder).stdout.splitlines())


def make(folder: Path, found: str = "absent") -> list[str]:
    """Run the operation on what it finds; what it printed."""
    run = run_operation(vllm.generated_key, {api_key.KeyFile: found})
    printed = [*run.logged, *run.noops, *run.texts]
    for command in run.commands:
        assert isinstance(command, StringCommand)
        done = shell(command.get_raw_value(), folder)
        assert done.returncode == 0, done.stderr
        printed += [done.stdout, done.stderr]
    return printed


def test_a_key_is_made_once_and_only_its_owner_can_read_it(folder: Path) -> None:
    assert state(folder) == "absent"
    printed = make(folder)
    file = folder / "api-key.env"
    text = file.read_text()
    assert KEY.fullmatch(text)
    assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert sorted(each.name for each in folder.iterdir()) == ["api-key.env"]
    key = text.split('"')[1]
    assert not any(key in each for each in printed)
    assert state(folder) == "right"
    assert make(folder, "right") == ["/etc/vllm/api-key.env is there"]
    assert file.read_text() == text


def test_two_boxes_have_two_keys(tmp_path: Path) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b")
    assert (tmp_path / "a/api-key.env").read_text() != (tmp_path / "b/api-key.env").read_text()


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda file: file.chmod(0o644), "open"),
        (lambda file: file.write_text(""), "wrong"),
        (lambda file: file.write_text('VLLM_API_KEY=""\n'), "wrong"),
        (lambda file: file.write_text(file.read_text()[:30]), "wrong"),
    ],
)
def test_a_file_that_is_open_or_damaged_is_replaced_with_a_new_key(folder: Path, damage: object, found: str) -> None:
    make(folder)
    file = folder / "api-key.env"
    before = file.read_text()
    damage(file)  # type: ignore[operator]
    assert state(folder) == found
    make(folder, found)
    assert KEY.fullmatch(file.read_text())
    assert file.read_text() != before
    assert state(folder) == "right"


def test_it_is_removed_where_another_one_is_declared() -> None:
    run = run_operation(vllm.generated_key, {api_key.KeyFile: "right"}, present=False)
    assert run.texts == ["rm -f -- /etc/vllm/api-key.env"]
    assert run_operation(vllm.generated_key, {api_key.KeyFile: "absent"}, present=False).commands == []


def test_who_opens_a_server_without_a_key_is_warned_and_the_deploy_goes_on() -> None:
    profiles = {"a": {"port": 8080}, "b": {"port": 8081}}
    without = vllm.ports_without_key([{"vllm_api_key": None, "vllm_profiles": profiles}])
    assert without == {8080, 8081}
    run = run_operation(vllm.guarded, {}, ports=[8080], unguarded=without)
    assert run.commands == []
    assert len(run.logged) == 1
    assert "port 8080 answers everybody in the tailnet, without a key" in run.logged[0]
    keyed = vllm.ports_without_key([{"vllm_api_key": "generated", "vllm_profiles": profiles}])
    assert run_operation(vllm.guarded, {}, ports=[8080], unguarded=keyed).logged == []


# --- python -m vengeance key --------------------------------------------------------------------------------


def project(folder: Path, key: str, hosts: str = '["@wsl/vengeance/Ubuntu-24.04"]') -> Path:
    """An inventory with a declared key."""
    (folder / "inventory").mkdir()
    (folder / "group_data").mkdir()
    (folder / "inventory/home.py").write_text(f"wsl = {hosts}\n")
    (folder / "group_data/wsl.py").write_text(f"from vengeance.secret import Secret\nvllm_api_key = {key}\n")
    return folder / "inventory/home.py"


def test_a_declared_key_is_printed_without_asking_the_box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project(tmp_path, 'Secret.of("sk-mine")')
    assert main(["key", "--inventory", str(file)]) == 0
    assert capsys.readouterr().out == "sk-mine\n"


@pytest.mark.parametrize(
    ("key", "hosts", "said"),
    [
        ("None", '["@wsl/a"]', "@wsl/a asks for no key"),
        ('Secret.from_environment("NOT_THERE_AT_ALL")', '["@wsl/a"]', "NOT_THERE_AT_ALL is not set"),
        ("None", '["@wsl/a", "@wsl/b"]', "say which"),
        ("None", "[]", "has no distro"),
    ],
)
def test_why_there_is_no_key_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, hosts: str, said: str
) -> None:
    code = main(["key", "--inventory", str(project(tmp_path, key, hosts))])
    assert code == (64 if said in ("say which", "has no distro") else 1)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err


def test_an_inventory_that_is_not_there_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "--inventory", str(tmp_path / "none.py")]) == 64
    assert "There is no inventory" in capsys.readouterr().err
