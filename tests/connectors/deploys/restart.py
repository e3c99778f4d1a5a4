"""A restart between two halves of a box, with a change right before and right after it on both."""

from pyinfra.context import host
from pyinfra.operations import server

from vengeance.operations import stage, windows

PENDING = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending"

if "wsl" in host.groups:
    # /run is memory: it does not outlive the machine.
    server.shell(name="a sign that goes with the restart", commands=["touch /run/before-the-restart"])

stage.begins(name="the restart")

if "windows" in host.groups:
    pending = windows.registry_value(name="Windows waits", key=PENDING, value_name="", data="1")
    windows.reboot(name="the restart itself", wait=120)
    windows.environment(name="a change right after it", variables={"AFTER_THE_RESTART": "1"})

stage.begins(name="after the restart")

if "wsl" in host.groups:
    server.shell(
        name="a change in the distro right after it",
        commands=["test ! -e /run/before-the-restart && touch /var/after-the-restart"],
    )
