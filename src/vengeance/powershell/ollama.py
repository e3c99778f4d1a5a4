"""The JSON that the scripts about Ollama take and print, one pair of types a script."""

from __future__ import annotations

from typing import Literal, TypedDict

from vengeance.powershell.windows import Nothing

Question = Literal["version", "tags", "ps"]
"""What can be asked of a server: its version, the models it has, and those it has in memory."""


class InstallationInput(TypedDict):
    """Input of Get-OllamaInstallation; ``folder`` is where the archive would lie, None asks for the installer alone."""

    folder: str | None


class Package(TypedDict):
    """One Ollama that is installed; ``complete``: ollama.exe is in the folder."""

    version: str
    folder: str
    complete: bool


class Installation(TypedDict):
    """Output of Get-OllamaInstallation; None for what is not installed that way."""

    setup: Package | None
    archive: Package | None


class ServerInput(TypedDict):
    """Input of Get-OllamaServer; ``boot_log`` is the log of a server that a task starts."""

    boot_log: str


class Process(TypedDict):
    """One process of Ollama; ``parent_name`` is None when the parent has ended, ``session`` 0 has no desktop."""

    pid: int
    parent: int
    parent_name: str | None
    name: str
    image: str
    command_line: str
    session: int
    started: str


class Log(TypedDict):
    """Lines of a server's log: what it works with, where it listens, and its last words."""

    path: str
    config: str | None
    listening: str | None
    last: str | None


class Server(TypedDict):
    """Output of Get-OllamaServer; a log that is not there is None, ``signed_in``: the account has a desktop."""

    processes: list[Process]
    app_log: Log | None
    boot_log: Log | None
    signed_in: bool


class AppSettings(TypedDict):
    """What the tray app's window keeps; ``auto_update_enabled`` is None where the app is too old to have it."""

    expose: bool
    browser: bool
    models: str
    context_length: int
    auto_update_enabled: bool | None


class Settings(TypedDict):
    """Output of Get-OllamaSettings; ``settings`` is None without a readable database, ``unreadable`` says why."""

    database: str
    settings: AppSettings | None
    unreadable: str | None
    startup_link: str
    starts_at_logon: bool
    update_staged: bool
    app_runs: bool


class SetSettingsInput(TypedDict):
    """Input of Set-OllamaSettings: setting -> value."""

    settings: dict[str, bool | int | str]


class SettingsChange(TypedDict):
    """Output of Set-OllamaSettings; the values as the database holds them, in text."""

    changed: bool
    before: dict[str, str]
    after: dict[str, str]
    reboot_required: bool


class AnswerInput(TypedDict):
    """Input of Get-OllamaAnswer."""

    address: str
    port: int
    question: Question


class Answer(TypedDict):
    """Output of Get-OllamaAnswer; ``status`` is None when nobody answered, ``body`` is JSON text."""

    status: int | None
    body: str | None
    error: str | None


class StorageInput(TypedDict):
    """Input of Get-OllamaStorage; ``folder`` None is the one in the account's profile."""

    folder: str | None


class Storage(TypedDict):
    """Output of Get-OllamaStorage, in bytes; ``partial_bytes`` is what unfinished pulls take already."""

    folder: str
    free_bytes: int
    partial_bytes: int


class ProcessName(TypedDict):
    """A process that Stop-Ollama found."""

    pid: int
    name: str


class Stopped(TypedDict):
    """Output of Stop-Ollama."""

    changed: bool
    before: list[ProcessName]
    after: list[ProcessName]
    reboot_required: bool


class StartupInput(TypedDict):
    """Input of Set-OllamaStartup; ``folder`` is where Ollama is installed."""

    present: bool
    folder: str


class Presence(TypedDict):
    """Output of a change after which something is there or not: ``before`` and ``after`` say whether it is."""

    changed: bool
    before: bool
    after: bool
    reboot_required: bool


class ArchiveInput(TypedDict):
    """Input of Expand-OllamaArchive."""

    archive: str
    folder: str
    version: str


class ArchiveChange(TypedDict):
    """Output of Expand-OllamaArchive: the versions."""

    changed: bool
    before: str | None
    after: str | None
    reboot_required: bool


class StopModelInput(TypedDict):
    """Input of Stop-OllamaModel; ``timeout`` in seconds."""

    address: str
    port: int
    model: str
    timeout: int


class ModelInput(TypedDict):
    """Input of Remove-OllamaModel."""

    address: str
    port: int
    model: str


class PullInput(TypedDict):
    """Input of the work Save-OllamaModel; the seconds stand in the names, ``fruitless`` counts attempts."""

    address: str
    port: int
    model: str
    stall_seconds: int
    pause_seconds: int
    fruitless: int


class PullProgress(TypedDict):
    """What Save-OllamaModel says while it works; sizes in bytes."""

    model: str
    status: str
    completed: int
    total: int
    attempt: int


class Pulled(TypedDict):
    """What Save-OllamaModel gives; ``digest`` is the one of the manifest, as /api/tags shows it."""

    model: str
    digest: str
    size: int
    attempts: int


INPUT: dict[str, type] = {
    "Get-OllamaInstallation": InstallationInput,
    "Get-OllamaServer": ServerInput,
    "Get-OllamaSettings": Nothing,
    "Set-OllamaSettings": SetSettingsInput,
    "Get-OllamaAnswer": AnswerInput,
    "Get-OllamaStorage": StorageInput,
    "Stop-Ollama": Nothing,
    "Set-OllamaStartup": StartupInput,
    "Expand-OllamaArchive": ArchiveInput,
    "Stop-OllamaModel": StopModelInput,
    "Remove-OllamaModel": ModelInput,
}
"""Script name -> type of its input."""

OUTPUT: dict[str, type] = {
    "Get-OllamaInstallation": Installation,
    "Get-OllamaServer": Server,
    "Get-OllamaSettings": Settings,
    "Set-OllamaSettings": SettingsChange,
    "Get-OllamaAnswer": Answer,
    "Get-OllamaStorage": Storage,
    "Stop-Ollama": Stopped,
    "Set-OllamaStartup": Presence,
    "Expand-OllamaArchive": ArchiveChange,
    "Stop-OllamaModel": Presence,
    "Remove-OllamaModel": Presence,
}
"""Script name -> type of its output."""
