"""What a running Ollama server works with, read from the first lines of its log, and compared with what is declared.

ollama/ollama at v0.33.0-rc2: envconfig/config.go parses the variables, server/routes.go logs what it made of them as
``msg="server config" env="map[NAME:value ...]"``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from vengeance.box.ollama_environment import VARIABLES
from vengeance.box.ports import LOOPBACK as LOOPBACK
from vengeance.box.ports import check_port

PORT = 11434
_ANY = ("", "0.0.0.0", "::")  # noqa: S104

_ENV = re.compile(r'\benv="((?:[^"\\]|\\.)*)"|\benv=(map\[\S*\])')
_TIME = re.compile(r'\btime="?(\d{4}-\d\d-\d\dT[\d:]+(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))')
# Three letters at least, or the drive of a path with blanks would count as a name.
_PAIR = re.compile(r"(?:^| )([A-Z][A-Z0-9_]{2,}):")
_LISTENING = re.compile(r"Listening on (\S+) \(version ([^)]+)\)")
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False"}
# Longer than this is "never" in Ollama's own words (math.MaxInt64 nanoseconds).
_FOR_EVER = 9e9
# Variables whose value counts also where none is declared: an old one that is left over would change what clients see.
_WATCHED = ("OLLAMA_HOST", "OLLAMA_KEEP_ALIVE", "OLLAMA_CONTEXT_LENGTH", "OLLAMA_NUM_PARALLEL", "OLLAMA_MODELS")


class Address(NamedTuple):
    """Where a server listens."""

    scheme: str
    host: str
    port: int


def check_asked(address: str, port: int) -> None:
    """Check that a server can be asked at an address and a port. Raises ValueError with a sentence."""
    if not re.fullmatch(r"[0-9A-Za-z.:-]+", address):
        raise ValueError(f"{address!r} is no address to ask Ollama at: write {LOOPBACK}.")
    check_port(port)


def address(value: str) -> Address:
    """Read OLLAMA_HOST as Ollama does; "" is its default."""
    text = value.strip().strip("\"'")
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    port = {"http": 80, "https": 443}.get(scheme, PORT) if separator else PORT
    rest = rest.partition("/")[0]
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*):([^:]*)", rest)
    host = match[1] if match else rest or LOOPBACK
    digits = re.fullmatch(r"0*([0-9]{1,5})", match[2]) if match else None
    if digits and int(digits[1]) < 65536:
        port = int(digits[1])
    return Address(scheme, host.strip("[]"), port)


def where_to_ask(value: str) -> tuple[str, int]:
    """Return the address and port at which a program on the box reaches a server with this OLLAMA_HOST."""
    found = address(value)
    return (LOOPBACK if found.host in _ANY else found.host), found.port


def effective(line: str) -> dict[str, str]:
    """Return the variables that a "server config" line shows; {} when it is none."""
    match = _ENV.search(line)
    if match is None:
        return {}
    text = match[2] or re.sub(r"\\(.)", r"\1", match[1])
    if not (text.startswith("map[") and text.endswith("]")):
        return {}
    text = text[4:-1]
    marks = list(_PAIR.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return {mark[1]: text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)}


def written(line: str) -> datetime | None:
    """Return when a line was written, None when it does not say."""
    match = _TIME.search(line)
    return None if match is None else datetime.fromisoformat(match[1].replace("Z", "+00:00"))


def listening(line: str) -> tuple[str, str] | None:
    """Return the address and the version that a "Listening on" line shows."""
    match = _LISTENING.search(line)
    return None if match is None else (match[1], match[2])


def differences(declared: Mapping[str, str], running: Mapping[str, str]) -> dict[str, tuple[str | None, str]]:
    """Compare the variables that are declared with those that a server works with.

    + declared: name -> value as the registry has it; names ignore case, others than Ollama's do not count
    + running: what ``effective`` returned

    Returns name -> (declared or None, what the server has), where they mean something else. A variable that is not
    declared counts only where an old value would be felt.
    """
    by_name = {name.upper(): value for name, value in declared.items()}
    found: dict[str, tuple[str | None, str]] = {}
    for name, value in running.items():
        wanted = by_name.get(name)
        if name not in VARIABLES or (wanted is None and name not in _WATCHED):
            continue
        if not _same(name, wanted, value):
            found[name] = (wanted, value)
    return found


def _same(name: str, wanted: str | None, running: str) -> bool:
    kind = VARIABLES[name].kind
    if name == "OLLAMA_MODELS" and wanted is None:
        return running.lower().replace("/", "\\").endswith("\\.ollama\\models")
    if name == "OLLAMA_DEBUG":
        return _debug(wanted or "") == _debug(running)
    text = (VARIABLES[name].default if wanted is None else wanted).strip().strip("\"'")
    if name in ("OLLAMA_ORIGINS", "OLLAMA_REMOTES"):
        listed = set(re.split(r"[\s,]+", running.strip("[]")))
        return {word for word in text.split(",") if word} <= listed
    if kind == "address":
        return address(text) == address(running)
    if kind == "duration":
        return _seconds(name, text) == _seconds(name, running)
    if kind == "boolean":
        return _is_true(text) == _is_true(running)
    if kind == "integer":
        return _whole(name, text) == _whole(name, running)
    return text.rstrip("\\/").lower() == running.rstrip("\\/").lower()


def _debug(text: str) -> int:
    levels = {"": 0, "INFO": 0, "DEBUG": 1, "DEBUG-4": 2, "TRACE": 2}
    if text.upper() in levels:
        return levels[text.upper()]
    return int(text) if text.isdecimal() else int(_is_true(text))


def _is_true(text: str) -> bool:
    # What is neither counts as true: strconv.ParseBool fails, and envconfig takes true.
    return text in _TRUE or (text != "" and text not in _FALSE)


def _whole(name: str, text: str) -> int:
    if text.isdecimal():
        return int(text)
    default = VARIABLES[name].default
    return int(default) if default.isdecimal() else 0


def _seconds(name: str, text: str) -> float:
    """Seconds of a duration, infinite for what never ends; one that cannot be read is the default."""
    negative, digits = text.startswith("-"), text.lstrip("+-")
    pieces = _DURATION.findall(digits)
    if digits.isdecimal():
        seconds = float(digits)
    elif pieces and "".join(number + unit for number, unit in pieces) == digits:
        seconds = sum(float(number) * _UNITS[unit] for number, unit in pieces)
    else:
        return _seconds(name, VARIABLES[name].default)
    never = (negative and seconds > 0) or seconds > _FOR_EVER or (name == "OLLAMA_LOAD_TIMEOUT" and seconds == 0)
    return float("inf") if never else seconds
