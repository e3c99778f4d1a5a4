"""The inventory as the acceptance tests read it, compared with pyinfra's own reading; and the two backends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pyinfra.api.config import Config
from pyinfra.api.state import State

from vengeance.verify import inventory
from vengeance.verify.backends import WindowsBackend, for_testinfra

INVENTORY = """
from somewhere import something

windows = [("@winrm/box", {"winrm_user": "Steam", "number": 1})]
wsl = ["@wsl/box/Ubuntu-24.04", "@wsl/box/Debian"]
_hidden = ["@wsl/box/Hidden"]
"""
SETTINGS = {
    "all": "import os\nfrom pathlib import Path\nnumber = 0\nplace = 'everywhere'\n_private = 1\n",
    "windows": "number = 2\nplace = 'windows'\n",
    "wsl": "place = 'wsl'\nlist_of = ['a']\n",
    "file": "file_group = True\n",
    "nobody": "lost = True\n",
}
PYINFRA_READS = """
import json, sys
from pyinfra_cli.inventory import make_inventory
from pyinfra.api.state import State
from pyinfra.context import ctx_state
ctx_state.set(State())
made = make_inventory("file.py", cwd=".")
print(json.dumps({host.name: [sorted(set(host.groups)), host.data.dict()] for host in made}, sort_keys=True))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "somewhere.py").write_text("something = [1]\n")
    (tmp_path / "file.py").write_text(INVENTORY)
    (tmp_path / "group_data").mkdir()
    for name, text in SETTINGS.items():
        (tmp_path / "group_data" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_an_inventory_is_read_as_pyinfra_reads_it(project: Path) -> None:
    made = inventory.load(project / "file.py", project / "group_data")
    ours = {host.name: [sorted(set(host.groups)), host.data.dict()] for host in made}  # type: ignore[no-untyped-call]
    command = [sys.executable, "-c", PYINFRA_READS]
    environment = {"PYTHONPATH": str(project), "PATH": "/usr/bin:/bin"}
    finished = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(json.dumps(ours)) == json.loads(finished.stdout)
    assert ours["@winrm/box"][1]["number"] == 1, "the host's own data wins"


def test_a_host_of_another_connector_has_no_backend() -> None:
    from pyinfra.api.inventory import Inventory

    state = State(Inventory((["@local"], {})), Config())  # type: ignore[no-untyped-call]
    with pytest.raises(ValueError, match="neither a @winrm nor a @wsl host"):
        for_testinfra(state.inventory.get_host("@local"))


def test_arguments_of_cmd_are_quoted_or_refused() -> None:
    assert WindowsBackend.quote("type %s", "C:\\a b & c.txt") == 'type "C:\\a b & c.txt"'
    assert WindowsBackend.quote("echo %OS%") == "echo %OS%"
    for argument in ('a"b', "a%b%", "a\nb"):
        with pytest.raises(ValueError, match="cannot be written as an argument"):
            WindowsBackend.quote("echo %s", argument)
