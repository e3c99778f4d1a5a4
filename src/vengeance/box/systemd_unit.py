"""Words as systemd reads them, in unit files and environment files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def word(text: str) -> str:
    """Write one word of a command line: ``%`` and ``$`` doubled, in quotes where it needs them.

    https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html#Command%20lines

    Raises ValueError for a line break or another control character.
    """
    if re.search(r"[\x00-\x1f]", text):
        raise ValueError(f"A word of a command line in a unit holds a line break or a control character: {text!r}.")
    text = text.replace("%", "%%").replace("$", "$$")
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def lines(words: Iterable[str]) -> list[str]:
    """Write a command line as lines: the program, then each flag with its values."""
    result: list[str] = []
    for text in words:
        if not result or text.startswith("--"):
            result.append(word(text))
        else:
            result[-1] += f" {word(text)}"
    return result


def variables(values: Mapping[str, str]) -> dict[str, str]:
    """Write values for an EnvironmentFile: in double quotes, with what is special in them escaped.

    https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#EnvironmentFile=

    Raises ValueError for a bad name or a line break; the value is not in the message, it may be a secret.
    """
    result: dict[str, str] = {}
    for name, value in values.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of an environment variable: letters, digits and '_' only.")
        if re.search(r"[\x00-\x1f]", value):
            raise ValueError(f"The value of {name} holds a line break or a control character.")
        result[name] = '"' + re.sub(r'(["\\`$])', r"\\\1", value) + '"'
    return result
