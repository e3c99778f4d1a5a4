"""The ``config.json`` of a model: its shape, and how many bytes its weights take.

Keys: huggingface/transformers, configuration_qwen2.py, configuration_llama.py, configuration_mistral.py. What vLLM
makes of them: vllm/config/model.py. ``models/`` holds the files of the models that the group data names, each with
where its figures come from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

FAMILIES = ("llama", "mistral", "qwen2")
"""Values of ``model_type`` whose layers are known here, so that their weights can be counted."""

DTYPES = ("float16", "bfloat16", "float32")
_SCALE_BITS = 16
# Keys that stand in the config.json of a mixture of experts: transformers' Mixtral, Qwen2-MoE, DeepSeek, GPT-OSS.
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_intermediate_size")
_LARGEST_FACTOR = 1e6
_FLOATING_8_BITS = ("fp8", "fbgemm_fp8")


@dataclass(frozen=True)
class Quantization:
    """How weights are stored in fewer bits.

    method: as ``quant_method`` says, such as awq
    bits: of one weight
    group_size: weights that share a scale; None is one scale for a whole row, which is too little to count
    zero_point: whether each group has a zero of its own, of as many bits as a weight
    kept: parts of the names of modules that keep their 16 bits
    """

    method: str
    bits: int
    group_size: int | None
    zero_point: bool
    kept: tuple[str, ...] = ()

    @property
    def bits_per_weight(self) -> Fraction:
        """Bits of a weight with its part of the scale and of the zero: 4.15625 for AWQ with groups of 128."""
        if self.group_size is None:
            return Fraction(self.bits)
        return self.bits + Fraction(_SCALE_BITS + (self.bits if self.zero_point else 0), self.group_size)


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model.

    family: ``model_type``
    layers, heads, kv_heads, head_dim, hidden, intermediate, vocabulary: numbers
    tied: whether the output layer is the embedding itself
    attention_bias: whether query, key and value have a bias, as those of Qwen2 do
    dtype: of what is not quantised in the files
    longest: tokens of the longest context, None where the file does not say
    quantization: None for a model with all its bits
    unweighable: why the weights cannot be counted from this file; None when they can
    unplannable: why not even its KV cache follows from this file; None when it does
    """

    family: str
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    intermediate: int
    vocabulary: int
    tied: bool
    attention_bias: bool
    dtype: str
    longest: int | None
    quantization: Quantization | None
    unweighable: str | None = None
    unplannable: str | None = None


@dataclass(frozen=True)
class Shipped:
    """A model whose config.json lies in ``models/``.

    name: on Hugging Face's hub
    source: where the figures come from, and which of them were not read there
    """

    name: str
    source: str
    config: ModelConfig


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def parse(text: str) -> ModelConfig:
    """Read the text of a ``config.json``. Raises ValueError as ``read`` does."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"This config.json is no JSON: {error}.") from None
    if not isinstance(values, dict):
        raise ValueError(f"A config.json is a JSON object, not {_short(values)}.")
    return read(values)


def read(values: Mapping[str, Any]) -> ModelConfig:
    """Read a ``config.json``.

    + values: its keys and values

    A model that is no dense one of the families above is read as far as its keys go, and says in ``unweighable`` or
    ``unplannable`` what does not follow from them. Raises ValueError with a sentence for a key that is missing or whose
    value makes no sense.
    """
    family = values.get("model_type")
    if not isinstance(family, str) or not family:
        raise ValueError("This config.json has no model_type, so nothing says how its layers are built.")
    unplannable = _unplannable(values)
    if "num_hidden_layers" not in values and isinstance(values.get("text_config"), Mapping):
        # The numbers of a model that also sees or hears stand one level deeper.
        values = {**values["text_config"], "quantization_config": values.get("quantization_config")}
    heads = _count(values, "num_attention_heads")
    hidden = _count(values, "hidden_size")
    kv_heads = heads if values.get("num_key_value_heads") is None else _count(values, "num_key_value_heads")
    if heads % kv_heads:
        raise ValueError(f"{heads} attention heads cannot share {kv_heads} key-value heads: they do not divide.")
    quantization, misread = _quantization(values.get("quantization_config"))
    return ModelConfig(
        family=family,
        layers=_count(values, "num_hidden_layers"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=_head_dim(values, hidden, heads),
        hidden=hidden,
        intermediate=_count(values, "intermediate_size"),
        vocabulary=_count(values, "vocab_size"),
        tied=_flag(values, "tie_word_embeddings", False),
        attention_bias=_flag(values, "attention_bias", family == "qwen2"),
        dtype=_dtype(values),
        longest=_longest(values),
        quantization=quantization,
        unweighable=unplannable or _unweighable(family, values) or misread,
        unplannable=unplannable,
    )


def _count(values: Mapping[str, Any], key: str) -> int:
    value = values.get(key)
    if value is None:
        raise ValueError(f"This config.json has no {key}.")
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{key} of a config.json is a whole number from 1, not {_short(value)}.")
    return value


def _flag(values: Mapping[str, Any], key: str, default: bool) -> bool:
    value = values.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ValueError(f"{key} of a config.json is true or false, not {_short(value)}.")
    return value


def _head_dim(values: Mapping[str, Any], hidden: int, heads: int) -> int:
    # Mistral Small has 32 heads of 128 on a width of 5120: what is written counts, not the quotient.
    if values.get("head_dim") is not None:
        return _count(values, "head_dim")
    if hidden % heads:
        raise ValueError(
            f"This config.json has no head_dim, and {heads} heads do not divide a hidden_size of {hidden}."
        )
    return hidden // heads


def _dtype(values: Mapping[str, Any]) -> str:
    # transformers 5 writes dtype, the versions before torch_dtype.
    dtype = values.get("dtype") or values.get("torch_dtype") or "float16"
    if dtype not in DTYPES:
        raise ValueError(f"torch_dtype of a config.json is one of {', '.join(DTYPES)}, not {_short(dtype)}.")
    return str(dtype)


def _longest(values: Mapping[str, Any]) -> int | None:
    if values.get("max_position_embeddings") is None:
        return None
    longest = _count(values, "max_position_embeddings")
    scaling = values.get("rope_scaling") or values.get("rope_parameters")
    if not isinstance(scaling, Mapping):
        return longest
    kind, factor = scaling.get("rope_type") or scaling.get("type"), scaling.get("factor")
    # vllm/config/model.py, _get_and_verify_max_len: these two kinds have the factor in max_position_embeddings already.
    if kind in (None, "default", "mrope", "llama3", "longrope", "su") or not isinstance(factor, int | float):
        return longest
    if not 0 < factor < _LARGEST_FACTOR:
        raise ValueError(f"factor of a config.json's rope_scaling is a number of times, not {_short(factor)}.")
    if kind == "yarn" and isinstance(scaling.get("original_max_position_embeddings"), int):
        longest = _count(scaling, "original_max_position_embeddings")
    return int(longest * factor)


def _unplannable(values: Mapping[str, Any]) -> str | None:
    inner = values["text_config"] if isinstance(values.get("text_config"), Mapping) else values
    if inner.get("kv_lora_rank") is not None:
        return "it compresses its KV cache (multi-head latent attention, kv_lora_rank)"
    kinds = inner.get("layer_types")
    if kinds and not (isinstance(kinds, list) and all(kind == "full_attention" for kind in kinds)):
        return "its layers are not all of one kind (layer_types)"
    if inner.get("sliding_window") and inner.get("use_sliding_window", True):
        return f"its attention looks back {inner['sliding_window']} tokens only (sliding_window)"
    for key, sense in (("vision_config", "sees"), ("audio_config", "hears")):
        if values.get(key) is not None:
            return f"it also {sense} ({key}), which takes memory of its own"
    if values.get("is_encoder_decoder"):
        return "it has an encoder too (is_encoder_decoder)"
    return None


def _unweighable(family: str, values: Mapping[str, Any]) -> str | None:
    experts = next((key for key in _EXPERTS if values.get(key)), None)
    if experts is not None:
        return f"it is a mixture of experts ({experts})"
    if family not in FAMILIES:
        return f"{family} is none of the families whose layers are known here ({', '.join(FAMILIES)})"
    if values.get("mlp_bias"):
        return "its MLP has biases (mlp_bias)"
    return None


def _quantization(settings: object) -> tuple[Quantization | None, str | None]:
    """Return how the weights are quantised, and why that cannot be counted where it cannot."""
    if settings is None:
        return None, None
    if not isinstance(settings, Mapping):
        raise ValueError(f"quantization_config of a config.json is an object, not {_short(settings)}.")
    method = settings.get("quant_method")
    if not isinstance(method, str) or not method:
        raise ValueError("quantization_config of this config.json has no quant_method.")
    kept = settings.get("modules_to_not_convert") or settings.get("ignore") or settings.get("ignored_layers") or []
    if not isinstance(kept, list) or not all(isinstance(name, str) for name in kept):
        raise ValueError("modules_to_not_convert of this config.json is a list of names, or null.")
    if method in _FLOATING_8_BITS:
        return Quantization(method, 8, None, False, tuple(kept)), None
    if method == "compressed-tensors":
        return _compressed_tensors(settings, tuple(kept))
    if method not in ("awq", "gptq"):
        return None, f"what {method} makes of its weights is not known here"
    bits, group = _count(settings, "bits"), settings.get("group_size")
    if bits not in (2, 3, 4, 8):
        raise ValueError(f"bits of quantization_config is 2, 3, 4 or 8, not {bits}.")
    if group is not None and group != -1:
        group = _count(settings, "group_size")
    # GPTQ writes its zeros to the file also where they are all the same ("sym").
    zeros = method == "gptq" or _flag(settings, "zero_point", True)
    return Quantization(method, bits, None if group == -1 else group, zeros, tuple(kept)), None


def _compressed_tensors(settings: Mapping[str, Any], kept: tuple[str, ...]) -> tuple[Quantization | None, str | None]:
    groups = settings.get("config_groups")
    if not isinstance(groups, Mapping) or len(groups) != 1:
        return None, "its weights are not all quantised in one way (config_groups)"
    (group,) = groups.values()
    weights = group.get("weights") if isinstance(group, Mapping) else None
    if not isinstance(weights, Mapping) or group.get("targets") not in (["Linear"], None):
        return None, "which of its weights are quantised is not said in a way known here (config_groups)"
    if "lm_head" not in kept or any(name.startswith("re:") for name in kept):
        return None, "which of its weights are quantised is not said in a way known here (ignore)"
    size = None if weights.get("group_size") in (None, -1) else _count(weights, "group_size")
    symmetric = _flag(weights, "symmetric", True)
    return Quantization("compressed-tensors", _count(weights, "num_bits"), size, not symmetric, kept), None


def linears(config: ModelConfig) -> dict[str, int]:
    """Return name -> weights of the linear modules of one layer of a dense model."""
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    return {
        "self_attn.q_proj": config.hidden * queries,
        "self_attn.k_proj": config.hidden * keys,
        "self_attn.v_proj": config.hidden * keys,
        "self_attn.o_proj": queries * config.hidden,
        "mlp.gate_proj": config.hidden * config.intermediate,
        "mlp.up_proj": config.hidden * config.intermediate,
        "mlp.down_proj": config.intermediate * config.hidden,
    }


def parameters(config: ModelConfig) -> tuple[int, int]:
    """Return how many parameters are quantised, and how many are not.

    Embeddings, the output layer, norms and biases are not: AWQ and GPTQ leave them alone, and vLLM loads them so.
    """
    quantised = 0
    for module, weights in _modules(config):
        if config.quantization is not None and not any(name in module for name in config.quantization.kept):
            quantised += weights
    linear = config.layers * sum(linears(config).values())
    embeddings = config.vocabulary * config.hidden * (1 if config.tied else 2)
    norms = (2 * config.layers + 1) * config.hidden
    biases = config.layers * (config.heads + 2 * config.kv_heads) * config.head_dim if config.attention_bias else 0
    return quantised, linear - quantised + embeddings + norms + biases


def _modules(config: ModelConfig) -> Iterator[tuple[str, int]]:
    for layer in range(config.layers):
        for name, weights in linears(config).items():
            yield f"model.layers.{layer}.{name}", weights


def weight_bytes(config: ModelConfig, quantization: str | None = None, number_bytes: int = 2) -> int:
    """Return the bytes of all weights: ``quantised * (bits + scale and zero of a group) / 8 + others * 2``.

    + quantization: the flag of vLLM; fp8 makes 8 bits of a model that has all of its own as it is loaded
    + number_bytes: of one number that is not quantised; vLLM makes 2 of it, whatever the files have

    Raises ValueError with a sentence when they do not follow from the file; the size of the safetensors says it then.
    """
    if config.unweighable is not None:
        raise ValueError(
            f"The weights of this model cannot be counted from its config.json: {config.unweighable}. Give the size of "
            "its *.safetensors files."
        )
    loaded = config
    if config.quantization is None and quantization is not None:
        if quantization not in _FLOATING_8_BITS:
            raise ValueError(
                f"What --quantization {quantization} makes of a model that has all of its bits is not known here: "
                "leave it out, or give the size of the weights."
            )
        loaded = replace(config, quantization=Quantization("fp8", 8, None, False))
    quantised, others = parameters(loaded)
    bits = loaded.quantization.bits_per_weight if loaded.quantization is not None else Fraction(0)
    return int(quantised * bits / 8) + others * number_bytes


def total_size(index: str) -> int:
    """Return the bytes of all weights that a ``model.safetensors.index.json`` names.

    Raises ValueError with a sentence.
    """
    try:
        size = json.loads(index)["metadata"]["total_size"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise ValueError("This model.safetensors.index.json has no metadata.total_size.") from None
    if isinstance(size, bool) or not isinstance(size, int | float) or not 1 <= size < 2**63:
        raise ValueError(f"total_size of a model.safetensors.index.json is a number of bytes, not {_short(size)}.")
    return int(size)


@cache
def shipped() -> dict[str, Shipped]:
    """Return the models whose config.json lies here: file name without its ending -> model."""
    found = {}
    for file in sorted((Path(__file__).parent / "models").glob("*.json")):
        values = json.loads(file.read_text(encoding="utf-8"))
        found[file.stem] = Shipped(values["name"], values["source"], read(values["config"]))
    return found


def shipped_as(name: str) -> Shipped | None:
    """Return the shipped model of a name, as the hub has it or as its file is called; None when there is none."""
    wanted = name.lower()
    for stem, model in shipped().items():
        if wanted in (stem, model.name.lower()):
            return model
    return None
