"""Windows environment variables: which names and values Windows can keep, and which level wins."""

from __future__ import annotations

import re

from vengeance.box import characters

_BAD_IN_NAME = re.compile(r"[=\x00-\x1f]")
LONGEST_NAME = 254
"""https://learn.microsoft.com/dotnet/api/system.environment.setenvironmentvariable: less than 255 characters."""
LONGEST_VALUE = 32766
"""https://learn.microsoft.com/windows/win32/procthread/environment-variables: 32,767 with the closing zero."""


def check_name(name: str) -> None:
    """Check that Windows can keep a variable of this name.

    Raises ValueError with a sentence: empty, too long, with a blank at its ends or a character that cannot be
    in a name, or PATH, which is a list that others write to as well.
    """
    if not name or name != name.strip():
        raise ValueError(f"{name!r} is no name of an environment variable: it is empty or has a blank at its end.")
    if _BAD_IN_NAME.search(name):
        raise ValueError(f"{name!r} is no name of an environment variable: it holds '=' or a control character.")
    characters.check("The name of an environment variable", name)
    if len(name) > LONGEST_NAME:
        raise ValueError(f"The name {name[:20]}... has {len(name)} characters; Windows keeps at most {LONGEST_NAME}.")
    if name.upper() == "PATH":
        raise ValueError(
            f"{name} is a list that installers add to; setting it whole would remove their folders. "
            "Name the program with its full path instead."
        )


def check_value(name: str, value: str) -> None:
    """Check that Windows can keep this value.

    Raises ValueError with a sentence: empty (Windows removes a variable whose value is empty), a control
    character, or too long.
    """
    if value == "":
        raise ValueError(f"{name} cannot be empty on Windows: an empty value removes it. Use present=False for that.")
    characters.check(f"The value of {name}", value)
    if "\n" in value or "\r" in value:
        raise ValueError(f"The value of {name} holds a line break: {value!r}.")
    if len(value) > LONGEST_VALUE:
        raise ValueError(f"The value of {name} has {len(value)} characters; Windows keeps at most {LONGEST_VALUE}.")


def changes(present: dict[str, str], wanted: dict[str, str | None]) -> dict[str, tuple[str | None, str | None]]:
    """Compare a level with what it should be.

    + present: name -> value as the registry has them; names ignore case
    + wanted: name -> value, None for a variable that should not be there

    Returns name -> (before, after) for the variables that differ.
    """
    by_name = {name.upper(): value for name, value in present.items()}
    pairs = {name: (by_name.get(name.upper()), value) for name, value in wanted.items()}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def shown(value: str | None) -> str:
    """Return a value for a person, who cannot see blanks at its ends otherwise; None is one that is not set."""
    return "(not set)" if value is None else repr(value)


def overridden(user: dict[str, str], machine: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Find machine variables that a user variable of the same name hides, with another value.

    For a process started with that user's environment the user's value wins:
    https://learn.microsoft.com/windows/win32/shell/user-environment-variables

    Returns name -> (machine's value, user's value).
    """
    by_name = {name.upper(): value for name, value in user.items()}
    pairs = {name: (value, by_name.get(name.upper())) for name, value in machine.items()}
    return {name: (mine, other) for name, (mine, other) in pairs.items() if other is not None and other != mine}
