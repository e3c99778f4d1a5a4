"""The JSON of the scripts about WSL, one pair of types a script."""

from __future__ import annotations

from typing import TypedDict

from vengeance.powershell.windows import Nothing


class Configuration(TypedDict):
    """Output of Get-WslConfiguration; ``text`` is None where no file is."""

    path: str
    text: str | None


class SetConfigurationInput(TypedDict):
    """Input of Set-WslConfiguration; ``shutdown``: stop every distribution of the account when the file changes.

    ``text`` None: the file goes.
    """

    text: str | None
    shutdown: bool


class ConfigurationChange(TypedDict):
    """Output of Set-WslConfiguration; ``stopped``: wsl.exe --shutdown was run."""

    changed: bool
    before: str | None
    after: str | None
    reboot_required: bool
    stopped: bool


class Owner(TypedDict):
    """A Windows account with WSL distributions; ``account`` is None where its name cannot be found."""

    sid: str
    account: str | None
    distributions: list[str]


class Owners(TypedDict):
    """Output of Get-WslOwner; ``account`` is the one that asks."""

    account: str
    owners: list[Owner]


class ImportInput(TypedDict):
    """Input of the work Import-Distribution; ``image`` and ``path`` are full Windows paths."""

    distribution: str
    image: str
    path: str


class Imported(TypedDict):
    """Result of the work Import-Distribution; ``changed`` False where it was registered already."""

    changed: bool
    name: str
    path: str


INPUT: dict[str, type] = {
    "Get-WslConfiguration": Nothing,
    "Set-WslConfiguration": SetConfigurationInput,
    "Get-WslOwner": Nothing,
}
"""Script name -> type of its input."""

OUTPUT: dict[str, type] = {
    "Get-WslConfiguration": Configuration,
    "Set-WslConfiguration": ConfigurationChange,
    "Get-WslOwner": Owners,
}
"""Script name -> type of its output."""
