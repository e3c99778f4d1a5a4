"""The machine under the twin's Windows: processor, memory, disk, clock, power plan; and its start."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from vengeance.twin.windows.state import machine_time

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows

POWER = r"HKLM\SYSTEM\CurrentControlSet\Control\Power"
SESSION_POWER = r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Power"
BALANCED = "381b4222-f694-41f0-9685-ff5bb260df2e"
SLEEP_GROUP = "238c9fa8-0aad-41ed-83f4-97be242c8f20"
STANDBY_IDLE = "29f6c1db-86da-48c5-9fdb-f2b67b1f44da"
HIBERNATE_IDLE = "9d7815a6-7ee4-497e-8888-515a05f02364"
# Seconds, plugged in and on battery: what the balanced plan comes with.
_PLAN = {STANDBY_IDLE: (1800, 900), HIBERNATE_IDLE: (10800, 10800)}
SIGN_IN_CHECKED = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon\AutoLogonChecked"
# How long after WinRM the sign-in screen comes.
SIGN_IN_SECONDS = 1.0
_FRESH: dict[str, Any] = {
    "processor": "AMD Ryzen 9 7950X 16-Core Processor",
    "logical_processors": 32,
    "memory_bytes": 68_437_245_952,
    "firmware_virtualization": True,
    "disk_bytes": 1_999_355_170_816,
    "free_bytes": 1_623_449_255_936,
    "microsoft_account": False,
    "elevated": True,
    "clock_skew_seconds": 0.0,
}


class Machine:
    """What the scripts about the machine read; ``set`` makes it another one.

    ``clock_skew_seconds``: how far Windows' clock is from the real time. A twin's clock that was put forward does
    not count: that stands for time that has passed for everybody.
    """

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._facts = windows.state.section("machine")
        self._make_power_plan()
        windows.at_boot.append(self._boot)

    def get(self, fact: str) -> Any:  # noqa: ANN401
        """One of the facts above."""
        return self._facts.get(fact, _FRESH[fact])

    def set(self, **facts: Any) -> None:  # noqa: ANN401
        """Make it another machine; KeyError for a fact that there is not."""
        for name, value in facts.items():
            self._facts[name] = type(_FRESH[name])(value)
        self._windows.state.save()

    @property
    def free_bytes(self) -> int:
        """What is free on C:: of the twin's own limit where there is one."""
        limit = self._windows.drive.free_bytes
        return int(self.get("free_bytes")) if limit is None else min(limit, int(self.get("free_bytes")))

    @property
    def hypervisor(self) -> bool:
        """Whether Windows runs on a hypervisor, as it does once the feature for it is on."""
        return bool(self.get("firmware_virtualization")) and self._windows.features.is_on("VirtualMachinePlatform")

    def now(self) -> datetime:
        """What Windows' clock shows, UTC."""
        return machine_time() + timedelta(seconds=float(self.get("clock_skew_seconds")))

    def _make_power_plan(self) -> None:
        registry = self._windows.registry
        if registry.text(f"{POWER}\\User\\PowerSchemes", "ActivePowerScheme"):
            return
        registry.set(f"{POWER}\\User\\PowerSchemes", "ActivePowerScheme", BALANCED)
        for setting, times in _PLAN.items():
            key = f"{POWER}\\PowerSettings\\{SLEEP_GROUP}\\{setting}\\DefaultPowerSchemeValues\\{BALANCED}"
            for name, seconds in zip(("ACSettingIndex", "DCSettingIndex"), times, strict=True):
                registry.set(key, name, seconds, "DWord")
        registry.set(POWER, "HibernateEnabled", 1, "DWord")
        registry.set(SESSION_POWER, "HiberbootEnabled", 1, "DWord")

    def _boot(self) -> None:
        # WinRM answers already, and the last of the start is still to come.
        self._windows.clock.later(SIGN_IN_SECONDS, lambda: self._windows.registry.create(SIGN_IN_CHECKED))
