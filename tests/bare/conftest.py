"""One twin that begins as a bare Windows, and pyinfra's command line to build the whole box on it."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.twin_deploys import Deploy, Finished, run_pyinfra, vllm_at_boot
from vengeance.twin.client import Twin

NAME = "bare"


def changes(finished: Finished) -> int:
    """The changes of a run, from the grand total that pyinfra prints last."""
    totals = re.findall(r"Grand total\s+(\d+)\s+(\S+)", finished.stderr + finished.stdout)
    assert totals, f"pyinfra printed no grand total:\n{tail(finished)}"
    return 0 if totals[-1][1] == "-" else int(totals[-1][1])


def tail(finished: Finished) -> str:
    """The end of what a run printed."""
    return f"{finished.stdout[-6000:]}\n{finished.stderr[-6000:]}"


class Peer:
    """Another machine of the tailnet, and one that is none: plain HTTP from addresses that are not the box's."""

    BOX, FRIEND, STRANGER = "100.98.226.75", "100.101.102.103", "203.0.113.77"

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    def _real(self, address: str) -> str:
        return str(self._twin.status()["network"][address])

    @property
    def tailnet(self) -> str:
        """The box's address in the tailnet, as this machine reaches it."""
        return self._real(self.BOX)

    def _get(self, source: str, address: str, port: int, path: str) -> tuple[int, bytes] | None:
        connection = http.client.HTTPConnection(self._real(address), port, 10, (self._real(source), 0))
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def version(self) -> str | None:
        """The version of the Ollama that answers."""
        answer = self._get(self.FRIEND, self.BOX, 11434, "/api/version")
        return None if answer is None else str(json.loads(answer[1])["version"])

    def models(self) -> dict[str, str]:
        """Name -> digest of the models that Ollama has."""
        answer = self._get(self.FRIEND, self.BOX, 11434, "/api/tags")
        return {} if answer is None else {one["name"]: one["digest"] for one in json.loads(answer[1])["models"]}

    def health(self) -> int | None:
        """The HTTP status of vLLM's /health."""
        answer = self._get(self.FRIEND, self.BOX, 8080, "/health")
        return None if answer is None else answer[0]

    def from_the_street(self, port: int) -> int | None:
        """The HTTP status that a stranger gets at the box's address in the home network, None without an answer."""
        answer = self._get(self.STRANGER, "192.168.1.20", port, "/")
        return None if answer is None else answer[0]


@pytest.fixture(scope="session")
def peer(bare_twin: Twin) -> Peer:
    """The machines around the box."""
    return Peer(bare_twin)


@pytest.fixture(scope="session")
def bare_twin(twin_home: Path) -> Iterator[Twin]:
    """A running twin whose Windows has just been set up."""
    twin = Twin(NAME)
    distro = twin.up(bare=True)["distro"]
    try:
        if not distro["systemd"]:
            pytest.skip(f"the twin's distro does not stay up here: {' '.join(distro['missing'])}")
        yield twin
    finally:
        twin.down()


@pytest.fixture(scope="session")
def deploy(bare_twin: Twin) -> Deploy:
    """Runs pyinfra with the twin's inventory; every run is a process of its own, as a user's is."""

    def run(*arguments: str, timeout: float = 900) -> Finished:
        return run_pyinfra(NAME, *(arguments or ("deploys/vengeance.py", "--yes")), *vllm_at_boot(), timeout=timeout)

    return run
