"""From flags to the words of a command line, and what is refused on the way."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from vengeance.box.vllm_flags.changes import QUANTIZATION_GONE, comes, went
from vengeance.box.vllm_flags.tables import Flag, Table, judged_by, table_for

Value: TypeAlias = str | bool | int | float | Sequence[str] | Mapping[str, object]

SECRET_FLAGS = {
    "api-key": "VLLM_API_KEY",
    "hf-token": "HF_TOKEN",
    "ssl-keyfile-password": "a key without a password, in a file that only its user can read",
}
"""Flags that would show a secret to everybody who lists the processes, with what to use instead."""

# vllm/utils/argparse_utils.py: 2k is 2000, 2K is 2048, and a fraction stands only before a small letter.
_HUMAN = r"\d+|\d+[KMGT]|\d+(\.\d+)?[kmgt]"
_BEYOND = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
# Refused by vLLM's configuration though its parser takes anything: CacheConfig of 0.33.0.
_CLOSED = ("kv-cache-dtype",)
# What one flag asks of another: validate_parsed_serve_args in vLLM's cli_args.py, both versions.
_NEEDS = {"enable-auto-tool-choice": "tool-call-parser", "enable-log-outputs": "enable-log-requests"}


def arguments(flags: Mapping[str, Value | None], version: str | None = None) -> list[str]:
    """Turn flags into the words of a command line, in the order given.

    + flags: name without the dashes (``_`` for ``-`` is taken too) -> value. True gives the bare flag, False its
      opposite, None leaves it out, a list gives all its words, a mapping becomes JSON
    + version: the vLLM version the flags are for

    Raises ValueError with a sentence: a name that this version does not have or no longer has, an abbreviation, a value
    of the wrong kind or out of its range, a flag given twice, one without the other that it needs, or a secret, which
    does not belong on a command line.
    """
    table = table_for(version)
    given: dict[str, Value | None] = {}
    words: list[str] = []
    try:
        for written, value in flags.items():
            name = written.replace("_", "-").lstrip("-")
            _check_secret(name)
            flag = _find(name, table, version)
            if flag.name in given:
                raise ValueError(f"The vLLM flag --{flag.name} is given twice.")
            given[flag.name] = value
            if value is not None:
                words.extend(_words(flag, value))
        _check_names(given, table)
    except _NotInTable as error:
        other = judged_by(version)
        if other is None:
            raise
        raise ValueError(
            f"{error} vLLM {version} has no table of its own here and is judged by that of {other}: "
            f"'make vllm-flags VERSION={version}' makes one."
        ) from None
    _check_together(given)
    return words


class _NotInTable(ValueError):
    """A name or value that the table does not have: another version's table might."""


def _check_secret(name: str) -> None:
    if name in SECRET_FLAGS:
        raise ValueError(
            f"The vLLM flag --{name} would show a secret to everybody who lists the processes. "
            f"Use {SECRET_FLAGS[name]} instead."
        )


# --- names ----------------------------------------------------------------------------------------------------


def _find(name: str, table: Table, version: str | None) -> Flag:
    gone = went(name, table, version)
    flag, opposite = table.spelled(name)
    if gone is not None and (flag is None or not opposite):
        raise _NotInTable(gone)
    if flag is not None and opposite:
        raise ValueError(f"--{name} is the opposite of --{flag.name}: write {flag.name}: False.")
    if flag is not None and (name == flag.name or "-" in name):
        return flag
    if flag is not None:
        raise ValueError(f"--{name} is short for --{flag.name}: write that.")
    raise _NotInTable(_unknown(name, table))


def _unknown(name: str, table: Table) -> str:
    first = comes(name, table)
    if first is not None:
        return f"vLLM has no flag --{name} in {table.version}; {first} has it."
    switch = re.fullmatch(r"(?:no-)?(?:enable|disable)-(.+)", name)
    others = [f"{word}-{switch[1]}" for word in ("enable", "disable")] if switch else []
    for other in others:
        if other in table.flags and other != name:
            opposite = not name.startswith("no-")
            return f"vLLM has no flag --{name} in {table.version}: write {other}: {not opposite}."
    longer = [one for one in table.flags if one.startswith(name)]
    if len(longer) == 1:
        return f"vLLM has no flag --{name}. It is short for --{longer[0]}: write that."
    return f"vLLM has no flag --{name}. The nearest one is --{nearest(name, table.flags)}."


def nearest(text: str, among: Iterable[str]) -> str:
    """Return the name that looks most like a text."""
    return difflib.get_close_matches(text, sorted(among), n=1, cutoff=0.0)[0]


# --- values ---------------------------------------------------------------------------------------------------


def _words(flag: Flag, value: Value) -> list[str]:
    if flag.kind in ("switch", "flag"):
        return _switch(flag, value)
    if isinstance(value, bool):
        raise ValueError(f"The vLLM flag --{flag.name} takes a value, not {value}.")
    if flag.kind in ("json", "json_or_text") and flag.nargs is None:
        return _option(flag, _json(flag, value))
    if flag.nargs == "+" or flag.repeated:
        return _several(flag, value)
    return _option(flag, _one(flag, value))


def _switch(flag: Flag, value: Value) -> list[str]:
    if not isinstance(value, bool):
        raise ValueError(f"The vLLM flag --{flag.name} is switched by True or False, not by {value!r}.")
    if value:
        return [f"--{flag.name}"]
    if not flag.off:
        raise ValueError(f"The vLLM flag --{flag.name} has no opposite: leave it out instead of giving False.")
    return [f"--{flag.off[0]}"]


def _several(flag: Flag, value: Value) -> list[str]:
    items = [value] if isinstance(value, str | int | float) else value
    if not isinstance(items, Sequence) or not items:
        raise ValueError(f"The vLLM flag --{flag.name} takes one or more texts, not {value!r}.")
    if flag.kind == "text" and not all(isinstance(item, str) for item in items):
        raise ValueError(f"The vLLM flag --{flag.name} takes one or more texts, not {value!r}.")
    texts = [_one(flag, item) for item in items]
    for text in texts:
        if text.startswith("-"):
            raise ValueError(f"A value of the vLLM flag --{flag.name} begins with a dash, as a flag does: {text!r}.")
    if flag.repeated:
        return [word for text in texts for word in (f"--{flag.name}", text)]
    return [f"--{flag.name}", *texts]


def _option(flag: Flag, text: str) -> list[str]:
    # A word that begins with a dash is taken for a flag, unless it is a number (argparse).
    if text.startswith("-") and not re.fullmatch(r"-\d+(\.\d+)?", text):
        return [f"--{flag.name}={text}"]
    return [f"--{flag.name}", text]


def _one(flag: Flag, value: object) -> str:
    """One value as text, of the kind that the flag takes and in its range."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"The vLLM flag --{flag.name} takes one value, not {value!r}.")
    if flag.kind == "int" and not isinstance(value, int):
        raise ValueError(f"The vLLM flag --{flag.name} takes a whole number, not {value!r}.")
    if flag.kind == "float" and not isinstance(value, int | float):
        raise ValueError(f"The vLLM flag --{flag.name} takes a number, not {value!r}.")
    if flag.kind.startswith("human_int"):
        pattern = f"auto|-1|{_HUMAN}" if flag.kind == "human_int_or_auto" else _HUMAN
        if isinstance(value, float) or not re.fullmatch(pattern, str(value)):
            like = "2048, 2K or auto" if flag.kind == "human_int_or_auto" else "2048 or 2K"
            raise ValueError(f"The vLLM flag --{flag.name} takes a length such as {like}, not {value!r}.")
        if re.fullmatch("0+", str(value)):
            raise ValueError(f"--{flag.name} is at least 1, not {value}.")
    if isinstance(value, int | float):
        _check_range(flag, value)
    text = _one_line(flag, str(value))
    allowed = flag.choices or (flag.suggested if flag.name in _CLOSED else None)
    if allowed and text not in allowed:
        near = nearest(text, allowed)
        raise _NotInTable(f"--{flag.name} is one of {', '.join(allowed)}, not {text}. The nearest one is {near}.")
    return text


def _check_range(flag: Flag, value: float) -> None:
    if flag.name == "gpu-memory-utilization" and not 0 < value <= 1:
        raise ValueError(f"--gpu-memory-utilization is a part of the card between 0 and 1, not {value}.")
    if flag.limits.get("le") == 65535 and not 0 < value < 65536:
        raise ValueError(f"--{flag.name} goes from 1 to 65535, not {value}.")
    keeps = {
        "gt": lambda limit: value > limit,
        "ge": lambda limit: value >= limit,
        "lt": lambda limit: value < limit,
        "le": lambda limit: value <= limit,
    }
    for bound, limit in flag.limits.items():
        if not keeps[bound](limit):
            raise ValueError(f"--{flag.name} is {_BEYOND[bound]} {limit:g}, not {value}.")


def _json(flag: Flag, value: Value) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    text = _one_line(flag, value)
    if flag.kind == "json":
        try:
            json.loads(text)
        except ValueError as error:
            raise ValueError(f"The vLLM flag --{flag.name} takes JSON, and {text!r} is none: {error}.") from None
    return text


def _one_line(flag: Flag, text: str) -> str:
    if re.search(r"[\x00-\x1f]", text):
        raise ValueError(
            f"The value of the vLLM flag --{flag.name} holds a line break or a control character: {text!r}."
        )
    return text


# --- flags that look at each other ------------------------------------------------------------------------------


def _check_names(given: Mapping[str, Value | None], table: Table) -> None:
    """Names that vLLM looks up only when it starts."""
    quantization = given.get("quantization")
    if isinstance(quantization, str):
        if quantization not in table.quantization:
            raise _NotInTable(_no_quantization(quantization, table))
        if quantization in table.quantization_deprecated and given.get("allow-deprecated-quantization") is not True:
            raise ValueError(
                f"--quantization {quantization} is on its way out of vLLM: take another model, or write "
                "allow-deprecated-quantization: True as well."
            )
    for name, known, plugin in (
        ("tool-call-parser", table.tool_call_parsers, "tool-parser-plugin"),
        ("reasoning-parser", table.reasoning_parsers, "reasoning-parser-plugin"),
    ):
        value = given.get(name)
        # "none" and "" are taken for no parser at all, by 0.33.0 and by all.
        if isinstance(value, str) and value not in known and value.lower() not in ("", "none") and plugin not in given:
            near = nearest(value, known)
            raise _NotInTable(f"This version of vLLM has no --{name} {value}. The nearest one is {near}.")


def _no_quantization(name: str, table: Table) -> str:
    gone = QUANTIZATION_GONE.get(name)
    if gone is not None:
        return f"This version of vLLM has no --quantization {name} any more ({gone.source}): {gone.instead}."
    near = nearest(name, table.quantization)
    return (
        f"This version of vLLM has no --quantization {name}. The nearest one is {near}; "
        "without the flag vLLM reads it from the model's own config."
    )


def _check_together(given: Mapping[str, Value | None]) -> None:
    for name, needed in _NEEDS.items():
        if given.get(name) is True and not given.get(needed):
            raise ValueError(f"--{name} needs --{needed} too, or vLLM stops at once.")
