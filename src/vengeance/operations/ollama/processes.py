"""What runs of Ollama: ending all of it, and starting it by its task or on somebody's desktop."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.context import host

from vengeance.facts import ollama as facts
from vengeance.facts.windows import ScheduledTask
from vengeance.operations import windows
from vengeance.operations.refusal import failed, in_a_sentence, refuse
from vengeance.operations.windows.tasks import set_task
from vengeance.powershell import Script
from vengeance.powershell.tasks import Task

TASK = "ollama"
"""The task that runs the server at boot, in Task Scheduler's folder vengeance."""
APP_TASK = "ollama app"
"""The task that starts the tray app on the desktop of who is signed in; nothing but ``restarted`` starts it."""


def boot_task() -> Task | None:
    """Return the task that runs the server at boot, None where there is none."""
    found = host.get_fact(ScheduledTask, task=TASK)
    return None if found is None else found["task"]


def stop(task: Task | None) -> Generator[PyinfraCommand, None, None]:
    """End all of Ollama; its boot task first, which would start the server again.

    + task: what ``boot_task`` returned
    """
    if task is not None and task["state"] == "running":
        yield set_task(TASK, task["definition"], running=False)
    yield Script("Stop-Ollama", {})


def start_by_task(task: Task | None, log: str) -> PyinfraCommand:
    """Return what starts the server by its task.

    + task: what ``boot_task`` returned
    + log: that the task writes to
    """
    if task is None:
        return refuse(f"{host.name} has no task that runs Ollama at boot: ollama.autostart comes first.")
    return FunctionCommand(start_task, [task, log], {})


@in_a_sentence
def start_task(state: State, host: Host, task: Task, log: str) -> bool:
    """Start the boot task; when its server ends at once, say what it wrote last."""
    started = set_task(TASK, task["definition"], running=True)
    succeeded, output = host.run_shell_command(started, _shell_executable="ps")
    if succeeded:
        return True
    found = host.get_fact(facts.Server, boot_log=log)
    last = f" The last line of {log}: {found['last_words']}" if found and found["last_words"] else ""
    return failed(host, f"{host.name}: {output.stderr.strip()}{last}")


def start_app() -> Generator[PyinfraCommand, None, None]:
    """Start the tray app on the desktop of who is signed in; what WinRM started would be in session 0."""
    found = host.get_fact(facts.Installation)
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
