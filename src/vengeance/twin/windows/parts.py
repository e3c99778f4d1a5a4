"""The parts of Windows that a twin has beside registry, drive and programs, each in a module of its own.

A part remembers in ``windows.state.section(NAME)``, adds its programs with ``windows.add_program``, and
asks to be called through ``windows.at_boot``, ``windows.at_shutdown`` and ``windows.sessions``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vengeance.twin.windows.features import Features
from vengeance.twin.windows.machine import Machine
from vengeance.twin.windows.network import Network
from vengeance.twin.windows.passwords import Passwords
from vengeance.twin.windows.services import Services
from vengeance.twin.windows.task_scheduler import TaskScheduler
from vengeance.twin.windows.works import Running
from vengeance.twin.windows.wsl import WslOnWindows

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Windows


def add_parts(windows: Windows) -> None:
    """Make every part of a Windows; later ones may use the earlier ones."""
    windows.features = Features(windows.state)
    windows.machine = Machine(windows)
    windows.services = Services(windows.state)
    windows.at_boot.append(windows.services.boot)
    windows.network = Network(windows)
    windows.works = Running()
    windows.wsl = WslOnWindows(windows)
    windows.passwords = Passwords(windows)
    # The last: what it starts at boot uses all the others.
    windows.tasks = TaskScheduler(windows)
