"""The service control manager of the twin's Windows, for services that run no program of the twin's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from vengeance.twin.windows.registry import LXSS

if TYPE_CHECKING:
    from vengeance.twin.windows.state import State

SERVICES = r"HKLM\SYSTEM\CurrentControlSet\Services"
# Start in the registry: https://learn.microsoft.com/windows-hardware/drivers/install/hklm-system-currentcontrolset-services-registry-tree
_START_NUMBERS = {"auto": 2, "delayed": 2, "manual": 3, "disabled": 4}
DISABLED = 1058
ALREADY_RUNNING = 1056
NOT_ACTIVE = 1062


class ServiceError(Exception):
    """A service cannot do what was asked; ``code`` is Windows' error number."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass
class Service:
    """One service; ``start`` is auto, delayed, manual or disabled, ``pid`` 0 while it does not run."""

    name: str
    display_name: str
    start: str
    account: str
    command_line: str
    running: bool = False
    pid: int = 0


def _fresh() -> list[Service]:
    network, local = "NT AUTHORITY\\NetworkService", "NT AUTHORITY\\LocalService"
    system, host = "LocalSystem", "C:\\WINDOWS\\System32\\svchost.exe -k"
    return [
        Service("Dnscache", "DNS Client", "auto", network, f"{host} NetworkService -p"),
        Service("hns", "Host Network Service", "manual", system, f"{host} NetSvcs -p"),
        Service("iphlpsvc", "IP Helper", "auto", system, f"{host} NetSvcs -p"),
        Service("Schedule", "Task Scheduler", "auto", system, f"{host} netsvcs -p"),
        Service("vmcompute", "Hyper-V Host Compute Service", "manual", system, "C:\\WINDOWS\\system32\\vmcompute.exe"),
        Service("W32Time", "Windows Time", "manual", local, f"{host} LocalService"),
        Service("WinRM", "Windows Remote Management (WS-Management)", "auto", network, f"{host} NetworkService"),
        Service("wuauserv", "Windows Update", "manual", system, f"{host} netsvcs -p"),
    ]


def _wsl() -> Service:
    program = '"C:\\Program Files\\WSL\\wslservice.exe"'
    return Service("WSLService", "WSL Service", "auto", "LocalSystem", program, running=True)


class Services:
    """The services; every method may be called from any thread.

    started, stopped: name in lower case -> what is called when that service starts or stops
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = threading.RLock()
        self._pids = 5000
        self.started: dict[str, list[Callable[[], None]]] = {}
        self.stopped: dict[str, list[Callable[[], None]]] = {}
        self._services = {service.name.lower(): service for service in _fresh()}
        for name, start in state.section("services").items():
            if name in self._services:
                self._services[name].start = start
        self.boot()

    def boot(self) -> None:
        """Windows has started: those that start by themselves run, the others do not."""
        with self._lock:
            for service in self._services.values():
                service.running = service.start in ("auto", "delayed")
                service.pid = self._next_pid() if service.running else 0

    def _next_pid(self) -> int:
        self._pids += 4
        return self._pids

    def add(self, service: Service) -> None:
        """What an installer does; one of that name is replaced."""
        with self._lock:
            known = self._state.section("services").get(service.name.lower())
            service.start = known or service.start
            service.pid = self._next_pid() if service.running else 0
            self._services[service.name.lower()] = service

    def get(self, name: str) -> Service | None:
        """A copy of the service of that short name, None when there is none; case does not count."""
        with self._lock:
            # The package of WSL brings it, and that is known by its registry key.
            has_wsl = bool(self._state.registry.text(f"HKLM\\{LXSS}\\MSI", "InstallLocation"))
            if has_wsl and "wslservice" not in self._services:
                self.add(_wsl())
            elif not has_wsl:
                self._services.pop("wslservice", None)
            found = self._services.get(name.lower())
            return None if found is None else Service(**asdict(found))

    def set_start(self, name: str, start: str) -> None:
        """How it is started from the next boot on. KeyError when there is no such service."""
        with self._lock:
            self.get(name)
            service = self._services[name.lower()]
            service.start = start
            self._state.section("services")[name.lower()] = start
            self._state.registry.set(f"{SERVICES}\\{service.name}", "Start", _START_NUMBERS[start], "DWord")
            self._state.registry.set(f"{SERVICES}\\{service.name}", "DelayedAutostart", start == "delayed", "DWord")

    def start(self, name: str) -> None:
        """Start it. KeyError when there is none, ServiceError when it is disabled or runs."""
        with self._lock:
            self.get(name)
            service = self._services[name.lower()]
            if service.running:
                raise ServiceError(ALREADY_RUNNING, "An instance of the service is already running.")
            if service.start == "disabled":
                raise ServiceError(
                    DISABLED,
                    "The service cannot be started, either because it is disabled or because it has no enabled "
                    "devices associated with it.",
                )
            service.running, service.pid = True, self._next_pid()
        for deed in self.started.get(name.lower(), []):
            deed()

    def stop(self, name: str) -> None:
        """Stop it. KeyError when there is none, ServiceError when it does not run."""
        with self._lock:
            self.get(name)
            service = self._services[name.lower()]
            if not service.running:
                raise ServiceError(NOT_ACTIVE, "The service has not been started.")
            service.running, service.pid = False, 0
        for deed in self.stopped.get(name.lower(), []):
            deed()
