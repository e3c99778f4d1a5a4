"""The Python environment that vLLM is installed in."""

from __future__ import annotations

import json
from typing import TypedDict

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from vengeance import programs


class EnvironmentState(TypedDict):
    """A Python environment; ``packages`` is name -> version."""

    python: str
    owner: str
    packages: dict[str, str]


# pip writes RECORD last: a package without one was cut short while it was installed.
_DESCRIBE = (
    "import importlib.metadata, json, os, platform, pwd, sys; "
    "print(json.dumps({'python': platform.python_version(), "
    "'owner': pwd.getpwuid(os.stat(sys.prefix).st_uid).pw_name, "
    "'packages': {d.metadata['Name']: d.version for d in importlib.metadata.distributions() "
    "if d.read_text('RECORD')}}))"
)


def parse_environment(output: list[str]) -> EnvironmentState:
    """Read what the environment's own Python printed about it.

    Raises FactProcessError for anything but one JSON object of that shape.
    """
    text = "\n".join(output)
    try:
        return check_type(
            json.loads(text), EnvironmentState, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS
        )
    except (ValueError, TypeCheckError) as error:
        raise FactProcessError(f"The Python environment described itself as {text[:200]!r}: {error}") from error


class Environment(FactBase["EnvironmentState | None"]):
    """Returns the Python, the owner and the packages of an environment (venv), None when none is at the path.

    + path: folder of the environment

    .. code:: python

        {"python": "3.12.3", "owner": "steam", "packages": {"pip": "24.0", "vllm": "0.15.1"}}
    """

    def command(self, path: str) -> StringCommand:
        python = QuoteString(f"{path}/bin/python")
        # -I: neither the environment's variables nor the working folder can change what is imported.
        return StringCommand("if [ -x", python, "]; then", python, "-I -c", QuoteString(_DESCRIBE), "; fi")

    def process(self, output: list[str]) -> EnvironmentState | None:
        return parse_environment(output)


class Marker(TypedDict):
    """What a run that came to its end left in an environment.

    ``asked``: hash of what was to be installed; ``accepted``: packages that were as they are right after that, though
    files are missing that their own lists name.
    """

    asked: str
    accepted: list[str]


class Faults(TypedDict):
    """What is wrong with an environment; paths are relative to it.

    ``broken``: folder of a package's description -> why; ``leftovers``: what pip has set aside and not removed;
    ``bytecode``: .pyc files that Python takes for good and cannot read; ``strange``: a file that is somebody else's.
    """

    broken: dict[str, str]
    leftovers: list[str]
    bytecode: list[str]
    strange: str | None
    marker: Marker | None


class EnvironmentFaults(FactBase["Faults | None"]):
    """Returns what an interrupted or half-upgraded installation left in an environment (venv), None when there is none.

    + path: folder of the environment

    Reads every .pyc file: 23 000 files, those of vLLM 0.15.1, take two seconds.

    .. code:: python

        {
            "broken": {"torch-2.9.1.dist-info": "its installation was cut short (no RECORD)"},
            "leftovers": ["~orch"],
            "bytecode": ["lib/python3.12/site-packages/torch/__pycache__/functional.cpython-312.pyc"],
            "strange": None,
            "marker": {"asked": "9f86d081...", "accepted": []},
        }
    """

    def command(self, path: str) -> StringCommand:
        python = QuoteString(f"{path}/bin/python")
        program = QuoteString(programs.load("environment_faults"))
        return StringCommand("if [ -x", python, "]; then", python, "-I -c", program, "; fi")

    def process(self, output: list[str]) -> Faults | None:
        text = "\n".join(output)
        try:
            return check_type(json.loads(text), Faults, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
        except (ValueError, TypeCheckError) as error:
            raise FactProcessError(f"The Python environment's faults are given as {text[:200]!r}: {error}") from error


_ROOM = """\
folder=$1
while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
df -B1 --output=avail "$folder" | tail -n 1
if [ -d "$2" ]; then du -s -B1 "$2" | cut -f 1; else echo 0; fi
"""


class Room(TypedDict):
    """Bytes that are free on the disk of a folder, and those that another folder holds already."""

    free: int
    held: int


class DiskRoom(FactBase["Room | None"]):
    """Returns the bytes that are free where a folder is or will be, and those that are in a second one; None if unread.

    + path: folder, there or not
    + cache: folder whose bytes are counted, there or not

    .. code:: python

        {"free": 812345118720, "held": 0}
    """

    def command(self, path: str, cache: str) -> StringCommand:
        return StringCommand("sh -c", *(QuoteString(text) for text in (_ROOM, "sh", path, cache)))

    def process(self, output: list[str]) -> Room:
        try:
            free, held = (int(line) for line in output)
        except ValueError as error:
            raise FactProcessError(f"The room on a disk is given as {output!r}, not as two numbers.") from error
        return {"free": free, "held": held}
