"""Every version that the box gets, read from ``pins.toml`` beside this file."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from vengeance.box import downloads

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).with_name("pins.toml")
_NEEDED = ("what", "version")
_TEXTS = (*_NEEDED, "url", "sha256", "sha256_from", "unhashed", "product_code", "renewed")


@dataclass(frozen=True)
class Pin:
    """One version, where its file comes from, and the SHA-256 of that file or why there is none.

    + settings: field -> name of the setting that has it
    """

    name: str
    what: str
    version: str
    url: str | None = None
    sha256: str | None = None
    sha256_from: str | None = None
    unhashed: str | None = None
    product_code: str | None = None
    renewed: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


def parse(text: str) -> dict[str, Pin]:
    """Read pins, in their order; ``{version}`` is filled in.

    Raises ValueError with a sentence that names the pin.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{FILE.name} is no TOML: {error}.") from None
    return {name: _pin(name, values) for name, values in tables.items()}


def _pin(name: str, values: object) -> Pin:
    if not isinstance(values, dict):
        raise ValueError(f"{FILE.name}: {name} is no table: write [{name}] and its fields below.")
    unknown = sorted(values.keys() - {*_TEXTS, "settings"})
    if unknown:
        raise ValueError(f"{FILE.name}: {name} has {unknown[0]}, which is none of {', '.join(_TEXTS)}, settings.")
    for each in _TEXTS:
        value = values.get(each, None if each not in _NEEDED else "")
        if value is not None and (not isinstance(value, str) or not value.strip()):
            raise ValueError(f"{FILE.name}: {name} needs {each}, a text in quotes.")
    version = values["version"]
    fields: dict[str, Any] = {key: value for key, value in values.items() if key != "settings"}
    for each in ("url", "unhashed"):
        if each in fields:
            fields[each] = fields[each].replace("{version}", version)
    pin = Pin(name, settings=values.get("settings", {}), **fields)
    _check(pin)
    return pin


def _check(pin: Pin) -> None:
    if pin.url is not None:
        downloads.check_url(pin.url, f"{FILE.name}: url of {pin.name}")
    if pin.sha256 is None:
        if pin.unhashed is None:
            raise ValueError(f"{FILE.name}: {pin.name} has no sha256: put it there, or say in unhashed why not.")
        return
    try:
        downloads.check_sha256(pin.sha256)
    except ValueError as error:
        raise ValueError(f"{FILE.name}: sha256 of {pin.name}: {error}") from None
    if pin.sha256_from is None or not re.search(rf"(?<![\d.]){re.escape(pin.version)}(?![\d.]*\d)", pin.sha256_from):
        raise ValueError(
            f"{FILE.name}: the sha256 of {pin.name} is from {pin.sha256_from or 'nowhere'}, and the version is "
            f"{pin.version}: put the new file's there, and say in sha256_from who gives it for {pin.version}."
        )


@cache
def shipped() -> dict[str, Pin]:
    """Return the pins of ``pins.toml`` by name. Raises ValueError with a sentence."""
    return parse(FILE.read_text(encoding="utf-8"))


def pinned(name: str, what: str = "version") -> str:
    """Return one field of a pin, as ``pinned("wsl", "url")``.

    + name: of the pin, such as ``ollama``
    + what: version, url, sha256 or product_code

    Raises ValueError with a sentence.
    """
    found = shipped().get(name)
    if found is None:
        raise ValueError(f"{FILE.name} has no {name!r}: it has {', '.join(shipped())}.")
    value = getattr(found, what)
    if not isinstance(value, str):
        raise ValueError(f"{FILE.name}: {name} has no {what}.")
    return value
