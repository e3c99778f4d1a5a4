"""How the twin's Ollama reads its environment, as ollama/ollama envconfig/config.go does."""

from __future__ import annotations

import pytest

from vengeance.twin.ollama.api import host_allowed
from vengeance.twin.ollama.store import parse_name
from vengeance.twin.ollama.variables import FOREVER, config_map, go_duration, keep_alive, parse_address, read

HOME = "C:\\Users\\Steam"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://0.0.0.0:11434"),
        ("0.0.0.0:11434", "http://0.0.0.0:11434"),
        (":4090", "http://:4090"),
        ("http://0.0.0.0", "http://0.0.0.0:80"),
        ("https://box", "https://box:443"),
        ("http://0.0.0.0:11434/", "http://0.0.0.0:11434"),
        (' "0.0.0.0:1234" ', "http://0.0.0.0:1234"),
        ("0.0.0.0:99999", "http://0.0.0.0:11434"),
        ("0.0.0.0:port", "http://0.0.0.0:11434"),
        ("[::1]:1234", "http://[::1]:1234"),
    ],
)
def test_an_address_without_a_port_gets_the_one_of_its_scheme(value: str, shown: str) -> None:
    assert str(parse_address(value)[0]) == shown


def test_a_port_that_is_none_is_warned_of() -> None:
    assert "port=99999 default=11434" in read({"OLLAMA_HOST": "0.0.0.0:99999"}, HOME).warnings[0]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5m", 300), ("30", 30), (30, 30), ("1h30m", 5400), ("0", 0), ("-1", FOREVER), (-1, FOREVER), ("-5m", FOREVER)],
)
def test_bare_numbers_are_seconds_and_negative_ones_mean_for_ever(value: object, seconds: float) -> None:
    assert keep_alive(value) == seconds


def test_a_duration_that_cannot_be_read_is_passed_over() -> None:
    assert keep_alive("soon") is None
    assert read({"OLLAMA_KEEP_ALIVE": "soon"}, HOME).keep_alive == 300


@pytest.mark.parametrize(("seconds", "text"), [(300, "5m0s"), (0, "0s"), (5400, "1h30m0s"), (1.5, "1.5s"), (30, "30s")])
def test_durations_are_shown_as_go_shows_them(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "true"), [("1", True), ("true", True), ("0", False), ("False", False), ("yes", True)]
)
def test_a_boolean_that_cannot_be_read_counts_as_true(value: str, true: bool) -> None:
    assert read({"OLLAMA_NOPRUNE": value}, HOME).no_prune is true


def test_a_number_that_cannot_be_read_is_passed_over_with_a_warning() -> None:
    variables = read({"OLLAMA_GPU_OVERHEAD": "2GB"}, HOME)
    assert variables.gpu_overhead == 0
    assert "OLLAMA_GPU_OVERHEAD" in variables.warnings[0]


def test_values_lose_their_blanks_and_quotes() -> None:
    assert read({"OLLAMA_MODELS": ' "D:\\models" '}, HOME).models == "D:\\models"


def test_the_models_lie_in_the_profile_of_the_account_unless_told_otherwise() -> None:
    assert read({}, HOME).models == "C:\\Users\\Steam\\.ollama\\models"


def test_the_map_in_the_log_is_sorted_and_has_what_is_in_force() -> None:
    text = config_map(read({"OLLAMA_HOST": "0.0.0.0", "OLLAMA_KEEP_ALIVE": "-1", "ollama_junk": "1"}, HOME))
    assert text.startswith("map[CUDA_VISIBLE_DEVICES: ")
    assert " OLLAMA_HOST:http://0.0.0.0:11434 OLLAMA_KEEP_ALIVE:2562047h47m16.854775807s " in text
    assert "junk" not in text


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("qwen2.5:3b", "qwen2.5:3b"),
        ("qwen2.5", "qwen2.5:latest"),
        ("someone/model:1", "someone/model:1"),
        ("registry.ollama.ai/library/qwen2.5:3b", "qwen2.5:3b"),
        ("hf.co/a/b:Q4", "hf.co/a/b:Q4"),
    ],
)
def test_names_of_models_are_shown_without_their_defaults(name: str, short: str) -> None:
    parsed = parse_name(name)
    assert parsed is not None
    assert parsed.short == short


@pytest.mark.parametrize("name", ["", "..:1", "a b", "a/b/c/d", "qwen:", "/x", "-a"])
def test_what_cannot_be_a_name_is_none(name: str) -> None:
    assert parse_name(name) is None


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost:11434", True),
        ("127.0.0.1:11434", True),
        ("192.168.1.20", True),
        ("[::1]:11434", True),
        ("VENGEANCE", True),
        ("box.local", True),
        ("box.tailnet.ts.net", False),
        ("example.com:11434", False),
        ("8.8.8.8", False),
    ],
)
def test_a_server_on_loopback_answers_to_local_names_only(host: str, allowed: bool) -> None:
    assert host_allowed(host, "VENGEANCE") is allowed
