"""A twin with Ollama and vLLM on it, its card handed over as a user does it, and looked at past all of that."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.twin_deploys import ROOT, TWIN, Finished, run_pyinfra, twin_environment
from tests.waiting import eventually
from vengeance.twin.client import Twin

SMALL, LARGE = "qwen2.5:3b", "qwen2.5:32b"
PROFILE, OTHER = "qwen2.5-coder-32b", "llama-3.1-8b"
UNIT = f"vllm-{PROFILE}.service"
IDLE_MIB = 1900
BATCH_MIB = 22598
"""0.92 of the card."""
MODELS = json.dumps([{"name": SMALL, "size_gb": 1.9}, {"name": LARGE, "size_gb": 19}])
WITHOUT_VLLM = (
    "deploys/windows.py",
    "deploys/ollama.py",
    "deploys/wsl.py",
    "--yes",
    "--data",
    f"ollama_models={MODELS}",
)


def said(finished: Finished) -> str:
    """All that a run printed."""
    return f"{finished.stdout}\n{finished.stderr}"


class ModesBox:
    """The box behind a twin.

    Hands the card over by the command line, and reads what came of it from the twin's card, from systemd, and from
    Ollama's own interface.
    """

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self.address = str(twin.status()["network"]["100.98.226.75"])

    # --- what a user does ---

    def command(self, *arguments: str) -> list[str]:
        """The words of ``python -m vengeance mode``."""
        return [sys.executable, "-m", "vengeance", "mode", *arguments, "--inventory", str(TWIN)]

    def mode(self, *arguments: str, timeout: float = 200) -> Finished:
        """Run ``python -m vengeance mode`` in the project's folder."""
        return subprocess.run(
            self.command(*arguments),
            cwd=ROOT,
            env=twin_environment(self.twin.name),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def into(self, *arguments: str) -> Finished:
        """The same, and it has to succeed."""
        finished = self.mode(*arguments)
        assert finished.returncode == 0, said(finished)[-6000:]
        return finished

    def changes(self, *arguments: str) -> list[str]:
        """Get into a mode, and return the operations that changed something."""
        results = json.loads(self.into(*arguments, "--json").stdout)["results"]
        return [each["name"] for each in results["operations"] if each["success"]]

    def shown(self) -> dict[str, Any]:
        """What ``mode show --json`` tells of the box."""
        (found,) = json.loads(self.into("show", "--json").stdout)
        return dict(found)

    # --- what is there, by another path ---

    @property
    def card(self) -> dict[str, Any]:
        """The twin's card: who holds how much of it."""
        return self.twin.card()

    @property
    def used(self) -> int:
        """MiB of the card that are taken, the desktop's among them."""
        return int(self.card["used_mib"])

    @property
    def images(self) -> list[str]:
        """The programs that hold some of the card, beside the desktop's."""
        return [str(one["image"]).rpartition("\\")[2] for one in self.card["holders"]]

    def inside(self, *argv: str) -> str:
        """What a program in the distro prints."""
        return self.twin.distro_exec(list(argv)).stdout.decode().strip()

    def active(self, profile: str = PROFILE) -> str:
        """What systemd says of a server."""
        return self.inside("systemctl", "is-active", f"vllm-{profile}.service")

    def server_processes(self) -> list[str]:
        """Process ids of all that runs of vLLM in the distro."""
        return self.inside("pgrep", "-f", "/bin/vllm serve").split()

    def ask(self, path: str, asked: dict[str, Any] | None = None, port: int = 11434) -> Any:
        """Ask a web server of the box as another machine of its tailnet does."""
        connection = http.client.HTTPConnection(self.address, port, timeout=60)
        try:
            body = None if asked is None else json.dumps(asked)
            connection.request("GET" if asked is None else "POST", path, body)
            return json.loads(connection.getresponse().read() or b"null")
        finally:
            connection.close()

    def load(self, model: str) -> None:
        """Ask Ollama something, so that it has a model in memory."""
        answer = self.ask("/api/generate", {"model": model, "prompt": "hello", "stream": False})
        assert answer.get("done"), answer

    def loaded(self) -> dict[str, int]:
        """Ollama's models in memory -> bytes of each on the card."""
        return {one["name"]: one["size_vram"] for one in self.ask("/api/ps")["models"]}

    def back(self) -> None:
        """Have nothing on the card but the desktop, and no fault in the way; without anything of what is tested."""
        self.twin.fault("clear")
        for image in {one["image"].rpartition("\\")[2] for one in self.card["holders"] if one["pid"]}:
            if image != "llama-server.exe":
                self.twin.card_end(image)
        self.inside("sh", "-c", "systemctl stop 'vllm-*.service'; systemctl reset-failed")
        for model in self.loaded():
            self.ask("/api/generate", {"model": model, "keep_alive": 0})
        eventually(lambda: not self.loaded() and self.used == IDLE_MIB, "a card with nothing but the desktop on it")


@contextmanager
def modes_box(name: str) -> Iterator[tuple[ModesBox, Finished]]:
    """A box that has everything, and what batch said when vLLM was not there yet."""
    twin = Twin(name)
    distro = twin.up()["distro"]
    try:
        if not distro["systemd"]:
            pytest.skip(f"the twin's distro does not stay up here: {' '.join(distro['missing'])}")
        deployed = run_pyinfra(name, *WITHOUT_VLLM, "--yes")
        assert deployed.returncode == 0, said(deployed)[-6000:]
        box = ModesBox(twin)
        too_early = box.mode("batch")
        deployed = run_pyinfra(name, "deploys/vllm.py", "--yes")
        assert deployed.returncode == 0, said(deployed)[-6000:]
        yield box, too_early
    finally:
        twin.down()
