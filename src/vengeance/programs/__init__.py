"""Programs of a few lines that run in the distro, each a file of its own that imports nothing of ours.

They are given to Python on its command line or its stdin, so they hold no secret and need not be put anywhere.
"""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def load(name: str) -> str:
    """Return the text of a program by its name, the file's without ``.py``."""
    return resources.files(__name__).joinpath(f"{name}.py").read_text(encoding="utf-8")
