"""Which models an Ollama server should have: their names, what is missing, and whether the disk has room for it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vengeance.box.downloads import size_text

GB = 10**9
# Ollama writes manifests and moves blobs about; a drive that is filled to its last byte stops Windows too.
RESERVE = 2 * GB

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"
# ollama/ollama, types/model/name.go: [host/][namespace/]model[:tag]; a namespace has no dots.
_NAME = re.compile(
    rf"(?:(?P<host>[A-Za-z0-9_][A-Za-z0-9_.:-]{{0,349}})/)?"
    rf"(?:(?P<space>[A-Za-z0-9_][A-Za-z0-9_-]{{0,79}})/)?"
    rf"(?P<model>{_PART})(?::(?P<tag>{_PART}))?"
)
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{12,64})")
_KEYS = ("name", "size_gb", "digest")


@dataclass(frozen=True)
class Model:
    """A model that should be there: ``size`` in bytes and ``digest`` (of its manifest) as far as they are known."""

    name: str
    size: int | None = None
    digest: str | None = None

    def is_that_of(self, digest: str) -> bool:
        """Whether a digest is the pinned one; without a pin any is."""
        return self.digest is None or _hex(digest).startswith(self.digest)


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:").lower()


@dataclass(frozen=True)
class Plan:
    """What has to be done: models to pull, and names of those that are too many."""

    pull: tuple[Model, ...]
    extra: tuple[str, ...]


def full_name(text: str) -> str:
    """Return a model's name as Ollama lists it: with its tag, which is ``latest`` when none is given.

    + text: ``qwen2.5:3b``, ``someone/model:tag`` or ``hf.co/someone/model:tag``

    Raises ValueError with a sentence for anything else.
    """
    if "://" in text:
        tail = "/".join(text.split("://", 1)[1].split("/")[1:]).removeprefix("library/")
        raise ValueError(f"{text!r} is an address, and a model is given by its name, as in {tail or 'qwen2.5:3b'}.")
    if "@" in text:
        raise ValueError(f"{text!r} names a digest with '@', which Ollama does not read: write model:tag, and digest.")
    match = _NAME.fullmatch(text)
    if match is None or ".." in text:
        raise ValueError(f"{text!r} is no name of a model: it is written model:tag, as in qwen2.5:3b.")
    host, space, model, tag = match["host"], match["space"], match["model"], match["tag"]
    if host and not space:
        if "." in host or ":" in host:
            raise ValueError(f"{text!r} is no name of a model: after a host come two parts, as in hf.co/someone/model.")
        host, space = None, host
    return f"{host + '/' if host else ''}{space + '/' if space else ''}{model}:{tag or 'latest'}"


def declared(models: Sequence[Mapping[str, object]]) -> list[Model]:
    """Read the models of the group data: each has a ``name``, and may have ``size_gb`` (10^9 bytes) and ``digest``.

    Raises ValueError with a sentence that names the model and what is wrong with it.
    """
    found: list[Model] = []
    for given in models:
        for key in given:
            if key not in _KEYS:
                near = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.0)
                raise ValueError(f"A model has no {key!r}; the nearest key that is read is {near[0]!r}: {dict(given)}.")
        name = given.get("name")
        if not isinstance(name, str):
            raise ValueError(f"A model has no name, which is a text as qwen2.5:3b: {dict(given)}.")
        model = Model(full_name(name), _size(name, given.get("size_gb")), _digest(name, given.get("digest")))
        if any(model.name.lower() == other.name.lower() for other in found):
            raise ValueError(f"The model {model.name} is given twice.")
        found.append(model)
    return found


def _size(name: str, size: object) -> int | None:
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int | float) or not 0 < size < 10_000:
        raise ValueError(f"size_gb of {name} is a number of GB above 0, as 4.7, not {size!r}.")
    return round(size * GB)


def _digest(name: str, digest: object) -> str | None:
    if digest is None:
        return None
    match = _DIGEST.fullmatch(digest.lower()) if isinstance(digest, str) else None
    if match is None:
        raise ValueError(
            f"digest of {name} is 12 to 64 hex digits, as /api/tags and `ollama list` show it, not {digest!r}."
        )
    return match[1]


def plan(wanted: Sequence[Model], present: Mapping[str, str], prune: bool) -> Plan:
    """Compare the models that should be there with those that are.

    + present: name -> digest, as /api/tags lists them
    + prune: whether those that are not declared are too many

    Names ignore case, as on the Windows disk.
    """
    there = {name.lower(): digest for name, digest in present.items()}
    pull = tuple(m for m in wanted if m.name.lower() not in there or not m.is_that_of(there[m.name.lower()]))
    names = {model.name.lower() for model in wanted}
    return Plan(pull, tuple(name for name in present if prune and name.lower() not in names))


def too_little_room(pull: Sequence[Model], free: int, partial: int, freed: int = 0) -> str | None:
    """Return a sentence when models do not fit on the disk, None when they do or their sizes are not known.

    + free, partial, freed: bytes that are free, that unfinished pulls hold already, and that removed models give back
    """
    need = sum(model.size or 0 for model in pull)
    missing = max(0, need - partial) + RESERVE - free - freed
    if not need or missing <= 0:
        return None
    names = ", ".join(f"{model.name} {size_text(model.size)}" for model in pull if model.size)
    return (
        f"the models that are missing take {size_text(need)} ({names}) and {size_text(RESERVE)} stay free beside them, "
        f"but only {size_text(free + freed)} are free"
        + (f" and {size_text(partial)} are there of an earlier try" if partial else "")
        + f": {size_text(missing)} too little"
    )
