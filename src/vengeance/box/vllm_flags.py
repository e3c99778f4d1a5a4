"""vLLM's command line from typed data: ``{"max-model-len": 2048, "enforce-eager": True}`` to words.

``vllm_flags.json`` lists the flags of two versions by the kind of value they take, read from vLLM's own parsers.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

from vengeance.box import versions

Value: TypeAlias = str | bool | int | float | Sequence[str]

_LENGTH = re.compile(r"auto|-1|\d+|\d+[KMGT]|\d+(\.\d+)?[kmgt]")
SECRET_FLAGS = {
    "api-key": "VLLM_API_KEY",
    "hf-token": "HF_TOKEN",
    "ssl-keyfile-password": "a key without a password, in a file that only its user can read",
}
"""Flags that would show a secret to everybody who lists the processes, with what to use instead."""


@cache
def _tables() -> dict[str, dict[str, frozenset[str]]]:
    raw = json.loads(Path(__file__).with_name("vllm_flags.json").read_text(encoding="ascii"))
    return {
        version: {kind: frozenset(words.split()) for kind, words in kinds.items()} for version, kinds in raw.items()
    }


def table_for(version: str | None) -> dict[str, frozenset[str]]:
    """Return the flags, kind -> names, of the newest known version that is not newer than ``version``.

    + version: such as ``0.15.1``; None takes the oldest known
    """
    known = sorted(_tables(), key=versions.numbers)
    if version is None:
        return _tables()[known[0]]
    older = [name for name in known if versions.numbers(name) <= versions.numbers(version)]
    return _tables()[older[-1] if older else known[0]]


def arguments(flags: Mapping[str, Value | None], version: str | None = None) -> list[str]:
    """Turn flags into the words of a command line, in the order given.

    + flags: name without the dashes (``_`` for ``-`` is taken too) -> value. True gives the bare flag, False its
      ``--no-`` form, None leaves it out, a list gives all its words
    + version: the vLLM version the flags are for

    Raises ValueError with a sentence: a name that this version does not have, a value of the wrong kind or out of
    its range, a name given twice, or a secret, which does not belong on a command line.
    """
    table = table_for(version)
    words: list[str] = []
    seen: set[str] = set()
    for given, value in flags.items():
        name = given.replace("_", "-").lstrip("-")
        if name in seen:
            raise ValueError(f"The vLLM flag --{name} is given twice.")
        seen.add(name)
        if name in SECRET_FLAGS:
            raise ValueError(
                f"The vLLM flag --{name} would show a secret to everybody who lists the processes. "
                f"Use {SECRET_FLAGS[name]} instead."
            )
        kind = _kind(name, table)
        if value is not None:
            words.extend(_words(name, kind, value, table))
    return words


def _kind(name: str, table: Mapping[str, frozenset[str]]) -> str:
    for kind, names in table.items():
        if kind != "quantization" and name in names:
            return kind
    known = sorted(set().union(*(names for kind, names in table.items() if kind != "quantization")))
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
    raise ValueError(f"vLLM has no flag --{name}. The nearest one is --{near}.")


def _words(name: str, kind: str, value: Value, table: Mapping[str, frozenset[str]]) -> list[str]:
    if kind in ("switch", "mark"):
        return _switch(name, kind, value)
    if isinstance(value, bool):
        raise ValueError(f"The vLLM flag --{name} takes a value, not {value}.")
    if kind == "list":
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, Sequence) or not items or not all(isinstance(item, str) for item in items):
            raise ValueError(f"The vLLM flag --{name} takes one or more texts, not {value!r}.")
        return [f"--{name}", *(_one_line(name, item) for item in items)]
    if not isinstance(value, str | int | float):
        raise ValueError(f"The vLLM flag --{name} takes one value, not {value!r}.")
    if kind == "integer" and not isinstance(value, int):
        raise ValueError(f"The vLLM flag --{name} takes a whole number, not {value!r}.")
    if kind == "number" and not isinstance(value, int | float):
        raise ValueError(f"The vLLM flag --{name} takes a number, not {value!r}.")
    if kind == "length" and not (_LENGTH.fullmatch(str(value)) and not isinstance(value, float)):
        raise ValueError(f"The vLLM flag --{name} takes a length such as 2048, 2K or auto, not {value!r}.")
    _check_range(name, value, table)
    return [f"--{name}", _one_line(name, str(value))]


def _switch(name: str, kind: str, value: Value) -> list[str]:
    if not isinstance(value, bool):
        raise ValueError(f"The vLLM flag --{name} is switched by True or False, not by {value!r}.")
    if value:
        return [f"--{name}"]
    if kind == "mark":
        raise ValueError(f"The vLLM flag --{name} has no opposite: leave it out instead of giving False.")
    return [f"--no-{name}"]


def _one_line(name: str, text: str) -> str:
    if re.search(r"[\x00-\x1f]", text):
        raise ValueError(f"The value of the vLLM flag --{name} holds a line break or a control character: {text!r}.")
    return text


def _check_range(name: str, value: str | float, table: Mapping[str, frozenset[str]]) -> None:
    if name == "gpu-memory-utilization" and not 0 < float(value) <= 1:
        raise ValueError(f"--gpu-memory-utilization is a part of the card between 0 and 1, not {value}.")
    if name == "port" and not 0 < int(value) < 65536:
        raise ValueError(f"--port goes from 1 to 65535, not {value}.")
    if name == "quantization" and value not in table["quantization"]:
        near = difflib.get_close_matches(str(value), sorted(table["quantization"]), n=1, cutoff=0.0)[0]
        raise ValueError(f"This version of vLLM has no --quantization {value}. The nearest one is {near}.")
