"""The JSON that the shipped scripts take and print, one pair of types a script.

The facts and operations read by this definition, and the twin answers by it.
"""

from __future__ import annotations

from typing import Literal, TypedDict

Level = Literal["machine", "user"]
"""Where an environment variable is kept: for everybody, or for one account."""


class Nothing(TypedDict):
    """Input of a script that needs none."""


class Os(TypedDict):
    """Output of Get-Os."""

    caption: str
    version: str
    build: int
    ubr: int
    edition: str
    display_version: str
    architecture: str
    hostname: str
    domain: str | None
    install_date: str


class Boot(TypedDict):
    """Output of Get-Boot; ``boot_file_time`` counts 100 ns steps since 1601-01-01 UTC."""

    boot_time: str
    boot_file_time: int
    uptime_seconds: int


class EnvironmentInput(TypedDict):
    """Input of Get-Environment; ``names`` None asks for all variables."""

    names: list[str] | None


class Variable(TypedDict):
    """An environment variable as the registry holds it, not expanded."""

    value: str
    kind: Literal["String", "ExpandString"]


class Environment(TypedDict):
    """Output of Get-Environment; a variable that is absent at a level is absent there."""

    machine: dict[str, Variable]
    user: dict[str, Variable]


class SetEnvironmentInput(TypedDict):
    """Input of Set-Environment; None removes a variable."""

    level: Level
    variables: dict[str, str | None]


class EnvironmentChange(TypedDict):
    """Output of Set-Environment."""

    changed: bool
    before: dict[str, str | None]
    after: dict[str, str | None]
    reboot_required: bool


class PathInput(TypedDict):
    """Input of Get-File, Get-Sha256 and Remove-File: a full Windows path."""

    path: str


class File(TypedDict):
    """Output of Get-File; ``size`` in bytes, None for a directory; all is None where nothing is."""

    exists: bool
    type: Literal["file", "directory"] | None
    size: int | None
    modified: str | None
    attributes: list[str] | None
    link_target: str | None


class Sha256(TypedDict):
    """Output of Get-Sha256; None where no file is."""

    sha256: str | None


class FileChange(TypedDict):
    """Output of Remove-File; ``before`` and ``after`` say whether the file was and is there."""

    changed: bool
    before: bool
    after: bool
    reboot_required: bool


RebootReason = Literal["component_based_servicing", "windows_update", "installer", "file_rename", "computer_name"]


class PendingReboot(TypedDict):
    """Output of Get-PendingReboot."""

    pending: bool
    reasons: list[RebootReason]


class WsmanQuota(TypedDict):
    """Output of Get-WsmanQuota; the units stand in the names."""

    max_envelope_kb: int
    max_timeout_ms: int
    max_shells_per_user: int
    max_processes_per_shell: int
    max_memory_per_shell_mb: int
    idle_timeout_ms: int


class Distribution(TypedDict):
    """One registered WSL distribution; ``version`` 1 or 2, ``state`` 1 when it is installed."""

    name: str
    guid: str
    version: int
    default_uid: int
    base_path: str
    state: int
    flags: int


class WslInstallation(TypedDict):
    """Output of Get-WslInstallation; ``version`` and ``path`` (of wsl.exe) are None without it."""

    version: str | None
    path: str | None
    default: str | None
    distributions: list[Distribution]


class ProgramInput(TypedDict):
    """Input of Invoke-Program; ``arguments`` is the rest of the command line, ``timeout`` is in seconds."""

    file: str
    arguments: str
    stdin: str | None
    cwd: str | None
    env: dict[str, str]
    timeout: float | None


class ProgramResult(TypedDict):
    """Output of Invoke-Program; ``rc`` 0 to 4294967295, ``stdout`` and ``stderr`` are base64 of the bytes."""

    rc: int
    stdout: str
    stderr: str
    timed_out: bool


INPUT: dict[str, type] = {
    "Get-Os": Nothing,
    "Get-Boot": Nothing,
    "Get-Environment": EnvironmentInput,
    "Set-Environment": SetEnvironmentInput,
    "Get-File": PathInput,
    "Get-Sha256": PathInput,
    "Remove-File": PathInput,
    "Get-PendingReboot": Nothing,
    "Get-WsmanQuota": Nothing,
    "Get-WslInstallation": Nothing,
    "Invoke-Program": ProgramInput,
}
"""Script name -> type of its input."""

OUTPUT: dict[str, type] = {
    "Get-Os": Os,
    "Get-Boot": Boot,
    "Get-Environment": Environment,
    "Set-Environment": EnvironmentChange,
    "Get-File": File,
    "Get-Sha256": Sha256,
    "Remove-File": FileChange,
    "Get-PendingReboot": PendingReboot,
    "Get-WsmanQuota": WsmanQuota,
    "Get-WslInstallation": WslInstallation,
    "Invoke-Program": ProgramResult,
}
"""Script name -> type of its output."""
