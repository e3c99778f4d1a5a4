"""The JSON of the scripts about features, power, services, the registry, processes, hardware and restarts."""

from __future__ import annotations

from typing import Literal, TypedDict

from vengeance.powershell.windows import Nothing

Start = Literal["auto", "delayed", "manual", "disabled"]
"""How a service can be set to start."""

Kind = Literal["String", "ExpandString", "DWord", "QWord", "MultiString"]
"""The kinds of registry values that are written."""


class FeatureInput(TypedDict):
    """Input of Get-Feature."""

    feature: str


class Feature(TypedDict):
    """Output of Get-Feature; ``state`` is DISM's word, None where Windows has no such feature."""

    state: str | None


class SetFeatureInput(TypedDict):
    """Input of Set-Feature."""

    feature: str
    present: bool


class FeatureChange(TypedDict):
    """Output of Set-Feature; ``before`` and ``after`` are DISM's words."""

    changed: bool
    before: str
    after: str
    reboot_required: bool


class Power(TypedDict):
    """Output of Get-Power: seconds until it sleeps or hibernates, 0 is never, None where the plan says nothing."""

    sleep_ac_seconds: int | None
    sleep_dc_seconds: int | None
    hibernate_ac_seconds: int | None
    hibernate_dc_seconds: int | None
    hibernate: bool
    fast_startup: bool


class SetPowerInput(TypedDict):
    """Input of Set-Power; 0 minutes is never, None leaves it as it is; ``ac`` is plugged in, ``dc`` on battery."""

    sleep_ac_minutes: int | None
    sleep_dc_minutes: int | None
    hibernate_ac_minutes: int | None
    hibernate_dc_minutes: int | None
    hibernate: bool | None
    fast_startup: bool | None


class PowerChange(TypedDict):
    """Output of Set-Power."""

    changed: bool
    before: Power
    after: Power
    reboot_required: bool


class ServiceInput(TypedDict):
    """Input of Get-ServiceState: the short name."""

    service: str


class Service(TypedDict):
    """One service; ``pid`` is None while it does not run."""

    name: str
    display_name: str
    state: str
    start: str
    pid: int | None
    account: str
    command_line: str


class ServiceState(TypedDict):
    """Output of Get-ServiceState; None where there is no such service."""

    service: Service | None


class SetServiceInput(TypedDict):
    """Input of Set-ServiceState; None leaves it as it is."""

    service: str
    start: Start | None
    running: bool | None


class ServiceSetting(TypedDict):
    """What Set-ServiceState changes."""

    state: str
    start: str


class ServiceChange(TypedDict):
    """Output of Set-ServiceState."""

    changed: bool
    before: ServiceSetting
    after: ServiceSetting
    reboot_required: bool


class RegistryValueInput(TypedDict):
    """Input of Get-RegistryValue; ``key`` begins with HKLM or HKCU, ``value_name`` "" is the default value."""

    key: str
    value_name: str


class RegistryValue(TypedDict):
    """Output of Get-RegistryValue: both None where there is no such value; Binary data is hex digits."""

    kind: Literal["String", "ExpandString", "DWord", "QWord", "MultiString", "Binary"] | None
    data: str | int | list[str] | None


class SetRegistryValueInput(TypedDict):
    """Input of Set-RegistryValue; with ``present`` False ``kind`` and ``data`` do not count."""

    key: str
    value_name: str
    kind: Kind
    data: str | int | list[str] | None
    present: bool


class RegistryChange(TypedDict):
    """Output of Set-RegistryValue."""

    changed: bool
    before: RegistryValue
    after: RegistryValue
    reboot_required: bool


class ProcessListInput(TypedDict):
    """Input of Get-ProcessList; ``image`` is the file name of a program."""

    image: str
    environment: bool


class Process(TypedDict):
    """One process; None where the account may not see it. ``started`` is UTC, ``session`` 0 has no desktop."""

    pid: int
    parent: int
    image: str
    path: str | None
    session: int
    started: str | None
    user: str | None
    command_line: str | None
    environment: dict[str, str] | None
    environment_refused: str | None


class ProcessList(TypedDict):
    """Output of Get-ProcessList."""

    processes: list[Process]


class Disk(TypedDict):
    """One fixed disk with a letter."""

    drive: str
    size_bytes: int
    free_bytes: int
    file_system: str


class Hardware(TypedDict):
    """Output of Get-Hardware; ``firmware_virtualization`` means nothing once a hypervisor is present."""

    processor: str
    logical_processors: int
    memory_bytes: int
    firmware_virtualization: bool
    hypervisor_present: bool
    disks: list[Disk]


class Gpu(TypedDict):
    """One NVIDIA card; sizes in MiB. ``driver_model`` is ``WDDM``, ``TCC`` or ``MCDM``."""

    name: str
    driver_version: str
    memory_mib: int
    memory_used_mib: int
    memory_free_mib: int
    driver_model: str


class Gpus(TypedDict):
    """Output of Get-Gpu; ``failure`` says why there is none."""

    gpus: list[Gpu]
    failure: str | None


class Account(TypedDict):
    """Output of Get-Account; ``microsoft_account`` is None where the account is no local one."""

    name: str
    sid: str
    elevated: bool
    microsoft_account: bool | None
    profile: str
    full_token_over_network: bool


class SystemClock(TypedDict):
    """Output of Get-SystemClock: ISO 8601 with seven digits behind the point, and Z."""

    utc: str


class FolderSizeInput(TypedDict):
    """Input of Get-FolderSize; %NAME% stands for variables of the account."""

    paths: list[str]


class Folder(TypedDict):
    """One folder; ``bytes`` is None where there is none."""

    path: str
    bytes: int | None


class FolderSize(TypedDict):
    """Output of Get-FolderSize, in the order that was asked."""

    folders: list[Folder]


class BootState(TypedDict):
    """Output of Get-BootState; ``boot_file_time`` counts 100 ns steps since 1601-01-01 UTC."""

    boot_file_time: int
    uptime_seconds: float
    started: bool


class RestartInput(TypedDict):
    """Input of Restart-Windows: the boot that is to be ended."""

    boot_file_time: int


class Boot(TypedDict):
    """The boot that Restart-Windows found."""

    boot_file_time: int


class RestartAnswer(TypedDict):
    """What became of it: ``code`` of shutdown.exe, and whether another restart was taken back for it."""

    code: int
    took_back: bool


class Restart(TypedDict):
    """Output of Restart-Windows; ``changed`` False: it is another boot already."""

    changed: bool
    before: Boot
    after: RestartAnswer
    reboot_required: bool


INPUT: dict[str, type] = {
    "Get-Feature": FeatureInput,
    "Set-Feature": SetFeatureInput,
    "Get-Power": Nothing,
    "Set-Power": SetPowerInput,
    "Get-ServiceState": ServiceInput,
    "Set-ServiceState": SetServiceInput,
    "Get-RegistryValue": RegistryValueInput,
    "Set-RegistryValue": SetRegistryValueInput,
    "Get-ProcessList": ProcessListInput,
    "Get-Hardware": Nothing,
    "Get-Gpu": Nothing,
    "Get-Account": Nothing,
    "Get-SystemClock": Nothing,
    "Get-FolderSize": FolderSizeInput,
    "Get-BootState": Nothing,
    "Restart-Windows": RestartInput,
}
"""Script name -> type of its input."""

OUTPUT: dict[str, type] = {
    "Get-Feature": Feature,
    "Set-Feature": FeatureChange,
    "Get-Power": Power,
    "Set-Power": PowerChange,
    "Get-ServiceState": ServiceState,
    "Set-ServiceState": ServiceChange,
    "Get-RegistryValue": RegistryValue,
    "Set-RegistryValue": RegistryChange,
    "Get-ProcessList": ProcessList,
    "Get-Hardware": Hardware,
    "Get-Gpu": Gpus,
    "Get-Account": Account,
    "Get-SystemClock": SystemClock,
    "Get-FolderSize": FolderSize,
    "Get-BootState": BootState,
    "Restart-Windows": Restart,
}
"""Script name -> type of its output."""
