"""Facts of the vLLM server in a distro."""

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


class ServerState(TypedDict):
    """What is installed and what runs of a unit; hashes are SHA-256, None where the file is not there."""

    unit: str | None
    environment: str | None
    environment_mode: str | None
    environment_owner: str | None
    started_with: str | None
    enabled: bool
    active: bool


ABSENT: ServerState = {
    "unit": None,
    "environment": None,
    "environment_mode": None,
    "environment_owner": None,
    "started_with": None,
    "enabled": False,
    "active": False,
}
FOLDER = "/etc/vllm"
"""Mode 700: what is in it can hold secrets."""
ENVIRONMENT_FILE = f"{FOLDER}/vllm.env"
STARTED_WITH_FILE = f"{FOLDER}/started-with"

_READ = """\
unit=$1 environment=$2 started_with=$3
file=/etc/systemd/system/$unit
if [ -f "$file" ]; then sum=$(sha256sum < "$file") && echo "unit ${sum%% *}"; fi
if [ -f "$environment" ]; then
  sum=$(sha256sum < "$environment") && echo "environment ${sum%% *}"
  stat -c 'environment_mode %a' -- "$environment"
  stat -c 'environment_owner %U:%G' -- "$environment"
fi
if [ -f "$started_with" ]; then echo "started_with $(cat -- "$started_with")"; fi
if [ "$(systemctl is-enabled -- "$unit" 2>/dev/null)" = enabled ]; then echo enabled; fi
if [ "$(systemctl is-active -- "$unit" 2>/dev/null)" = active ]; then echo active; fi
echo end
"""


def parse_server(output: list[str]) -> ServerState:
    """Read the lines ``name value`` of the fact, which end with ``end``.

    Raises FactProcessError for a name that is none of them, and for output that was cut.
    """
    state = ABSENT.copy()
    if not output or output[-1] != "end":
        raise FactProcessError(f"The state of the server ends with {output[-1:]!r}, so something of it is missing.")
    for line in output[:-1]:
        name, _, value = line.partition(" ")
        if name == "unit":
            state["unit"] = value
        elif name == "environment":
            state["environment"] = value
        elif name == "environment_mode":
            state["environment_mode"] = value
        elif name == "environment_owner":
            state["environment_owner"] = value
        elif name == "started_with":
            state["started_with"] = value
        elif name == "enabled":
            state["enabled"] = True
        elif name == "active":
            state["active"] = True
        else:
            raise FactProcessError(f"The state of the server has a line that nobody asked for: {line!r}.")
    return state


class Server(FactBase[ServerState]):
    """Returns what is installed of a systemd unit and whether it runs; reads files that only root can read.

    + unit: name of the unit

    .. code:: python

        {
            "unit": "9f86d081...",
            "environment": "60303ae2...",
            "environment_mode": "600",
            "environment_owner": "root:root",
            "started_with": "fd61a03a...",
            "enabled": True,
            "active": True,
        }
    """

    def command(self, unit: str) -> StringCommand:
        arguments = [QuoteString(text) for text in (_READ, "sh", unit, ENVIRONMENT_FILE, STARTED_WITH_FILE)]
        return StringCommand("sh -c", *arguments)

    @staticmethod
    def default() -> ServerState:
        return ABSENT.copy()

    def process(self, output: list[str]) -> ServerState:
        return parse_server(output)


class Health(FactBase[bool]):
    """Returns whether the server on a port of the distro answers ``/health`` with 200.

    + port: TCP port

    It does so when the model is loaded; until then nothing listens: docs.vllm.ai, OpenAI-compatible server.
    """

    def command(self, port: int) -> StringCommand:
        address = QuoteString(f"http://127.0.0.1:{port:d}/health")
        curl = "curl -fsS --noproxy '*' --max-time 10 -o /dev/null"
        return StringCommand("if", curl, address, "; then echo yes; else echo no; fi")

    @staticmethod
    def default() -> bool:
        return False

    def process(self, output: list[str]) -> bool:
        return output == ["yes"]
