"""The environment that systemd gives the program of a unit, for another program to be started in the same one."""

from __future__ import annotations

from collections.abc import Iterable

Setting = tuple[str, str]

# What a unit starts and when, which is its own; all that is left is what its program sees and may do. A folder below
# /run would go with the second program, and be missed by the first.
_OF_THE_SERVICE = frozenset(
    {
        "Type", "Restart", "RestartSec", "RestartSteps", "RestartMaxDelaySec", "RestartPreventExitStatus",
        "RestartForceExitStatus", "RestartMode", "SuccessExitStatus", "RemainAfterExit", "GuessMainPID", "PIDFile",
        "BusName", "NotifyAccess", "WatchdogSec", "TimeoutSec", "TimeoutStartSec", "TimeoutStopSec", "TimeoutAbortSec",
        "TimeoutStartFailureMode", "TimeoutStopFailureMode", "RuntimeMaxSec", "KillMode", "KillSignal",
        "FinalKillSignal", "SendSIGKILL", "SendSIGHUP", "RestartKillSignal", "OOMPolicy", "NonBlocking",
        "StandardInput", "StandardOutput", "StandardError", "SyslogIdentifier", "RuntimeDirectory",
        "RuntimeDirectoryMode", "RuntimeDirectoryPreserve", "Sockets", "FileDescriptorStoreMax", "ExitType",
    }
)  # fmt: skip


def settings(text: str) -> list[Setting]:
    """Return the settings of [Service] in the order they stand, without those of the service itself.

    + text: the unit with its drop-ins, as ``systemctl cat`` prints them

    Raises ValueError for a line that is no setting.
    https://www.freedesktop.org/software/systemd/man/latest/systemd.syntax.html
    """
    found: list[Setting] = []
    section = ""
    for line in _joined(text):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise ValueError(f"The unit has a line that is no setting: {line!r}.")
        name = name.strip()
        if section == "Service" and not name.startswith("Exec") and name not in _OF_THE_SERVICE:
            found.append((name, value.strip()))
    return found


def _joined(text: str) -> Iterable[str]:
    """The lines without comments and empty ones; one that ends with a backslash goes on in the next."""
    begun = ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith(("#", ";")) or (not line and not begun):
            continue
        if line.endswith("\\"):
            begun += f"{line[:-1]} "
            continue
        if begun + line:
            yield (begun + line).strip()
        begun = ""
    if begun:
        yield begun.strip()


def run_arguments(found: Iterable[Setting]) -> list[str]:
    """Return the arguments that have ``systemd-run`` start a program with these settings and wait for its output."""
    options = ["--quiet", "--wait", "--pipe", "--collect", "--service-type=exec", "--property=TimeoutStopSec=10"]
    return ["systemd-run", *options, *(f"--property={name}={value}" for name, value in found)]
