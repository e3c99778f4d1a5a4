"""What a pull says when the server, or something before it, refuses the request."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.twin.windows_box import Box
from tests.twin.works_box import WorksHost
from tests.unit.operation_runs import Run
from vengeance.operations.work import run_work
from vengeance.twin.windows import network as net
from vengeance.twin.windows.state import RunningProcess

PULL: dict[str, Any] = {
    "address": net.LOOPBACK,
    "port": 11434,
    "model": "m:1",
    "stall_seconds": 30,
    "pause_seconds": 0,
    "fruitless": 2,
}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "the disk is full"}', "in 2 attempts: the disk is full"),
        (
            b'{"message": "come back later"}',
            'in 2 attempts: it answered with status 503: {"message": "come back later"}',
        ),
        (b"[1]", "in 2 attempts: it answered with status 503: [1]"),
        (b"<html>No</html>", "in 2 attempts: it answered with status 503: <html>No</html>"),
        (b"", "in 2 attempts: it answered with status 503"),
    ],
)
def test_a_pull_that_is_refused_says_what_came_back(tmp_path: Path, body: bytes, said: str) -> None:
    box = Box(tmp_path)

    def refuse(connection: socket.socket, peer: str) -> None:
        head = b""
        while b"}" not in head:
            head += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 503 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    there = WorksHost(box)
    box.windows.state.process_started(RunningProcess(4242, 4, "proxy.exe", "proxy.exe", "Steam", "", {}, 0))
    listener = box.windows.network.listen(pid=4242, image="proxy.exe", address=net.LOOPBACK, port=11434, serve=refuse)
    command = run_work("pull", "Save-OllamaModel", PULL, say=str, timeout=60, read_every=0.01)
    try:
        with there.pyinfra(Run()) as (state, host):
            assert command.execute(state, host, {}) is False
    finally:
        listener.close()
    assert (
        there.said[-1]
        == f"somewhere: Ollama did not get the model m:1, {said}. What has come is kept: mend that, and run this again."
    )
