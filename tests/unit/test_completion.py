"""A completion fetched as another machine does, from a server of this test."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from pyinfra.connectors.util import CommandOutput, OutputLine
from pyinfra.context import ctx_inventory

from tests.unit.operation_runs import Run, no_connection
from vengeance.facts.vllm.states import States
from vengeance.operations import reach
from vengeance.secret import Secret


class Vllm(BaseHTTPRequestHandler):
    """Answers as vLLM does; the model's name says what goes wrong."""

    asked: ClassVar[list[tuple[str, str, dict[str, object]]]] = []

    def do_POST(self) -> None:
        """Complete, or fail."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((self.path, self.headers.get("Authorization", ""), body))
        dead = {"error": {"message": "EngineCore encountered an issue.", "code": 500}}
        status, answer = {
            "whole": (200, {"choices": [{"text": "\n    return n > 1"}]}),
            # What 0.15.1 answers when its engine is dead.
            "dead": (200, dead),
            "newer and dead": (500, dead),
            "no model": (501, {"error": {"message": "nothing is computed"}}),
            "locked": (401, {"error": "Unauthorized"}),
        }[str(body["model"])]
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Vllm.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Vllm) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_completion_is_fetched_with_the_key(url: str) -> None:
    assert reach.completion(url, "whole", Secret.of("sk-1"), 10) == "\n    return n > 1"
    ((path, key, body),) = Vllm.asked
    assert (path, key, body["prompt"]) == ("/v1/completions", "Bearer sk-1", reach.PROMPT)


@pytest.mark.parametrize(
    ("model", "broken", "said"),
    [
        ("dead", True, "EngineCore encountered an issue"),
        ("newer and dead", True, "it answers 500"),
        ("locked", True, "it answers 401"),
        ("no model", False, "it answers 501"),
    ],
)
def test_an_answer_without_a_completion_says_why(url: str, model: str, broken: bool, said: str) -> None:
    with pytest.raises(reach.NoCompletion, match=said) as caught:
        reach.completion(url, model, None, 10)
    assert caught.value.broken is broken


def completes(url: str, model: str, api_key: Secret | str | None, file: str) -> Run:
    """Run the operation for a server that runs, on a box whose file with a key has this text."""
    run = Run()
    port = int(url.rpartition(":")[2])
    profiles: dict[str, dict[str, Any]] = {"a": {"model": model, "port": port}}
    with no_connection({States: {"a": "active"}}, run) as state, ctx_inventory.use(state.inventory):
        host = state.inventory.get_host("somewhere")
        state.activate_host(host)
        read = (bool(file), CommandOutput([OutputLine("stdout", line) for line in file.splitlines()]))
        with patch.object(host, "run_shell_command", lambda command: read):
            asked: dict[str, Any] = {
                "profiles": profiles,
                "exposed": [port],
                "api_key": api_key,
                "address_of_box": "127.0.0.1",
            }
            run.commands.extend(reach.completes._inner(distro="somewhere", **asked))
    return run


def test_the_key_that_the_box_has_made_is_sent_and_shown_nowhere(url: str) -> None:
    run = completes(url, "whole", "generated", 'VLLM_API_KEY="sk-made-by-the-box"\n')
    assert [key for _, key, _ in Vllm.asked] == ["Bearer sk-made-by-the-box"]
    assert run.commands == []
    assert "sk-made" not in " ".join([*run.logged, *run.noops])


@pytest.mark.parametrize(
    ("declared", "sent"), [(Secret.of("sk-declared"), "Bearer sk-declared"), (None, ""), ("generated", "")]
)
def test_without_a_key_on_the_box_the_declared_one_or_none_is_sent(
    url: str, declared: Secret | str | None, sent: str
) -> None:
    completes(url, "whole", declared, "")
    assert [key for _, key, _ in Vllm.asked] == [sent]


def test_a_server_that_cannot_be_reached_is_not_called_broken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(reach.NoCompletion, match="refused") as caught:
            reach.completion(f"http://127.0.0.1:{taken.getsockname()[1]}", "whole", None, 5)
    assert not caught.value.broken
