"""Reads only, and stops with the command that mends it when the box cannot become what it should be."""

from pyinfra import host, inventory

from vengeance.operations import settings, windows, wsl

settings.check_host()

if "windows" in host.groups:
    windows.version(name="Windows is new enough", build=host.data.windows_build)

    for each in inventory.get_group("wsl", default=[]):
        if host.name == f"@winrm/{each.data.wsl_host}":
            wsl.installed(name=f"WSL is there, with {each.data.wsl_distro}", distro=each.data.wsl_distro)
