"""The file with the API key that the box has made for itself; the key itself never leaves it here."""

from __future__ import annotations

from typing import Literal, cast

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from vengeance.facts.vllm.server import api_key_file

KeyFileState = Literal["absent", "open", "wrong", "right"]

_READ = """\
if [ ! -e "$1" ]; then echo absent
elif [ "$(stat -c '%a %U:%G' -- "$1")" != '600 root:root' ]; then echo open
elif [ "$(grep -Ec '^VLLM_API_KEY="sk-[A-Za-z0-9_-]{43}"$' "$1")" = 1 ]; then echo right
else echo wrong
fi
"""


class KeyFile(FactBase[KeyFileState]):
    """Returns how the file with the box's own API key is: ``absent``, ``open`` to others, ``wrong`` or ``right``.

    .. code:: python

        "right"
    """

    def command(self) -> StringCommand:
        return StringCommand("sh -c", QuoteString(_READ), "sh", QuoteString(api_key_file()))

    @staticmethod
    def default() -> KeyFileState:
        return "absent"

    def process(self, output: list[str]) -> KeyFileState:
        if len(output) != 1 or output[0] not in ("absent", "open", "wrong", "right"):
            raise FactProcessError(f"The file with the API key is said to be {output!r}.")
        return cast(KeyFileState, output[0])
