"""What a vLLM server has written since it was started last."""

from __future__ import annotations

import re

from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.facts import FactBase

# The message that systemd writes when it begins to start a unit, whatever language it writes it in:
# https://www.freedesktop.org/software/systemd/man/latest/systemd.journal-fields.html (MESSAGE_ID=), sd-messages.h
# (SD_MESSAGE_UNIT_STARTING). What was written before it belongs to an earlier start.
_READ = """\
unit=$1 lines=$2 after=$3
journalctl --sync 2>/dev/null
if [ -n "$after" ]; then
  from=--after-cursor=$after
else
  last=$(journalctl --quiet --no-pager --output json --lines 1 \
  MESSAGE_ID=7d4958e842da4a758f6c1cdc7b36dcc5 UNIT="$unit" 2>/dev/null)
  cursor=$(printf '%s' "$last" | sed -n 's/.*"__CURSOR" *: *"\\([^"]*\\)".*/\\1/p')
  from=${cursor:+--cursor=$cursor}
fi
journalctl --quiet --no-pager --output cat ${from:+"$from"} --unit "$unit" 2>/dev/null |
  tail -n "$lines"
"""

_SECRETS = (
    re.compile(r"\bhf_[A-Za-z0-9]{8,}"),
    # vLLM 0.15.1 prints a key that it got as a flag: "non-default args: {... 'api_key': ['...'] ...}".
    re.compile(r"(?<='api_key': )\[[^\]]*\]"),
    re.compile(r"(?<=--api-key[ =])\S+"),
    re.compile(r"(?<=VLLM_API_KEY=)\S+"),
    re.compile(r"(?<=Bearer )\S+"),
)

MASKING = (
    r"s/\bhf_[A-Za-z0-9]{8,}/*MASKED*/g; s/('api_key': )\[[^]]*\]/\1*MASKED*/g; "
    r"s/(--api-key[ =]|VLLM_API_KEY=|Bearer )[^[:space:]]+/\1*MASKED*/g"
)
"""The same for ``sed -E``: what a box tells of a log while a server starts is shown as it comes."""


def masked(line: str) -> str:
    """Return a line of a log with everything that looks like a token or a key replaced."""
    for pattern in _SECRETS:
        line = pattern.sub("*MASKED*", line)
    return line


class Journal(FactBase[list[str]]):
    """Returns the last lines that a unit, and systemd about it, have written since a start, secrets masked.

    + unit: its name
    + lines: how many at most
    + after: cursor of the journal, for what was written after it; None for since its last start

    .. code:: python

        ["Starting vLLM server ...", "(APIServer pid=99) INFO ... vLLM API server version 0.15.1"]
    """

    def command(self, unit: str, lines: int = 400, after: str | None = None) -> StringCommand:
        words = (QuoteString(word) for word in (_READ, "sh", unit, str(int(lines)), after or ""))
        return StringCommand("sh -c", *words)

    @staticmethod
    def default() -> list[str]:
        return []

    def process(self, output: list[str]) -> list[str]:
        return [masked(line) for line in output]
