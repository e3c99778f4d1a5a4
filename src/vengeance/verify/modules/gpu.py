"""The card, by NVIDIA's own program; its words are English in every Windows."""

from __future__ import annotations

import re

from testinfra.modules.base import InstanceModule


class Gpu(InstanceModule):  # type: ignore[misc]
    """The first card: ``host.gpu.free_mib``."""

    PROGRAM = ""

    def _query(self, field: str) -> str:
        command = f"{self.PROGRAM} --query-gpu={field} --format=csv,noheader,nounits"
        return str(self.check_output(command)).splitlines()[0].strip()

    @property
    def is_there(self) -> bool:
        """Whether the driver answers and has a card."""
        return bool(self.run(f"{self.PROGRAM} -L").rc == 0)

    @property
    def name(self) -> str:
        """Its name, such as ``NVIDIA GeForce RTX 4090``."""
        return self._query("name")

    @property
    def driver_version(self) -> str:
        """The driver of Windows, such as ``591.86``."""
        return self._query("driver_version")

    @property
    def cuda_version(self) -> str:
        """The CUDA that the driver brings, such as ``13.1``; NotImplementedError where the driver does not tell."""
        found = re.search(r"CUDA Version\s*:\s*([\d.]+)", str(self.check_output(f"{self.PROGRAM} --version")))
        if found is None:
            raise NotImplementedError("this driver's nvidia-smi --version names no CUDA version")
        return found[1]

    @property
    def total_mib(self) -> int:
        """Its memory, in MiB."""
        return int(self._query("memory.total"))

    @property
    def used_mib(self) -> int:
        """MiB that are taken, by whomever."""
        return int(self._query("memory.used"))

    @property
    def free_mib(self) -> int:
        """MiB that are left."""
        return int(self._query("memory.free"))

    @property
    def utilization(self) -> int:
        """Per cent of the last moment that it computed in."""
        return int(self._query("utilization.gpu"))


class WindowsGpu(Gpu):
    """The card as Windows sees it."""

    PROGRAM = "nvidia-smi.exe"


class DistroGpu(Gpu):
    """The card as the distro sees it: the program lies where WSL puts it, which is in no PATH of a service."""

    PROGRAM = "/usr/lib/wsl/lib/nvidia-smi"
