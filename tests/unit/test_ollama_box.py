"""What models should be there, and what a server's log says it works with."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from vengeance.box import ollama_models, ollama_server
from vengeance.box.ollama_models import GB, Model

CONFIG = (
    "time=2026-02-09T08:12:44.123+01:00 level=INFO source=routes.go:1664 "
    'msg="server config" env="map[CUDA_VISIBLE_DEVICES: OLLAMA_CONTEXT_LENGTH:4096 OLLAMA_DEBUG:INFO '
    "OLLAMA_FLASH_ATTENTION:false OLLAMA_HOST:http://0.0.0.0:11434 OLLAMA_KEEP_ALIVE:5m0s OLLAMA_KV_CACHE_TYPE: "
    "OLLAMA_MODELS:D:\\\\My Models\\\\ollama OLLAMA_NUM_PARALLEL:1 "
    'OLLAMA_ORIGINS:[http://localhost https://localhost http://localhost:* app://*] OLLAMA_REMOTES:[ollama.com]]"'
)


# --- names of models ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("qwen2.5:3b", "qwen2.5:3b"),
        ("mistral", "mistral:latest"),
        ("someone/model:q4_K_M", "someone/model:q4_K_M"),
        ("hf.co/someone/Model-GGUF:Q4_K_M", "hf.co/someone/Model-GGUF:Q4_K_M"),
        ("registry.lan:5000/team/model:1", "registry.lan:5000/team/model:1"),
    ],
)
def test_a_model_is_named_as_ollama_lists_it(given: str, full: str) -> None:
    assert ollama_models.full_name(given) == full


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("", "is no name of a model: it is written model:tag"),
        ("qwen2.5:", "it is written model:tag"),
        ("qwen 2.5", "it is written model:tag"),
        ("qwen2.5:3b:latest", "it is written model:tag"),
        ("-rf", "it is written model:tag"),
        ("../../secrets:1", "it is written model:tag"),
        ("qwen2.5@sha256:0123456789ab", "Ollama does not read: write model:tag, and digest"),
        ("https://ollama.com/library/qwen2.5:3b", "given by its name, as in qwen2.5:3b"),
        ("hf.co/model:1", "after a host come two parts"),
    ],
)
def test_an_unknown_form_of_a_tag_is_refused(given: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ollama_models.full_name(given)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ({"name": "a:1", "size": 3}, "the nearest key that is read is 'size_gb'"),
        ({"size_gb": 3}, "A model has no name"),
        ({"name": "a:1", "size_gb": "3"}, "is a number of GB above 0"),
        ({"name": "a:1", "size_gb": 0}, "is a number of GB above 0"),
        ({"name": "a:1", "size_gb": True}, "is a number of GB above 0"),
        ({"name": "a:1", "digest": "abc"}, "12 to 64 hex digits"),
        ({"name": "a:1", "digest": 7}, "12 to 64 hex digits"),
    ],
)
def test_a_model_that_cannot_be_meant_is_refused(model: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ollama_models.declared([model])


def test_a_model_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="Mistral:latest is given twice"):
        ollama_models.declared([{"name": "mistral:latest"}, {"name": "Mistral"}])


# --- what is missing ----------------------------------------------------------------------------------------


def test_what_is_missing_and_what_moved_is_pulled() -> None:
    pinned = Model("b:1", digest="22aa" * 4)
    plan = ollama_models.plan([Model("a:1"), pinned, Model("c:1")], {"A:1": "11", "b:1": "33bb" * 16}, prune=False)
    assert plan.pull == (pinned, Model("c:1"))
    assert plan.extra == ()


def test_a_pin_may_be_short_and_may_bear_its_kind() -> None:
    (model,) = ollama_models.declared([{"name": "a", "digest": "sha256:0123456789AB"}])
    assert model.is_that_of("0123456789ab" + "0" * 52)
    assert not model.is_that_of("f" * 64)


def test_only_pruning_names_what_is_too_many() -> None:
    there = {"a:1": "11", "b:1": "22"}
    assert ollama_models.plan([Model("a:1")], there, prune=True).extra == ("b:1",)
    assert ollama_models.plan([Model("a:1")], there, prune=False).extra == ()


def test_models_that_do_not_fit_are_told_with_the_numbers() -> None:
    pull = [Model("big:1", 47 * GB), Model("small:1", 3 * GB)]
    sentence = ollama_models.too_little_room(pull, 40 * GB, 5 * GB)
    assert sentence == (
        "the models that are missing take 50.0 GB (big:1 47.0 GB, small:1 3.0 GB) and 2.0 GB stay free beside them, "
        "but only 40.0 GB are free and 5.0 GB are there of an earlier try: 7.0 GB too little"
    )
    assert ollama_models.too_little_room(pull, 47 * GB, 5 * GB) is None
    assert ollama_models.too_little_room(pull, 40 * GB, 0, freed=12 * GB) is None


# --- what a server works with -------------------------------------------------------------------------------


def test_the_log_line_is_taken_apart() -> None:
    found = ollama_server.effective(CONFIG)
    assert found["OLLAMA_HOST"] == "http://0.0.0.0:11434"
    assert found["OLLAMA_MODELS"] == "D:\\My Models\\ollama"
    assert found["OLLAMA_ORIGINS"] == "[http://localhost https://localhost http://localhost:* app://*]"
    assert found["CUDA_VISIBLE_DEVICES"] == ""
    assert found["OLLAMA_REMOTES"] == "[ollama.com]"


@pytest.mark.parametrize("line", ["", 'msg="Listening on 127.0.0.1:11434 (version 0.34.1)"', 'env="nothing"'])
def test_another_line_tells_no_environment(line: str) -> None:
    assert ollama_server.effective(line) == {}


def test_a_line_tells_when_it_was_written_and_where_it_listens() -> None:
    assert ollama_server.written(CONFIG) == datetime(2026, 2, 9, 7, 12, 44, 123000, tzinfo=timezone.utc)
    line = 'time=2026-02-09T08:12:44.2+01:00 level=INFO msg="Listening on [::]:11434 (version 0.34.1)"'
    assert ollama_server.listening(line) == ("[::]:11434", "0.34.1")
    assert ollama_server.written("no time") is None


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("", ("http", "127.0.0.1", 11434)),
        ("0.0.0.0", ("http", "0.0.0.0", 11434)),
        (":4090", ("http", "", 4090)),
        ("0.0.0.0:11434", ("http", "0.0.0.0", 11434)),
        ("http://0.0.0.0", ("http", "0.0.0.0", 80)),
        ("https://box", ("https", "box", 443)),
        ("[::]:11500", ("http", "::", 11500)),
        (' "127.0.0.1:99999" ', ("http", "127.0.0.1", 11434)),
    ],
)
def test_an_address_is_read_as_ollama_does(value: str, address: tuple[str, str, int]) -> None:
    assert ollama_server.address(value) == address


def test_a_server_on_every_address_is_asked_at_the_loopback() -> None:
    assert ollama_server.where_to_ask("0.0.0.0:11434") == ("127.0.0.1", 11434)
    assert ollama_server.where_to_ask(":4090") == ("127.0.0.1", 4090)
    assert ollama_server.where_to_ask("100.98.226.75:11434") == ("100.98.226.75", 11434)


DECLARED = {
    "OLLAMA_HOST": "0.0.0.0:11434",
    "OLLAMA_KEEP_ALIVE": "300s",
    "OLLAMA_CONTEXT_LENGTH": "4096",
    "OLLAMA_MODELS": "D:\\My Models\\ollama\\",
}


def test_the_same_meaning_in_other_words_is_no_difference() -> None:
    assert ollama_server.differences(DECLARED, ollama_server.effective(CONFIG)) == {}


@pytest.mark.parametrize(
    ("changes", "different"),
    [
        ({"OLLAMA_HOST": "127.0.0.1:11434"}, "OLLAMA_HOST"),
        ({"OLLAMA_KEEP_ALIVE": "-1"}, "OLLAMA_KEEP_ALIVE"),
        ({"OLLAMA_DEBUG": "1"}, "OLLAMA_DEBUG"),
        ({"OLLAMA_FLASH_ATTENTION": "yes"}, "OLLAMA_FLASH_ATTENTION"),
        ({"OLLAMA_ORIGINS": "https://chat.lan"}, "OLLAMA_ORIGINS"),
        ({"ollama_num_parallel": "4"}, "OLLAMA_NUM_PARALLEL"),
    ],
)
def test_another_meaning_is_a_difference(changes: dict[str, str], different: str) -> None:
    found = ollama_server.differences({**DECLARED, **changes}, ollama_server.effective(CONFIG))
    assert list(found) == [different]


def test_a_value_that_is_left_over_is_found_where_it_would_be_felt() -> None:
    running = ollama_server.effective(CONFIG)
    found = ollama_server.differences({}, running)
    assert set(found) == {"OLLAMA_HOST", "OLLAMA_CONTEXT_LENGTH", "OLLAMA_MODELS"}
    assert found["OLLAMA_HOST"] == (None, "http://0.0.0.0:11434")
    plain = {"OLLAMA_MODELS": "C:\\Users\\Steam\\.ollama\\models", "OLLAMA_LOAD_TIMEOUT": "2562047h47m16.85s"}
    assert ollama_server.differences({"OLLAMA_LOAD_TIMEOUT": "0"}, plain) == {}


def test_the_longest_duration_of_go_is_never() -> None:
    running = {"OLLAMA_KEEP_ALIVE": "2562047h47m16.854775807s"}
    assert ollama_server.differences({"OLLAMA_KEEP_ALIVE": "-1"}, running) == {}
