"""The models in a folder of the box: ``blobs`` and ``manifests`` as Ollama lays them out.

A blob's file holds the few bytes that stand for it, but takes the size that it is declared to have from the drive.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vengeance.twin.ollama import published
from vengeance.twin.windows.drive import Drive
from vengeance.twin.windows.errors import Win32Error

HOST = "registry.ollama.ai"
NAMESPACE = "library"
# Partial blobs that are younger survive a start of the server (since v0.21.0).
GRACE_SECONDS = 3600.0
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_BLOB = re.compile(r"sha256-([0-9a-f]{64})")
_PARTIAL = re.compile(r"sha256-[0-9a-f]{64}-partial(-\d+)?")


@dataclass(frozen=True)
class Name:
    """A model's name with all its parts."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def short(self) -> str:
        """As it is shown: without the parts that are the default."""
        place = "" if self.host == HOST else f"{self.host}/"
        owner = "" if self.host == HOST and self.namespace == NAMESPACE else f"{self.namespace}/"
        return f"{place}{owner}{self.model}:{self.tag}"


def parse_name(text: str) -> Name | None:
    """A name as ``[host/][namespace/]model[:tag]``; None when it cannot be one."""
    rest, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        rest, tag = text, "latest"
    parts = rest.split("/")
    if len(parts) > 3 or not all(_PART.fullmatch(part.replace(":", "")) for part in parts) or not _PART.fullmatch(tag):
        return None
    model = parts[-1]
    namespace = parts[-2] if len(parts) > 1 else NAMESPACE
    host = parts[0] if len(parts) == 3 else HOST
    return Name(host, namespace, model, tag) if _PART.fullmatch(model) else None


@dataclass(frozen=True)
class Installed:
    """A model that is in the folder; ``digest`` and ``size`` (bytes) as ``/api/tags`` shows them."""

    name: Name
    digest: str
    size: int
    modified: datetime
    config: dict[str, Any]
    layers: tuple[dict[str, Any], ...]
    shape: published.Shape | None

    def layer(self, kind: str) -> dict[str, Any] | None:
        """The first layer of a kind."""
        return next((one for one in self.layers if one["mediaType"] == kind), None)

    @property
    def details(self) -> dict[str, Any]:
        """``details`` of the API."""
        return {
            "parent_model": "",
            "format": self.config.get("model_format", "gguf"),
            "family": self.config.get("model_family", ""),
            "families": self.config.get("model_families", []),
            "parameter_size": self.config.get("model_type", ""),
            "quantization_level": self.config.get("file_type", ""),
        }


class Store:
    """One folder of models.

    drive: where it is; folder: full Windows path (OLLAMA_MODELS); now: the twin's clock
    shape_of: which model a blob of weights stands for
    Raises Win32Error when the folder cannot be made.
    """

    def __init__(
        self,
        drive: Drive,
        folder: str,
        now: Callable[[], datetime],
        shape_of: Callable[[bytes], published.Shape | None],
    ) -> None:
        self.drive = drive
        self.folder = drive.absolute(folder)
        self.now = now
        self._shape_of = shape_of
        self._lock = threading.RLock()
        self._ensure(f"{self.folder}\\blobs")

    def _ensure(self, folder: str) -> None:
        if not self.drive.is_directory(folder):
            self.drive.make_directory(folder)

    # --- blobs ---

    def blob(self, digest: str) -> str:
        """Path of a blob; digest: with ``sha256:``."""
        return f"{self.folder}\\blobs\\{digest.replace(':', '-')}"

    def has(self, digest: str) -> bool:
        """Whether a blob is there, whole."""
        return self.drive.is_file(self.blob(digest))

    def read(self, digest: str) -> bytes:
        """The bytes that stand for a blob."""
        return self.drive.read(self.blob(digest))

    def add(self, layer: published.Layer, taken: int = 0) -> None:
        """Write a blob; taken: bytes of it that the drive counts already. Win32Error when there is no room."""
        with self._lock:
            if not self.has(layer.digest):
                path = self.blob(layer.digest)
                self.drive.take(layer.size - taken, path)
                self._write(path, layer.data)

    def _write(self, path: str, data: bytes) -> None:
        # Past the drive's own count, which would take the bytes that stand for a blob instead of its size.
        host = self.drive.place(path)
        host.write_bytes(data)
        self._stamp(host)

    def _stamp(self, host: Path) -> None:
        seconds = self.now().timestamp()
        os.utime(host, (seconds, seconds))

    @property
    def count(self) -> int:
        """How many files of blobs there are."""
        return len(self.drive.entries(f"{self.folder}\\blobs"))

    # --- what is only half there ---

    def completed(self, digest: str) -> int:
        """Bytes of a blob that an earlier attempt has brought."""
        try:
            return int(json.loads(self.drive.read(self.blob(digest) + "-partial-0"))["Completed"])
        except (Win32Error, ValueError, KeyError):
            return 0

    def keep_partial(self, layer: published.Layer, completed: int, more: int) -> None:
        """Remember how far a blob has come; more: bytes that are new. Win32Error when there is no room for them."""
        with self._lock:
            path = self.blob(layer.digest) + "-partial"
            self.drive.take(more, path)
            part = {"N": 0, "Offset": 0, "Size": layer.size, "Completed": completed}
            self._write(path, layer.data[: len(layer.data) * completed // max(1, layer.size)])
            self._write(path + "-0", json.dumps(part).encode())

    def drop_partial(self, digest: str, give_back: bool) -> None:
        """Remove what is half there; give_back: its bytes are free again, and not part of a whole blob now."""
        with self._lock:
            if give_back:
                self.drive.give_back(self.completed(digest))
            for end in ("-partial", "-partial-0"):
                self._unlink(self.blob(digest) + end)

    def _unlink(self, path: str) -> None:
        with contextlib.suppress(Win32Error):
            host = self.drive.lookup(path)
            if host is not None:
                host.unlink(missing_ok=True)

    # --- models ---

    def _manifest_path(self, name: Name) -> str:
        return f"{self.folder}\\manifests\\{name.host}\\{name.namespace}\\{name.model}\\{name.tag}"

    def names(self) -> list[Name]:
        """Every model that has a manifest, also one that cannot be read."""
        root = self.drive.lookup(f"{self.folder}\\manifests")
        if root is None:
            return []
        paths = [path.relative_to(root).parts for path in sorted(root.rglob("*")) if path.is_file()]
        return [Name(*parts) for parts in paths if len(parts) == 4]

    def find(self, name: Name) -> Installed | None:
        """A model by its name in any case, None when it is not there or its manifest is damaged."""
        path = self._manifest_path(name)
        try:
            manifest = self.drive.read(path)
            modified = self.drive.entry(path).modified
            shown = self.drive.shown(path).split("\\")[-4:]
            data = json.loads(manifest)
            config = json.loads(self.read(data["config"]["digest"]))
            layers = tuple(data["layers"])
        except (Win32Error, ValueError, KeyError):
            return None
        weights = next((one["digest"] for one in layers if one["mediaType"] == published.MODEL), None)
        shape = None
        with contextlib.suppress(Win32Error):
            shape = self._shape_of(self.read(weights)) if weights else None
        return Installed(
            name=Name(*shown),
            digest=hashlib.sha256(manifest).hexdigest(),
            size=data["config"]["size"] + sum(one["size"] for one in layers),
            modified=modified,
            config=config,
            layers=(*layers, data["config"]),
            shape=shape,
        )

    def models(self) -> list[Installed]:
        """The models that can be used, the youngest first."""
        found = [one for one in map(self.find, self.names()) if one is not None]
        return sorted(found, key=lambda one: one.modified, reverse=True)

    def write_manifest(self, name: Name, manifest: bytes) -> None:
        """Give a name to layers that are there."""
        with self._lock:
            path = self._manifest_path(name)
            self._ensure(path.rpartition("\\")[0])
            self._write(path, manifest)

    def manifest(self, name: Name) -> bytes | None:
        """The manifest's bytes, None when there is none."""
        try:
            return self.drive.read(self._manifest_path(name))
        except Win32Error:
            return None

    def delete(self, name: Name) -> bool:
        """Remove a model with the blobs that no other needs; False when it is not there."""
        with self._lock:
            path = self._manifest_path(name)
            if not self.drive.is_file(path):
                return False
            sizes = self._sizes()
            self._unlink(path)
            with contextlib.suppress(Win32Error):
                folder = path.rpartition("\\")[0]
                while folder.lower() != f"{self.folder}\\manifests".lower():
                    self.drive.remove_directory(folder)
                    folder = folder.rpartition("\\")[0]
            self._remove_unused(sizes)
            return True

    def prune(self) -> list[str]:
        """What a start of the server does: blobs that nothing needs go, partial ones only after an hour."""
        with self._lock:
            removed = self._remove_unused(self._sizes())
            for entry in self.drive.entries(f"{self.folder}\\blobs"):
                age = (self.now() - entry.modified.astimezone(timezone.utc)).total_seconds()
                if _PARTIAL.fullmatch(entry.name) and age > GRACE_SECONDS:
                    digest = "sha256:" + entry.name[7:71]
                    self.drop_partial(digest, give_back=True)
                    removed.append(digest)
            return removed

    def remove_unused(self, before: dict[str, int]) -> bool:
        """Remove the blobs of a replaced model that nothing needs; before: ``sizes`` when it was there."""
        with self._lock:
            return bool(self._remove_unused(before))

    def sizes(self) -> dict[str, int]:
        """Digest -> declared size of every layer of every model."""
        with self._lock:
            return self._sizes()

    def _sizes(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for name in self.names():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                data = json.loads(self.manifest(name) or b"")
                for one in [*data["layers"], data["config"]]:
                    sizes[one["digest"]] = one["size"]
        return sizes

    def _remove_unused(self, known: dict[str, int]) -> list[str]:
        needed = self._sizes()
        removed = []
        for entry in self.drive.entries(f"{self.folder}\\blobs"):
            match = _BLOB.fullmatch(entry.name)
            digest = f"sha256:{match[1]}" if match else ""
            if match and digest not in needed:
                self._unlink(f"{self.folder}\\blobs\\{entry.name}")
                self.drive.give_back(known.get(digest, entry.size))
                removed.append(digest)
        return removed
