"""What can be asked of a box through testinfra: one class for each resource, with properties that read as English.

>>> windows.windows_environment("OLLAMA_HOST").machine        # doctest: +SKIP
'0.0.0.0:11434'
>>> windows.scheduled_task("wsl Ubuntu-24.04").survives_logoff  # doctest: +SKIP
True
>>> linux.gpu.free_mib                                        # doctest: +SKIP
22664

On Windows they run programs of cmd.exe, each a process of its own, and read what does not depend on the language of
Windows: the registry, XML, CSV by its columns, exit codes, JSON. The deploys read the same things through .NET and COM.
"""

from __future__ import annotations

from typing import Any

from testinfra.modules.base import Module

from vengeance.verify.modules.boot import Boot
from vengeance.verify.modules.firewall_rule import FirewallRule
from vengeance.verify.modules.gpu import DistroGpu, WindowsGpu
from vengeance.verify.modules.http import DistroHttp, WindowsHttp
from vengeance.verify.modules.ollama import Ollama
from vengeance.verify.modules.port_proxy import PortProxy
from vengeance.verify.modules.process import Process
from vengeance.verify.modules.registry import Registry
from vengeance.verify.modules.scheduled_task import ScheduledTask
from vengeance.verify.modules.service import Service
from vengeance.verify.modules.socket import Socket
from vengeance.verify.modules.tailscale import Tailscale
from vengeance.verify.modules.vllm import Vllm
from vengeance.verify.modules.windows_environment import WindowsEnvironment
from vengeance.verify.modules.wsl_distro import Wsl, WslDistro

WINDOWS: dict[str, type[Module]] = {
    "boot": Boot,
    "firewall_rule": FirewallRule,
    "gpu": WindowsGpu,
    "http": WindowsHttp,
    "ollama": Ollama,
    "port_proxy": PortProxy,
    "process": Process,
    "registry": Registry,
    "scheduled_task": ScheduledTask,
    "service": Service,
    "socket": Socket,
    "tailscale": Tailscale,
    "windows_environment": WindowsEnvironment,
    "wsl": Wsl,
    "wsl_distro": WslDistro,
}
"""Name of a resource of Windows -> its class."""

DISTRO: dict[str, type[Module]] = {"gpu": DistroGpu, "http": DistroHttp, "vllm": Vllm}
"""Name of a resource of the distro -> its class; testinfra's own are there too."""


def of_windows(host: Any, name: str) -> Any:  # noqa: ANN401 testinfra has no types
    """Return a resource of a Windows host.

    Raises NotImplementedError for one of testinfra's own, which runs programs of Linux.
    """
    made = WINDOWS.get(name)
    if made is None:
        raise NotImplementedError(
            f"host.{name} knows no Windows; there are {', '.join(WINDOWS)}, run and check_output."
        )
    return made.get_module(host)
