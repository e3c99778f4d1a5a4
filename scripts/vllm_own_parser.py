"""vLLM's own parser of ``vllm serve``, built from nothing but the Python files of its wheel: no torch, no card.

usage: vllm_own_parser.py FOLDER table     print the table of its flags as JSON
       vllm_own_parser.py FOLDER judge     read command lines (a JSON list of lists of words, from ``serve`` on) from
                                           standard input, and print for each what vLLM makes of it

FOLDER is what the wheel's Python files were unpacked into. It runs in the small environment that
``scripts/vllm_flags.py`` makes (``scripts/vllm_parser_requirements.txt``), and so imports nothing of the project.
What vLLM imports beyond that is replaced by empty stand-ins, as vLLM's own documentation build does where torch is
absent (docs/mkdocs/hooks/generate_argparse.py in vLLM's repository).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import importlib.metadata
import importlib.util
import inspect
import io
import json
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, cast
from unittest.mock import MagicMock, patch

# What the parsers of the versions in vllm_flags.SOURCES import and do not need. A version that wants more stops with
# ModuleNotFoundError and the name that is missing here.
ABSENT = frozenset(
    (
        *("aiohttp", "cbor2", "cloudpickle", "cpuinfo", "cv2", "fastapi", "gguf", "huggingface_hub", "llguidance"),
        *("numpy", "openai", "openai_harmony", "opentelemetry", "partial_json_parser", "PIL", "prometheus_client"),
        *("psutil", "pybase64", "requests", "safetensors", "scipy", "torch", "torchaudio", "transformers", "urllib3"),
        *("uvicorn", "uvloop", "xgrammar", "zmq"),
    )
)
# Where the parser of ``vllm serve`` is made: 0.33 on, 0.32, and before.
PARSERS = (
    "vllm.entrypoints.common.cli_args",
    "vllm.entrypoints.launchers.cli_args",
    "vllm.entrypoints.openai.cli_args",
)


class Absent(MagicMock):
    """Stands in for a module that is not installed, and for everything in it."""

    def __init__(self, *arguments: object, **settings: object) -> None:
        settings.setdefault("name", "absent")
        super().__init__(*arguments, **cast("dict[str, Any]", settings))
        self.__name__ = self.__qualname__ = str(settings["name"])
        # Later than what vLLM asks of any package.
        self.__version__ = "99.0.0"
        self.__path__: list[str] = []
        self.__file__ = "absent"

    def __get_pydantic_core_schema__(self, *_: object) -> object:
        from pydantic_core import core_schema

        return core_schema.any_schema()

    def __mro_entries__(self, bases: object) -> tuple[type, ...]:
        return (type("AbsentBase", (), {}),)

    def __or__(self, other: object) -> Absent:
        return self

    __ror__ = __or__


class Finder:
    """Finds the modules that are absent, last of all finders."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Answer for absent modules and what would be in them."""
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] in ABSENT else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> Absent:
        """The stand-in."""
        return Absent(name=spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is to be run."""


def version_of(distribution_name: str) -> str:
    """What importlib.metadata says of a package, and for the absent ones what satisfies vLLM."""
    name = distribution_name
    try:
        return INSTALLED(name)
    except importlib.metadata.PackageNotFoundError:
        if name == "vllm":
            # With "cpu" in its version vLLM takes itself for the build that needs no card.
            return "0.0.0+cpu"
        if name.replace("-", "_").split(".")[0] in ABSENT:
            return "99.0.0"
        raise


INSTALLED = importlib.metadata.version


def load(folder: Path) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser, ModuleType]:
    """The parser of ``vllm``, that of ``vllm serve`` inside it, and the module that makes them."""
    sys.path.insert(0, str(folder))
    sys.meta_path.append(Finder())
    importlib.metadata.version = version_of
    os.environ["VLLM_TARGET_DEVICE"] = "cpu"
    os.environ["VLLM_CONFIGURE_LOGGING"] = "0"
    if (folder / "vllm" / "ir" / "op.py").exists():
        # Registers kernels with torch when it is imported.
        sys.modules["vllm.ir.ops"] = Absent(name="vllm.ir.ops")
    kind = importlib.import_module("vllm.utils.argparse_utils").FlexibleArgumentParser
    places = [name for name in PARSERS if folder.joinpath(*name.split(".")).with_suffix(".py").exists()]
    if not places:
        raise SystemExit(f"{folder} has none of {', '.join(PARSERS)}: look where this vLLM makes its parser.")
    module = importlib.import_module(places[0])
    whole = kind(prog="vllm")
    # As vllm/entrypoints/cli/main.py and serve.py do: with the subcommand, --model is moved to the front.
    serve = whole.add_subparsers(required=False, dest="subparser").add_parser("serve")
    with patch("vllm.config.DeviceConfig.__post_init__", lambda self: None):
        module.make_arg_parser(serve)
    return whole, serve, module


# --- the table ----------------------------------------------------------------------------------------------

# The names of vLLM's converters (vllm/engine/arg_utils.py) -> how the table calls what they take.
KINDS = {
    "str": "text",
    "int": "int",
    "float": "float",
    "loads": "json",
    "parse_dataclass": "json",
    "union_dict_and_str": "json_or_text",
    "human_readable_int": "human_int",
    "human_readable_int_or_auto": "human_int_or_auto",
    "parse_reasoning_parser": "text",
    "<lambda>": "text",
}
LIMITS = ("gt", "ge", "lt", "le")


def kind_of(action: argparse.Action) -> str:
    """How the table calls what a flag takes."""
    name = type(action).__name__
    if name in ("BooleanOptionalAction", "EnableDisableAction"):
        return "switch"
    if name == "_StoreTrueAction":
        return "flag"
    converter: Any = action.type or str
    while converter.__name__ in ("_optional_type", "_parse_type"):
        converter = inspect.getclosurevars(converter).nonlocals["return_type"]
    if converter.__name__ not in KINDS:
        raise SystemExit(f"{action.option_strings} is read by {converter.__name__}, which KINDS does not have.")
    return KINDS[converter.__name__]


def spellings(serve: argparse.ArgumentParser, action: argparse.Action) -> tuple[list[str], list[str], list[str]]:
    """How a flag can be written, how its opposite can, and which of both do not stand in vLLM's help."""
    every = [name for name, one in serve._option_string_actions.items() if one is action]
    opposite = getattr(action, "negative_option_strings", None)
    if opposite is None:
        opposite = [one for one in every if one.startswith("--no-")] if kind_of(action) == "switch" else []
    # The name that is the flag's own comes first, as vLLM writes it.
    names = sorted((one for one in every if one not in opposite), key=lambda one: not one.startswith("--"))
    hidden = [one for one in every if one not in action.option_strings]
    return names, sorted(opposite, key=lambda one: (one in hidden, one)), sorted(hidden)


def bounds() -> dict[str, dict[str, float]]:
    """Option -> the range that vLLM's own configuration holds it to (gt, ge, lt, le), where it says one."""
    found: dict[str, list[dict[str, float]]] = {}
    for kind in vars(importlib.import_module("vllm.config")).values():
        if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
            continue
        for field in dataclasses.fields(kind):
            limits = getattr(field.default, "metadata", None)
            if isinstance(limits, list):
                pairs = [(name, getattr(one, name)) for one in limits for name in LIMITS if hasattr(one, name)]
                found.setdefault(field.name, []).append(dict(pairs))
    # A name that two classes mean differently says nothing about the flag.
    return {name: each[0] for name, each in found.items() if each[0] and all(one == each[0] for one in each)}


def described(
    serve: argparse.ArgumentParser, action: argparse.Action, limits: dict[str, dict[str, float]]
) -> dict[str, Any]:
    """One flag as the table has it."""
    if not action.option_strings:
        return {"kind": kind_of(action), "nargs": action.nargs}
    names, off, hidden = spellings(serve, action)
    kind = kind_of(action)
    plain = isinstance(action.default, str | int | float | list) and action.default != argparse.SUPPRESS
    help_text = action.help or ""
    entry = {
        "names": names,
        "off": off,
        "hidden": hidden,
        "kind": kind,
        "nargs": None if kind in ("switch", "flag") else action.nargs,
        # vLLM itself refuses None and "None" where it lists them.
        "choices": sorted({str(one) for one in action.choices} - {"None"}) if action.choices else None,
        # Names that vLLM shows and does not insist on.
        "suggested": sorted(action.metavar) if isinstance(action.metavar, list) else None,
        "default": action.default if plain else None,
        "range": limits.get(action.dest),
        "append": type(action).__name__ == "_AppendAction",
        "deprecated": action in getattr(serve, "_deprecated", ())
        or bool(getattr(action, "deprecated", False))
        or type(action).__name__.startswith("Deprecated")
        or help_text.startswith("--" + action.dest.replace("_", "-") + " is deprecated"),
    }
    return {key: value for key, value in entry.items() if value not in (None, []) and (value or key == "default")}


def table(folder: Path) -> dict[str, Any]:
    """All that the project keeps of one version."""
    # With it vLLM writes its help, which says what is deprecated.
    sys.argv.append("--help")
    _, serve, module = load(folder)
    quantization = importlib.import_module("vllm.model_executor.layers.quantization")
    limits = bounds()
    reasoning = importlib.import_module("vllm.reasoning").ReasoningParserManager
    actions = [one for one in serve._actions if not isinstance(one, argparse._HelpAction)]
    return {
        "module": module.__name__,
        "quantization": sorted(quantization.QUANTIZATION_METHODS),
        "quantization_deprecated": sorted(quantization.DEPRECATED_QUANTIZATION_METHODS),
        "tool_call_parsers": sorted(module.ToolParserManager.list_registered()),
        "reasoning_parsers": sorted(reasoning.list_registered()),
        "variables": sorted(importlib.import_module("vllm.envs").environment_variables),
        "options": {one.dest: described(serve, one, limits) for one in sorted(actions, key=lambda one: one.dest)},
    }


# --- judging ------------------------------------------------------------------------------------------------


def judged(whole: argparse.ArgumentParser, module: ModuleType, words: list[str]) -> dict[str, Any]:
    """What vLLM makes of one command line: the status that it would end with, what it says, what it read."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            options = whole.parse_args(words)
            module.validate_parsed_serve_args(options)
    except SystemExit as end:
        return {"status": end.code, "said": said.getvalue(), "values": {}}
    except Exception as problem:  # vLLM ends with a traceback, and so with 1
        return {"status": 1, "said": f"{said.getvalue()}{type(problem).__name__}: {problem}", "values": {}}
    simple = (str, int, float, bool, list, type(None))
    values = {name: value for name, value in vars(options).items() if isinstance(value, simple)}
    return {"status": 0, "said": said.getvalue(), "values": values}


def main() -> int:
    """Print the table, or judge."""
    if len(sys.argv) != 3 or sys.argv[2] not in ("table", "judge"):
        print(__doc__, file=sys.stderr)
        return 2
    folder, what = Path(sys.argv[1]), sys.argv[2]
    # argparse names the program in its messages, and vLLM looks for --help in here.
    sys.argv = ["vllm"]
    with contextlib.redirect_stdout(sys.stderr):
        if what == "table":
            answer: object = table(folder)
        else:
            whole, _, module = load(folder)
            answer = [judged(whole, module, words) for words in json.load(sys.stdin)]
    json.dump(answer, sys.stdout, default=str)
    return 0


if __name__ == "__main__":
    sys.exit(main())
