"""The API key that the box makes for itself."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand, QuoteString, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.facts.vllm import FOLDER, api_key_file
from vengeance.facts.vllm.api_key import KeyFile

# 32 bytes of the kernel's, in letters that no shell and no header misreads. It is made and stays on the box, in no
# argument, no log and no plan. The file is never there half, or open.
_MAKE = """\
umask 077
install -d -o root -g root -m 700 "$1" || exit 1
key=$(head -c 32 /dev/urandom | base64 -w 0 | tr '+/' '-_' | tr -d '=')
[ "${#key}" = 43 ] || exit 1
printf 'VLLM_API_KEY="sk-%s"\\n' "$key" > "$2.new" && chown root:root "$2.new" && mv -f -- "$2.new" "$2"
"""


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
