"""Ollama as it was: its variables, its start, its models, and whether it is there at all."""

from __future__ import annotations

import ntpath
from collections.abc import Generator

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from vengeance.box import before, ollama_package, undo, windows_environment
from vengeance.facts import ollama as facts
from vengeance.facts.before import OnWindows
from vengeance.facts.windows import Environment, File
from vengeance.operations.before import forgotten
from vengeance.operations.ollama.processes import boot_task, stop
from vengeance.operations.refusal import checked, failed, refuse
from vengeance.operations.waiting import looks
from vengeance.operations.windows.installers import run_installer
from vengeance.operations.windows.variables import LEVELS, values_of
from vengeance.powershell import JSON, Script
from vengeance.powershell.ollama import Installation, Package

# https://jrsoftware.org/ishelp/topic_uninstcmdline.htm
_SILENTLY = "/VERYSILENT /NORESTART /SUPPRESSMSGBOXES"
_UNINSTALL_SECONDS = 600
# The copy of itself that an uninstaller goes on as removes the last files after its exit code is known.
_GONE_WITHIN = 30.0
_PARTS = ("blobs", "manifests")
_OURS = [before.OLLAMA_PATH, before.OLLAMA]


@operation()
def variables() -> Generator[PyinfraCommand, None, None]:
    """
    Give the environment variables that a deploy has changed the values that they had, or take them away.

    **Example:**

    .. code:: python

        undo.variables(name="The variables are as they were")
    """
    entries, there = host.get_fact(OnWindows), host.get_fact(Environment)
    if entries is None or there is None:
        return  # it could not be read: pyinfra has said so and failed the host
    kept = before.of_kind(entries, "variable")
    if not kept:
        host.noop("no deploy has changed a variable")
        return
    commands: list[PyinfraCommand] = []
    for level in LEVELS:
        wanted = before.of_kind(kept, level)
        changes = windows_environment.changes(values_of(there[level]), wanted)
        for name, (now, then) in changes.items():
            shown = (windows_environment.shown(now), windows_environment.shown(then))
            host.log(f"{level} variable {name}: {' -> '.join(shown)}")
        if changes:
            after: dict[str, JSON] = {name: then for name, (_, then) in changes.items()}
            commands.append(Script("Set-Environment", {"level": level, "variables": after}))
    yield from commands
    yield from forgotten(f"variable {name}" for name in kept)


@operation()
def ollama_models(asked: undo.Undo, folder: str | None = None) -> Generator[PyinfraCommand, None, None]:
    """
    Delete Ollama's models, those that were pulled by hand too; only when they are named in what is asked for.

    + asked: what is to be taken back
    + folder: that the deploys have Ollama keep models in (OLLAMA_MODELS), where no variable says so any more; None is
      Ollama's own

    Nothing is deleted where Ollama was there before the first deploy. Call it before ``undo.variables``, which may take
    the folder's name away.

    **Example:**

    .. code:: python

        undo.ollama_models(name="Ollama's models", asked=asked)
    """
    entries, there = host.get_fact(OnWindows), host.get_fact(Environment)
    if entries is None or there is None:
        return  # it could not be read: pyinfra has said so and failed the host
    named = {**values_of(there["machine"]), **values_of(there["user"])}.get("OLLAMA_MODELS", folder)
    present = _models_in(named)
    if not present:
        host.noop("there are no models of Ollama's")
    elif not asked.deletes("models", "ollama"):
        host.log(f'the models in {ntpath.dirname(present[0])} stay; --data "delete=models" deletes them')
        host.noop("Ollama's models stay")
    elif entries.get(before.OLLAMA, "") is not None:
        host.log(
            f"the models in {ntpath.dirname(present[0])} stay, as Ollama was there before the first deploy, or nobody "
            "knows: ollama rm NAME deletes one",
            logger.warning,
        )
        host.noop("Ollama's models are left alone")
    else:
        for part in present:
            host.log(f"{part}: (there) -> (deleted)")
        yield from stop(boot_task())
        for part in present:
            yield Script("Set-Directory", {"path": part, "present": False, "contents": True})


def _models_in(folder: str | None) -> list[str]:
    """Return what is there of Ollama's models: folders that hold nothing else, whatever lies beside them."""
    storage = host.get_fact(facts.Storage, folder=folder)
    parts = [] if storage is None else [ntpath.join(storage["folder"], part) for part in _PARTS]
    return [part for part in parts if (found := host.get_fact(File, path=part)) is not None and found["exists"]]


@operation()
def ollama_app(
    package: ollama_package.Kind = "setup", path: str | None = None
) -> Generator[PyinfraCommand, None, None]:
    """
    Have an Ollama that stays start and update itself as it did before the first deploy.

    + package, path: as ``ollama.installed`` has them

    **Example:**

    .. code:: python

        undo.ollama_app(name="Ollama starts as it did")
    """
    entries = host.get_fact(OnWindows)
    if entries is None:
        return  # it could not be read: pyinfra has said so and failed the host
    ours = [name for name in (before.OLLAMA_UPDATES, before.OLLAMA_AT_LOGON) if name in entries]
    if not ours:
        host.noop("no deploy has changed how Ollama starts and updates itself")
        return
    found = host.get_fact(facts.Installation, folder=ollama_package.archive_folder(package, path))
    now = host.get_fact(facts.Settings)
    if found is None or now is None:
        return  # it could not be read: pyinfra has said so and failed the host
    stays = entries.get(before.OLLAMA, "") is not None
    at_logon, updates = entries.get(before.OLLAMA_AT_LOGON), entries.get(before.OLLAMA_UPDATES)
    if stays and found["setup"] is not None and at_logon is not None and at_logon != now["starts_at_logon"]:
        host.log(f"link in the Startup folder: {now['starts_at_logon']} -> {at_logon}")
        yield Script("Set-OllamaStartup", {"present": at_logon, "folder": found["setup"]["folder"]})
    if stays and updates is not None and now["settings"] is not None:
        host.log(f"Ollama's app: auto_update_enabled {now['settings']['auto_update_enabled']} -> {updates}")
        yield from stop(boot_task())
        yield Script("Set-OllamaSettings", {"settings": {"auto_update_enabled": updates}})
    yield from forgotten(ours)


@operation()
def ollama_uninstalled(
    package: ollama_package.Kind = "setup", path: str | None = None, folder: str | None = None
) -> Generator[PyinfraCommand, None, None]:
    """
    Uninstall an Ollama that a deploy has installed; its models stay, and so does one that was there before.

    + package, path: as ``ollama.installed`` has them
    + folder: as ``undo.ollama_models`` has it

    A silent uninstaller of Ollama leaves the models (ollama/ollama, app/ollama.iss), and the folder in the user's PATH,
    which is taken out here. As long as there are models, it is kept that they came with a deploy.

    **Example:**

    .. code:: python

        undo.ollama_uninstalled(name="Ollama is uninstalled")
    """
    checked(lambda: ollama_package.check_kind(package))
    archive = ollama_package.archive_folder(package, path)
    entries, found = host.get_fact(OnWindows), host.get_fact(facts.Installation, folder=archive)
    there = host.get_fact(Environment, names=["Path"])
    if entries is None or found is None or there is None:
        return  # it could not be read: pyinfra has said so and failed the host
    installed = found["setup"] if package == "setup" else found["archive"]
    if before.OLLAMA not in entries:
        stays = f"Ollama {installed['version']} was not installed by a deploy, and stays" if installed else ""
        host.noop(stays or "there is no Ollama")
        return
    if entries[before.OLLAMA] is not None:
        host.log(
            f"Ollama {entries[before.OLLAMA]} was there before the first deploy: what is there now stays, and an older "
            "one is installed from its own installer",
            logger.warning,
        )
    elif installed is not None:
        yield from _uninstall(package, archive, installed)
        path_then, path_now = entries.get(before.OLLAMA_PATH), values_of(there["user"]).get("Path", "")
        back = undo.path_back(path_now, path_then or "", installed["folder"])
        if back != path_now:
            yield Script("Set-Environment", {"level": "user", "variables": {"Path": back or None}})
    done = [before.OLLAMA_PATH] if entries[before.OLLAMA] is None and _models_in(folder) else _OURS
    yield from forgotten(name for name in done if name in entries)


def _uninstall(
    package: ollama_package.Kind, archive: str | None, installed: Package
) -> Generator[PyinfraCommand, None, None]:
    folder = installed["folder"]
    host.log(f"Ollama: {installed['version']} in {folder} -> (not installed, and not in the PATH of the user)")
    yield from stop(boot_task())
    if package == "zip":
        yield Script("Set-Directory", {"path": folder, "present": False, "contents": True})
        return
    program = ntpath.join(folder, "unins000.exe")
    found = host.get_fact(File, path=program)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    if not found["exists"]:
        yield refuse(
            f"{host.name} has Ollama in {folder} without its uninstaller {program}: run the deploy once more, which "
            "mends the installation, or uninstall it in Settings, Apps."
        )
        return
    yield run_installer(program, program, _SILENTLY, _UNINSTALL_SECONDS, "", lambda host: None)
    yield FunctionCommand(gone, [archive], {})


def gone(state: State, host: Host, archive: str | None) -> bool:
    """Wait until Windows does not know of Ollama any more."""
    found: Installation | None = None
    for _ in looks(_GONE_WITHIN):
        found = host.get_fact(facts.Installation, folder=archive)
        if found is None:
            return False  # it could not be read: pyinfra has said so
        if found["setup"] is None:
            return True
    return failed(host, f"{host.name}: Ollama's uninstaller has ended, and Ollama is still among the programs.")
