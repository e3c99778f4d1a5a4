"""No run leaves a secret anywhere but where it is meant to be: both sides are searched, whatever it was turned into.

One bare twin is built with everything that pyinfra can be made to say, through failures that print much on the way.
Then what all of it has written is searched: output and logs, temporary files, command lines and environments while it
ran, the twin's whole state with the events that Windows would log, and the distro's file system and journal.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.secret_places import MEANT, leaks, search_the_distro
from tests.faults.secret_search import Search, token
from tests.faults.secret_watch import Watch
from tests.twin_deploys import ROOT, TWIN, twin_environment, vllm_at_boot
from vengeance.secret import MASK
from vengeance.twin.client import Twin
from vengeance.twin.vendors import hub
from vengeance.twin.windows.event_log import FILE as EVENTS

NAME = "secrets"
LOUD = ("--debug", "-vvv", "--diff")
DEPLOY = "deploys/vengeance.py"

# Signs that are special to some shell, to JSON, XML and URLs, around a core that none of them changes.
CORES = {name: token() for name in ("WinRM password", "wrong password", "vLLM key", "broken key", "wrong hub token")}
SECRETS = {
    "WinRM password": f"pä\"{CORES['WinRM password']}'\\&<%",
    "wrong password": f"\\{CORES['wrong password']}$(id)`",
    "vLLM key": f"sk-\"{CORES['vLLM key']}'$%\\&<",
    "broken key": f"sk-\a{CORES['broken key']}",
    "wrong hub token": f"hf_{CORES['wrong hub token']}",
    # The one that the twin's hub knows.
    "hub token": hub.TOKEN,
}
CORES["hub token"] = hub.TOKEN

INVENTORY = """
import os, runpy
from vengeance.secret import Secret

def secret(name):
    return Secret.from_file(os.path.join({folder!r}, name))

_twin = runpy.run_path({twin!r})
windows = [(name, {{**data, "winrm_password": secret("winrm"), "task_password": secret("task")}})
           for name, data in _twin["windows"]]
wsl = [(name, {{**data, "vllm_api_key": secret("key"), "vllm_hf_token": secret("hub")}}) for name, data in _twin["wsl"]]
"""


@dataclass
class Runs:
    """Runs of pyinfra on the twin, and what each of them said.

    folder: with the inventory, a home and a temporary folder for them; secrets lie beside it
    """

    twin: Twin
    folder: Path
    said: dict[str, bytes] = field(default_factory=dict)

    @property
    def inventory(self) -> Path:
        """The twin's inventory with our secrets."""
        return self.folder / "inventories/box.py"

    def give(self, **secrets: str) -> None:
        """Put secrets into the files that the inventory names, by the names of SECRETS."""
        for file, name in secrets.items():
            place = self.folder.parent / "given" / file
            place.parent.mkdir(exist_ok=True)
            place.touch(mode=0o600)
            place.write_text(SECRETS[name] + "\n", encoding="utf-8")

    def pyinfra(self, what: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run it; ``what`` names the run."""
        return self.program(what, "-m", "pyinfra", str(self.inventory), *arguments)

    def program(self, what: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run a Python program as a user would; ``what`` names the run."""
        environment = {
            **twin_environment(self.twin.name),
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "temporary"),
            "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", ""))),
        }
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=600,
        )
        self.said[what] = done.stdout + b"\n" + done.stderr
        return done

    def fails(self, what: str, sentence: str, *arguments: str) -> None:
        """Run what has to fail with a sentence, a regular expression."""
        done = self.pyinfra(what, *arguments)
        said = re.sub(r"\s+", " ", re.sub(r"\x1b\[[0-9;]*m", "", self.said[what].decode("utf-8", "replace")))
        assert done.returncode != 0, f"{what} went well"
        assert re.search(sentence, said), f"{what}: {said[-3000:]}"

    def right(self, what: str, *arguments: str) -> None:
        """Run what has to go well."""
        done = self.pyinfra(what, *arguments)
        assert done.returncode == 0, self.said[what].decode("utf-8", "replace")[-5000:]


@pytest.fixture
def runs(twin_home: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Runs]:
    """A bare twin whose account has our password, and nothing run on it yet; with a distro where all is asked for."""
    whole = request.node.get_closest_marker("full") is not None
    twin = Twin(f"{NAME}-whole" if whole else NAME)
    twin.folder.mkdir(mode=0o700, parents=True)
    book = twin.folder / "credentials.json"
    book.touch(mode=0o600)
    book.write_text(json.dumps({"password": SECRETS["WinRM password"]}), encoding="utf-8")
    folder = tmp_path / "run"
    for name in ("inventories", "home", "temporary"):
        (folder / name).mkdir(parents=True)
    made = Runs(twin, folder)
    made.inventory.write_text(INVENTORY.format(folder=str(folder.parent / "given"), twin=str(TWIN)))
    made.give(winrm="WinRM password", task="WinRM password", key="vLLM key", hub="hub token")
    try:
        status = twin.up(bare=True, distro=whole)
        if whole and not (status["distro"]["systemd"] and status["distro"]["vendor_repository"]):
            pytest.skip(f"the twin's distro is not whole here: {' '.join(status['distro']['missing'])}")
        yield made
    finally:
        twin.down()


def build_windows(runs: Runs) -> None:
    """Bring the tasks with a stored password there, and look at what is said of the inventory."""
    runs.give(task="wrong password")
    runs.fails("a task with another password", "is not that of VENGEANCE", "deploys/ollama.py", "--yes", *LOUD)
    runs.give(task="WinRM password")
    runs.right("Ollama", "deploys/ollama.py", "--yes", *LOUD)
    runs.right("the inventory", "debug-inventory", "--debug", "-vvv")
    runs.right("the inventory as JSON", "debug-inventory", "--json")
    assert MASK in runs.said["the inventory as JSON"].decode()
    runs.give(winrm="wrong password")
    runs.fails("another password", "refused", "deploys/preflight.py", "--yes", *LOUD)
    runs.give(winrm="WinRM password")


def build_everything(runs: Runs) -> None:
    """Build the whole box, in every way that says much, its failures first."""
    build_windows(runs)
    runs.give(key="broken key")
    runs.fails("a key with a bell in it", "printable ASCII characters alone", DEPLOY, "--yes", *LOUD)
    runs.give(key="vLLM key", hub="wrong hub token")
    runs.fails("a token that the hub refuses", "vllm_hf_token", DEPLOY, "--yes", *LOUD, *vllm_at_boot())
    runs.give(hub="hub token")
    runs.right("the whole deploy", DEPLOY, "--yes", *LOUD, *vllm_at_boot())
    runs.right("a plan as JSON", DEPLOY, "--json", "--debug", "-vvv", *vllm_at_boot())
    runs.right("a dry run", DEPLOY, "--dry", *LOUD, *vllm_at_boot())
    for words in (["mode", "--json"], ["mode", "interactive"]):
        runs.program(" ".join(words), "-m", "vengeance", *words, "--inventory", str(runs.inventory))
    runs.twin.card_hold("Cyberpunk2077.exe", 20_000)
    busy = ("deploys/vllm.py", "--yes", *LOUD, *vllm_at_boot())
    runs.fails("a server that does not start", "the card is not free", *busy)


def check(runs: Runs, build: Callable[[Runs], None], names: set[str]) -> None:
    """Run something and search everything; ``names`` are those secrets that it puts where they are meant to be."""
    search = Search(CORES)
    begun = time.time()
    with Watch(search, [runs.folder / "temporary"]) as watch:
        build(runs)
    found = [one for what, text in runs.said.items() for one in search.text(f"what was said: {what}", text)]
    found += watch.found.values()
    found += search.folder(runs.folder)
    found += search.folder(ROOT, since=begun, leave_out=[ROOT / ".git", ROOT / ".venv", ROOT / ".mypy_cache"])
    found += search.folder(runs.twin.folder, leave_out=[runs.twin.folder / "linux"])
    if runs.twin.status()["distro"]["registered"]:
        found += search_the_distro(runs.twin, search, begun)
    assert not leaks(found), "\n".join(f"{one.name} in {one.place} ({one.form}): {one.around}" for one in leaks(found))
    unseen = [
        f"{name} in {place}"
        for name, place, _ in MEANT
        if name in names and not any(one.name == name and re.fullmatch(place, one.place, re.S) for one in found)
    ]
    assert not unseen, f"the search misses what is there: {unseen}"
    events = (runs.twin.folder / EVENTS).read_text(encoding="utf-8")
    for number in (4103, 4104, 4688, 4698):
        assert f'{{"event": {number},' in events, f"Windows has logged no event {number}"


def test_what_windows_is_told_leaves_no_secret_where_it_is_not_meant_to_be(runs: Runs) -> None:
    check(runs, build_windows, {"WinRM password"})


@pytest.mark.full
@pytest.mark.timeout(900)
def test_building_the_whole_box_leaves_no_secret_where_it_is_not_meant_to_be(runs: Runs) -> None:
    check(runs, build_everything, {"WinRM password", "vLLM key", "hub token"})
