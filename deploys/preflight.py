"""Reads only, and stops with the command that mends it when the box cannot become what it should be."""

from pyinfra import host

from vengeance.operations import settings, windows

settings.check_host()

if "windows" in host.groups:
    windows.version(name="Windows is new enough", build=host.data.windows_build)
