"""What is to be taken back, as it is asked for, and what may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vengeance.box import before
from vengeance.box.windows_settings import nearest

STAGES = ("expose", "vllm", "cuda", "wsl", "ollama", "windows")
"""In the order in which they are taken back, which is that of the deploy from behind."""
READ_ONLY = ("preflight", "verify")
DELETABLE = {"models": ("ollama", "vllm"), "distro": ("wsl",)}
"""What took hours to come -> the stages with which it can go; it does so only when it is named in full."""


SENTENCES: dict[str, dict[str, str]] = {
    "expose": {"windows": "the ports that Tailscale and Windows forward, and the rules of the firewall."},
    "vllm": {"wsl": "vLLM's servers with their key and their folders, its Python environment, its packages."},
    "cuda": {"wsl": "the CUDA toolkit, and NVIDIA's package source."},
    "wsl": {
        "windows": "what keeps the distro up, .wslconfig, and WSL itself if no distro is left on it.",
        "wsl": "/etc/wsl.conf; the user stays with the distro.",
    },
    "ollama": {"windows": "the tasks that start Ollama, its variables, and Ollama itself; its models stay."},
    "windows": {"windows": "ports set aside, sleep, features (with a restart), the deploys' folder, Tailscale."},
}
"""Stage -> side of the box -> what is taken back there."""


@dataclass(frozen=True)
class Undo:
    """What is asked for.

    + stages: those that are taken back, in that order
    + delete: of ``DELETABLE``
    """

    stages: tuple[str, ...]
    delete: frozenset[str]

    def deletes(self, what: str, stage: str) -> bool:
        """Tell whether something goes with a stage."""
        return what in self.delete and stage in self.stages


def parse(stages: object, delete: object) -> Undo:
    """Read what is asked for.

    + stages: names with commas between them, or a list of them; None is all
    + delete: the same of what goes too, None is nothing

    Raises ValueError with a sentence for a word that is none.
    """
    named = [_known(each, STAGES, "stage to take back", "stages") for each in _words(stages, "stages")]
    gone = [_known(each, DELETABLE, "thing that is deleted", "delete") for each in _words(delete, "delete")]
    chosen = tuple(each for each in STAGES if each in named) if stages is not None else STAGES
    if not chosen:
        raise ValueError(
            f"stages names no stage: there are {', '.join(STAGES)}; without it all of them are taken back."
        )
    for what in gone:
        if not set(DELETABLE[what]) & set(chosen):
            where = " or ".join(DELETABLE[what])
            raise ValueError(f"delete={what} goes with the stage {where}, and stages is {', '.join(chosen)}.")
    return Undo(chosen, frozenset(gone))


def _words(given: object, what: str) -> list[str]:
    if given is None:
        return []
    words = given.split(",") if isinstance(given, str) else given
    if not isinstance(words, list | tuple) or not all(isinstance(each, str) for each in words):
        raise ValueError(f'{what} has names with commas between them, as in --data "{what}=a,b", and not {given!r}.')
    return [each.strip() for each in words if each.strip()]


def _known(word: str, known: Iterable[str], what: str, name: str) -> str:
    names = list(known)
    if word in names:
        return word
    if word in READ_ONLY:
        raise ValueError(f"{word} only reads, so there is nothing to take back: {name} has {', '.join(names)}.")
    near = nearest(word, names, 0.5)
    meant = f"did you mean {near}?" if near is not None else f"there are {', '.join(names)}."
    raise ValueError(f"There is no {what} {word!r} ({name}), and each is named in full: {meant}")


def is_ours(entries: Mapping[str, Any], distro: str) -> bool:
    """Tell whether a deploy has made a distribution.

    + entries: what is kept of Windows from before
    """
    return before.distro(distro) in entries


def wsl_goes(entries: Mapping[str, Any], distributions: Iterable[str], undo: Undo) -> bool:
    """Tell whether WSL's package goes: a deploy installed it, and no distribution is left that runs on it.

    + entries: what is kept of Windows from before
    + distributions: names of those that are registered
    """
    if "wsl" not in undo.stages or entries.get(before.WSL, "") is not None:
        return False
    return all(undo.deletes("distro", "wsl") and is_ours(entries, each) for each in distributions)


def path_back(now: str, before: str, folder: str) -> str:
    """Return a PATH without a folder that an installer put there; as it was if nobody else has changed it.

    + now, before: its text now and then
    + folder: full path, with or without a backslash behind it

    >>> path_back(r"C:\\bin;C:\\Ollama", r"C:\\bin;", r"C:\\Ollama")
    'C:\\\\bin;'
    """
    low = folder.rstrip("\\").lower()
    kept = [part for part in now.split(";") if part and part.rstrip("\\").lower() != low]
    return before if kept == [part for part in before.split(";") if part] else ";".join(kept)
