"""What a reinstall, a clean-up tool or a person does to the task that keeps the distro up."""

from pyinfra.context import host

from vengeance.operations import windows

if "windows" in host.groups:
    windows.scheduled_task(name="The task is lost", task="wsl Ubuntu-24.04", command="", present=False)
