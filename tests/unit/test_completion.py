"""A completion fetched as another machine does, from a server of this test."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

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


def test_a_server_that_cannot_be_reached_is_not_called_broken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(reach.NoCompletion, match="refused") as caught:
            reach.completion(f"http://127.0.0.1:{taken.getsockname()[1]}", "whole", None, 5)
    assert not caught.value.broken
