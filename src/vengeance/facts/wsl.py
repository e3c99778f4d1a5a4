"""Facts of WSL: from the Windows side, what is installed and registered; from inside, what runs there."""

from __future__ import annotations

from typing import TypedDict

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from vengeance.facts.windows import parse
from vengeance.powershell import Script, windows


class Installation(FactBase[windows.WslInstallation]):
    """Returns which WSL is installed on a Windows host, and the distributions of the account that signs in.

    .. code:: python

        {
            "version": "2.6.1.0",
            "path": "C:\\\\Program Files\\\\WSL\\\\wsl.exe",
            "default": "Ubuntu-24.04",
            "distributions": [
                {
                    "name": "Ubuntu-24.04",
                    "guid": "{...}",
                    "version": 2,
                    "default_uid": 1000,
                    "base_path": "C:\\\\WSL\\\\Ubuntu-24.04",
                    "state": 1,
                    "flags": 15,
                }
            ],
        }
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-WslInstallation", {})

    def process(self, output: list[str]) -> windows.WslInstallation:
        return parse("Get-WslInstallation", output, windows.WslInstallation)


class Distributions(FactBase["dict[str, windows.Distribution]"]):
    """Returns the registered distributions of a Windows host by name.

    .. code:: python

        {"Ubuntu-24.04": {"name": "Ubuntu-24.04", "version": 2, "default_uid": 1000, ...}}
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-WslInstallation", {})

    def process(self, output: list[str]) -> dict[str, windows.Distribution]:
        found = parse("Get-WslInstallation", output, windows.WslInstallation)
        return {distribution["name"]: distribution for distribution in found["distributions"]}


class InstanceState(TypedDict):
    """What runs in a distro."""

    init: str
    systemd: bool
    outdated: bool


def parse_instance(output: list[str]) -> InstanceState:
    """Read the name of process 1, and the word that tells whether /etc/wsl.conf is newer than the instance.

    Raises FactProcessError for anything else.
    """
    if len(output) != 2 or not output[0].strip() or output[1] not in ("outdated", "current"):
        raise FactProcessError(
            f"The name of process 1 and 'outdated' or 'current' should be two lines, not {output!r}."
        )
    name = output[0].strip()
    return {"init": name, "systemd": name == "systemd", "outdated": output[1] == "outdated"}


class Instance(FactBase[InstanceState]):
    """Returns which program is process 1 in a distro: ``systemd``, or WSL's own ``init``; and if it is outdated.

    Process 1 tells whether ``[boot] systemd=true`` of /etc/wsl.conf has taken effect, which happens when the
    instance starts: https://learn.microsoft.com/windows/wsl/systemd. ``outdated``: the file was changed after that.

    .. code:: python

        {"init": "systemd", "systemd": True, "outdated": False}
    """

    def command(self) -> str:
        # systemd makes its socket when it starts.
        socket, conf = "/run/systemd/private", "/etc/wsl.conf"
        newer = f"if [ -e {socket} ] && [ {conf} -nt {socket} ]; then echo outdated; else echo current; fi"
        return f"cat /proc/1/comm; {newer}"

    def process(self, output: list[str]) -> InstanceState:
        return parse_instance(output)
