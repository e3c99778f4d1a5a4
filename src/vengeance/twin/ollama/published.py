"""The models that the twin's Ollama can fetch, in place of registry.ollama.ai.

Names, families, sizes and shapes are those of the real models; the bytes behind the digests are a few hundred that
say so, and every digest is the true SHA-256 of those bytes. A digest of the real registry is therefore another one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
MODEL = "application/vnd.ollama.image.model"
TEMPLATE = "application/vnd.ollama.image.template"
SYSTEM = "application/vnd.ollama.image.system"
PARAMS = "application/vnd.ollama.image.params"
LICENSE = "application/vnd.ollama.image.license"
_CHATML = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"


@dataclass(frozen=True)
class Shape:
    """What one model is.

    size: bytes of the whole model, as ``ollama list`` shows it
    parameters: as ``32.8B``; context: tokens it was trained for; layers: of the network
    kv_heads, head: of its attention, from which the size of the KV cache follows
    width: length of an embedding
    """

    name: str
    size: int
    family: str
    parameters: str
    quantization: str
    context: int
    layers: int
    kv_heads: int
    head: int
    width: int
    embedding: bool = False

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of the KV cache for one token at f16: keys and values, two bytes each."""
        return self.layers * self.kv_heads * self.head * 2 * 2


SHAPES = (
    Shape("qwen2.5:72b", 47_415_724_925, "qwen2", "72.7B", "Q4_K_M", 32768, 80, 8, 128, 8192),
    Shape("deepseek-r1:32b", 19_851_337_640, "qwen2", "32.8B", "Q4_K_M", 131072, 64, 8, 128, 5120),
    Shape("deepseek-coder:33b", 18_819_166_176, "llama", "33B", "Q4_0", 16384, 62, 8, 128, 7168),
    Shape("qwen2.5:32b", 19_851_349_669, "qwen2", "32.8B", "Q4_K_M", 32768, 64, 8, 128, 5120),
    Shape("qwen2.5:3b", 1_929_912_432, "qwen2", "3.1B", "Q4_K_M", 32768, 36, 2, 128, 2048),
    Shape("qwen2.5:0.5b", 397_821_319, "qwen2", "494.03M", "Q4_K_M", 32768, 24, 2, 64, 896),
    Shape("all-minilm:latest", 45_960_996, "bert", "23M", "F16", 512, 6, 12, 32, 384, embedding=True),
)
"""The five models of the box, and two small ones."""


@dataclass(frozen=True)
class Layer:
    """One part of a model: its kind, digest, declared size in bytes, and the bytes that stand for it."""

    kind: str
    digest: str
    size: int
    data: bytes


@dataclass(frozen=True)
class Model:
    """What the registry gives out for one name; ``layers`` with the configuration last."""

    shape: Shape
    manifest: bytes
    layers: tuple[Layer, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, as ``/api/tags`` shows it."""
        return hashlib.sha256(self.manifest).hexdigest()


def digest_of(data: bytes) -> str:
    """``sha256:`` and the digest of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(kind: str, data: bytes, size: int | None = None) -> Layer:
    """A layer of these bytes; ``size`` is what it is declared to have."""
    return Layer(kind, digest_of(data), len(data) if size is None else size, data)


def manifest_of(layers: tuple[Layer, ...]) -> bytes:
    """The manifest of layers, the configuration last among them."""

    def entry(one: Layer) -> dict[str, object]:
        return {"mediaType": one.kind, "digest": one.digest, "size": one.size}

    *parts, config = layers
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": entry(config),
        "layers": [entry(one) for one in parts],
    }
    return json.dumps(manifest, separators=(",", ":")).encode()


def config_of(shape: Shape, layers: tuple[Layer, ...]) -> Layer:
    """The configuration layer of a model."""
    config = {
        "model_format": "gguf",
        "model_family": shape.family,
        "model_families": [shape.family],
        "model_type": shape.parameters,
        "file_type": shape.quantization,
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [one.digest for one in layers]},
    }
    return layer(CONFIG, json.dumps(config, separators=(",", ":")).encode())


def build(shape: Shape, revision: int = 0) -> Model:
    """A model of the registry; another revision of the same name has other bytes, as when a tag is moved."""
    words = f"GGUF This stands for the weights of {shape.name}, revision {revision}; no model computes on the twin.\n"
    small = (
        layer(TEMPLATE, _CHATML.encode()),
        layer(LICENSE, f"The license of {shape.family} models; see their publisher's pages.\n".encode()),
        layer(PARAMS, b'{"stop":["<|im_start|>","<|im_end|>"]}'),
    )
    rest = sum(one.size for one in small)
    parts = (layer(MODEL, words.encode() * 4, shape.size - rest - 500), *small)
    layers = (*parts, config_of(shape, parts))
    return Model(shape, manifest_of(layers), layers)


class Registry:
    """registry.ollama.ai, as far as the twin has it; tags can move.

    sent: digest -> how often a blob was fetched; half of one that was given up halfway
    """

    def __init__(self) -> None:
        self.sent: dict[str, float] = {}
        self._revisions: dict[str, int] = {}
        self._shapes = {shape.name: shape for shape in SHAPES}
        self._built: dict[tuple[str, int], Model] = {}

    @property
    def names(self) -> list[str]:
        """The models that can be fetched."""
        return list(self._shapes)

    def find(self, name: str) -> Model | None:
        """The model of a name with its tag, None when there is none."""
        shape = self._shapes.get(name.lower())
        if shape is None:
            return None
        key = (shape.name, self._revisions.get(shape.name, 0))
        if key not in self._built:
            self._built[key] = build(shape, key[1])
        return self._built[key]

    def move(self, name: str) -> Model:
        """Publish other bytes under a name, as publishers do with a tag; KeyError when there is none."""
        shape = self._shapes[name.lower()]
        self._revisions[shape.name] = self._revisions.get(shape.name, 0) + 1
        moved = self.find(name)
        if moved is None:
            raise KeyError(name)
        return moved

    def shape_of(self, weights: bytes) -> Shape | None:
        """The shape that a blob of weights stands for."""
        for shape in self._shapes.values():
            if f" weights of {shape.name}, ".encode() in weights:
                return shape
        return None
