"""Facts of who has the card's memory."""

from __future__ import annotations

from pyinfra.api.facts import FactBase

from vengeance.facts.windows.answers import parse
from vengeance.powershell import Script, gpu


class GpuProcesses(FactBase[gpu.GpuProcesses]):
    """Returns which processes of Windows have memory of the NVIDIA card; how much is taken in all, ``Gpu`` says.

    nvidia-smi does not know it under Windows, so these are Windows' own counters. They lag behind by up to half a
    minute, and name nobody for what the driver and Windows itself keep: wait for memory to be free by ``Gpu`` alone.
    ``counted`` is False, with the reason, where the counters are broken; ``lodctr /R`` in an administrator's prompt
    builds them anew.

    .. code:: python

        {
            "counted": True,
            "reason": None,
            "of_card": True,
            "processes": [
                {
                    "pid": 4120,
                    "image": "llama-server.exe",
                    "path": "C:\\\\Users\\\\Steam\\\\AppData\\\\Local\\\\Programs\\\\Ollama\\\\llama-server.exe",
                    "session": 0,
                    "mib": 19230,
                    "committed_mib": 19600,
                    "comfyui": False,
                }
            ],
        }
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-GpuProcess", {})

    def process(self, output: list[str]) -> gpu.GpuProcesses:
        return parse("Get-GpuProcess", output, gpu.GpuProcesses)
