"""The program that brings a model into the cache, run on the twin's hub with both versions of the library."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.twin.hub_client import HubClient, hub_client
from tests.waiting import eventually
from vengeance import programs
from vengeance.programs import download_model, look_for_model
from vengeance.twin.distro.settings import cache_folder
from vengeance.twin.vendors.hub import TOKEN, TOKEN_WITHOUT_GATED, TOKEN_WITHOUT_LICENCE
from vengeance.twin.vendors.hub_models import LLAMA, MISTRAL, QWEN
from vengeance.twin.vendors.site import WebFault
from vengeance.twin.vllm_stand_in.library import library

PROGRAM = programs.load("download_model")
COMMIT = MISTRAL.commits[0]
SHARD = "model-00002-of-00003.safetensors"
LARGE = "xethub.hf.co"

Done = subprocess.CompletedProcess[str]


@pytest.fixture(params=["0.36", "2"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HubClient]:
    other = None
    if request.param == "0.36":
        # Those of the twin's distro; the one that is taken of them is for every Python.
        wheels = library(cache_folder(), "3.11")
        other = tmp_path / "library"
        with zipfile.ZipFile(next(wheels.glob("huggingface_hub-*.whl"))) as wheel:
            wheel.extractall(other)
    with hub_client(tmp_path, other) as one:
        yield one


@pytest.fixture
def newest(tmp_path: Path) -> Iterator[HubClient]:
    """Where the version of the library makes no difference."""
    with hub_client(tmp_path) as one:
        yield one


def arguments(client: HubClient, model: str = MISTRAL.name, revision: str = COMMIT, reserve: int = 0) -> list[str]:
    return [str(client.hf_home), model, revision, str(reserve)]


def download(client: HubClient, model: str = MISTRAL.name, revision: str = COMMIT, reserve: int = 0) -> Done:
    return client.run(PROGRAM, *arguments(client, model, revision, reserve))


def refusal(client: HubClient, model: str = MISTRAL.name, revision: str = COMMIT, reserve: int = 0) -> str:
    done = download(client, model, revision, reserve)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr.strip()


def snapshot(client: HubClient, model: str = MISTRAL.name, commit: str = COMMIT) -> Path:
    return client.hf_home / "hub" / f"models--{model.replace('/', '--')}" / "snapshots" / commit


def check_whole(client: HubClient, folder: Path) -> None:
    """Compare what is in a snapshot with the hub's own files, byte by byte."""
    files = client.hub.files(MISTRAL)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(files)
    for name, file in files.items():
        assert (folder / name).read_bytes() == file.path.read_bytes()


def blob_of(client: HubClient, name: str) -> Path:
    return snapshot(client).parents[1] / "blobs" / client.hub.files(MISTRAL)[name].etag


def part_of_a_shard(client: HubClient) -> bool:
    """Whether a shard has begun to come."""
    for file in blob_of(client, SHARD).parent.glob("*.incomplete"):
        # A small one is whole, and has its own name, from one look to the next.
        with suppress(FileNotFoundError):
            if file.stat().st_size >= 1 << 20:
                return True
    return False


def looked(client: HubClient, revision: str = COMMIT) -> dict[str, object]:
    return look_for_model.look(str(client.hf_home), MISTRAL.name, revision)


def give_token(client: HubClient, token: str) -> None:
    client.hf_home.mkdir(exist_ok=True)
    (client.hf_home / "token").write_text(token + "\n", encoding="utf-8")


def test_a_model_is_downloaded_whole_and_known_without_asking_anybody(client: HubClient) -> None:
    assert looked(client)["complete"] is False
    done = download(client)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{MISTRAL.name} is complete at {COMMIT}" in done.stdout
    check_whole(client, snapshot(client))
    client.hub.requests.clear()
    found = looked(client)
    assert (found["complete"], found["commit"], found["faulty"]) == (True, COMMIT, [])
    assert found["size"] == sum(file.size for file in client.hub.files(MISTRAL).values())
    assert client.hub.requests == []


def test_the_library_itself_finds_the_download_offline(client: HubClient) -> None:
    assert download(client, revision="").returncode == 0
    client.hub.requests.clear()
    program = f"from huggingface_hub import snapshot_download\nprint(snapshot_download({MISTRAL.name!r}))"
    done = client.run(program, HF_HUB_OFFLINE="1")
    assert done.stdout.strip() == str(snapshot(client)), done.stderr
    assert client.hub.requests == []


def test_a_connection_that_is_cut_goes_on_where_it_was(client: HubClient) -> None:
    client.hub.faults.add(WebFault("cut", 1_500_000))
    done = download(client)
    assert done.returncode == 0, done.stderr
    ranges = [wanted for status, wanted in client.asked("GET", LARGE) if status == 206]
    assert len(ranges) == 1
    assert ranges[0] is not None
    # At least the first MiB of it was kept.
    assert int(ranges[0].removeprefix("bytes=").rstrip("-")) >= 1 << 20
    check_whole(client, snapshot(client))
    # Links to large files are signed, on the real hub.
    assert LARGE not in done.stdout + done.stderr


def test_a_download_that_was_killed_is_gone_on_with_by_the_next(client: HubClient) -> None:
    client.hub.faults.add(WebFault("stall", 2_000_000))
    process = client.start(PROGRAM, *arguments(client))
    eventually(lambda: part_of_a_shard(client), "a part of a shard")
    process.kill()
    process.communicate()
    assert looked(client)["complete"] is False
    client.hub.requests.clear()
    assert download(client).returncode == 0
    assert [status for status, _ in client.asked("GET", LARGE)].count(206) == 1
    check_whole(client, snapshot(client))


def test_a_hub_that_is_busy_for_a_moment_is_asked_again(newest: HubClient) -> None:
    newest.hub.faults.add(WebFault("status", 503))
    assert download(newest).returncode == 0
    check_whole(newest, snapshot(newest))


@pytest.mark.parametrize("left", [0, 700_000])
def test_a_file_that_a_power_cut_left_short_is_found_and_mended(newest: HubClient, left: int) -> None:
    assert download(newest).returncode == 0
    os.truncate(blob_of(newest, SHARD), left)
    assert (looked(newest)["complete"], looked(newest)["faulty"]) == (False, [SHARD])
    newest.hub.requests.clear()
    done = download(newest)
    assert f"{SHARD} is damaged, with {left} of " in done.stdout
    # The others were left alone.
    assert len(newest.asked("GET", LARGE)) == 1
    assert looked(newest)["complete"] is True
    check_whole(newest, snapshot(newest))


def test_a_part_with_a_zeroed_end_is_fetched_anew(newest: HubClient) -> None:
    blob = blob_of(newest, SHARD)
    blob.parent.mkdir(parents=True)
    right = newest.hub.files(MISTRAL)[SHARD].path.read_bytes()
    Path(f"{blob}.incomplete").write_bytes(right[:1_000_000] + b"\0" * 500_000)
    done = download(newest)
    assert f"{SHARD}: what came is not what" in done.stdout
    check_whole(newest, snapshot(newest))


def test_what_the_library_itself_left_half_there_is_taken_away(newest: HubClient) -> None:
    blob = blob_of(newest, SHARD)
    blob.parent.mkdir(parents=True)
    left = blob.with_name(f"{blob.name}.0123abcd.incomplete")
    left.write_bytes(b"half")
    assert download(newest).returncode == 0
    assert not left.exists()
    check_whole(newest, snapshot(newest))


def test_a_file_with_other_bytes_of_the_right_length_is_found_by_the_next_download(newest: HubClient) -> None:
    assert download(newest).returncode == 0
    blob = blob_of(newest, SHARD)
    blob.write_bytes(b"\0" * blob.stat().st_size)
    assert download(newest).returncode == 0
    check_whole(newest, snapshot(newest))


def test_two_downloads_of_a_model_wait_for_each_other(newest: HubClient) -> None:
    newest.hub.faults.add(WebFault("slow", 2_000_000))
    first = newest.start(PROGRAM, *arguments(newest))
    eventually(lambda: newest.asked("GET", LARGE), "the first shard")
    second = download(newest)
    out, _ = first.communicate()
    assert (first.returncode, second.returncode) == (0, 0), out
    assert "another download" in second.stdout
    assert len(newest.asked("GET", LARGE)) == 3


def test_the_same_weights_in_another_form_are_left_where_they_are(newest: HubClient) -> None:
    give_token(newest, TOKEN)
    assert download(newest, LLAMA.name, LLAMA.commits[0]).returncode == 0
    folder = snapshot(newest, LLAMA.name, LLAMA.commits[0])
    assert not (folder / "original").exists()
    assert len(list(folder.glob("*.safetensors"))) == 4


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["a.safetensors", "a.bin", "original/x.pth", "m.gguf", "config.json"], ["a.safetensors", "config.json"]),
        (["model.gguf", "config.json"], ["model.gguf", "config.json"]),
        (["pytorch_model.bin", "config.json"], ["pytorch_model.bin", "config.json"]),
        (["model.safetensors", "consolidated.safetensors"], ["model.safetensors"]),
        (["consolidated.safetensors", "params.json"], ["consolidated.safetensors", "params.json"]),
    ],
)
def test_files_are_chosen_by_what_vllm_can_load(names: list[str], kept: list[str]) -> None:
    assert download_model.chosen(names) == kept


def test_a_licence_without_a_token_names_the_page_and_the_setting(client: HubClient) -> None:
    said = refusal(client, LLAMA.name, LLAMA.commits[0])
    assert f"https://huggingface.co/{LLAMA.name}" in said
    assert "no token is declared" in said
    assert "vllm_hf_token" in said
    assert not list(client.hf_home.rglob("*.safetensors"))


def test_a_licence_that_is_not_accepted_names_the_page_and_the_account(newest: HubClient) -> None:
    give_token(newest, TOKEN_WITHOUT_LICENCE)
    said = refusal(newest, LLAMA.name, LLAMA.commits[0])
    assert f"Accept it at https://huggingface.co/{LLAMA.name}" in said
    assert "owner, guest," in said
    assert TOKEN_WITHOUT_LICENCE not in said


def test_a_token_without_access_to_such_models_says_what_to_tick(newest: HubClient) -> None:
    give_token(newest, TOKEN_WITHOUT_GATED)
    said = refusal(newest, LLAMA.name, LLAMA.commits[0])
    assert "public gated repos" in said
    assert "https://huggingface.co/settings/tokens" in said


def test_a_wrong_token_is_said_to_be_one_and_not_shown(client: HubClient) -> None:
    give_token(client, "hf_mistyped")
    said = refusal(client)
    assert "does not know the token in" in said
    assert "hf_mistyped" not in said


def test_an_unknown_model_is_said_with_the_nearest(client: HubClient) -> None:
    said = refusal(client, "stelterlab/Mistral-Small-24B-Instruct-2502-AWQ", "main")
    assert "There is no model stelterlab/Mistral-Small-24B-Instruct-2502-AWQ" in said
    assert "no token is declared" in said
    assert f"Near to it: {MISTRAL.name}" in said


def test_an_unknown_revision_is_said_with_the_nearest(client: HubClient) -> None:
    said = refusal(client, QWEN.name, "master")
    assert f"{QWEN.name} has no revision master" in said
    assert f"its newest commit is {QWEN.commits[0]}" in said
    said = refusal(client, QWEN.name, QWEN.commits[1][:7] + "0" * 33)
    assert f"Did you mean {QWEN.commits[1]}?" in said


def test_a_disk_without_room_is_refused_before_anything_is_fetched(newest: HubClient) -> None:
    # What is free may become more meanwhile; all of the disk never is.
    said = refusal(newest, reserve=shutil.disk_usage(newest.folder).total)
    assert f"{MISTRAL.name} needs 7." in said
    assert str(newest.hf_home) in said
    assert "Nothing was fetched" in said
    assert newest.asked("GET", "/resolve/") == []


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("only root mounts a small disk")
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False).returncode != 0:
        pytest.skip("this machine mounts nothing")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_disk_that_becomes_full_is_said_and_gone_on_with(newest: HubClient) -> None:
    with small_disk(newest.hf_home, "size=16m"):
        newest.hub.faults.add(WebFault("slow", 700_000))
        process = newest.start(PROGRAM, *arguments(newest))
        eventually(lambda: part_of_a_shard(newest), "a part of the first shard")
        # Somebody else takes the rest.
        filler = newest.hf_home / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"\0" * 65536):
                pass
        out, said = process.communicate()
        assert (process.returncode, "Traceback" in said) == (1, False), out
        assert f"The disk of {newest.hf_home} is full" in said
        assert "vllm_hf_home" in said
        filler.unlink()
        newest.hub.requests.clear()
        assert download(newest).returncode == 0
        assert 206 in [status for status, _ in newest.asked("GET", LARGE)]
        check_whole(newest, snapshot(newest))


def test_a_hub_that_cannot_be_reached_is_said_with_what_to_try(newest: HubClient) -> None:
    newest.port = 9  # nobody listens there
    said = refusal(newest)
    assert "https://huggingface.co does not give" in said
    assert f"curl -I https://huggingface.co/{MISTRAL.name}" in said


def test_a_cut_before_the_list_is_written_costs_no_second_download(newest: HubClient) -> None:
    assert download(newest).returncode == 0
    Path(download_model.Store(str(newest.hf_home), MISTRAL.name).list_of(COMMIT)).unlink()
    assert looked(newest)["complete"] is False
    newest.hub.requests.clear()
    assert download(newest).returncode == 0
    assert newest.asked("GET", LARGE) == []
    assert looked(newest)["complete"] is True


def test_how_far_a_download_is_is_told_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(download_model, "TELL_EVERY", 0.01)
    part = tmp_path / "part"
    part.write_bytes(b"x" * 1_000_000)
    files = [download_model.Wanted("a", 2_000_000, "x"), download_model.Wanted("b", 8_000_000, "y")]
    store = download_model.Store(str(tmp_path), MISTRAL.name)
    progress = download_model.Progress(store, files, done=2_000_000, now=str(part))
    with progress.told():
        part.write_bytes(b"x" * 2_500_000)
        line = re.compile(r"4\.5 MB of 10\.0 MB, \d+\.\d MB/s, \d+ min left\n")
        eventually(lambda: line.search(capsys.readouterr().out), "a line")


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ConnectionResetError(104, "Connection reset by peer"), True),
        (TimeoutError("timed out"), True),
        (OSError("Consistency check failed"), True),
        (OSError(28, "No space left on device"), False),
        (OSError(30, "Read-only file system"), False),
        (PermissionError(13, "Permission denied"), False),
    ],
)
def test_trouble_on_the_way_may_pass_and_trouble_of_the_disk_does_not(error: OSError, passes: bool) -> None:
    assert download_model.passing(error) is passes


def test_a_folder_that_cannot_be_written_is_named(newest: HubClient) -> None:
    newest.hf_home.write_text("a file where the folder should be", encoding="utf-8")
    assert f"{newest.hf_home}" in refusal(newest)


def test_the_signature_of_a_link_is_not_told() -> None:
    error = OSError("403 Forbidden for url: https://cas.example/x/y?X-Signature=abc&Expires=1 (Request ID: 1)")
    assert download_model.said_by(error) == "403 Forbidden for url: https://cas.example/x/y (Request ID: 1)"


def test_an_index_that_names_a_shard_too_many_is_refused(newest: HubClient, tmp_path: Path) -> None:
    store = download_model.Store(str(tmp_path), MISTRAL.name)
    index = Path(store.seen(COMMIT, "model.safetensors.index.json"))
    index.parent.mkdir(parents=True)
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}), encoding="utf-8")
    files = [download_model.Wanted(name, 1, "x") for name in (index.name, "one.safetensors")]
    with pytest.raises(download_model.Refused, match=r"names two\.safetensors"):
        download_model.check_index(store, COMMIT, files)
