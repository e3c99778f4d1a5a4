"""How Ollama is started from now on."""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal

from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from vengeance.box import before as names
from vengeance.box import ollama_package, ollama_start
from vengeance.box.ollama_package import Kind
from vengeance.box.ollama_start import Start
from vengeance.facts import ollama as facts
from vengeance.operations import windows
from vengeance.operations.before import kept
from vengeance.operations.ollama.processes import APP_TASK, TASK, boot_task, stop
from vengeance.operations.refusal import checked, refuse
from vengeance.operations.waiting import looks
from vengeance.powershell import Script
from vengeance.secret import Secret

_BEGINS_WITHIN = 30.0
_LOOKS_FOR_A_START = 5


@operation()
def autostart(
    start: Start = "boot",
    package: Kind = "setup",
    path: str | None = None,
    logon: Literal["password", "s4u"] = "password",
    password: Secret | None = None,
    log: str = facts.BOOT_LOG,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have Ollama started at boot with nobody logged on, or at logon by its tray app; never both.

    + start: ``boot``: a task runs the server and nothing else, in session 0; ``logon``: the tray app, from the Startup
      folder, starts it when the account signs in
    + package: as ``installed`` has it
    + path: folder of the zip, None for C:\\Program Files\\Ollama
    + logon: how the task signs in: ``password`` or ``s4u``
    + password: of the account, None for the connection's own
    + log: file of the task's server; the one before is kept beside it

    With ``boot`` the link in the Startup folder goes, as an app that starts later would try for ever to have the port
    (ollama/ollama, app/server/server_windows.go). The server is no service: it does not speak to the service manager
    (ollama#10713). Its task starts cmd.exe, which redirects what the server writes.

    **Example:**

    .. code:: python

        ollama.autostart(name="Ollama answers with nobody logged on", start="boot")
    """
    checked(lambda: ollama_start.check_autostart(start, package, log))
    found = host.get_fact(facts.Installation, folder=ollama_package.archive_folder(package, path))
    app = host.get_fact(facts.Settings)
    if found is None or app is None:
        return  # it could not be read: pyinfra has said so and failed the host
    there = found["archive"] if package == "zip" else found["setup"]
    if there is None:
        host.log(f"Ollama starts at: (nothing) -> {start}")
        yield refuse(f"{host.name} has no Ollama that could start at {start}: ollama.installed comes first.")
        return
    if not ollama_start.cmd_takes(there["folder"]):
        yield refuse(f'{host.name} has Ollama in {there["folder"]}, and cmd.exe cannot take % or " in a path.')
        return
    if app["starts_at_logon"] != (start == "logon"):
        host.log(f"link in the Startup folder: {app['starts_at_logon']} -> {start == 'logon'}")
        yield from kept({names.OLLAMA_AT_LOGON: app["starts_at_logon"]})
        yield Script("Set-OllamaStartup", {"present": start == "logon", "folder": there["folder"]})
    if start == "logon":
        yield from windows.scheduled_task._inner(task=TASK, present=False)
        return
    if app["app_runs"]:
        host.log("the tray app runs, and has the port: it is stopped")
        yield from stop(boot_task())
    yield from windows.scheduled_task._inner(task=APP_TASK, present=False)
    yield from _run_at_boot(there["folder"], logon, password, log)


def _run_at_boot(
    folder: str, logon: Literal["password", "s4u"], password: Secret | None, log: str
) -> Generator[PyinfraCommand, None, None]:
    changes = list(
        windows.scheduled_task._inner(
            task=TASK,
            command=r"C:\Windows\System32\cmd.exe",
            arguments=ollama_start.server_arguments(folder, log),
            logon=logon,
            password=password,
            trigger="boot",
            running=True,
            description=f"Ollama's server with nobody logged on; it writes to {log}",
        )
    )
    yield from changes
    if changes:
        yield FunctionCommand(begins, [log], {})


def begins(state: State, host: Host, log: str) -> bool:
    """Give the task's server a moment to say where it listens; whether that is right is for ``restarted`` to tell."""
    missed = 0
    for _ in looks(_BEGINS_WITHIN):
        found = host.get_fact(facts.Server, boot_log=log)
        if found is None:
            return False  # it could not be read: pyinfra has said so
        # cmd.exe comes first, and one that failed at once is not there any more.
        missed += not found["servers"]
        if missed >= _LOOKS_FOR_A_START or any(server["listening"] is not None for server in found["servers"]):
            break
    return True
