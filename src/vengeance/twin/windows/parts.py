"""The parts of Windows that a twin has beside registry, drive and programs, each in a module of its own.

A part remembers in ``windows.state.section(NAME)``, adds its programs with ``windows.add_program``, and
asks to be called through ``windows.at_boot``, ``windows.at_shutdown`` and ``windows.sessions``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vengeance.twin.ollama.part import Ollama
from vengeance.twin.windows.downloads import save_download
from vengeance.twin.windows.features import Features
from vengeance.twin.windows.firewall import Firewall
from vengeance.twin.windows.games import Games
from vengeance.twin.windows.gpu import NVIDIA_SMI, Gpu, nvidia_smi
from vengeance.twin.windows.installers import Installers
from vengeance.twin.windows.localhost_relay import LocalhostRelay
from vengeance.twin.windows.machine import Machine
from vengeance.twin.windows.network import Network
from vengeance.twin.windows.ownership import Ownership
from vengeance.twin.windows.passwords import Passwords
from vengeance.twin.windows.port_proxy import PortProxies
from vengeance.twin.windows.port_ranges import PortRanges
from vengeance.twin.windows.run_lock import RunLock
from vengeance.twin.windows.services import Services
from vengeance.twin.windows.tailscale import Tailscale
from vengeance.twin.windows.task_scheduler import TaskScheduler
from vengeance.twin.windows.web import Web
from vengeance.twin.windows.works import WORKS, Running
from vengeance.twin.windows.wsl import WslOnWindows

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows


def add_parts(windows: Windows) -> None:
    """Make every part of a Windows; later ones may use the earlier ones."""
    windows.features = Features(windows.state)
    windows.machine = Machine(windows)
    windows.ownership = Ownership(windows)
    windows.services = Services(windows.state)
    windows.at_boot.append(windows.services.boot)
    windows.network = Network(windows)
    windows.firewall = Firewall(windows)
    windows.port_ranges = PortRanges(windows)
    windows.port_proxies = PortProxies(windows)
    windows.tailscale = Tailscale(windows)
    windows.gpu = Gpu()
    windows.games = Games(windows)
    windows.add_program(NVIDIA_SMI, nvidia_smi)
    windows.place_program(NVIDIA_SMI)
    windows.ollama = Ollama(windows)
    windows.web = Web()
    windows.installers = Installers(windows)
    WORKS.setdefault("Save-Download", save_download)
    windows.works = Running()
    windows.run_lock = RunLock(windows)
    windows.wsl = WslOnWindows(windows)
    windows.localhost_relay = LocalhostRelay(windows, windows.wsl.service.host if windows.wsl.service else None)
    windows.passwords = Passwords(windows)
    # The last: what it starts at boot uses all the others.
    windows.tasks = TaskScheduler(windows)
