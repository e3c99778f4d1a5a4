"""The flags of ``vllm serve``, version by version, as ``scripts/vllm_flags.py`` took them from vLLM's own parser."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vengeance.box import versions

# Checked here because vLLM's own check comes later than its parser, after torch is imported (vllm/config/parallel.py),
# or is none at all: 0.15.1 divides by a size of 0.
_AT_LEAST_ONE = (
    "api-server-count",
    "data-parallel-size",
    "decode-context-parallel-size",
    "max-num-batched-tokens",
    "max-num-seqs",
    "nnodes",
    "pipeline-parallel-size",
    "prefill-context-parallel-size",
    "tensor-parallel-size",
)


@dataclass(frozen=True)
class Flag:
    """One flag of one version.

    name: without dashes
    kind: ``switch`` (with an opposite), ``flag`` (without), ``text``, ``int``, ``float``, ``json``, ``json_or_text``,
        ``human_int`` (also 2k or 2K) or ``human_int_or_auto`` (also auto or -1)
    nargs: ``+`` takes one or more values, ``?`` one or none; None takes one
    repeated: it may be given more than once
    spellings: all names that mean it, without dashes; single letters and the like among them
    off: the names that mean its opposite, without dashes, those of vLLM's help first
    choices: the values that it takes, None where it takes any
    suggested: values that vLLM names and does not insist on, as plug-ins may add some
    default: vLLM's own, None where it depends on something
    limits: ``gt``, ``ge``, ``lt`` and ``le`` -> number
    deprecated: vLLM says that it will go
    """

    name: str
    kind: str
    nargs: str | None
    repeated: bool
    spellings: tuple[str, ...]
    off: tuple[str, ...]
    choices: tuple[str, ...] | None
    suggested: tuple[str, ...]
    default: object
    limits: Mapping[str, float]
    deprecated: bool


@dataclass(frozen=True)
class Table:
    """What one version of vLLM takes.

    version: of vLLM
    flags: name -> flag
    quantization: names that ``--quantization`` takes
    quantization_deprecated: those that want ``--allow-deprecated-quantization`` too
    tool_call_parsers, reasoning_parsers: names that ``--tool-call-parser`` and ``--reasoning-parser`` take
    variables: environment variables that it reads
    """

    version: str
    flags: Mapping[str, Flag]
    quantization: frozenset[str]
    quantization_deprecated: frozenset[str]
    tool_call_parsers: frozenset[str]
    reasoning_parsers: frozenset[str]
    variables: frozenset[str]

    def spelled(self, name: str) -> tuple[Flag | None, bool]:
        """Return the flag that a name means, by whichever of its names, and whether the name means its opposite."""
        if name in self.flags:
            return self.flags[name], False
        for flag in self.flags.values():
            if name in flag.spellings:
                return flag, False
            if name in flag.off:
                return flag, True
        return None, False


def versions_known() -> list[str]:
    """Return the versions that there are tables of, oldest first."""
    return sorted((path.stem for path in Path(__file__).parent.glob("*.json")), key=versions.numbers)


def table_file(version: str) -> Path:
    """Return the file of a version that there is a table of."""
    return Path(__file__).with_name(f"{version}.json")


def table_for(version: str | None) -> Table:
    """Return the table of the newest known version that is not newer than ``version``.

    + version: such as ``0.15.1``; None takes the oldest known, and so does one that is older than all
    """
    known = versions_known()
    if version is None:
        return _read(known[0])
    before = [one for one in known if versions.numbers(one) <= versions.numbers(version)]
    return _read(before[-1] if before else known[0])


def judged_by(version: str | None) -> str | None:
    """Return the version whose table stands in for ``version``; None: it has one of its own."""
    table = table_for(version)
    same = version is None or versions.numbers(version)[:3] == versions.numbers(table.version)[:3]
    return None if same else table.version


@cache
def _read(version: str) -> Table:
    raw = json.loads(table_file(version).read_text(encoding="ascii"))
    flags = [_flag(option) for option in raw["options"].values() if "names" in option]
    return Table(
        version=version,
        flags={flag.name: flag for flag in flags},
        quantization=frozenset(raw["quantization"]),
        quantization_deprecated=frozenset(raw["quantization_deprecated"]),
        tool_call_parsers=frozenset(raw["tool_call_parsers"]),
        reasoning_parsers=frozenset(raw["reasoning_parsers"]),
        variables=frozenset(raw["variables"]),
    )


def _flag(option: Mapping[str, Any]) -> Flag:
    spellings = tuple(name.lstrip("-") for name in option["names"])
    limits = dict(option.get("range", {}))
    name = spellings[0]
    if name in _AT_LEAST_ONE:
        limits.setdefault("ge", 1)
    if name == "port" or name.endswith("-port"):
        limits = {"ge": 1, "le": 65535}
    return Flag(
        name=name,
        kind=option["kind"],
        nargs=option.get("nargs"),
        repeated=option.get("append", False),
        spellings=spellings,
        off=tuple(one.lstrip("-") for one in option.get("off", ())),
        choices=tuple(option["choices"]) if "choices" in option else None,
        suggested=tuple(option.get("suggested", ())),
        default=option.get("default"),
        limits=limits,
        deprecated=option.get("deprecated", False),
    )
