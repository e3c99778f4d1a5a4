"""The API of the twin's Ollama, asked by Ollama's and OpenAI's own Python clients and by plain HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import ollama
import openai
import pytest

from tests.twin.ollama_box import SMALL, OllamaBox
from vengeance.box.pins import pinned

EMBEDDER = "all-minilm"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OllamaBox]:
    """A box whose server has a small model and one for embeddings."""
    box = OllamaBox(tmp_path_factory.mktemp("api"))
    box.serve()
    box.have(SMALL, EMBEDDER)
    yield box
    box.windows.stop_all()


@pytest.fixture
def client(box: OllamaBox) -> ollama.Client:
    return ollama.Client(host=box.url)


@pytest.fixture
def compatible(box: OllamaBox) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{box.url}/v1", api_key="not needed", max_retries=0)


def test_the_root_says_that_it_runs(box: OllamaBox) -> None:
    answer = box.ask("GET", "/")
    assert (answer.status, answer.body) == (200, b"Ollama is running")
    assert box.ask("HEAD", "/").body == b""


def test_the_version_is_that_of_the_program(box: OllamaBox) -> None:
    answer = box.ask("GET", "/api/version")
    assert answer.json == {"version": pinned("ollama")}
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


def test_unknown_paths_and_methods_are_answered_as_gin_does(box: OllamaBox) -> None:
    assert box.ask("GET", "/metrics").body == b"404 page not found"
    refused = box.ask("GET", "/api/generate")
    assert (refused.status, refused.headers["allow"]) == (405, "POST")


def test_bad_requests_are_refused_in_a_sentence(box: OllamaBox) -> None:
    assert box.ask("POST", "/api/generate").json == {"error": "missing request body"}
    nothing = box.ask("POST", "/api/generate", {"model": "nothing", "prompt": "x"})
    assert (nothing.status, nothing.json) == (404, {"error": "model 'nothing' not found"})
    assert box.ask("POST", "/api/pull", {"model": "a b"}).status == 400


def test_ollamas_client_lists_what_is_installed(client: ollama.Client) -> None:
    models = {one.model: one for one in client.list().models}
    small = models[SMALL]
    assert set(models) == {SMALL, "all-minilm:latest"}
    assert small.details is not None
    assert (small.details.family, small.details.quantization_level) == ("qwen2", "Q4_K_M")
    assert small.size is not None
    assert round(small.size / 1e9, 1) == 1.9
    assert re.fullmatch(r"[0-9a-f]{64}", small.digest or "")


def test_times_have_the_boxes_offset_and_seven_digits(box: OllamaBox) -> None:
    shown = box.ask("GET", "/api/tags").json["models"][0]["modified_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+02:00", shown)


def test_ollamas_client_generates_in_one_piece_and_in_many(client: ollama.Client) -> None:
    whole = client.generate(SMALL, "What are you?")
    pieces = list(client.generate(SMALL, "What are you?", stream=True))
    assert whole.done_reason == "stop"
    assert "".join(one.response or "" for one in pieces) == whole.response
    assert [one.done for one in pieces] == [False] * (len(pieces) - 1) + [True]
    last = pieces[-1]
    assert last.eval_count == len(pieces) - 1
    assert (last.total_duration or 0) > (last.eval_duration or 0) > 0


def test_a_limit_of_tokens_ends_an_answer(client: ollama.Client) -> None:
    answer = client.generate(SMALL, "Count.", options={"num_predict": 3})
    assert (answer.eval_count, answer.done_reason) == (3, "length")


def test_ollamas_client_chats(client: ollama.Client) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    answer = client.chat(SMALL, messages)
    assert answer.message.role == "assistant"
    assert answer.message.content
    assert (
        "".join(one.message.content or "" for one in client.chat(SMALL, messages, stream=True))
        == answer.message.content
    )


def test_a_wished_format_is_kept(client: ollama.Client) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    assert client.chat(SMALL, [{"role": "user", "content": "?"}], format=schema).message.content == '{"age": 1}'


def test_ollamas_client_embeds(client: ollama.Client) -> None:
    first, second = client.embed(EMBEDDER, ["a", "b"]).embeddings
    assert len(first) == 384
    assert first != second
    assert client.embed(EMBEDDER, "a").embeddings == [first]
    assert client.embeddings(EMBEDDER, "a").embedding == first


def test_a_model_for_embeddings_does_not_chat(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="does not support chat"):
        client.chat(EMBEDDER, [{"role": "user", "content": "Hello"}])


def test_ollamas_client_shows_a_model(client: ollama.Client) -> None:
    shown = client.show(SMALL)
    assert shown.capabilities == ["completion", "tools"]
    assert shown.modelinfo is not None
    assert shown.modelinfo["qwen2.context_length"] == 32768
    assert shown.template


def test_ollamas_client_copies_creates_and_deletes(client: ollama.Client) -> None:
    client.copy(SMALL, "mine")
    statuses = [one.status for one in client.create("pirate", from_="mine", system="Talk like a pirate.", stream=True)]
    assert statuses[-1] == "success"
    digests = {one.model: one.digest for one in client.list().models}
    assert digests["mine:latest"] == digests[SMALL] != digests["pirate:latest"]
    client.delete("mine")
    client.delete("pirate")
    assert {one.model for one in client.list().models} == {SMALL, "all-minilm:latest"}
    assert client.generate(SMALL, "Still there?").response
    with pytest.raises(ollama.ResponseError) as failure:
        client.delete("mine")
    assert failure.value.status_code == 404


def test_blobs_can_be_brought_and_made_a_model(client: ollama.Client, tmp_path: Path) -> None:
    file = tmp_path / "own.gguf"
    file.write_bytes(b"GGUF something of somebody's own")
    digest = client.create_blob(file)
    assert [one.status for one in client.create("own", files={"own.gguf": digest}, stream=True)][-1] == "success"
    client.delete("own")


def test_a_blob_with_another_digest_is_refused(box: OllamaBox) -> None:
    answer = box.ask("POST", f"/api/blobs/sha256:{'0' * 64}", {"other": "bytes"})
    assert answer.status == 400
    assert "digest mismatch" in answer.json["error"]


def test_ollamas_client_pulls_with_progress(client: ollama.Client) -> None:
    told = list(client.pull("qwen2.5:0.5b", stream=True))
    assert told[0].status == "pulling manifest"
    assert told[-1].status == "success"
    counted = [one.completed for one in told if one.digest and one.completed]
    assert len(counted) > 5
    assert max(one.total or 0 for one in told) > 390_000_000
    client.delete("qwen2.5:0.5b")


def test_streams_are_ndjson_in_chunks(box: OllamaBox) -> None:
    answer = box.ask("POST", "/api/generate", {"model": SMALL, "prompt": "x"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.lines[-1]["done"] is True


def test_loaded_models_are_shown_with_their_place_on_the_card(box: OllamaBox, client: ollama.Client) -> None:
    client.generate(SMALL, "x")
    one = next(one for one in client.ps().models if one.model == SMALL)
    assert one.size == one.size_vram
    assert one.context_length == 32768
    assert isinstance(one.expires_at, datetime)
    assert one.expires_at.utcoffset() is not None
    assert abs((one.expires_at - box.clock.now()).total_seconds() - 300) < 10


def test_a_full_queue_is_a_503(box: OllamaBox) -> None:
    box.ollama.fault("busy", times=1)
    busy = box.ask("POST", "/api/generate", {"model": SMALL, "prompt": "x"})
    assert busy.status == 503
    assert busy.json["error"].startswith("server busy")
    assert box.ask("POST", "/api/generate", {"model": SMALL, "prompt": "x"}).status == 200


def test_openais_client_lists_models(compatible: openai.OpenAI) -> None:
    assert {one.id for one in compatible.models.list()} == {SMALL, "all-minilm:latest"}
    assert compatible.models.retrieve(SMALL).owned_by == "library"


def test_openais_client_chats_in_one_piece_and_in_many(compatible: openai.OpenAI) -> None:
    whole = compatible.chat.completions.create(model=SMALL, messages=[{"role": "user", "content": "Hello"}])
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    stream = compatible.chat.completions.create(
        model=SMALL,
        messages=[{"role": "user", "content": "Hello"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


def test_openais_client_completes(compatible: openai.OpenAI) -> None:
    answer = compatible.completions.create(model=SMALL, prompt="Once", max_tokens=4)
    assert answer.choices[0].finish_reason == "length"
    pieces = compatible.completions.create(model=SMALL, prompt="Once", max_tokens=4, stream=True)
    assert "".join(one.choices[0].text for one in pieces) == answer.choices[0].text


def test_openais_client_embeds(compatible: openai.OpenAI, client: ollama.Client) -> None:
    vector = compatible.embeddings.create(model=EMBEDDER, input="a").data[0].embedding
    assert vector == pytest.approx(client.embed(EMBEDDER, "a").embeddings[0], abs=1e-6)


def test_openais_client_is_told_of_a_missing_model(compatible: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="model 'nothing' not found"):
        compatible.chat.completions.create(model="nothing", messages=[{"role": "user", "content": "x"}])


def test_the_compatible_stream_is_server_sent_events(box: OllamaBox) -> None:
    data = {"model": SMALL, "messages": [{"role": "user", "content": "x"}], "stream": True}
    answer = box.ask("POST", "/v1/chat/completions", data)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.body.endswith(b"data: [DONE]\n\n")


def test_the_command_line_tool_asks_the_server(box: OllamaBox) -> None:
    listed = box.run("C:\\Ollama\\ollama.exe list").out.splitlines()
    assert listed[0].split() == ["NAME", "ID", "SIZE", "MODIFIED"]
    assert any(line.startswith(SMALL) for line in listed)
    assert box.run("C:\\Ollama\\ollama.exe --version").out == f"ollama version is {pinned('ollama')}\n"
    box.load()
    assert "100% GPU" in box.run("C:\\Ollama\\ollama.exe ps").out
    assert box.run(f"C:\\Ollama\\ollama.exe stop {SMALL}").code == 0
    assert box.run("C:\\Ollama\\ollama.exe stop nothing").code == 1
    assert box.run("C:\\Ollama\\ollama.exe pull qwen2.5:0.5b").code == 0
    assert box.run("C:\\Ollama\\ollama.exe rm qwen2.5:0.5b").out == "deleted 'qwen2.5:0.5b'\n"
    assert box.run("C:\\Ollama\\ollama.exe pull nothing").err.endswith(
        "Error: pull model manifest: file does not exist\n"
    )


def test_curl_of_the_box_says_the_status_also_of_a_refusal(box: OllamaBox) -> None:
    for path, status, code in (("api/version", "200", 0), ("api/nothing", "404", 22)):
        done = box.run(f"curl.exe -s -f -o nul -w %{{http_code}} http://127.0.0.1:11434/{path}")
        assert (done.out, done.code) == (status, code)
