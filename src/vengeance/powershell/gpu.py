"""The JSON of the scripts about the card's memory."""

from __future__ import annotations

from typing import TypedDict

from vengeance.powershell.windows import Nothing


class GpuProcess(TypedDict):
    """A process of Windows that has memory of the card; sizes in MiB.

    ``image``, ``path`` and ``session`` are None when it has ended meanwhile or the account may not see them.
    ``mib`` lies in the card now, ``committed_mib`` is what the process has asked for.
    """

    pid: int
    image: str | None
    path: str | None
    session: int | None
    mib: int
    committed_mib: int
    comfyui: bool


class GpuProcesses(TypedDict):
    """Output of Get-GpuProcess; ``reason`` says why Windows counts nothing where ``counted`` is false.

    ``of_card`` is false when it is not known which adapter is NVIDIA's, so that others are counted too.
    """

    counted: bool
    reason: str | None
    of_card: bool
    processes: list[GpuProcess]


INPUT: dict[str, type] = {"Get-GpuProcess": Nothing}
"""Script name -> type of its input."""

OUTPUT: dict[str, type] = {"Get-GpuProcess": GpuProcesses}
"""Script name -> type of its output."""
