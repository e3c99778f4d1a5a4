"""Pulls of the twin's Ollama: what they tell, how they fail, and what is left for the next attempt."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.twin.ollama_box import SMALL, OllamaBox
from tests.waiting import eventually

BIG = "qwen2.5:72b"
HOUR = 3600.0


@pytest.fixture
def box(tmp_path: Path) -> Iterator[OllamaBox]:
    box = OllamaBox(tmp_path)
    yield box
    box.windows.stop_all()


def models_folder(box: OllamaBox) -> Path:
    return box.drive_c / "Users/Steam/.ollama/models"


def blobs(box: OllamaBox) -> list[str]:
    return sorted(os.listdir(models_folder(box) / "blobs"))


def partials(box: OllamaBox) -> list[str]:
    return [name for name in blobs(box) if "partial" in name]


def biggest(lines: list[dict[str, Any]]) -> list[int]:
    """What was told of the biggest layer: bytes that had come."""
    total = max(line.get("total", 0) for line in lines)
    return [line.get("completed", 0) for line in lines if line.get("total") == total]


def test_a_pull_tells_each_step_and_ends_with_success(box: OllamaBox) -> None:
    box.serve()
    lines = box.pull()
    statuses = list(dict.fromkeys(line["status"].split(" ")[0] for line in lines))
    assert statuses == ["pulling", "verifying", "writing", "success"]
    assert "completed" not in lines[1]
    told = biggest(lines)
    assert told == sorted(told)
    assert told[-1] == max(line.get("total", 0) for line in lines)


def test_digests_are_true_ones_of_what_lies_on_the_disk(box: OllamaBox) -> None:
    box.serve()
    box.have()
    for name in blobs(box):
        data = (models_folder(box) / "blobs" / name).read_bytes()
        assert name == f"sha256-{hashlib.sha256(data).hexdigest()}"
    manifest = (models_folder(box) / "manifests/registry.ollama.ai/library/qwen2.5/3b").read_bytes()
    listed = box.ask("GET", "/api/tags").json["models"][0]
    assert listed["digest"] == hashlib.sha256(manifest).hexdigest()
    assert listed["size"] == sum(
        one["size"] for one in [*json.loads(manifest)["layers"], json.loads(manifest)["config"]]
    )


def test_a_second_pull_brings_nothing_and_succeeds(box: OllamaBox) -> None:
    box.serve()
    box.have()
    lines = box.pull()
    assert lines[-1] == {"status": "success"}
    assert len(biggest(lines)) == 1


def test_a_pull_that_fails_at_60_percent_is_a_200_with_an_error_and_goes_on_from_there(box: OllamaBox) -> None:
    box.serve()
    box.ollama.fault("fail_at", percent=60)
    answer = box.ask("POST", "/api/pull", {"model": BIG})
    assert answer.status == 200
    assert answer.lines[-1] == {"error": "max retries exceeded: unexpected EOF"}
    total = max(line.get("total", 0) for line in answer.lines)
    assert len(partials(box)) == 2
    assert box.ask("GET", "/api/tags").json == {"models": []}
    again = box.pull(BIG)
    assert biggest(again)[0] >= int(total * 0.6)
    assert again[-1] == {"status": "success"}
    assert partials(box) == []


def test_a_pull_that_is_not_streamed_fails_with_a_500(box: OllamaBox) -> None:
    box.serve()
    box.ollama.fault("fail_at", percent=60)
    answer = box.ask("POST", "/api/pull", {"model": SMALL, "stream": False})
    assert (answer.status, answer.json["error"]) == (500, "max retries exceeded: unexpected EOF")
    assert box.ask("POST", "/api/pull", {"model": SMALL, "stream": False}).json == {"status": "success"}


def test_a_pull_that_is_cut_twice_ends_with_the_right_digest(box: OllamaBox) -> None:
    box.serve()
    box.ollama.fault("cut", percent=30)
    box.ollama.fault("cut", percent=70)
    for _ in range(2):
        with pytest.raises(http.client.IncompleteRead):
            box.pull(BIG)
    assert box.pull(BIG)[-1] == {"status": "success"}
    published = box.ollama.registry.find(BIG)
    assert published is not None
    assert box.ask("GET", "/api/tags").json["models"][0]["digest"] == published.digest


def test_a_client_that_goes_away_ends_the_pull_and_keeps_what_has_come(box: OllamaBox) -> None:
    box.serve()
    box.ollama.fault("stall", percent=50)
    connection = box.windows.network.connect("127.0.0.1", 11434)
    body = json.dumps({"model": BIG}).encode()
    connection.sendall(
        b"POST /api/pull HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    eventually(lambda: partials(box), "the first bytes")
    connection.close()
    server = next(iter(box.ollama.servers.values()))
    eventually(lambda: not server.pulls._running, "the end of the download")
    assert len(partials(box)) == 2
    assert biggest(box.pull(BIG))[0] > 0


def test_a_stalled_pull_repeats_itself_until_the_part_is_asked_for_again(box: OllamaBox) -> None:
    box.serve()
    box.ollama.fault("stall", percent=50)
    connection = http.client.HTTPConnection("localhost", 11434)
    connection.sock = box.windows.network.connect("127.0.0.1", 11434)
    connection.request("POST", "/api/pull", json.dumps({"model": SMALL}))
    response = connection.getresponse()
    before, line = b"", response.readline()
    while line != before:
        before, line = line, response.readline()
    assert 0.4 < json.loads(line)["completed"] / json.loads(line)["total"] < 0.6
    while line == before:
        box.clock.advance(10)
        line = response.readline()
    assert json.loads(response.read().splitlines()[-1]) == {"status": "success"}
    connection.close()


def test_two_pulls_of_one_model_share_its_download(box: OllamaBox) -> None:
    box.serve()
    answers: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: answers.append(box.pull(BIG)[-1])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [{"status": "success"}] * 3


def test_what_the_registry_does_not_have_is_an_error_in_a_200(box: OllamaBox) -> None:
    box.serve()
    answer = box.ask("POST", "/api/pull", {"model": "qwen2.5:4b"})
    assert answer.status == 200
    assert answer.lines == [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}]


def test_without_the_internet_a_pull_names_the_registry(box: OllamaBox) -> None:
    box.serve()
    box.ollama.fault("offline")
    assert "lookup registry.ollama.ai: no such host" in box.pull()[-1]["error"]


def test_wrong_bytes_are_thrown_away(box: OllamaBox) -> None:
    box.serve()
    box.ollama.fault("corrupt")
    assert box.pull()[-1]["error"].startswith("digest mismatch, file must be downloaded again")
    assert partials(box) == []
    box.have()


def test_a_moved_tag_brings_another_digest_and_removes_the_old_layers(box: OllamaBox) -> None:
    box.serve()
    box.have()
    before = box.ask("GET", "/api/tags").json["models"][0]["digest"]
    count = len(blobs(box))
    moved = box.ollama.registry.move(SMALL)
    lines = box.pull()
    assert {"status": "removing unused layers"} in lines
    assert box.ask("GET", "/api/tags").json["models"][0]["digest"] == moved.digest != before
    assert len(blobs(box)) == count


def test_a_full_disk_ends_a_pull_and_leaves_what_fits(box: OllamaBox) -> None:
    box.serve()
    box.windows.state.set_free_bytes(10_000_000_000)
    assert box.pull(BIG)[-1]["error"].endswith("There is not enough space on the disk.")
    assert box.windows.drive.free_bytes is not None
    assert box.windows.drive.free_bytes < 10_000_000_000
    assert len(partials(box)) == 2


def test_a_model_takes_its_declared_size_from_the_disk_and_gives_it_back(box: OllamaBox) -> None:
    box.serve()
    box.windows.state.set_free_bytes(60_000_000_000)
    box.have(BIG)
    size = box.ask("GET", "/api/tags").json["models"][0]["size"]
    assert box.windows.drive.free_bytes is not None
    assert abs(60_000_000_000 - size - box.windows.drive.free_bytes) < 100_000
    assert box.ask("DELETE", "/api/delete", {"model": BIG}).status == 200
    assert abs(60_000_000_000 - box.windows.drive.free_bytes) < 100_000
    assert blobs(box) == []


@pytest.mark.parametrize(
    ("age", "no_prune", "kept"), [(HOUR / 2, "", True), (2 * HOUR, "", False), (2 * HOUR, "1", True)]
)
def test_a_start_of_the_server_removes_partial_blobs_of_more_than_an_hour(
    box: OllamaBox, age: float, no_prune: str, kept: bool
) -> None:
    box.serve()
    box.ollama.fault("fail_at", percent=60)
    box.pull(BIG)
    box.kill("ollama.exe")
    box.clock.advance(age)
    box.serve(OLLAMA_NOPRUNE=no_prune)
    assert bool(partials(box)) is kept


def test_models_lie_where_the_environment_says(box: OllamaBox) -> None:
    box.serve(OLLAMA_MODELS="C:\\models")
    box.have()
    assert (box.drive_c / "models/manifests/registry.ollama.ai/library/qwen2.5/3b").is_file()
    assert not (models_folder(box) / "manifests").exists()


def test_a_folder_that_cannot_be_made_ends_the_server(box: OllamaBox) -> None:
    child = box.serve(wait=False, OLLAMA_MODELS="D:\\models")
    child.wait(30)
    assert child.output.exit_code == 1
    assert "Error: mkdir D:\\models: The system cannot find the drive specified." in box.log
