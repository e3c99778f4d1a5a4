"""How vLLM reads its command line: names, types and choices from its own parser, in flags.json."""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from . import TABLE

_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def human_int(text: str) -> int:
    """2k is 2000, 2K is 2048; a fraction only before a small letter (vllm/engine/arg_utils.py)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgGtT])", text.strip())
    if match is None:
        return int(text)
    number, suffix = match.groups()
    if suffix in _DECIMAL:
        return int(float(number) * _DECIMAL[suffix])
    if "." in number:
        raise argparse.ArgumentTypeError(
            f"Decimals are not allowed with binary suffixes like {suffix}. "
            f"Did you mean to use {number}{suffix.lower()} instead?"
        )
    return int(number) * _BINARY[suffix]


def human_int_or_auto(text: str) -> int:
    """As ``human_int``, and ``auto`` or -1 for the longest that fits."""
    return -1 if text.strip() in ("auto", "-1") else human_int(text)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"Value {text} cannot be converted to JSON: {problem}") from None


def _json_or_text(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


_CONVERTERS: dict[str, Callable[[str], object]] = {
    "text": str,
    "int": int,
    "float": float,
    "json": _json,
    "json_or_text": _json_or_text,
    "human_int": human_int,
    "human_int_or_auto": human_int_or_auto,
}


class Switch(argparse.Action):
    """A flag with an opposite: --x and --no-x, or --enable-x and --disable-x, as this version has it."""

    def __init__(self, option_strings: Sequence[str], dest: str, off: Sequence[str], default: object) -> None:
        super().__init__([*option_strings, *off], dest, nargs=0, default=default)
        self.off = tuple(off)

    def __call__(self, parser: object, namespace: object, values: object, option_string: "str | None" = None) -> None:
        """Set it, by the name that was given."""
        setattr(namespace, self.dest, option_string not in self.off)


def build_parser(program: str) -> argparse.ArgumentParser:
    """A parser that accepts and refuses what vLLM's does, with argparse's own messages and exit code 2."""
    parser = argparse.ArgumentParser(prog=program, description=sys.modules["vllm"].__doc__)
    for name, option in TABLE["options"].items():
        if "names" not in option:
            parser.add_argument(name, nargs="?", default=None)
            continue
        more: dict[str, Any] = {"dest": name, "default": option.get("default")}
        if option["kind"] == "switch":
            more.update(action=Switch, off=option["off"])
        elif option["kind"] == "flag":
            more["action"] = "store_true"
        else:
            convert = more["type"] = _CONVERTERS[option["kind"]]
            if "nargs" in option:
                more["nargs"] = option["nargs"]
            if "choices" in option:
                more["choices"] = [convert(one) for one in option["choices"]]
            if option.get("append"):
                more["action"] = "append"
        parser.add_argument(*option["names"], **more)
    return parser


def normalised(arguments: Sequence[str]) -> list[str]:
    """The arguments as vLLM's FlexibleArgumentParser prepares them.

    Underscores in names become dashes, -O3 becomes --optimization-level 3, and ``--x.y 1`` becomes ``--x {"y": 1}``.
    """
    words: list[str] = []
    nested: dict[str, dict[str, object]] = {}
    waiting = iter(arguments)
    for word in waiting:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            head, dot, key = name.partition(".")
            head = head.replace("_", "-")
            if dot:
                text = value if equals else next(waiting, "")
                place = nested.setdefault(head, {})
                *folders, last = key.split(".")
                for folder in folders:
                    inner = place.setdefault(folder, {})
                    if not isinstance(inner, dict):
                        break
                    place = inner
                place[last] = _json_or_text(text)
                continue
            words.append(head + equals + value)
        elif re.fullmatch(r"-O\.?\d", word):
            words += ["--optimization-level", word[-1]]
        else:
            words.append(word)
    for head, values in nested.items():
        words += [head, json.dumps(values)]
    return words


def complaint(options: argparse.Namespace) -> "str | None":
    """What vLLM finds wrong with parsed options before it loads a model; it then ends with 1, not 2."""
    utilisation = options.gpu_memory_utilization
    if utilisation is not None and not 0 < utilisation <= 1:
        return f"gpu_memory_utilization must be in (0, 1], not {utilisation}"
    if options.quantization is not None and options.quantization not in TABLE["quantization"]:
        return f"Unknown quantization method: {options.quantization}. Must be one of {TABLE['quantization']}."
    if options.enable_auto_tool_choice and not options.tool_call_parser:
        return "Error: --enable-auto-tool-choice requires --tool-call-parser"
    parsers = TABLE["tool_call_parsers"]
    if options.enable_auto_tool_choice and options.tool_call_parser not in parsers and not options.tool_parser_plugin:
        return f"invalid tool call parser: {options.tool_call_parser} (chose from {{ {','.join(parsers)} }})"
    for name in ("tensor_parallel_size", "pipeline_parallel_size", "max_num_seqs"):
        value = getattr(options, name)
        if value is not None and value < 1:
            return f"{name} must be at least 1, not {value}"
    if options.max_model_len is not None and options.max_model_len < 1 and options.max_model_len != -1:
        return f"max_model_len must be positive, not {options.max_model_len}"
    if options.port is not None and not 0 < options.port < 65536:
        return f"port must be in 1-65535, not {options.port}"
    return None
