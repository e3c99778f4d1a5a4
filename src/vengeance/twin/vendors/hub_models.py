"""The models that the twin's hub has: true configurations and file names, weights that stand for the real ones.

The figures of a configuration are the model's own, and what follows from them (the names and shapes of its tensors,
the ``total_size`` of its index) is computed. The tensors that lie in the shards are one number each, all but one
that fills its shard: the files are valid and a few MB, and nothing can be computed with them.
"""

from __future__ import annotations

import hashlib
import json
import random
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SHARD_BYTES = 2_500_000
"""The size of a shard here; the real ones have 4 to 5 GB."""
_TYPES = {"F16": 2, "BF16": 2, "I32": 4}
_LFS = (".safetensors", ".pth", ".model")

_AWQ = {
    "bits": 4,
    "group_size": 128,
    "modules_to_not_convert": None,
    "quant_method": "awq",
    "version": "gemm",
    "zero_point": True,
}
_QWEN = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "hidden_act": "silu",
    "hidden_size": 5120,
    "initializer_range": 0.02,
    "intermediate_size": 27648,
    "max_position_embeddings": 32768,
    "model_type": "qwen2",
    "num_attention_heads": 40,
    "num_hidden_layers": 64,
    "num_key_value_heads": 8,
    "quantization_config": _AWQ,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 152064,
}
_LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": [128001, 128008, 128009],
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 128256,
}
_MISTRAL = {
    "architectures": ["MistralForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 5120,
    "initializer_range": 0.02,
    "intermediate_size": 32768,
    "max_position_embeddings": 32768,
    "model_type": "mistral",
    "num_attention_heads": 32,
    "num_hidden_layers": 40,
    "num_key_value_heads": 8,
    "quantization_config": _AWQ,
    "rms_norm_eps": 1e-05,
    "rope_theta": 100000000.0,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "use_cache": True,
    "vocab_size": 131072,
}


@dataclass(frozen=True)
class Shape:
    """A model as its publisher describes it.

    name: OWNER/NAME; commits: of its branch ``main``, newest first
    config: its config.json; largest_shard: bytes, after which a new shard began
    licence: name of the licence that has to be accepted before its files are given out, None for none
    further: files beside those that every model has, with their sizes here
    """

    name: str
    commits: tuple[str, ...]
    config: Mapping[str, Any]
    largest_shard: int
    licence: str | None = None
    further: Mapping[str, int] = field(default_factory=dict)


QWEN = Shape(
    "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ",
    ("1ed0a6145da0ce550c628e8e8b678f51e695995d", "809193f9fbb537e7ad2167d1991eeb5c9c14291b"),
    _QWEN,
    4_000_000_000,
    further={"vocab.json": 3000, "merges.txt": 2000},
)
LLAMA = Shape(
    "meta-llama/Llama-3.1-8B-Instruct",
    ("0e9e39f249a16976918f6564b8830bc894c89659",),
    _LLAMA,
    5_000_000_000,
    licence="llama3.1",
    # The same weights once more, in the form that they were published in.
    further={"original/consolidated.00.pth": 400_000, "original/params.json": 200, "original/tokenizer.model": 2000},
)
MISTRAL = Shape(
    "stelterlab/Mistral-Small-24B-Instruct-2501-AWQ",
    ("cbda099649a0188dd888d44f0e4964d8d982dc9a",),
    _MISTRAL,
    5_000_000_000,
)
SHAPES = (QWEN, LLAMA, MISTRAL)


@dataclass(frozen=True)
class Tensor:
    """One tensor of a real model: its name, the type of its numbers, and how many there are in each direction."""

    name: str
    type: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        size = _TYPES[self.type]
        for count in self.shape:
            size *= count
        return size


def tensors(config: Mapping[str, Any]) -> Iterator[Tensor]:
    """The tensors that a configuration means, in the order of the layers."""
    hidden, inner, words = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    head = config.get("head_dim") or hidden // config["num_attention_heads"]
    queries, keys = head * config["num_attention_heads"], head * config["num_key_value_heads"]
    plain = {"float16": "F16", "bfloat16": "BF16"}[config["torch_dtype"]]
    awq = config.get("quantization_config")

    def linear(name: str, inputs: int, outputs: int) -> Iterator[Tensor]:
        if awq is None:
            yield Tensor(f"{name}.weight", plain, (outputs, inputs))
            return
        # Eight numbers of four bits in each I32, a scale and a zero point for each group.
        packed, groups = outputs * awq["bits"] // 32, inputs // awq["group_size"]
        yield Tensor(f"{name}.qweight", "I32", (inputs, packed))
        yield Tensor(f"{name}.qzeros", "I32", (groups, packed))
        yield Tensor(f"{name}.scales", plain, (groups, outputs))

    yield Tensor("model.embed_tokens.weight", plain, (words, hidden))
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        yield Tensor(f"{layer}.input_layernorm.weight", plain, (hidden,))
        yield from linear(f"{layer}.mlp.down_proj", inner, hidden)
        yield from linear(f"{layer}.mlp.gate_proj", hidden, inner)
        yield from linear(f"{layer}.mlp.up_proj", hidden, inner)
        yield Tensor(f"{layer}.post_attention_layernorm.weight", plain, (hidden,))
        for name, outputs in (("k", keys), ("q", queries), ("v", keys)):
            yield from linear(f"{layer}.self_attn.{name}_proj", hidden, outputs)
            if config["model_type"] == "qwen2":
                yield Tensor(f"{layer}.self_attn.{name}_proj.bias", plain, (outputs,))
        yield from linear(f"{layer}.self_attn.o_proj", queries, hidden)
    yield Tensor("model.norm.weight", plain, (hidden,))
    yield Tensor("lm_head.weight", plain, (words, hidden))


def shards(shape: Shape) -> list[list[Tensor]]:
    """Which tensors lie in which shard."""
    found: list[list[Tensor]] = [[]]
    size = 0
    for tensor in tensors(shape.config):
        if size + tensor.size > shape.largest_shard and found[-1]:
            found.append([])
            size = 0
        found[-1].append(tensor)
        size += tensor.size
    return found


def safetensors(parts: list[Tensor], seed: str) -> bytes:
    """A file with these tensors, one number each, but the first, which fills it.

    Format: https://huggingface.co/docs/safetensors (eight bytes of length, a header in JSON, the numbers).
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt", "note": "no real weights: made by the vengeance twin"}}
    end = 0
    for number, tensor in enumerate(parts):
        count = SHARD_BYTES // _TYPES[tensor.type] if number == 0 else 1
        first, end = end, end + count * _TYPES[tensor.type]
        header[tensor.name] = {"dtype": tensor.type, "shape": [count], "data_offsets": [first, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + random.Random(seed).randbytes(end)  # noqa: S311


def _text(name: str, size: int, seed: str) -> bytes:
    if name.endswith((".pth", ".model")):
        return random.Random(seed + name).randbytes(size)  # noqa: S311
    words = json.dumps({"note": f"{name} of {seed} is not real: made by the vengeance twin", "filler": "x" * size})
    return words.encode() if name.endswith(".json") else words.encode() + b"\n"


def build(shape: Shape, folder: Path) -> None:
    """Write the files of a model, at its newest commit."""
    parts = shards(shape)
    names = [f"model-{number:05d}-of-{len(parts):05d}.safetensors" for number in range(1, len(parts) + 1)]
    index = {
        "metadata": {"total_size": sum(tensor.size for part in parts for tensor in part)},
        "weight_map": {tensor.name: name for name, part in zip(names, parts, strict=True) for tensor in part},
    }
    about = f"# {shape.name}\n\nThis stands for the model of that name; only the vengeance twin has it.\n"
    files = {
        ".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
        "README.md": about.encode(),
        "config.json": json.dumps(shape.config, indent=2).encode(),
        "generation_config.json": json.dumps({"do_sample": True, "temperature": 0.7}).encode(),
        "model.safetensors.index.json": json.dumps(index, indent=2).encode(),
        "tokenizer.json": _text("tokenizer.json", 20_000, shape.name),
        "tokenizer_config.json": _text("tokenizer_config.json", 500, shape.name),
    }
    files |= {name: _text(name, size, shape.name) for name, size in shape.further.items()}
    files |= {name: safetensors(part, shape.name + name) for name, part in zip(names, parts, strict=True)}
    for name, data in files.items():
        file = folder / shape.name / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


@dataclass(frozen=True)
class HubFile:
    """One file of a model.

    blob: its object in git; sha256: of its bytes where it is too large for git, else None
    """

    path: Path
    size: int
    blob: str
    sha256: str | None

    @property
    def etag(self) -> str:
        """What names its bytes, without quotes."""
        return self.sha256 or self.blob


def describe(path: Path, name: str) -> HubFile:
    """What the hub tells of a file."""
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest() if name.endswith(_LFS) else None
    if sha256 is not None:
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(data)}\n".encode()
        return HubFile(path, len(data), _blob(pointer), sha256)
    return HubFile(path, len(data), _blob(data), None)


def _blob(data: bytes) -> str:
    # git's name of an object; nothing here is protected by it.
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
