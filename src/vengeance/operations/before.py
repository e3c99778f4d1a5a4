"""What was there before the first change, kept on the box by the operation that changes it, ahead of the change.

``deploys/undo.py`` has it back. Only hosts in the groups ``windows`` and ``wsl`` keep anything: a project that uses the
operations alone has no undo of ours, and finds nothing of it on its hosts.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from pyinfra.api.command import PyinfraCommand, QuoteString, StringCommand
from pyinfra.context import host

from vengeance.facts.before import FOLDER
from vengeance.powershell import Script

# An entry is there whole or not at all, and on the disk before the change that follows.
_KEEP = """\
umask 077
mkdir -p -- "$1" && [ -e "$1/$2" ] || {
  printf '%s\\n' "$3" > "$1/$2.new" && sync -- "$1/$2.new" && mv -- "$1/$2.new" "$1/$2"
}
"""
_FORGET = """\
folder=$1
shift
for name do rm -f -- "$folder/$name" "$folder/$name.new"; done
rmdir -- "$folder" "${folder%/*}" 2> /dev/null
:
"""


def kept(entries: Mapping[str, Any]) -> Generator[PyinfraCommand, None, None]:
    """Give the command that keeps what a Windows host has now; what is kept of an earlier run stays as it is.

    + entries: name, of ``box.before`` -> what is there, anything that JSON can hold
    """
    if entries and "windows" in host.groups:
        yield Script("Set-Before", {"keep": {name: _text(value) for name, value in entries.items()}, "forget": []})


def forgotten(names: Iterable[str]) -> Generator[PyinfraCommand, None, None]:
    """Give the command that forgets entries of a Windows host, when they have been taken back."""
    left = list(names)
    if left:
        yield Script("Set-Before", {"keep": {}, "forget": [*left]})


def kept_inside(entries: Mapping[str, Any]) -> Generator[PyinfraCommand, None, None]:
    """Give the commands that keep what a distro has now; see ``kept``."""
    if "wsl" not in host.groups:
        return
    for name, value in entries.items():
        words = (_KEEP, "sh", FOLDER, _file(name), _text(value))
        yield StringCommand("sh -c", *(QuoteString(word) for word in words))


def forgotten_inside(names: Iterable[str]) -> Generator[PyinfraCommand, None, None]:
    """Give the command that forgets entries of a distro; see ``forgotten``."""
    left = list(names)
    if left:
        words = (_FORGET, "sh", FOLDER, *(_file(name) for name in left))
        yield StringCommand("sh -c", *(QuoteString(word) for word in words))


def _file(name: str) -> str:
    return quote(name, safe="")


def _text(value: Any) -> str:  # noqa: ANN401
    return json.dumps(value, separators=(",", ":"))
