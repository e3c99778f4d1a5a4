"""Windows itself as it was: features, sleep, the folder of the deploys."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.box import before, undo
from vengeance.box import power as power_plan
from vengeance.facts.before import OnWindows
from vengeance.facts.windows import Feature, File, Power
from vengeance.facts.wsl import Installation
from vengeance.operations.before import forgotten
from vengeance.operations.ollama.processes import boot_task
from vengeance.operations.wsl import FEATURE
from vengeance.powershell import Script

WORK_FOLDER = r"C:\ProgramData\vengeance"
"""Where long work lies, whatever the settings say (Start-Work.ps1); nobody but the deploys makes one of that name."""


@operation()
def features(asked: undo.Undo) -> Generator[PyinfraCommand, None, None]:
    """
    Switch off the features of Windows that a deploy has switched on.

    + asked: what is to be taken back

    The one that WSL needs stays as long as WSL's package does. They are gone with the next restart: call
    ``windows.reboot`` after it.

    **Example:**

    .. code:: python

        undo.features(name="Features of Windows are off again", asked=asked)
    """
    entries = host.get_fact(OnWindows)
    if entries is None:
        return  # it could not be read: pyinfra has said so and failed the host
    switched = before.of_kind(entries, "feature")
    if FEATURE in switched and _wsl_stays(entries, asked):
        host.log(f"feature {FEATURE} stays on, as WSL is installed and needs it", logger.warning)
        del switched[FEATURE]
    if not switched:
        host.noop("there is no feature to switch off")
        return
    for feature, was in switched.items():
        host.log(f"feature {feature}: {host.get_fact(Feature, feature=feature)} -> {was}")
    for feature in switched:
        yield Script("Set-Feature", {"feature": feature, "present": False})
    yield from forgotten(before.feature(each) for each in switched)


def _wsl_stays(entries: Mapping[str, Any], asked: undo.Undo) -> bool:
    found = host.get_fact(Installation)
    if found is None or found["version"] is None:
        return False
    return not undo.wsl_goes(entries, [each["name"] for each in found["distributions"]], asked)


@operation()
def power() -> Generator[PyinfraCommand, None, None]:
    """
    Have Windows sleep, hibernate and start as it did before the first deploy.

    **Example:**

    .. code:: python

        undo.power(name="Windows sleeps as it did")
    """
    entries = host.get_fact(OnWindows)
    if entries is None:
        return  # it could not be read: pyinfra has said so and failed the host
    found = host.get_fact(Power) if before.POWER in entries else None
    if found is None:
        host.noop("sleep has not been changed by a deploy")
        return
    now = dict(found)
    changes = power_plan.back(now, entries[before.POWER])  # type: ignore[arg-type]
    if changes is not None:
        host.log(f"Windows {power_plan.shown(now)} -> {power_plan.wished(changes)}")  # type: ignore[arg-type]
        yield Script("Set-Power", dict(changes))  # type: ignore[arg-type]
    yield from forgotten([before.POWER])


@operation()
def folder(path: str, asked: undo.Undo) -> Generator[PyinfraCommand, None, None]:
    """
    Remove the folder that the deploys worked in, with all in it: downloads, logs, progress of long work.

    + path: full Windows path; one that was there before the first deploy stays, closed as it is, and so does one that
      Ollama writes its log to
    + asked: what is to be taken back

    **Example:**

    .. code:: python

        undo.folder(name="No folder of the deploys", path="C:\\\\ProgramData\\\\vengeance", asked=asked)
    """
    entries = host.get_fact(OnWindows)
    if entries is None:
        return  # it could not be read: pyinfra has said so and failed the host
    name = before.folder(path)
    was_there = entries.get(name, path.lower() != WORK_FOLDER.lower())
    found = host.get_fact(File, path=path)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    if found["exists"] and was_there:
        host.log(
            f"{path} was there before the first deploy and stays, with downloads, ollama and work in it, and closed to "
            f"all but administrators: icacls {path} /reset has its rights as those above it",
            logger.warning,
        )
    if found["exists"] and "ollama" not in asked.stages and boot_task() is not None:
        host.log(f"{path} stays, as the task that starts Ollama writes its log there: take the stage ollama back, too")
        host.noop(f"{path} is left")
        return
    goes = found["exists"] and not was_there
    if not goes and name not in entries:
        host.noop(f"{path} is {'left' if found['exists'] else 'not there'}")
        return
    if goes:
        host.log(f"{path}: (there) -> (removed, with all in it)")
        yield Script("Set-Directory", {"path": path, "present": False, "contents": True})
    yield from forgotten([name] if name in entries else [])
