"""The API key that the box makes for itself."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping
from typing import Any

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand, QuoteString, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.facts.vllm import FOLDER, api_key_file
from vengeance.facts.vllm.api_key import KeyFile
from vengeance.secret import Secret

# 32 bytes of the kernel's, in letters that no shell and no header misreads. It is made and stays on the box, in no
# argument, no log and no plan. The file is never there half, or open.
_MAKE = """\
umask 077
install -d -o root -g root -m 700 "$1" || exit 1
key=$(head -c 32 /dev/urandom | base64 -w 0 | tr '+/' '-_' | tr -d '=')
[ "${#key}" = 43 ] || exit 1
printf 'VLLM_API_KEY="sk-%s"\\n' "$key" > "$2.new" && chown root:root "$2.new" && mv -f -- "$2.new" "$2"
"""

_LINE = re.compile(r'VLLM_API_KEY="(sk-[A-Za-z0-9_-]+)"')


def made_key(distro: Host) -> Secret | None:
    """Return the key that a box has made for itself, read from it; None where there is none, or a damaged one.

    + distro: a connected host that is the distro

    Read by a command and not as a fact: facts are printed, and kept. Raises OSError when the box cannot be reached.
    """
    succeeded, output = distro.run_shell_command(StringCommand("cat --", QuoteString(api_key_file())))
    match = _LINE.fullmatch(output.stdout.strip()) if succeeded else None
    return None if match is None else Secret.of(match[1])


@operation()
def generated_key(present: bool = True) -> Generator[PyinfraCommand, None, None]:
    """
    Have the box hold an API key of its own for its vLLM servers, made once.

    + present: False removes it, where a key of one's own or none is declared

    It lies in /etc/vllm/api-key.env, which only root can read, and is the same after each run: ``python -m vengeance
    key`` shows it. A file that is damaged or open to others is replaced, with a new key in it.

    **Example:**

    .. code:: python

        vllm.generated_key(name="API key of the vLLM servers")
    """
    file = api_key_file()
    found = host.get_fact(KeyFile)
    if not present:
        if found == "absent":
            host.noop(f"there is no {file}")
            return
        host.log(f"{file}: (there) -> (removed)")
        yield StringCommand("rm -f --", QuoteString(file))
        return
    if found == "right":
        host.noop(f"{file} is there")
        return
    was = {"absent": "(not there)", "open": "open to others", "wrong": "without a key"}[found]
    host.log(f"{file}: {was} -> with a new key, which `python -m vengeance key` shows")
    yield StringCommand("sh -c", QuoteString(_MAKE), "sh", QuoteString(FOLDER), QuoteString(file))


def ports_without_key(distros: Iterable[Mapping[str, Any]]) -> set[int]:
    """Return the ports of the vLLM servers that answer whoever asks.

    + distros: the settings of hosts in the group ``wsl``
    """
    return {
        fields["port"]
        for settings in distros
        if settings["vllm_api_key"] is None
        for fields in settings["vllm_profiles"].values()
    }


@operation()
def guarded(ports: Iterable[int], unguarded: Iterable[int]) -> Generator[PyinfraCommand, None, None]:
    """
    Warn of ports that others reach and whose servers ask for no key; nothing is changed.

    + ports: those that are exposed
    + unguarded: those of servers without a key

    With a key, what lies under /v1 asks for it; /health, /metrics and /version answer without one.

    **Example:**

    .. code:: python

        vllm.guarded(name="Whoever reaches vLLM needs a key", ports=[8080], unguarded=[])
    """
    yield from ()
    for port in sorted(set(ports) & set(unguarded)):
        host.log(
            f"port {port} answers everybody in the tailnet, without a key: vllm_api_key is None in group_data/wsl.py; "
            "'generated' has the box make one",
            logger.warning,
        )
    host.noop("the keys have been looked at")
