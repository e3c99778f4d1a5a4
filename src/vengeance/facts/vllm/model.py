"""The models that vLLM finds in the distro."""

from __future__ import annotations

import json
from typing import TypedDict

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from vengeance import programs


class TokenState(TypedDict):
    """The file with the token of Hugging Face's hub; ``ours`` is whether it has what this project put there."""

    sha256: str
    mode: str
    owner: str
    ours: bool


class ModelState(TypedDict):
    """What is there of a model; ``size`` is of the complete one in bytes, ``faulty`` are files missing or short.

    ``token_left``: whether a token lies beside its place, from a run that was cut.
    """

    commit: str | None
    complete: bool
    faulty: list[str]
    size: int
    place: str
    file_system: str
    writable: bool
    token: TokenState | None
    token_left: bool


NO_MODEL: ModelState = {
    "commit": None,
    "complete": False,
    "faulty": [],
    "size": 0,
    "place": "",
    "file_system": "unknown",
    "writable": True,
    "token": None,
    "token_left": False,
}


def parse_model(output: list[str]) -> ModelState:
    """Read what the program that looks for a model printed. Raises FactProcessError for anything but its object."""
    text = "\n".join(output)
    try:
        return check_type(json.loads(text), ModelState, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
    except (ValueError, TypeCheckError) as error:
        raise FactProcessError(f"What is there of the model was told as {text[:200]!r}: {error}") from error


class Model(FactBase[ModelState]):
    """Returns what is there of a model in Hugging Face's cache, by files of the distro alone: nobody is asked.

    + model: OWNER/NAME on the hub, or a full path in the distro
    + revision: commit, tag or branch, None for the branch ``main``
    + hf_home: folder that models are kept in (HF_HOME)
    + path: folder of the Python environment, whose Python looks

    .. code:: python

        {
            "commit": "1ed0a6145da0ce550c628e8e8b678f51e695995d",
            "complete": True,
            "faulty": [],
            "size": 19341000000,
            "place": "/home/steam/.cache/huggingface",
            "file_system": "ext4",
            "writable": True,
            "token": {"sha256": "9f86d081...", "mode": "600", "owner": "steam", "ours": True},
            "token_left": False,
        }
    """

    def command(self, model: str, revision: str | None, hf_home: str, path: str) -> StringCommand:
        python = QuoteString(f"{path}/bin/python")
        program = QuoteString(programs.load("look_for_model"))
        words = [QuoteString(word) for word in (hf_home, model, revision or "")]
        return StringCommand("if [ -x", python, "]; then", python, "-I -c", program, *words, "; fi")

    @staticmethod
    def default() -> ModelState:
        return NO_MODEL.copy()

    def process(self, output: list[str]) -> ModelState:
        return parse_model(output)
