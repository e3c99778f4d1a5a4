"""The systemd unit of a vLLM server, and whether it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict, cast

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from vengeance.box import vllm_profiles


class ServerState(TypedDict):
    """What is installed and what runs of a unit; hashes are SHA-256, None where the file is not there.

    ``keyed``: whether the unit reads the key that the box has made for itself.
    """

    unit: str | None
    environment: str | None
    environment_mode: str | None
    environment_owner: str | None
    api_key: str | None
    keyed: bool
    card_check: str | None
    started_with: str | None
    enabled: bool
    active: bool


ABSENT: ServerState = {
    "unit": None,
    "environment": None,
    "environment_mode": None,
    "environment_owner": None,
    "api_key": None,
    "keyed": False,
    "card_check": None,
    "started_with": None,
    "enabled": False,
    "active": False,
}
FOLDER = "/etc/vllm"
"""Mode 700: what is in it can hold secrets."""
CARD_CHECK = "/usr/local/lib/vengeance/vllm-card"
"""The program that looks whether the card is free enough, before a server starts."""


def api_key_file() -> str:
    """Return the file with the API key that the box has made for itself; root's, mode 600."""
    return f"{FOLDER}/api-key.env"


def environment_file(profile: str) -> str:
    """Return the file with the variables of a profile's server; root's, mode 600."""
    return f"{FOLDER}/{profile}.env"


def started_with_file(profile: str) -> str:
    """Return the file with the fingerprint of what a profile's server was started with."""
    return f"{FOLDER}/{profile}.started-with"


_READ = """\
unit=$1 environment=$2 started_with=$3 api_key=$4 card_check=$5
file=/etc/systemd/system/$unit
if [ -f "$file" ]; then
  sum=$(sha256sum < "$file") && echo "unit ${sum%% *}"
  if grep -qxF "EnvironmentFile=$api_key" "$file"; then echo keyed; fi
fi
if [ -f "$environment" ]; then
  sum=$(sha256sum < "$environment") && echo "environment ${sum%% *}"
  stat -c 'environment_mode %a' -- "$environment"
  stat -c 'environment_owner %U:%G' -- "$environment"
fi
for name in api_key card_check; do
  eval "path=\\$$name"
  if [ -f "$path" ]; then sum=$(sha256sum < "$path") && echo "$name ${sum%% *}"; fi
done
if [ -f "$started_with" ]; then echo "started_with $(cat -- "$started_with")"; fi
if [ "$(systemctl is-enabled -- "$unit" 2>/dev/null)" = enabled ]; then echo enabled; fi
if [ "$(systemctl is-active -- "$unit" 2>/dev/null)" = active ]; then echo active; fi
echo end
"""


def parse_server(output: list[str]) -> ServerState:
    """Read the lines ``name value`` of the fact, which end with ``end``.

    Raises FactProcessError for a name that is none of them, and for output that was cut.
    """
    if not output or output[-1] != "end":
        raise FactProcessError(f"The state of the server ends with {output[-1:]!r}, so something of it is missing.")
    found: dict[str, object] = {**ABSENT}
    for line in output[:-1]:
        name, _, value = line.partition(" ")
        if name not in found:
            raise FactProcessError(f"The state of the server has a line that nobody asked for: {line!r}.")
        found[name] = True if ABSENT[name] is False else value  # type: ignore[literal-required]
    return cast(ServerState, found)


class Server(FactBase[ServerState]):
    """Returns what is installed of a profile's unit and whether it runs; reads files that only root can read.

    + profile: name of the profile

    .. code:: python

        {
            "unit": "9f86d081...",
            "environment": "60303ae2...",
            "environment_mode": "600",
            "environment_owner": "root:root",
            "api_key": "2c26b46b...",
            "keyed": True,
            "card_check": "fcde2b2e...",
            "started_with": "fd61a03a...",
            "enabled": False,
            "active": True,
        }
    """

    def command(self, profile: str) -> StringCommand:
        files = (environment_file(profile), started_with_file(profile), api_key_file(), CARD_CHECK)
        words = (_READ, "sh", vllm_profiles.unit_of(profile), *files)
        return StringCommand("sh -c", *(QuoteString(text) for text in words))

    @staticmethod
    def default() -> ServerState:
        return ABSENT.copy()

    def process(self, output: list[str]) -> ServerState:
        return parse_server(output)


# A unit that waits for its next start is "activating"; what a server left behind is in its cgroup still.
_ALIVE = """\
for unit; do
  case $(systemctl is-active -- "$unit" 2>/dev/null) in
    active | activating | deactivating | reloading) echo "$unit" ;;
    *) if cat /sys/fs/cgroup/system.slice/"$unit"/cgroup.procs 2>/dev/null | grep -q .; then echo "$unit"; fi ;;
  esac
done
:
"""


class Alive(FactBase[list[str]]):
    """Returns which of some units run, start, wait for their next start, or have left processes behind.

    + units: names of units

    .. code:: python

        ["vllm-qwen2.5-coder-32b.service"]
    """

    def command(self, units: Sequence[str]) -> StringCommand:
        return StringCommand("sh -c", QuoteString(_ALIVE), "sh", *(QuoteString(unit) for unit in units))

    @staticmethod
    def default() -> list[str]:
        return []

    def process(self, output: list[str]) -> list[str]:
        return output


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
