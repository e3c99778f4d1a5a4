"""A language model of 200 KB that knows one sentence, written on the spot: a real vLLM serves it without a download.

It is a Qwen2 with two layers. The layers' weights are random and small, so attention and feed-forward really compute;
embedding and output head are set so that each word of the sentence leads to the next, whatever stood before it, and
anything else leads to its first. So an answer also proves that the weights were read as they were written.

Formats: https://huggingface.co/docs/safetensors (header of JSON, then the tensors), and the files that
``transformers`` writes for a Qwen2 with a byte-level BPE tokenizer.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterable
from pathlib import Path

NAME = "tiny"
"""What it is called, and its folder."""

SENTENCE = "Hello from the tiny model that a real vLLM serves here."
"""What it answers to everything."""

CONTEXT = 2048
"""Tokens of prompt and answer together at most."""

_WORDS = ("Hello", " from", " the", " tiny", " model", " that", " a", " real", " vLLM", " serves", " here.")
_PADDING, _START, _END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
_HIDDEN, _INNER, _LAYERS, _HEADS, _KEY_HEADS, _HEAD = 64, 128, 2, 2, 1, 32
_VOCABULARY = 320
# So strong that a temperature of 1 does not lead away from the sentence either.
_PULL = 4.0
_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

Tensor = tuple[tuple[int, ...], list[float]]


def write_tiny_model(folder: Path) -> Path:
    """Write the model's files into a folder (made if need be) and return it; every call writes the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = _vocabulary()
    for name, content in (
        ("config.json", _config(vocabulary)),
        ("generation_config.json", {"eos_token_id": vocabulary[_END], "pad_token_id": vocabulary[_PADDING]}),
        ("tokenizer.json", _tokenizer(vocabulary)),
        ("tokenizer_config.json", _tokenizer_config()),
    ):
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(_safetensors(_tensors(vocabulary)))
    return folder


def _byte_letters() -> list[str]:
    """The letter that byte-level BPE writes for each byte: itself where it can be printed, else one from 256 on."""
    printed = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    letters, others = [], 0x100
    for byte in range(256):
        letters.append(chr(byte if byte in printed else others))
        others += byte not in printed
    return letters


def _vocabulary() -> dict[str, int]:
    letters = _byte_letters()
    written = ["".join(letters[byte] for byte in word.encode()) for word in _WORDS]
    tokens = dict.fromkeys([_PADDING, _START, _END, *letters, *written])
    return {token: number for number, token in enumerate(tokens)}


def _config(vocabulary: dict[str, int]) -> dict[str, object]:
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "vocab_size": _VOCABULARY,
        "hidden_size": _HIDDEN,
        "intermediate_size": _INNER,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "num_key_value_heads": _KEY_HEADS,
        "max_position_embeddings": CONTEXT,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "eos_token_id": vocabulary[_END],
        "pad_token_id": vocabulary[_PADDING],
        "use_sliding_window": False,
    }


def _tokenizer(vocabulary: dict[str, int]) -> dict[str, object]:
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocabulary[one], "content": one, **special} for one in (_PADDING, _START, _END)],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        # Without merges: what is read falls into single bytes, the words are for writing alone.
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "vocab": vocabulary, "merges": []},
    }


def _tokenizer_config() -> dict[str, object]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
        "eos_token": _END,
        "pad_token": _PADDING,
        "chat_template": _CHAT,
    }


def _tensors(vocabulary: dict[str, int]) -> dict[str, Tensor]:
    chance = random.Random(4090)  # noqa: S311

    def noise(*shape: int) -> Tensor:
        count = 1
        for size in shape:
            count *= size
        return shape, [chance.gauss(0.0, 0.02) for _ in range(count)]

    ones: Tensor = ((_HIDDEN,), [1.0] * _HIDDEN)
    embedding, head = _chain(vocabulary)
    tensors: dict[str, Tensor] = {"model.embed_tokens.weight": embedding, "lm_head.weight": head}
    for layer in range(_LAYERS):
        here = f"model.layers.{layer}"
        tensors[f"{here}.input_layernorm.weight"] = ones
        tensors[f"{here}.post_attention_layernorm.weight"] = ones
        for name, heads in (("q", _HEADS), ("k", _KEY_HEADS), ("v", _KEY_HEADS)):
            tensors[f"{here}.self_attn.{name}_proj.weight"] = noise(heads * _HEAD, _HIDDEN)
            tensors[f"{here}.self_attn.{name}_proj.bias"] = noise(heads * _HEAD)
        tensors[f"{here}.self_attn.o_proj.weight"] = noise(_HIDDEN, _HEADS * _HEAD)
        tensors[f"{here}.mlp.gate_proj.weight"] = noise(_INNER, _HIDDEN)
        tensors[f"{here}.mlp.up_proj.weight"] = noise(_INNER, _HIDDEN)
        tensors[f"{here}.mlp.down_proj.weight"] = noise(_HIDDEN, _INNER)
    tensors["model.norm.weight"] = ones
    return tensors


def _chain(vocabulary: dict[str, int]) -> tuple[Tensor, Tensor]:
    """Embedding and output head: dimension i means "word i was the last", the last dimension "something else was"."""
    letters = _byte_letters()
    chain = [vocabulary["".join(letters[byte] for byte in word.encode())] for word in _WORDS]
    elsewhere = _HIDDEN - 1
    embedding, head = [0.0] * (_VOCABULARY * _HIDDEN), [0.0] * (_VOCABULARY * _HIDDEN)
    for token in range(_VOCABULARY):
        embedding[token * _HIDDEN + (chain.index(token) if token in chain else elsewhere)] = 1.0
    head[chain[0] * _HIDDEN + elsewhere] = _PULL
    for last, following in enumerate([*chain[1:], vocabulary[_END]]):
        head[following * _HIDDEN + last] = _PULL
    shape = (_VOCABULARY, _HIDDEN)
    return (shape, embedding), (shape, head)


def _bfloat16(values: Iterable[float]) -> bytes:
    """The upper half of each number as a 32-bit float."""
    whole = b"".join(struct.pack("<f", value) for value in values)
    return b"".join(whole[place + 2 : place + 4] for place in range(0, len(whole), 4))


def _safetensors(tensors: dict[str, Tensor]) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    content = bytearray()
    for name, (shape, values) in tensors.items():
        begin = len(content)
        content += _bfloat16(values)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [begin, len(content)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(content)
