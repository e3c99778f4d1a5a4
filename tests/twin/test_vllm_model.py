"""Models brought into the twin's distro by deploys, from the twin's huggingface.co, with the library of vLLM 0.15.1.

What is there afterwards is read by this machine's own tools in the distro, and compared with the hub's own files.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.twin_deploys import ROOT, TWIN, Finished, right, run_pyinfra, told
from tests.waiting import eventually
from vengeance.twin.__main__ import main
from vengeance.twin.client import Twin
from vengeance.twin.distro.settings import cache_folder
from vengeance.twin.vendors.hub import TOKEN, TOKEN_WITHOUT_LICENCE, Hub
from vengeance.twin.vendors.hub_models import LLAMA, MISTRAL, Shape

DEPLOY = Path(__file__).parent / "deploys/vllm_model.py"
PATH = "/home/steam/models-env"
HOME = "/home/steam/models"
COMMIT = MISTRAL.commits[0]


@dataclass
class Box:
    """The distro, and deploys on it."""

    twin: Twin
    folder: Path

    def sh(self, script: str, user: str = "root") -> str:
        """What a script prints in the distro, entered by this machine's own tools; it must succeed."""
        done = self.twin.distro_exec(["/bin/sh", "-c", script], user, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return str(done.stdout.decode())

    def arguments(self, token: str | None = None, **data: Any) -> list[str]:
        """Those of pyinfra for a model."""
        told = {"model": MISTRAL.name, "revision": COMMIT, "hf_home": HOME, "path": PATH, "reserve_gb": 0, **data}
        if token is not None:
            file = self.folder / "token"
            file.touch(mode=0o600)
            file.write_text(token + "\n", encoding="utf-8")
            told["token_file"] = str(file)
        words = [word for name, value in told.items() if value is not None for word in ("--data", f"{name}={value}")]
        return [str(DEPLOY), "--yes", "--limit", "wsl", *words]

    def deploy(self, *further: str, token: str | None = None, **data: Any) -> Finished:
        """Do it as a person does."""
        return run_pyinfra("tests", *self.arguments(token, **data), *further)

    def asked(self) -> list[dict[str, Any]]:
        """What the hub was asked since the last time that this was asked."""
        return list(self.twin.hub(reset=True)["requests"])

    def hashes(self, shape: Shape) -> dict[str, str]:
        """Name -> SHA-256 of what vLLM would find of a model."""
        folder = f"{HOME}/hub/models--{shape.name.replace('/', '--')}/snapshots/{shape.commits[0]}"
        lines = self.sh(f"cd {folder} && find . -not -type d -exec sha256sum {{}} +").splitlines()
        return {name.removeprefix("./"): sha256 for sha256, name in (line.split("  ") for line in lines)}


def published(shape: Shape) -> dict[str, str]:
    """The same of what the hub has."""
    files = Hub.of(cache_folder()).files(shape)
    return {name: hashlib.sha256(file.path.read_bytes()).hexdigest() for name, file in files.items()}


def refused(finished: Finished) -> str:
    """The same of a run that stopped with a sentence."""
    text = told(finished)
    assert finished.returncode != 0, text
    assert "Traceback" not in text
    return text


def changed(text: str) -> bool:
    """Whether a run did anything."""
    return "Success" in text.split("--> Results:")[0]


@pytest.fixture(scope="module")
def distro(twin: Twin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A distro with the library that vLLM brings along."""
    state = twin.status()["distro"]
    if not state["vendor_repository"]:
        pytest.skip(f"the twin's distro reaches no hub here: {' '.join(state['missing'])}")
    box = Box(twin, tmp_path_factory.mktemp("token"))
    install = f"{PATH}/bin/pip install -q --no-index --no-compile huggingface_hub==0.36.2"
    # As somebody who signs in: this machine's own variables for pip are not the distro's.
    box.sh(f"runuser -l steam -c 'python3 -m venv {PATH} && {install}'")
    yield box
    box.sh(f"rm -rf {PATH} /home/steam/elsewhere /srv/small /mnt/c/there")


@pytest.fixture
def box(distro: Box) -> Iterator[Box]:
    """The same with no model in it."""
    distro.asked()
    yield distro
    distro.twin.fault("clear")
    distro.sh(f"rm -rf {HOME} /srv/small/hf")


def test_a_model_is_brought_in_once_and_nobody_is_asked_again(box: Box) -> None:
    first = right(box.deploy())
    assert f"model {MISTRAL.name}: (not complete) -> complete at {COMMIT}" in first
    assert box.hashes(MISTRAL) == published(MISTRAL)
    assert set(box.sh(f"find {HOME} -printf '%u\\n'").split()) == {"steam"}
    assert box.asked() != []
    second = right(box.deploy())
    assert not changed(second)
    assert box.asked() == []


def test_a_person_sees_what_the_hub_was_asked(box: Box, capsys: pytest.CaptureFixture[str]) -> None:
    box.sh(f"curl -fsS -r 0-3 -o /dev/null https://huggingface.co/{MISTRAL.name}/resolve/{COMMIT}/config.json")
    assert main(["hub", "--name", "tests", "--reset"]) == 0
    told_of = capsys.readouterr().out.splitlines()
    assert f"{MISTRAL.name}  {COMMIT}" in told_of
    assert f"{LLAMA.name}  {LLAMA.commits[0]}  (licence llama3.1)" in told_of
    file = f"https://huggingface.co/{MISTRAL.name}/resolve/{COMMIT}/config.json"
    assert told_of[-1] == f"  206 GET {file}  bytes=0-3"
    assert box.asked() == []


@pytest.mark.full
def test_a_deploy_that_is_cut_in_the_middle_is_gone_on_with_by_the_next(box: Box) -> None:
    box.twin.fault("web", how="stall", value=2_000_000)
    environment = {"VENGEANCE_TWIN": "tests", "PYINFRA_PROGRESS": "off"}
    command = [sys.executable, "-m", "pyinfra", str(TWIN), *box.arguments()]
    cut = subprocess.Popen(
        ["env", *(f"{name}={value}" for name, value in environment.items()), *command],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        parts = f"find {HOME} -name '*.incomplete' -size +1000k"
        eventually(lambda: box.sh(f"[ ! -d {HOME} ] || {parts}"), "a part of a shard", 60)
    finally:
        cut.kill()
        cut.wait()
    right(box.deploy())
    assert box.hashes(MISTRAL) == published(MISTRAL)
    shards = [one for one in box.asked() if one["method"] == "GET" and "xethub" in one["url"]]
    ranges = [one["range"] for one in shards if one["status"] == 206]
    assert len(shards) == 4
    assert len(ranges) == 1
    assert int(re.sub(r"\D", "", ranges[0])) >= 1 << 20


def test_half_files_are_found_and_mended(box: Box) -> None:
    right(box.deploy())
    folder = f"{HOME}/hub/models--{MISTRAL.name.replace('/', '--')}"
    box.sh(f"cd {folder}/snapshots/{COMMIT} && : > config.json && truncate -s 1000 model-00001-of-00003.safetensors")
    box.asked()
    text = right(box.deploy())
    assert "2 files are missing or short (config.json, model-00001-of-00003.safetensors) -> fetched anew" in text
    assert box.hashes(MISTRAL) == published(MISTRAL)
    assert len([one for one in box.asked() if one["method"] == "GET" and "xethub" in one["url"]]) == 1


def test_a_model_with_a_licence_comes_with_the_right_token_which_nobody_sees(box: Box) -> None:
    model = {"model": LLAMA.name, "revision": LLAMA.commits[0]}
    text = refused(box.deploy(**model))
    assert f"Accept it at https://huggingface.co/{LLAMA.name}" in text
    assert "no token is declared" in text
    text = refused(box.deploy(token="hf_mistyped", **model))
    assert "Hugging Face does not know the token in" in text
    text = refused(box.deploy(token=TOKEN_WITHOUT_LICENCE, **model))
    assert "owner, guest, has not been given" in text
    everything = right(box.deploy("--debug", "-vvv", token=TOKEN, **model))
    for secret in ("hf_mistyped", TOKEN_WITHOUT_LICENCE, TOKEN):
        assert secret not in text + everything
    assert box.hashes(LLAMA) == {name: sha for name, sha in published(LLAMA).items() if "original/" not in name}
    assert box.sh(f"stat -c '%a %U' {HOME}/token; cat {HOME}/token") == f"600 steam\n{TOKEN}\n"
    assert not changed(right(box.deploy(token=TOKEN, **model)))
    assert TOKEN not in Path(box.twin.folder / "requests.jsonl").read_text(encoding="utf-8")


@pytest.mark.full
def test_a_token_goes_when_it_is_not_declared_unless_it_is_the_users_own(box: Box) -> None:
    right(box.deploy(token=TOKEN))
    box.sh(f"chmod 644 {HOME}/token")
    assert changed(right(box.deploy(token=TOKEN)))
    assert box.sh(f"stat -c %a {HOME}/token") == "600\n"
    assert f"{HOME}/token: ours -> (removed)" in right(box.deploy())
    assert box.sh(f"ls -A {HOME}/token* {HOME}/vengeance/token* 2>/dev/null || echo none") == "none\n"
    box.sh(f"echo hf_of_the_user > {HOME}/token", user="steam")
    assert not changed(right(box.deploy()))
    assert box.sh(f"cat {HOME}/token") == "hf_of_the_user\n"


@pytest.mark.full
def test_a_revision_that_is_none_is_said_with_the_nearest_and_one_that_moves_with_its_commit(box: Box) -> None:
    text = refused(box.deploy(revision="mein"))
    assert f"{MISTRAL.name} has no revision mein. Did you mean main?" in text
    text = right(box.deploy(revision=None))
    assert f'main can be another model tomorrow: revision="{COMMIT}" pins what is there' in text
    assert box.sh(f"cat {HOME}/hub/models--{MISTRAL.name.replace('/', '--')}/refs/main") == COMMIT
    box.asked()
    assert not changed(right(box.deploy(revision=None)))
    assert box.asked() == []


def test_a_disk_without_room_is_refused_with_the_numbers(box: Box) -> None:
    box.sh("mkdir -p /srv/small && mount -t tmpfs -o size=4m tmpfs /srv/small && chmod 777 /srv/small")
    try:
        text = refused(box.deploy(hf_home="/srv/small/hf"))
    finally:
        box.sh("umount /srv/small")
    assert f"{MISTRAL.name} needs 7.7 MB more in /srv/small/hf" in text
    assert "4.2 MB are free" in text
    assert not [one for one in box.asked() if "/resolve/" in one["url"]]


def test_a_folder_on_a_drive_of_windows_is_refused_before_anything_is_done(box: Box) -> None:
    text = refused(box.deploy(hf_home="/mnt/c/models", token=TOKEN))
    assert "/mnt/c/models lies on a drive of Windows" in text
    box.sh("mkdir -p /mnt/c/there && ln -sfn /mnt/c/there /home/steam/elsewhere")
    text = refused(box.deploy(hf_home="/home/steam/elsewhere"))
    assert "/home/steam/elsewhere leads to /mnt/c/there, which lies on a drive of Windows" in text
    assert box.asked() == []
    assert not (box.twin.drive_c / "models").exists()


def test_a_folder_that_the_user_cannot_make_is_made_for_him(box: Box) -> None:
    right(box.deploy(hf_home="/srv/models"))
    assert box.sh("stat -c %U /srv/models; rm -rf /srv/models") == "steam\n"
