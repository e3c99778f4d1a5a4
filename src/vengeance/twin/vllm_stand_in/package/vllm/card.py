"""What vLLM asks of the card when it starts, and what it says when it does not get it.

The texts are those of vLLM 0.15.1, and of 0.32 where the version says so; the arithmetic is that of its
determine_available_memory. The twin's stand-in loads nothing: it takes the memory that the real one would hold from the
twin's card, and the card gives it back when this process ends.
"""

import errno
import json
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEVICE = "/dev/dxg"
SOCKET = "/usr/lib/wsl/lib/.card"
GIB = 2**30
MIB = 2**20
BLOCK = 16
_PATIENCE_SECONDS = 20.0
# What vLLM takes beside weights and cache: the CUDA context and the rest, and 32 bytes for each logit of the sampler's
# dummy run (1188 MiB for 256 sequences of 152064 were measured).
_CONTEXT = 0.9 * GIB
_LOGIT = 32
_SEQUENCES = 256
_DRIVER = (
    "The NVIDIA driver on your system is too old (found version {found}). Please update your GPU driver by downloading "
    "and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx Alternatively, go to: "
    "https://pytorch.org to install a PyTorch version that has been compiled with your version of the CUDA driver."
)
_CONSERVING = "See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details."


class NoDevice(Exception):
    """There is no card to run on; the text is that of the exception that vLLM ends with."""


class NoMemory(Exception):
    """The engine cannot start; the text is that of its exception."""


class Card:
    """The card of the twin's box; what was taken over it is held as long as this object lives.

    Raises NoDevice as vLLM does where it finds no card.
    """

    def __init__(self) -> None:
        try:
            os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
        except OSError as problem:
            # The twin's node has no driver behind it, so these two say that the card is there.
            if problem.errno not in (errno.ENODEV, errno.ENXIO):
                raise NoDevice(_no_device()) from None
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection.settimeout(_PATIENCE_SECONDS)
        try:
            self._connection.connect(SOCKET)
            said = self.ask({"ask": True})
        except (OSError, ValueError):
            # As where a unit hides /usr/lib/wsl/lib: no libnvidia-ml.so.1.
            raise NoDevice(_no_device()) from None
        if not said["ok"]:
            raise NoDevice(_no_device())
        self.total = int(said["total"]) * MIB
        self.free = int(said["free"]) * MIB
        self.cuda = str(said["cuda"])

    def ask(self, request: "Mapping[str, object]") -> "dict[str, Any]":
        """Ask the twin's card one thing."""
        self._connection.sendall(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._connection.makefile("rb").readline())
        return answer

    def take(self, size: float, label: str) -> bool:
        """Hold so many bytes until this process ends; False when there is not so much left."""
        return bool(self.ask({"take": int(size) // MIB, "image": "python3", "label": label})["ok"])


def _no_device() -> str:
    return (
        "RuntimeError: Failed to infer device type, please set the environment variable `VLLM_LOGGING_LEVEL=DEBUG` to "
        "turn on verbose logging to help debug the issue."
    )


def check_driver(card: Card, version: str) -> None:
    """Raise NoDevice when the driver is too old for the CUDA that this version of vLLM brings: 12, from 0.32 on 13."""
    major, _, minor = card.cuda.partition(".")
    if int(major) < (13 if _newer(version) else 12):
        raise NoDevice("RuntimeError: " + _DRIVER.format(found=int(major) * 1000 + int(minor) * 10))


@dataclass(frozen=True)
class Model:
    """What the memory depends on; bytes of weights and of the cache's part for one token."""

    weights: float
    per_token: int
    longest: int
    vocabulary: int


def read_config(model: str, revision: "str | None") -> "Mapping[str, Any] | None":
    """The config.json of a model: of a local folder, else of Hugging Face's cache; None when there is none."""
    environment = os.environ
    home = Path(environment.get("HF_HOME") or Path.home() / ".cache/huggingface")
    folder = Path(environment.get("HF_HUB_CACHE") or home / "hub") / f"models--{model.replace('/', '--')}"
    places = [Path(model)]
    for name in (revision or "main",):
        try:
            places.append(folder / "snapshots" / (folder / "refs" / name).read_text(encoding="ascii").strip())
        except OSError:
            places.append(folder / "snapshots" / name)
    for place in places:
        try:
            config = json.loads((place / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(config, dict):
            return {**config, **config.get("text_config", {})}
    return None


def describe(config: "Mapping[str, Any]", kv_cache_dtype: str) -> "Model | None":
    """The memory of a model by its config.json; None when it is none of a decoder that this knows."""
    try:
        layers, hidden, inner = (
            int(config[name]) for name in ("num_hidden_layers", "hidden_size", "intermediate_size")
        )
        heads, vocabulary = int(config["num_attention_heads"]), int(config["vocab_size"])
        kv_heads = int(config.get("num_key_value_heads") or heads)
        head = int(config.get("head_dim") or hidden // heads)
        longest = int(config["max_position_embeddings"])
        quantised = config.get("quantization_config") or {}
        bits, group = int(quantised.get("bits") or 16), int(quantised.get("group_size") or 0)
    except (KeyError, TypeError, ValueError):
        return None
    linear = layers * (2 * hidden * heads * head + 2 * hidden * kv_heads * head + 3 * hidden * inner)
    other = hidden * vocabulary * (1 if config.get("tie_word_embeddings") else 2)
    # Each group has a scale of 16 bits and a zero point as wide as a weight.
    weight = (bits + ((16 + bits) / group if group > 0 and bits < 16 else 0)) / 8
    element = 1 if kv_cache_dtype.startswith(("fp8", "int8")) else 2
    return Model(linear * weight + other * 2, 2 * layers * kv_heads * head * element, longest, vocabulary)


def check_free(card: Card, utilisation: float) -> None:
    """Raise NoMemory when less is free than is asked for; vLLM looks before it loads anything."""
    wanted = card.total * utilisation
    if card.free < wanted:
        raise NoMemory(
            f"ValueError: Free memory on device cuda:0 ({_gib(card.free)}/{_gib(card.total)} GiB) on startup is less "
            f"than desired GPU memory utilization ({utilisation}, {_gib(wanted)} GiB). Decrease GPU memory utilization "
            "or reduce GPU memory used by other processes."
        )


def check_cache(
    model: Model, budget: float, wanted: "int | None", sequences: "int | None", version: str
) -> "tuple[float, int]":
    """The bytes that are left for the cache, and the length that is served; NoMemory when one request does not fit.

    wanted: --max-model-len: None is the model's own, -1 the longest that fits
    """
    left = budget - model.weights - _CONTEXT - (sequences or _SEQUENCES) * model.vocabulary * _LOGIT
    if left <= 0:
        raise NoMemory(
            "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when "
            f"initializing the engine. {_CONSERVING}"
        )
    most = int(left // (model.per_token * BLOCK)) * BLOCK
    if wanted == -1:
        return left, min(most, model.longest)
    length = wanted or model.longest
    needed = -(-length // BLOCK) * BLOCK * model.per_token
    if needed > left:
        whose = "model's" if _newer(version) else "models's"
        also = " (which also controls CPU memory on the CPU backend)" if _newer(version) else ""
        raise NoMemory(
            f"ValueError: To serve at least one request with the {whose} max seq len ({length}), ({_gib(needed)} GiB "
            f"KV cache is needed, which is larger than the available KV cache memory ({_gib(left)} GiB). Based on the "
            f"available memory, the estimated maximum model length is {most}. Try increasing `gpu_memory_utilization`"
            f"{also} or decreasing `max_model_len` when initializing the engine. {_CONSERVING}"
        )
    return left, length


def _newer(version: str) -> bool:
    numbers = [int(part) for part in re.findall(r"\d+", version)[:2]]
    return numbers >= [0, 32]


def _gib(size: float) -> str:
    return str(round(size / GIB, 2))
