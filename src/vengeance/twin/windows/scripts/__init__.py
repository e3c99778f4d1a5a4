"""What each shipped script does, done to the state of the twin; one function a script, in and out as its JSON."""

from __future__ import annotations

from vengeance.twin.windows.scripts import (
    basis,
    before,
    files,
    gpu,
    network,
    ollama,
    run_lock,
    system,
    tasks,
    works,
    wsl,
)
from vengeance.twin.windows.scripts.model import Model
from vengeance.twin.windows.scripts.model import ScriptFailed as ScriptFailed
from vengeance.twin.windows.scripts.model import Stays as Stays

MODELS: dict[str, Model] = {
    **basis.MODELS,
    **gpu.MODELS,
    **network.MODELS,
    **ollama.MODELS,
    **system.MODELS,
    **tasks.MODELS,
    **works.MODELS,
    **files.MODELS,
    **wsl.MODELS,
    **run_lock.MODELS,
    **before.MODELS,
}
"""Script name -> what does its work here."""
