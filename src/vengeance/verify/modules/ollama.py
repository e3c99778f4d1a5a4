"""Ollama's server, asked over HTTP by a program of the box: https://docs.ollama.com/api."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from testinfra.modules.base import InstanceModule

from vengeance.verify.modules.http import Answer, WindowsHttp
from vengeance.verify.modules.moments import moment
from vengeance.verify.modules.windows_environment import WindowsEnvironment

_DEFAULT_PORT = 11434


class Model:
    """A model of the server; one that is not there has ``exists`` False and a digest of None."""

    def __init__(self, name: str, listed: dict[str, Any] | None, loaded: dict[str, Any] | None) -> None:
        self.name = name
        self._listed = listed
        self._loaded = loaded

    @property
    def exists(self) -> bool:
        """Whether it has been pulled."""
        return self._listed is not None

    @property
    def digest(self) -> str | None:
        """The SHA-256 of its manifest, 64 hex digits."""
        return None if self._listed is None else str(self._listed["digest"]).removeprefix("sha256:")

    @property
    def size_gb(self) -> float:
        """GB (10^9 bytes) on the disk."""
        return 0.0 if self._listed is None else self._listed["size"] / 1e9

    @property
    def is_loaded(self) -> bool:
        """Whether it is in memory now."""
        return self._loaded is not None

    @property
    def mib_on_card(self) -> int:
        """MiB of the card that the server counts for it."""
        return 0 if self._loaded is None else int(self._loaded["size_vram"]) // 2**20

    @property
    def part_on_card(self) -> float:
        """How much of it the card has, 0 to 1; the processor computes the rest."""
        return 0.0 if self._loaded is None else self._loaded["size_vram"] / self._loaded["size"]

    @property
    def expires_at(self) -> datetime | None:
        """When it leaves if nobody asks for it again; None where it is not in memory."""
        return None if self._loaded is None else moment(str(self._loaded["expires_at"]))

    def __repr__(self) -> str:
        return f"<ollama.model {self.name}>"


class Ollama(InstanceModule):  # type: ignore[misc]
    """The server: ``host.ollama.model("qwen2.5:32b").digest``."""

    @property
    def url(self) -> str:
        """Where a program of the box reaches it: the port of OLLAMA_HOST on the loopback address."""
        declared = WindowsEnvironment.get_module(self._host)("OLLAMA_HOST").machine or ""
        found = re.search(r":(\d+)/?$", declared)
        return f"http://127.0.0.1:{found[1] if found else _DEFAULT_PORT}"

    def get(self, path: str) -> Answer:
        """Ask for a page."""
        answer: Answer = WindowsHttp.get_module(self._host).get(self.url + path)
        return answer

    def post(self, path: str, sent: object) -> Answer:
        """Send something as JSON; a model that has to be loaded first may take minutes."""
        answer: Answer = WindowsHttp.get_module(self._host).post(self.url + path, sent, within=300)
        return answer

    @property
    def is_answering(self) -> bool:
        """Whether it answers at all."""
        return self.get("/api/version").status == 200

    @property
    def version(self) -> str:
        """Its version, such as ``0.34.1``."""
        return str(self.get("/api/version").json["version"])

    @property
    def models(self) -> dict[str, Model]:
        """What has been pulled: name -> model."""
        listed = {one["name"]: one for one in self.get("/api/tags").json["models"]}
        loaded = self._in_memory()
        return {name: Model(name, one, loaded.get(name)) for name, one in listed.items()}

    @property
    def loaded(self) -> list[str]:
        """The models that are in memory now."""
        return list(self._in_memory())

    def model(self, name: str) -> Model:
        """Return a model; a name without a tag means ``latest``."""
        full = name if ":" in name else f"{name}:latest"
        return self.models.get(full) or Model(full, None, None)

    def _in_memory(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.get("/api/ps").json["models"]}

    def __repr__(self) -> str:
        return "<ollama>"
