"""Facts of WSL: from the Windows side, what is installed and registered; from inside, what runs there."""

from __future__ import annotations

import base64
from typing import TypedDict

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from vengeance.box import wslconfig
from vengeance.facts.windows import parse
from vengeance.powershell import Script, windows, wsl

WSL_EXE = "C:\\Program Files\\WSL\\wsl.exe"
"""The package's own wsl.exe: the one in System32 may not run without a desktop (WSL#9231, #9197)."""


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


def wsl_exe(arguments: str, path: str = WSL_EXE, timeout: float = 180) -> Script:
    """Return the script that runs wsl.exe with an empty input.

    + arguments: its command line; names in it were checked by the caller, for wsl.exe takes no quotes off them
    + path: of wsl.exe, as ``Installation`` tells it
    + timeout: seconds
    """
    return Script(
        "Invoke-Program",
        {
            "file": path,
            "arguments": arguments,
            "stdin": None,
            "cwd": None,
            "env": {"WSL_UTF8": "1", "WSL_DISABLE_WARNINGS": "1"},
            "timeout": timeout,
        },
    )


def parse_program(output: list[str]) -> tuple[int | None, str]:
    """Return the exit code of a program that ``wsl_exe`` ran, and its output as text; None when it was ended."""
    result = parse("Invoke-Program", output, windows.ProgramResult)
    text = base64.b64decode(result["stdout"]).decode(errors="replace")
    return (None if result["timed_out"] else result["rc"]), text


class Running(FactBase["list[str]"]):
    """Returns the names of the distributions that run now, of the account that signs in; starts none.

    + path: of wsl.exe, as ``Installation`` tells it

    wsl.exe fails where none runs; what it says then is translated, so only its exit code counts.

    .. code:: python

        ["Ubuntu-24.04"]
    """

    shell_executable = "ps"
    default = list

    def command(self, path: str = WSL_EXE) -> Script:
        return wsl_exe("--list --running --quiet", path)

    def process(self, output: list[str]) -> list[str]:
        code, text = parse_program(output)
        return [line.strip() for line in text.splitlines() if line.strip()] if code == 0 else []


class Machine(FactBase["wslconfig.Machine | None"]):
    """Returns what a distribution sees of WSL's virtual machine, in bytes; starts it. None where it does not start.

    + distro: its name
    + path: of wsl.exe, as ``Installation`` tells it

    The processors are counted in /proc/cpuinfo: nproc counts those that a program may use.

    .. code:: python

        Machine(memory=25769803776, swap=8589930496, processors=8)
    """

    shell_executable = "ps"

    def command(self, distro: str, path: str = WSL_EXE) -> Script:
        return wsl_exe(f"-d {distro} -u root --cd / --exec /bin/cat /proc/meminfo /proc/cpuinfo", path)

    def process(self, output: list[str]) -> wslconfig.Machine | None:
        code, text = parse_program(output)
        return wslconfig.parse_machine(text.splitlines()) if code == 0 else None


class Configuration(FactBase[wsl.Configuration]):
    """Returns the .wslconfig of the account that signs in.

    .. code:: python

        {"path": "C:\\Users\\Steam\\.wslconfig", "text": "[wsl2]\nmemory=24GB\n"}
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-WslConfiguration", {})

    def process(self, output: list[str]) -> wsl.Configuration:
        return parse("Get-WslConfiguration", output, wsl.Configuration)


class Timeouts(FactBase[wslconfig.Timeouts]):
    """Returns when WSL stops a distribution and its virtual machine that nobody uses, by .wslconfig; None is never.

    .. code:: python

        Timeouts(instance_ms=None, machine_ms=None)
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-WslConfiguration", {})

    def process(self, output: list[str]) -> wslconfig.Timeouts:
        return wslconfig.timeouts(parse("Get-WslConfiguration", output, wsl.Configuration)["text"])


class Owners(FactBase[wsl.Owners]):
    """Returns which Windows accounts have which distributions, and which account asks.

    .. code:: python

        {
            "account": "VENGEANCE\\Steam",
            "owners": [
                {"sid": "S-1-5-21-...-1001", "account": "VENGEANCE\\Steam", "distributions": ["Ubuntu-24.04"]}
            ],
        }
    """

    shell_executable = "ps"

    def command(self) -> Script:
        return Script("Get-WslOwner", {})

    def process(self, output: list[str]) -> wsl.Owners:
        return parse("Get-WslOwner", output, wsl.Owners)


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
