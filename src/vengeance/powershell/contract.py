"""The JSON that each shipped script takes and gives, of all domains."""

from __future__ import annotations

from vengeance.powershell import (
    before,
    files,
    gpu,
    network,
    ollama,
    run_lock,
    system,
    tailscale,
    tasks,
    windows,
    work,
    wsl,
)

INPUT: dict[str, type] = {
    **windows.INPUT,
    **gpu.INPUT,
    **network.INPUT,
    **tailscale.INPUT,
    **ollama.INPUT,
    **system.INPUT,
    **tasks.INPUT,
    **work.INPUT,
    **files.INPUT,
    **wsl.INPUT,
    **run_lock.INPUT,
    **before.INPUT,
}
"""Script name -> type of its input."""

OUTPUT: dict[str, type] = {
    **windows.OUTPUT,
    **gpu.OUTPUT,
    **network.OUTPUT,
    **tailscale.OUTPUT,
    **ollama.OUTPUT,
    **system.OUTPUT,
    **tasks.OUTPUT,
    **work.OUTPUT,
    **files.OUTPUT,
    **wsl.OUTPUT,
    **run_lock.OUTPUT,
    **before.OUTPUT,
}
"""Script name -> type of its output."""
