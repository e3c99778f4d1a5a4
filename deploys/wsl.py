"""The distro itself: its user, and systemd as its first process."""

from pyinfra import host
from pyinfra.operations import server

from vengeance.operations import settings, wsl

settings.check_host()

if "wsl" in host.groups:
    server.user(name="The user of the server", user=host.data.linux_user, shell="/bin/bash")  # noqa: S604

    written = wsl.conf(name="Settings of the distro", settings=host.data.wsl_conf)

    if host.data.systemd:
        wsl.instance(name="The distro runs with these settings", systemd=True, conf=written)
