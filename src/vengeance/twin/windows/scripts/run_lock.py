"""The models of the scripts about which run has the box to itself."""

from __future__ import annotations

from vengeance.powershell import run_lock as shapes
from vengeance.twin.windows.program import Run
from vengeance.twin.windows.scripts.model import Given, Model, Stays


def get_run_lock(run: Run, given: Given) -> shapes.RunLock:
    """Get-RunLock."""
    return {"holder": run.windows.run_lock.holder}


def set_run_lock(run: Run, given: Given) -> shapes.RunLockChange | Stays:
    """Set-RunLock."""
    lock, owner = run.windows.run_lock, str(given["owner"])
    before = lock.holder
    changed = False
    while True:
        holder = lock.holder
        if holder is None:
            changed = lock.take(owner, run.pid) or changed
            continue
        if holder["pid"] == run.pid or (holder["owner"] != owner and holder["pid"] != given.get("instead_of")):
            break
        run.windows.kill(holder["pid"])
        run.job.sleep(0.01)
    answer: shapes.RunLockChange = {"changed": changed, "before": before, "after": holder, "reboot_required": False}
    return Stays(answer) if given.get("stay") and holder["pid"] == run.pid else answer


MODELS: dict[str, Model] = {"Get-RunLock": get_run_lock, "Set-RunLock": set_run_lock}
"""Script name -> what does its work here."""
