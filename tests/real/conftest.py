"""One twin whose distro has a real vLLM on the processor, built from a bare Windows by the deploys as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.twin_deploys import ROOT, TWIN, Deploy, Finished, run_pyinfra, twin_environment
from vengeance.twin import vllm_cpu
from vengeance.twin.client import Twin

NAME = "real"
KEY = "the-twins-api-key"
_BOX = {"tailnet": "100.98.226.75", "lan": "192.168.1.20", "stranger": "192.168.1.20"}


class Answer(NamedTuple):
    """What curl got: the HTTP status, 0 without an answer, and the body."""

    status: int
    body: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Elsewhere:
    """Another machine, which knows the box by its own address there."""

    def __init__(self, twin: Twin, place: str) -> None:
        self._twin = twin
        self._place = place

    def get(self, path: str, port: int = 8080, key: str | None = None, asked: object = None) -> Answer:
        """What the box answers; with ``asked`` it is sent as JSON."""
        url = f"http://{_BOX[self._place]}:{port}{path}"
        words = ["curl", "-sS", "--noproxy", "*", "--max-time", "60", "-w", "\n%{http_code}", url]
        words += [] if key is None else ["-H", f"Authorization: Bearer {key}"]
        words += [] if asked is None else ["-H", "Content-Type: application/json", "-d", json.dumps(asked)]
        done = self._twin.run_elsewhere(self._place, words)
        body, _, status = done.stdout.decode().rpartition("\n")
        return Answer(int(status), body)

    def says(self, content: str = "Hello") -> str | None:
        """What the model answers in a chat, None without an answer."""
        asked = {"model": "tiny", "messages": [{"role": "user", "content": content}]}
        answer = self.get("/v1/chat/completions", key=KEY, asked=asked)
        return str(answer.json["choices"][0]["message"]["content"]) if answer.status == 200 else None


@pytest.fixture(scope="session")
def real_twin(twin_home: Path) -> Iterator[Twin]:
    """A running twin whose Windows has just been set up."""
    twin = Twin(NAME)
    distro = twin.up(bare=True)["distro"]
    try:
        why = vllm_cpu.hindrance(distro, twin.folder)
        if why is not None:
            pytest.skip(why)
        yield twin
    finally:
        twin.down()


@pytest.fixture(scope="session")
def deploy(real_twin: Twin) -> Deploy:
    """Runs pyinfra with the twin's inventory; every run is a process of its own, as a user's is."""

    def run(*arguments: str, timeout: float = 900) -> Finished:
        return run_pyinfra(NAME, *(arguments or ("deploys/vengeance.py", "--yes")), timeout=timeout, vllm="real")

    return run


def mode(what: str) -> Finished:
    """``python -m vengeance mode`` on this twin."""
    return subprocess.run(
        [sys.executable, "-m", "vengeance", "mode", what, "--inventory", str(TWIN)],
        cwd=ROOT,
        env=twin_environment(NAME, "real"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="session")
def tailnet(real_twin: Twin) -> Elsewhere:
    """Another machine of the tailnet."""
    return Elsewhere(real_twin, "tailnet")
