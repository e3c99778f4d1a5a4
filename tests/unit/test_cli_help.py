"""What the command line says of itself, what it completes, and what programs get from it."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vengeance.cli import exit_codes, main, parser

ROOT = Path(__file__).resolve().parents[2]
HOME = ["--inventory", str(ROOT / "inventory" / "home.py")]


def commands() -> dict[str, argparse.ArgumentParser]:
    (found,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(found.choices)


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == exit_codes.RIGHT
    said = capsys.readouterr().out
    for name in commands():
        assert re.search(rf"^  {name} +\w", said, re.MULTILINE), name
    assert "Exit codes: 0 all right; 1 it failed" in said


@pytest.mark.parametrize("name", commands())
def test_a_commands_help_shows_how_it_is_used(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([name, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert max(len(line) for line in said.splitlines()) <= 120
    if name != "twin":
        assert f"\n  python -m vengeance {name}" in said or f"python -m vengeance {name})" in said
        assert "Exit code" in said


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert declared is not None
    assert capsys.readouterr().out.startswith(f"vengeance {declared[1]} (pyinfra ")


def test_a_command_that_is_none_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["deploy"])
    assert ended.value.code == exit_codes.WRONG_USAGE
    assert "invalid choice: 'deploy'" in capsys.readouterr().err


def test_the_twins_command_line_is_reached_with_its_words_and_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VENGEANCE_TWIN_HOME", str(tmp_path))
    assert main(["twin", "status", "--name", "nobody", "--json"]) == 3
    assert json.loads(capfd.readouterr().out)["state"] == "stopped"
    assert main(["twin", "fault"]) == 2
    assert main(["twin", "--help"]) == 0
    assert "usage: python -m vengeance.twin" in capfd.readouterr().out


# --- completion ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def script() -> str:
    done = subprocess.run(
        [sys.executable, "-m", "vengeance", "completion", "bash"], capture_output=True, text=True, check=True
    )
    return done.stdout


def completed(script: str, *words: str) -> set[str]:
    asked = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}"
    function = "complete -p vengeance | grep -o '[-]F [^ ]*' | cut -c4-"
    done = subprocess.run(
        ["bash", "-c", f'{script}\n{asked}\n"$({function})"\nprintf "%s\\n" "${{COMPREPLY[@]}}"'],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return set(done.stdout.split())


def test_bash_completes_commands_words_options_and_files(script: str) -> None:
    assert completed(script, "vengeance", "''") >= commands().keys()
    assert completed(script, "vengeance", "mode", "''") >= {"show", "interactive", "batch", "images"}
    assert "--inventory" in completed(script, "vengeance", "pins", "--")
    assert completed(script, "vengeance", "pins", "--inventory", "inventory/h") == {"inventory/home.py"}


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_get_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == exit_codes.RIGHT
    said = capsys.readouterr().out
    for name in commands():
        assert name in said


# --- for programs -------------------------------------------------------------------------------------------


def test_the_bootstrap_is_to_be_had_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bootstrap", *HOME]) == exit_codes.RIGHT
    script = capsys.readouterr().out
    assert main(["bootstrap", "--json", *HOME]) == exit_codes.RIGHT
    assert json.loads(capsys.readouterr().out) == {"box": "@winrm/vengeance", "script": script}


def test_the_key_is_to_be_had_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "inventory").mkdir()
    file = tmp_path / "inventory" / "mine.py"
    file.write_text(
        "from vengeance.secret import Secret\n"
        'wsl = [("@wsl/box/Ubuntu", {"vllm_api_key": Secret.of("a-key-of-mine")})]\n'
    )
    assert main(["key", "--json", "--inventory", str(file)]) == exit_codes.RIGHT
    assert json.loads(capsys.readouterr().out) == {"distro": "@wsl/box/Ubuntu", "key": "a-key-of-mine"}


def test_every_command_that_tells_something_tells_it_to_programs_too() -> None:
    for name, one in commands().items():
        if name not in ("twin", "completion"):
            assert "--json" in one._option_string_actions, name
