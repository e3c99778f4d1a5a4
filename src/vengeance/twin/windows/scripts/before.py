"""The models of the scripts that keep what was there before the first change."""

from __future__ import annotations

from vengeance.powershell.before import Before, BeforeChange
from vengeance.twin.windows.program import Run
from vengeance.twin.windows.scripts.model import Given, Model

PARENT = r"HKLM\SOFTWARE\vengeance"
KEY = f"{PARENT}\\Before"


def get_before(run: Run, given: Given) -> Before:
    """Get-Before."""
    return {"entries": {value.name: str(value.data) for value in run.windows.registry.values(KEY)}}


def set_before(run: Run, given: Given) -> BeforeChange:
    """Set-Before."""
    registry = run.windows.registry
    before = [value.name for value in registry.values(KEY)]
    changed = False
    for name, text in given["keep"].items():
        if registry.get(KEY, name) is None:
            registry.set(KEY, name, str(text))
            changed = True
    for name in given["forget"]:
        changed = registry.delete(KEY, str(name)) or changed
    for key in (KEY, PARENT):
        if not registry.values(key) and not registry.subkeys(key):
            registry.delete_key(key)
    after = [value.name for value in registry.values(KEY)]
    return {"changed": changed, "before": before, "after": after, "reboot_required": False}


MODELS: dict[str, Model] = {
    "Get-Before": get_before,
    "Set-Before": set_before,
}
"""Script name -> what does its work here."""
