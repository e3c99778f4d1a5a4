"""The example project of docs/connectors.md, as it stands on that page."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.connectors.conftest import Pyinfra
from vengeance.connectors.settings import winrm_data_meta
from vengeance.twin.client import Twin

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "connectors.md").read_text(encoding="utf-8")
EXAMPLE = PAGE[PAGE.index("## An example") : PAGE.index("## What works")]
INVENTORY, DEPLOY = re.findall(r"```python\n(.*?)```", EXAMPLE, re.DOTALL)
(COMMANDS,) = re.findall(r"```sh\n(.*?)```", EXAMPLE, re.DOTALL)


@pytest.fixture
def project(distro: Twin, pyinfra: Pyinfra, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's two files, with the twin's address, account and fingerprint in the place of the reader's."""
    winrm = distro.status()["winrm"]
    monkeypatch.setenv("DESK_PASSWORD", winrm["password"])
    text = INVENTORY
    for old, new in (
        ('"192.168.1.20"', f'"{winrm["host"]}", "winrm_port": {winrm["https_port"]}'),
        ('"me"', f'"{winrm["user"]}"'),
        (f'"{"0" * 64}"', f'"{winrm["certificate_sha256"]}"'),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (pyinfra.folder / "inventory.py").write_text(text)
    (pyinfra.folder / "deploy.py").write_text(DEPLOY)
    return pyinfra.folder


def test_it_does_what_the_page_says_and_a_second_run_changes_nothing(
    distro: Twin, pyinfra: Pyinfra, project: Path
) -> None:
    commands = [shlex.split(line, comments=True) for line in COMMANDS.splitlines()]
    assert [words[:2] for words in commands] == [["pyinfra", "inventory.py"]] * 4
    inventory = project / "inventory.py"
    for words in commands:
        done = pyinfra.run(*words[2:], inventory=inventory)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "VENGEANCE" in done.stdout + done.stderr
    drive = Path(distro.status()["folder"]) / "drive_c"
    assert (drive / "notes" / "deploy.py").read_text() == DEPLOY
    inside = distro.distro_exec(["sh", "-c", "stat -c '%U %a' /srv/ada/deploy.py; cat /srv/ada/deploy.py"])
    assert inside.stdout.decode() == f"ada 600\n{DEPLOY}"
    again = pyinfra.run("deploy.py", "--yes", "--json", inventory=inventory)
    assert again.returncode == 0, again.stderr
    assert [op["name"] for op in json.loads(again.stdout)["results"]["operations"] if op.get("success")] == []


def test_every_key_of_the_page_exists_and_the_other_way_round() -> None:
    named = set(re.findall(r"`(winrm_\w+)`", PAGE))
    assert named == set(winrm_data_meta)
