"""What the unit of a vLLM server may see of the homes, which are hidden from it, and when it starts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

HIDDEN = ("/home", "/root", "/run/user")
"""What ProtectHome= hides: https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#ProtectHome="""

COMPILED = (
    "/var/cache/vllm/triton",
    "/var/cache/vllm/inductor",
    "/var/cache/vllm/vllm/torch_compile_cache",
    "/var/lib/vllm/.cache/flashinfer",
)
"""Where templates/vllm.service.j2 has servers keep what they compile for one version: Triton's kernels, torch.compile's
graphs, FlashInfer's programs (below HOME: flashinfer/jit/env.py)."""

# A colon would be read as what follows the path, a space as the next one, % as a specifier.
_PLAIN = re.compile(r"(/[A-Za-z0-9@_+=,.-]+)+")


def folders(path: str, words: Iterable[str], variables: Mapping[str, str], python: str | None) -> list[str]:
    """Return the files and folders in the homes that a server reads, none of them inside of another.

    + path: folder of its Python environment
    + words: of its command line; those that are a full path count, as the folder of a model
    + variables: of its environment; the same
    + python: the interpreter that the environment was made from; one that uv has fetched lies in a home

    HF_HOME is not among them: ``models`` says how that is seen. Raises ValueError for a path that systemd would
    misread.
    """
    wanted = [path, *words, *(value for name, value in variables.items() if name != "HF_HOME")]
    if python is not None and _hidden(python):
        # .../bin/python3.12
        wanted.append(python.rsplit("/", 2)[0])
    found = sorted({checked(each.rstrip("/")) for each in wanted if _hidden(each)})
    return [each for each in found if not any(each.startswith(f"{other}/") for other in found)]


def models(variables: Mapping[str, str]) -> tuple[str | None, bool]:
    """Return the folder that models are kept in where it lies in a home, and whether the server writes to it.

    + variables: of its environment

    It does so when it may download by itself: HF_HUB_OFFLINE says no. Raises ValueError for a path that systemd would
    misread.
    """
    home = variables.get("HF_HOME", "").rstrip("/")
    offline = variables.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    return (checked(home) if _hidden(home) else None), not offline


def _hidden(path: str) -> bool:
    return path.startswith(tuple(f"{folder}/" for folder in HIDDEN))


def checked(path: str) -> str:
    """Return a path that systemd reads as it stands. Raises ValueError for another one."""
    if not _PLAIN.fullmatch(path) or "/../" in f"{path}/":
        raise ValueError(f"{path!r} cannot be shown to the server: letters, digits and @ _ + = , . - only.")
    return path


def before(unit: str, others: Iterable[str]) -> list[str]:
    """Return those of the other units that this one names as its predecessors.

    What a start stops is stopped first only where one of both names the other (systemd.unit(5), Conflicts=), and two
    that name each other would be a circle: so each names those before it in the alphabet.
    """
    return sorted(other for other in others if other < unit)
