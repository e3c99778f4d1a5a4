"""The model of the script about who has the card's memory."""

from __future__ import annotations

from vengeance.powershell import gpu as shapes
from vengeance.twin.windows.gpu import MACHINE, Holder
from vengeance.twin.windows.program import SYSTEM32, Run
from vengeance.twin.windows.scripts.model import Given, Model

_CLASS = "Win32_PerfFormattedData_GPUPerformanceCounters_GPUProcessMemory"
_DESKTOP_SESSION = 1


def _described(run: Run, holder: Holder) -> shapes.GpuProcess:
    process = run.windows.state.processes.get(holder.pid)
    path: str | None = f"{SYSTEM32}\\{holder.image}"
    session = _DESKTOP_SESSION
    image, place = holder.image, ""
    if process is not None:
        path, session = process.image, process.session
        image, place = process.image.rpartition("\\")[2], f"{process.image} {process.command_line}".lower()
    elif holder.image == MACHINE:
        path, session = None, 0
    python = image.lower().startswith("python") and "comfyui" in place
    return {
        "pid": holder.pid,
        "image": image,
        "path": path,
        "session": session,
        "mib": holder.mib,
        "committed_mib": holder.mib,
        "comfyui": python or image.lower() == "comfyui.exe",
    }


def get_gpu_process(run: Run, given: Given) -> shapes.GpuProcesses:
    """Get-GpuProcess."""
    gpu = run.windows.gpu
    if not gpu.counted:
        return {"counted": False, "reason": f"{_CLASS}: Invalid class", "of_card": False, "processes": []}
    found = [_described(run, holder) for holder in gpu.seen_by_windows] if gpu.present else []
    found.sort(key=lambda one: one["pid"])
    return {"counted": True, "reason": None, "of_card": bool(found), "processes": found}


MODELS: dict[str, Model] = {"Get-GpuProcess": get_gpu_process}
"""Script name -> what does its work here."""
