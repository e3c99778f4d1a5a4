"""The JSON of files, directories, installed programs, and of the long works that download and install."""

from __future__ import annotations

from typing import Literal, TypedDict

from vengeance.powershell.windows import FileChange, PathInput


class DirectoryInput(TypedDict):
    """Input of Set-Directory; ``contents``: whether one that is not empty may be removed."""

    path: str
    present: bool
    contents: bool


class Foreign(TypedDict):
    """Something in a directory that belongs to somebody else, or leads elsewhere (``link``)."""

    path: str
    owner: str
    link: bool


class DirectoryAccess(TypedDict):
    """Output of Get-DirectoryAccess.

    ``account``: the one that asks; ``closed``: it, SYSTEM and administrators may do all there, nobody else anything.
    """

    path: str
    exists: bool
    account: str
    closed: bool
    foreign: list[Foreign]


class DirectoryProtection(TypedDict):
    """Output of Protect-Directory: owner and rights in SDDL, None where it was not there."""

    changed: bool
    before: str | None
    after: str
    reboot_required: bool


class ProductInput(TypedDict):
    """Input of Get-Product: a product code, or the name that its setup chose for the key."""

    product: str


class Product(TypedDict):
    """Output of Get-Product; all but ``installed`` is None when it is not installed."""

    installed: bool
    level: Literal["machine", "user"] | None
    name: str | None
    version: str | None
    location: str | None


class FileVersion(TypedDict):
    """Output of Get-FileVersion; None where no file is, or it tells none."""

    version: str | None


class DownloadInput(TypedDict):
    """Input of the work Save-Download; the units stand in the names."""

    url: str
    path: str
    sha256: str
    signer: str | None
    proxy: str | None
    stall_seconds: int
    tries: int
    pause_seconds: float


class Download(TypedDict):
    """Result of the work Save-Download; ``resumed``: bytes that an earlier run had left."""

    changed: bool
    bytes: int
    resumed: int
    tries: int


class InstallerInput(TypedDict):
    """Input of the work Invoke-Installer; ``arguments`` is the rest of the command line."""

    file: str
    arguments: str
    timeout_seconds: float
    busy_seconds: float
    pause_seconds: float


class Installation(TypedDict):
    """Result of the work Invoke-Installer; ``rc`` 0 to 4294967295, ``waited`` seconds for another installation."""

    rc: int
    timed_out: bool
    seconds: int
    waited: int


INPUT: dict[str, type] = {
    "New-File": PathInput,
    "Set-Directory": DirectoryInput,
    "Get-DirectoryAccess": PathInput,
    "Protect-Directory": PathInput,
    "Get-Product": ProductInput,
    "Get-FileVersion": PathInput,
}
"""Script name -> type of its input."""

OUTPUT: dict[str, type] = {
    "New-File": FileChange,
    "Set-Directory": FileChange,
    "Get-DirectoryAccess": DirectoryAccess,
    "Protect-Directory": DirectoryProtection,
    "Get-Product": Product,
    "Get-FileVersion": FileVersion,
}
"""Script name -> type of its output."""
