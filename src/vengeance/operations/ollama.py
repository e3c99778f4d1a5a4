"""Operations on Ollama on a Windows host.

The server is a program of one Windows account, the one that the connection signs in as. It takes its environment once,
when it starts, and the tray app hands its own on to it; so each change is followed by ``restarted``, which proves by
the server's own log what it works with.
"""

from __future__ import annotations

import ntpath
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Literal

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from vengeance.box import ollama_models, ollama_server, windows_environment
from vengeance.facts import ollama as facts
from vengeance.facts.windows import Environment, ScheduledTask
from vengeance.operations import windows
from vengeance.operations.refusal import refuse
from vengeance.operations.windows.installers import complaint
from vengeance.operations.work import name_of, run_work
from vengeance.powershell import Script
from vengeance.powershell.ollama import AppSettings, Package
from vengeance.powershell.ollama import Installation as Installed
from vengeance.powershell.tasks import Task
from vengeance.secret import Secret

Start = Literal["boot", "logon"]
Kind = Literal["setup", "zip"]

TASK = "ollama"
"""The task that runs the server at boot, in Task Scheduler's folder vengeance."""
APP_TASK = "ollama app"
"""The task that starts the tray app on the desktop of who is signed in; nothing but ``restarted`` starts it."""
ARCHIVE_FOLDER = r"C:\Program Files\Ollama"
"""Where the zip goes by default: only administrators write there, and what lies there runs with their rights."""
DOWNLOADS = r"C:\ProgramData\vengeance\downloads"

_FILES = {"setup": "OllamaSetup.exe", "zip": "ollama-windows-amd64.zip"}
_VERSION = re.compile(r"\d+\.\d+\.\d+(-rc\d+)?")
# Before it the app installed updates without looking at their signature (CVE-2026-42248, CVE-2026-42249).
_SAFE = (0, 23, 3)
_FOLDER = re.compile(r"[A-Za-z]:\\[\w .()\\-]*[\w)\\-]")
# cmd.exe reads these in a task's command line also inside of quotes.
_CMD_SIGNS = re.compile(r'[%"\r\n\0]')
_APP_SETTLES_WITHIN = 30.0
_BEGINS_WITHIN = 30.0
_LOOKS_FOR_A_START = 5
_LOOK_EVERY = 1.0


# --- what is refused ----------------------------------------------------------------------------------------


def check_start(start: str) -> None:
    """Raise OperationValueError when it is no way to start Ollama."""
    if start not in ("boot", "logon"):
        raise OperationValueError(f"Ollama starts at boot or at logon, not {start!r}.")


def check_package(package: str, version: str, path: str | None) -> None:
    """Raise OperationValueError for a package, version or folder that cannot be meant."""
    if package not in _FILES:
        raise OperationValueError(f"Ollama comes as setup (with the tray app) or as zip, not as {package!r}.")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise OperationValueError(f"A version of Ollama has three numbers, as 0.34.1, not {version!r}.")
    if path is not None and not _FOLDER.fullmatch(path):
        raise OperationValueError(
            f"The folder of Ollama is a full path as D:\\Ollama, of letters, digits, blanks and ._()-, not {path!r}."
        )


def check_server(address: str, port: int) -> None:
    """Raise OperationValueError when no server can be asked there."""
    if not re.fullmatch(r"[0-9A-Za-z.:-]+", address):
        raise OperationValueError(f"{address!r} is no address to ask Ollama at: write 127.0.0.1.")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise OperationValueError(f"A port is a number from 1 to 65535, not {port!r}.")


def asked_at(machine_variables: Mapping[str, str], user_variables: Mapping[str, str]) -> str:
    """Return the address at which a program on the box reaches a server with these variables."""
    values = {name.upper(): value for level in (machine_variables, user_variables) for name, value in level.items()}
    return ollama_server.where_to_ask(values.get("OLLAMA_HOST", ""))[0]


def check_models(models: Sequence[Mapping[str, object]]) -> list[ollama_models.Model]:
    """Read the models of the group data; raise OperationValueError for what cannot be meant."""
    try:
        return ollama_models.declared(models)
    except ValueError as error:
        raise OperationValueError(str(error)) from None


# --- installed ----------------------------------------------------------------------------------------------


@operation()
def installed(
    version: str,
    sha256: str,
    signer: str = "Ollama Inc.",
    package: Kind = "setup",
    url: str | None = None,
    path: str | None = None,
    downloads: str = DOWNLOADS,
    proxy: str | None = None,
    timeout: int = 3600,
) -> Generator[PyinfraCommand, None, None]:
    """
    Install one version of Ollama for the account of the connection, with nothing of it left running.

    + version: as 0.34.1
    + sha256: of the file that is downloaded
    + signer: organisation that must have signed the installer; the zip is checked by its hash alone
    + package: ``setup`` is OllamaSetup.exe with the tray app, ``zip`` the server alone
    + url: where it is downloaded from, None for the release of that version on GitHub
    + path: folder, None for the installer's own (%LOCALAPPDATA%\\Programs\\Ollama) or C:\\Program Files\\Ollama
    + downloads: folder on the box for what is downloaded
    + proxy: through which the box downloads, None for none
    + timeout: seconds for the download, and again for the installation

    The installer ends what runs of Ollama, models in use too, and starts its tray app in its own session, silent or
    not (ollama/ollama, app/ollama.iss: [Run] without skipifsilent): with WinRM that is session 0 with the environment
    of this moment. So the app is given time to make its database and is stopped; ``restarted`` starts what is wanted.

    **Example:**

    .. code:: python

        ollama.installed(
            name="Ollama 0.34.1",
            version="0.34.1",
            sha256="a92986c86ab6854675ffd1b725db7c0350d40755895c95c397c58d61014e14d9",
        )
    """
    check_package(package, version, path)
    folder = (path or ARCHIVE_FOLDER) if package == "zip" else path
    found = host.get_fact(facts.Installation, folder=folder if package == "zip" else None)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    present = found["setup"] if package == "setup" else found["archive"]
    if tuple(int(number) for number in re.findall(r"\d+", version)[:3]) < _SAFE:
        host.log(
            f"Ollama {version} installs updates without looking at their signature (CVE-2026-42248); 0.23.3 and newer "
            "look",
            logger.warning,
        )
    if package == "zip" and found["setup"] is not None:
        host.log(
            f"Ollama is installed by its installer too, in {found['setup']['folder']}, and its tray app will fight for "
            "the port: uninstall it in Settings, Apps",
            logger.warning,
        )
    if present is not None and _is_that(present, version, folder):
        host.noop(f"Ollama {version} is installed in {present['folder']}")
        return
    host.log(f"Ollama: {present['version'] if present else '(not installed)'} -> {version}")
    file = f"{downloads}\\ollama-{version}\\{_FILES[package]}"
    yield from windows.download._inner(
        url=url or f"https://github.com/ollama/ollama/releases/download/v{version}/{_FILES[package]}",
        dest=file,
        sha256=sha256,
        signer=signer if package == "setup" else None,
        proxy=proxy,
        timeout=timeout,
    )
    yield from _stop()
    if package == "zip":
        yield Script("Expand-OllamaArchive", {"archive": file, "folder": folder, "version": version})
    else:
        yield set_up(file, version, path, timeout)
        yield FunctionCommand(settle, [], {})
        yield Script("Stop-Ollama", {})


def _is_that(present: Package, version: str, folder: str | None) -> bool:
    same = folder is None or ntpath.normcase(folder.rstrip("\\")) == ntpath.normcase(present["folder"])
    return present["complete"] and present["version"] == version and same


def _stop(task: Task | None = None) -> Generator[PyinfraCommand, None, None]:
    """End all of Ollama; its boot task first, which would start the server again."""
    task = task or _task(host.get_fact(ScheduledTask, task=TASK))
    if task is not None and task["state"] == "running":
        yield _running(task, running=False)
    yield Script("Stop-Ollama", {})


def _task(found: Any) -> Task | None:  # noqa: ANN401
    return None if found is None else found["task"]


def _running(task: Task, running: bool) -> Script:
    """Start or end a task as it is registered."""
    given = {"name": TASK, "definition": {**task["definition"]}, "running": running, "renew": False, "password": None}
    return Script("Set-Task", given)  # type: ignore[arg-type]


def set_up(file: str, version: str, path: str | None, timeout: int) -> FunctionCommand:
    """Return a command that runs the installer to its end and proves that the version is there.

    + path: folder to install to, None for where it is already or the installer's own choice
    + timeout: seconds until it is ended

    It runs also over the same version, which is what mends one with files missing.
    """
    arguments = "/VERYSILENT /NORESTART /SUPPRESSMSGBOXES"
    if path is not None:
        # In the words of https://jrsoftware.org/ishelp/topic_setupcmdline.htm; check_package lets no quote in.
        arguments += f' /DIR="{path.rstrip(chr(92))}"'

    def check(host: Host, result: Mapping[str, Any]) -> str | None:
        failed = complaint(host, "OllamaSetup.exe", result, timeout, "Its log: %TEMP%\\Setup Log*.txt on the box.")
        found: Installed | None = host.get_fact(facts.Installation)
        if failed is not None or found is None:
            return failed
        there = found["setup"]
        if there is not None and _is_that(there, version, path):
            return None
        now = f"{there['version']} in {there['folder']}" if there else "nothing"
        return (
            f"{host.name}: OllamaSetup.exe ended well, and {now} is installed, not {version}"
            f"{f' in {path}' if path else ''}: check that ollama_url is the file of that version."
        )

    return run_work(
        name_of("OllamaSetup.exe", file.lower(), arguments),
        "Invoke-Installer",
        {
            "file": file,
            "arguments": arguments,
            "timeout_seconds": timeout,
            "busy_seconds": 600,
            "pause_seconds": 10,
        },
        say=lambda progress: f"OllamaSetup.exe: {progress.get('phase', 'installing')}, {progress.get('seconds', 0)} s",
        timeout=timeout + 660,
        check=check,
    )


def settle(state: State, host: Host) -> bool:
    """Wait until the tray app that the installer has started made its database, which a stop would leave half made."""
    deadline = time.monotonic() + _APP_SETTLES_WITHIN
    while time.monotonic() < deadline:
        found = host.get_fact(facts.Settings)
        if found is None:
            return False  # it could not be read: pyinfra has said so
        if found["settings"] is not None or found["unreadable"] is not None:
            return True
        time.sleep(_LOOK_EVERY)
    host.log(
        "Ollama's app was not started by its installer, so its own settings cannot be written yet: they are when it "
        "has run once and the deploy runs again",
        logger.warning,
    )
    return True


# --- settings -----------------------------------------------------------------------------------------------


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
    check_start(autostart)
    windows.check_variables(machine_variables, "machine", present=True)
    windows.check_variables(user_variables, "user", present=True)
    there = host.get_fact(Environment)
    app = host.get_fact(facts.Settings)
    if there is None or app is None:
        return  # it could not be read: pyinfra has said so and failed the host
    present = {
        "machine": {name: variable["value"] for name, variable in there["machine"].items()},
        "user": {name: variable["value"] for name, variable in there["user"].items()},
    }
    wanted = _levels(machine_variables, user_variables, autostart, present)
    changed = False
    for level in ("machine", "user"):
        changes = windows_environment.changes(present[level], wanted[level])
        for name, (before, after) in changes.items():
            host.log(f"{level} variable {name}: {_shown(before)} -> {_shown(after)}")
        if changes:
            changed = True
            yield Script(
                "Set-Environment", {"level": level, "variables": {name: after for name, (_, after) in changes.items()}}
            )
    _report_strays(present, wanted)
    _report_overrides(app["settings"], app["unreadable"], autostart)
    updates = app["settings"]["auto_update_enabled"] if app["settings"] is not None else None
    if updates is not None and updates != auto_update:
        changed = True
        host.log(f"Ollama's app: auto_update_enabled {updates} -> {auto_update}")
        if app["app_runs"]:
            yield from _stop()
        yield Script("Set-OllamaSettings", {"settings": {"auto_update_enabled": auto_update}})
    elif updates is None and app["settings"] is not None and not auto_update:
        host.log(
            "this Ollama cannot be told to leave updates alone: that came with 0.17.1. Install a newer one, or the zip",
            logger.warning,
        )
    if not changed:
        host.noop("Ollama's variables and settings are as they should be")


def _levels(
    machine: Mapping[str, str], user: Mapping[str, str], start: Start, present: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str | None]]:
    """Level -> name -> value that should be there, None for what has to go."""
    if start == "boot":
        mine = {name.upper() for name in user}
        both = {**{name: value for name, value in machine.items() if name.upper() not in mine}, **user}
        stale = [
            name
            for name in present["user"]
            if name.upper().startswith("OLLAMA_") or name.upper() in {other.upper() for other in both}
        ]
        return {"machine": dict(both), "user": dict.fromkeys(stale)}

    def only_in(declared: Mapping[str, str], other: Mapping[str, str], level: str) -> dict[str, None]:
        """Names that are declared for the other level only, and stand at this one."""
        mine = {name.upper() for name in declared}
        others = {name.upper() for name in other}
        return {name: None for name in present[level] if name.upper() in others - mine}

    return {
        "machine": {**machine, **only_in(machine, user, "machine")},
        "user": {**user, **only_in(user, machine, "user")},
    }


def _report_strays(present: Mapping[str, Mapping[str, str]], wanted: Mapping[str, Mapping[str, str | None]]) -> None:
    for level, variables in present.items():
        known = {name.upper() for name in wanted[level]}
        for name, value in variables.items():
            if name.upper().startswith("OLLAMA_") and name.upper() not in known:
                where = "ollama_machine_variables" if level == "machine" else "ollama_user_variables"
                host.log(
                    f"the {level} variable {name}={value!r} is declared nowhere, and Ollama reads it: add it to "
                    f"{where}, or remove it: windows.environment(variables={{{name!r}: ''}}, level={level!r}, "
                    "present=False)",
                    logger.warning,
                )


def overrides(settings: AppSettings) -> dict[str, str]:
    """Return what the window of the tray app puts over the environment: variable -> value."""
    found: dict[str, str] = {}
    if settings["expose"]:
        found["OLLAMA_HOST"] = "0.0.0.0"  # noqa: S104
    if settings["browser"]:
        found["OLLAMA_ORIGINS"] = "*"
    if settings["models"]:
        found["OLLAMA_MODELS"] = settings["models"]
    if settings["context_length"] > 0:
        found["OLLAMA_CONTEXT_LENGTH"] = str(settings["context_length"])
    return found


def _report_overrides(settings: AppSettings | None, unreadable: str | None, start: Start) -> None:
    if unreadable is not None:
        host.log(
            f"the settings of Ollama's app cannot be read, and may beat the variables: {unreadable}", logger.warning
        )
    if settings is None:
        return
    effect = "beats the variable" if start == "logon" else "would beat the variable if the app ran"
    for name, value in overrides(settings).items():
        host.log(
            f"a setting in the window of Ollama's app makes {name} {value!r}, which {effect}: open Ollama's icon, "
            "Settings, and take it back",
            logger.warning,
        )


def _shown(value: str | None) -> str:
    return "(not set)" if value is None else repr(value)


# --- autostart ----------------------------------------------------------------------------------------------


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
    check_start(start)
    if package not in _FILES:
        raise OperationValueError(f"Ollama comes as setup (with the tray app) or as zip, not as {package!r}.")
    if package == "zip" and start == "logon":
        raise OperationValueError(
            "Ollama's zip has no tray app to start at logon: say start='boot', or package='setup'."
        )
    if _CMD_SIGNS.search(log) or not re.match(r"[A-Za-z]:\\[^\\]+\\", log):
        raise OperationValueError(f'log is a full path in a folder, without % and ", not {log!r}.')
    found = host.get_fact(facts.Installation, folder=(path or ARCHIVE_FOLDER) if package == "zip" else None)
    app = host.get_fact(facts.Settings)
    if found is None or app is None:
        return  # it could not be read: pyinfra has said so and failed the host
    there = found["archive"] if package == "zip" else found["setup"]
    if there is None:
        host.log(f"Ollama starts at: (nothing) -> {start}")
        yield refuse(f"{host.name} has no Ollama that could start at {start}: ollama.installed comes first.")
        return
    if _CMD_SIGNS.search(there["folder"]):
        yield refuse(f'{host.name} has Ollama in {there["folder"]}, and cmd.exe cannot take % or " in a path.')
        return
    if app["starts_at_logon"] != (start == "logon"):
        host.log(f"link in the Startup folder: {app['starts_at_logon']} -> {start == 'logon'}")
        yield Script("Set-OllamaStartup", {"present": start == "logon", "folder": there["folder"]})
    if start == "logon":
        yield from windows.scheduled_task._inner(task=TASK, present=False)
        return
    if app["app_runs"]:
        host.log("the tray app runs, and has the port: it is stopped")
        yield from _stop()
    yield from windows.scheduled_task._inner(task=APP_TASK, present=False)
    started = windows.scheduled_task._inner(
        task=TASK,
        command=r"C:\Windows\System32\cmd.exe",
        arguments=server_arguments(there["folder"], log),
        logon=logon,
        password=password,
        trigger="boot",
        running=True,
        description=f"Ollama's server with nobody logged on; it writes to {log}",
    )
    changed = False
    for command in started:
        changed = True
        yield command
    if changed:
        yield FunctionCommand(begins, [log], {})


def begins(state: State, host: Host, log: str) -> bool:
    """Give the task's server a moment to say where it listens; whether that is right is for ``restarted`` to tell."""
    deadline = time.monotonic() + _BEGINS_WITHIN
    missed = 0
    while time.monotonic() < deadline and missed < _LOOKS_FOR_A_START:
        found = host.get_fact(facts.Server, boot_log=log)
        if found is None:
            return False  # it could not be read: pyinfra has said so
        if any(server["listening"] is not None for server in found["servers"]):
            break
        # cmd.exe comes first, and one that failed at once is not there any more.
        missed += not found["servers"]
        time.sleep(_LOOK_EVERY)
    return True


def server_arguments(folder: str, log: str) -> str:
    """Return the arguments with which cmd.exe runs the server and keeps its log and the one before.

    + folder: where ollama.exe lies
    + log: full path of the log

    The command does not begin with a quote, as cmd.exe would take that off again (cmd /?).
    """
    stem, extension = ntpath.splitext(log)
    return (
        f'/d /c mkdir "{ntpath.dirname(log)}" 2>nul & move /y "{log}" "{stem}-1{extension}" >nul 2>nul & '
        f'"{folder}\\ollama.exe" serve >"{log}" 2>&1'
    )


# --- restarted ----------------------------------------------------------------------------------------------


@operation()
def restarted(
    start: Start = "boot",
    version: str | None = None,
    address: str = ollama_server.LOOPBACK,
    port: int = ollama_server.PORT,
    log: str = facts.BOOT_LOG,
    timeout: int = 120,
) -> Generator[PyinfraCommand, None, None]:
    """
    Make the running server one that was started the right way, with the variables that the registry has now.

    + start: as ``autostart`` has it
    + version: that it must answer with, None for any
    + address, port: where it must answer, seen from the box
    + log: of the task's server
    + timeout: seconds that it may take to answer

    It is stopped in the order in which nothing is started again (tray app, server, what loads models; ollama/ollama,
    app/server/server.go), started, and must then prove it: by ``/api/version``, and by the line "server config" of its
    log. A server that runs as it should is left alone. With ``logon`` and nobody signed in it starts at the next logon.

    **Example:**

    .. code:: python

        ollama.restarted(name="Ollama runs with these variables", start="boot", version="0.34.1")
    """
    check_start(start)
    check_server(address, port)
    there = host.get_fact(Environment)
    found = host.get_fact(facts.Server, boot_log=log)
    answered = host.get_fact(facts.Version, address=address, port=port)
    if there is None or found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    declared = _new_process_gets(there)
    waits = start == "logon" and not found["signed_in"]
    if waits and not found["processes"]:
        host.noop("nobody is signed in: Ollama's app starts its server at the next logon")
        return
    wrong = faults(found, declared, start) + _wrong_version(answered, version, address, port)
    if not wrong:
        host.noop(f"Ollama {answered} runs with the variables of the registry")
        return
    for sentence in wrong:
        host.log(sentence)
    task = _task(host.get_fact(ScheduledTask, task=TASK))
    yield from _stop(task)
    if waits:
        host.log("nobody is signed in: Ollama's app starts its server at the next logon", logger.warning)
        return
    if start == "boot":
        if task is None:
            yield refuse(f"{host.name} has no task that runs Ollama at boot: ollama.autostart comes first.")
            return
        yield FunctionCommand(start_task, [task, log], {})
    else:
        yield from _start_app()
    yield FunctionCommand(prove, [declared, start, version, address, port, log, timeout], {})


def _start_app() -> Generator[PyinfraCommand, None, None]:
    """Start the tray app on the desktop of who is signed in; what WinRM started would be in session 0."""
    found: Installed | None = host.get_fact(facts.Installation)
    if found is None or found["setup"] is None:
        yield refuse(f"{host.name} has no Ollama with a tray app: ollama.installed with package='setup' comes first.")
        return
    yield from windows.scheduled_task._inner(
        task=APP_TASK,
        command=f"{found['setup']['folder']}\\ollama app.exe",
        arguments="hidden",
        logon="interactive",
        trigger="none",
        highest=False,
        running=True,
        description="Ollama's tray app on the desktop; deploys start it after a change of its variables",
    )


def _new_process_gets(there: Mapping[str, Any]) -> dict[str, str]:
    """Ollama's variables as a process of the account gets them: the user's win over the machine's."""
    found: dict[str, str] = {}
    for level in ("machine", "user"):
        for name, variable in there[level].items():
            if name.upper().startswith("OLLAMA_"):
                found[name.upper()] = variable["value"]
    return found


def faults(found: facts.ServerFact, declared: Mapping[str, str], start: Start) -> list[str]:
    """Return what is wrong with what runs, a sentence each; [] when it is as it should be."""
    servers = found["servers"]
    if not servers:
        return ["no Ollama server runs" + (", though its tray app does" if found["app_runs"] else "")]
    if len(servers) > 1:
        listed = ", ".join(f"{each['pid']} (started by {each['started_by']})" for each in servers)
        return [f"{len(servers)} Ollama servers run, and only one can have the port: processes {listed}"]
    (server,) = servers
    wrong: list[str] = []
    wanted = {"boot": "task", "logon": "app"}[start]
    if server["started_by"] != wanted:
        wrong.append(f"the server (process {server['pid']}) was started by {server['started_by']}, not by the {wanted}")
    if start == "boot" and found["app_runs"]:
        wrong.append("the tray app runs beside the server, and will fight for its port")
    if start == "logon" and server["session"] == 0:
        wrong.append("the tray app runs in session 0, where nobody sees it")
    if server["environment"] is None:
        wrong.append(f"the log does not tell what the server (process {server['pid']}) works with")
        return wrong
    for name, (value, running) in ollama_server.differences(declared, server["environment"]).items():
        wrong.append(f"the running server works with {name}={running!r}, and the registry has {_shown(value)}")
    return wrong


def _wrong_version(answered: str | None, version: str | None, address: str, port: int) -> list[str]:
    if answered is None:
        return [f"nobody answers at http://{address}:{port}/api/version"]
    if version is not None and answered != version:
        return [f"the running server is Ollama {answered}, not {version}"]
    return []


def start_task(state: State, host: Host, task: Task, log: str) -> bool:
    """Start the boot task; when its server ends at once, say what it wrote last."""
    succeeded, output = host.run_shell_command(_running(task, running=True), _shell_executable="ps")
    if succeeded:
        return True
    found = host.get_fact(facts.Server, boot_log=log)
    last = f" The last line of {log}: {found['last_words']}" if found and found["last_words"] else ""
    host.log_styled(f"{host.name}: {output.stderr.strip()}{last}", log_func=logger.error, fg="red")
    return False


def prove(
    state: State,
    host: Host,
    declared: Mapping[str, str],
    start: Start,
    version: str | None,
    address: str,
    port: int,
    log: str,
    timeout: float,
) -> bool:
    """Wait until the server answers, and compare what it works with; say what is wrong when it is not right."""
    deadline = time.monotonic() + timeout
    while True:
        answered = host.get_fact(facts.Version, address=address, port=port)
        found = host.get_fact(facts.Server, boot_log=log)
        if found is None:
            return False  # it could not be read: pyinfra has said so
        wrong = faults(found, declared, start) + _wrong_version(answered, version, address, port)
        if not wrong:
            return True
        # An answer and a log that differ are not made better by waiting, once the new server has written its line.
        told = answered is not None and found["servers"] and found["servers"][0]["environment"] is not None
        if told or time.monotonic() > deadline:
            break
        time.sleep(_LOOK_EVERY)
    app = host.get_fact(facts.Settings) if start == "logon" else None
    if app is not None and app["settings"] is not None and overrides(app["settings"]):
        put = ", ".join(f"{name}={value}" for name, value in overrides(app["settings"]).items())
        wrong.append(f"the window of Ollama's app sets {put}, which wins: take it back there")
    if found["servers"] and found["servers"][0]["listening"]:
        wrong.append(f"it listens on {found['servers'][0]['listening']}")
    if found["last_words"] and not found["servers"]:
        wrong.append(f"the last line of {log} is: {found['last_words']}")
    sentence = f"{host.name}: Ollama was started again and is not as it should be: {'; '.join(wrong)}."
    host.log_styled(sentence, log_func=logger.error, fg="red")
    return False


# --- models -------------------------------------------------------------------------------------------------


@operation()
def models(
    models: list[dict[str, Any]],
    prune: bool = False,
    address: str = ollama_server.LOOPBACK,
    port: int = ollama_server.PORT,
    timeout: int = 21600,
    start: Start = "boot",
    log: str = facts.BOOT_LOG,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have the server pull the models it lacks; it goes on by itself when the connection drops.

    + models: each ``{"name": "qwen2.5:3b", "size_gb": 1.9, "digest": "357c53fb659c"}``; ``size_gb`` (GB on disk) is
      compared with the free disk before anything is pulled, ``digest`` pins what the tag means; both may be left out
    + prune: whether models that are not listed are removed, before the others are pulled
    + address, port: where the server answers, seen from the box
    + timeout: seconds that all pulls together may take
    + start: as ``autostart`` has it; with ``logon`` and nobody signed in the models wait for the next run
    + log: of the task's server, which tells the folder of the models

    The box itself asks its server (``POST /api/pull``), reads the errors that come inside of an answer with status 200,
    and asks again for as long as each attempt gets further. The server is never restarted meanwhile: it deletes what is
    half there and older than an hour (ollama/ollama, server/download.go).

    **Example:**

    .. code:: python

        ollama.models(name="The models", models=[{"name": "qwen2.5:3b", "size_gb": 1.9}])
    """
    wanted = check_models(models)
    check_start(start)
    check_server(address, port)
    if isinstance(timeout, bool) or not isinstance(timeout, int) or timeout < 1:
        raise OperationValueError(f"timeout is a number of seconds, not {timeout!r}.")
    present = host.get_fact(facts.Models, address=address, port=port)
    todo = ollama_models.plan(wanted, {name: each["digest"] for name, each in (present or {}).items()}, prune)
    for name in todo.extra:
        host.log(f"model {name}: {ollama_models.gigabytes(present[name]['size'])} -> (removed)")  # type: ignore[index]
    for model in todo.pull:
        size = ollama_models.gigabytes(model.size) if model.size else "size not declared"
        host.log(f"model {model.name}: {_digest_of(present, model)} -> pulled ({size})")
    if present is None:
        running = host.get_fact(facts.Server, boot_log=log)
        if start == "logon" and running is not None and not running["signed_in"]:
            host.log(
                "nobody is signed in, so no Ollama server runs to pull models with: sign in at the box, and run the "
                "deploy again",
                logger.warning,
            )
            host.noop("the models wait for somebody to sign in at the box")
            return
        yield refuse(
            f"no Ollama server answers at {address}:{port} on {host.name}, so there is nothing to pull models with: "
            "ollama.restarted comes first."
        )
        return
    if not todo.pull and not todo.extra:
        host.noop(f"all {len(wanted)} models are there")
        return
    storage = host.get_fact(facts.Storage, folder=_folder_of_models(log))
    if storage is None:
        return  # it could not be read: pyinfra has said so and failed the host
    freed = sum(present[name]["size"] for name in todo.extra)
    sentence = ollama_models.too_little_room(todo.pull, storage["free_bytes"], storage["partial_bytes"], freed)
    if sentence is not None:
        yield refuse(
            f"{host.name}: {sentence}. Nothing was pulled. Free space on the drive of {storage['folder']}, set "
            "OLLAMA_MODELS to another drive, or take models out of ollama_models."
        )
        return
    for name in todo.extra:
        yield Script("Remove-OllamaModel", {"address": address, "port": port, "model": name})
    deadline = time.monotonic() + timeout
    for model in todo.pull:
        # What is left of the time when its turn comes, and always enough to see that it is there already.
        yield pull(model, address, port, max(deadline - time.monotonic(), 30.0))


def _digest_of(present: Mapping[str, facts.InstalledModel] | None, model: ollama_models.Model) -> str:
    for name, each in (present or {}).items():
        if name.lower() == model.name.lower():
            return f"{each['digest'][:12]}, not the pinned {model.digest}"
    return "(not there)"


def _folder_of_models(log: str) -> str | None:
    found = host.get_fact(facts.Server, boot_log=log)
    for server in found["servers"] if found is not None else []:
        if server["environment"] is not None and server["environment"].get("OLLAMA_MODELS"):
            return server["environment"]["OLLAMA_MODELS"]
    return None


def pull(model: ollama_models.Model, address: str, port: int, timeout: float) -> FunctionCommand:
    """Return a command that has the box pull one model, and watches it to its end.

    + timeout: seconds to watch it
    """

    def check(host: Host, result: Mapping[str, Any]) -> str | None:
        if model.is_that_of(str(result["digest"])):
            return None
        return (
            f"{host.name} pulled {model.name} and got {result['digest']}, while {model.digest} is pinned: the tag "
            "points to something else now. Take the new digest into ollama_models, or leave the pin out."
        )

    return run_work(
        name_of(f"pull-{model.name}", address, str(port)),
        "Save-OllamaModel",
        {
            "address": address,
            "port": port,
            "model": model.name,
            "stall_seconds": 300,
            "pause_seconds": 5,
            "fruitless": 6,
        },
        say=progress_line(time.monotonic),
        timeout=timeout,
        check=check,
    )


def progress_line(now: Callable[[], float]) -> Callable[[Mapping[str, Any]], str]:
    """Return what makes a line of a pull's progress; it remembers the line before, for the speed.

    + now: seconds on a clock that does not go back
    """
    last: dict[str, float] = {}

    def say(progress: Mapping[str, Any]) -> str:
        done, total, seconds = int(progress["completed"]), int(progress["total"]), now()
        again = f", attempt {progress['attempt']}" if int(progress["attempt"]) > 1 else ""
        if not total:
            return f"{progress['model']}: {progress['status']}{again}"
        rate = (done - last["done"]) / (seconds - last["at"]) if last and seconds > last["at"] else 0.0
        last.update(done=done, at=seconds)
        text = (
            f"{progress['model']}: {ollama_models.gigabytes(done)} of {ollama_models.gigabytes(total)} "
            f"({100 * done // total} %)"
        )
        if rate > 0:
            text += f", {rate / 10**6:.1f} MB/s, {_duration((total - done) / rate)} left"
        return text + again

    return say


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


# --- unloaded -----------------------------------------------------------------------------------------------


@operation()
def unloaded(
    models: list[str] | None = None,
    address: str = ollama_server.LOOPBACK,
    port: int = ollama_server.PORT,
    timeout: int = 120,
) -> Generator[PyinfraCommand, None, None]:
    """
    Take models out of memory, and wait until the server shows none of them any more.

    + models: their names, None for all that are loaded
    + address, port: where the server answers, seen from the box
    + timeout: seconds that each may take

    The server says "unload" before the memory is free (docs/api.md), so /api/ps is asked until it is. A model that a
    program asks for again is loaded again.

    **Example:**

    .. code:: python

        ollama.unloaded(name="Leave the card to vLLM")
    """
    check_server(address, port)
    try:
        names = None if models is None else [ollama_models.full_name(name).lower() for name in models]
    except ValueError as error:
        raise OperationValueError(str(error)) from None
    loaded = host.get_fact(facts.Loaded, address=address, port=port)
    if loaded is None:
        host.noop(f"no Ollama server answers at {address}:{port}, so no model is loaded")
        return
    chosen = [name for name in loaded if names is None or name.lower() in names]
    if not chosen:
        host.noop("no such model is loaded")
        return
    for name in chosen:
        host.log(f"model {name}: {ollama_models.gigabytes(loaded[name]['size_vram'])} of VRAM -> (unloaded)")
        yield Script("Stop-OllamaModel", {"address": address, "port": port, "model": name, "timeout": timeout})
    yield FunctionCommand(check_unloaded, [chosen, address, port], {})


def check_unloaded(state: State, host: Host, names: Sequence[str], address: str, port: int) -> bool:
    """Fail the host when one of these models is still in memory."""
    loaded = host.get_fact(facts.Loaded, address=address, port=port)
    left = [name for name in names if loaded and name in loaded]
    if not left:
        return True
    host.log_styled(
        f"{host.name} still has {', '.join(left)} in memory: a program asks for it again and again. See who connects "
        f"to port {port}: Get-NetTCPConnection -LocalPort {port}",
        log_func=logger.error,
        fg="red",
    )
    return False
