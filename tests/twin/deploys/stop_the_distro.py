"""The distro is stopped, and the task that keeps it up is lost."""

from pyinfra.context import host
from pyinfra.operations import python

from vengeance.operations import stage, windows
from vengeance.operations.wsl.program import run_wsl

if "windows" in host.groups:
    windows.scheduled_task(name="The task is lost", task="wsl Ubuntu-24.04", command="", present=False)

stage.begins(name="Nobody uses the distro any more")

if "windows" in host.groups:
    python.call(name="The distro is stopped", function=run_wsl, arguments="--terminate Ubuntu-24.04")
