"""The Python environment that vLLM is installed in."""

from __future__ import annotations

import json
from typing import TypedDict

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type


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
