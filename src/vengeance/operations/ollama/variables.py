"""Ollama's environment variables, and what its tray app keeps beside them."""

from __future__ import annotations

from collections.abc import Generator, Mapping

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.box import before as names
from vengeance.box import ollama_settings, ollama_start
from vengeance.box.ollama_start import Start
from vengeance.facts import ollama as facts
from vengeance.facts.windows import Environment
from vengeance.operations import windows
from vengeance.operations.before import kept
from vengeance.operations.ollama.processes import boot_task, stop
from vengeance.operations.refusal import checked
from vengeance.operations.windows.variables import LEVELS, set_level, values_of
from vengeance.powershell import Script
from vengeance.powershell.ollama import AppSettings, Settings


@operation()
def settings(
    machine_variables: dict[str, str],
    user_variables: dict[str, str],
    autostart: Start = "boot",
    auto_update: bool = False,
) -> Generator[PyinfraCommand, None, None]:
    """
    Set Ollama's environment variables at the level where it reads them, and whether it updates itself.

    + machine_variables: for everybody, name -> value
    + user_variables: of the account of the connection; a name that stands in both is taken from here
    + autostart: ``boot``: all of them are set for the machine and Ollama's user variables removed, as they would win
      over these; ``logon``: each at its own level
    + auto_update: whether the tray app may install updates by itself, which it does at a logon

    A variable of Ollama's that stands nowhere here is reported and stays. The window of the tray app has settings that
    beat the variables (ollama/ollama, app/server/server.go): they are reported too. What it keeps about updates is
    written while the app is stopped; ``restarted`` starts it again.

    **Example:**

    .. code:: python

        ollama.settings(
            name="Ollama listens everywhere and keeps models for five minutes",
            machine_variables={"OLLAMA_HOST": "0.0.0.0:11434"},
            user_variables={"OLLAMA_KEEP_ALIVE": "5m"},
        )
    """
    checked(lambda: ollama_start.check(autostart))
    windows.check_variables(machine_variables, "machine", present=True)
    windows.check_variables(user_variables, "user", present=True)
    there = host.get_fact(Environment)
    app = host.get_fact(facts.Settings)
    if there is None or app is None:
        return  # it could not be read: pyinfra has said so and failed the host
    present = {"machine": values_of(there["machine"]), "user": values_of(there["user"])}
    wanted = ollama_settings.levels(machine_variables, user_variables, autostart, present)
    changes: list[PyinfraCommand] = []
    for level in LEVELS:
        changes += set_level(level, present[level], wanted[level])
    _report_strays(present, wanted)
    _report_app(app, autostart)
    changes += _set_updates(app, auto_update)
    yield from changes
    if not changes:
        host.noop("Ollama's variables and settings are as they should be")


def _set_updates(app: Settings, wanted: bool) -> Generator[PyinfraCommand, None, None]:
    """Have the tray app install updates by itself, or not; it is stopped for that, as it would write its own back."""
    if app["settings"] is None:
        return
    present = app["settings"]["auto_update_enabled"]
    if present is None and not wanted:
        host.log(
            "this Ollama cannot be told to leave updates alone: that came with 0.17.1. Install a newer one, or the zip",
            logger.warning,
        )
    if present is None or present == wanted:
        return
    host.log(f"Ollama's app: auto_update_enabled {present} -> {wanted}")
    yield from kept({names.OLLAMA_UPDATES: present})
    if app["app_runs"]:
        yield from stop(boot_task())
    yield Script("Set-OllamaSettings", {"settings": {"auto_update_enabled": wanted}})


def _report_strays(present: ollama_settings.Levels, wanted: Mapping[str, Mapping[str, str | None]]) -> None:
    for level, name, value in ollama_settings.strays(present, wanted):
        host.log(
            f"the {level} variable {name}={value!r} is declared nowhere, and Ollama reads it: add it to "
            f"ollama_{level}_variables, or remove it: windows.environment(variables={{{name!r}: ''}}, level={level!r}, "
            "present=False)",
            logger.warning,
        )


def overrides(settings: AppSettings | None) -> dict[str, str]:
    """Return what the window of the tray app puts over the environment: variable -> value."""
    if settings is None:
        return {}
    return ollama_settings.put_by_app(
        settings["expose"], settings["browser"], settings["models"], settings["context_length"]
    )


def _report_app(app: Settings, start: Start) -> None:
    if app["unreadable"] is not None:
        host.log(
            f"the settings of Ollama's app cannot be read, and may beat the variables: {app['unreadable']}",
            logger.warning,
        )
    effect = "beats the variable" if start == "logon" else "would beat the variable if the app ran"
    for name, value in overrides(app["settings"]).items():
        host.log(
            f"a setting in the window of Ollama's app makes {name} {value!r}, which {effect}: open Ollama's icon, "
            "Settings, and take it back",
            logger.warning,
        )
