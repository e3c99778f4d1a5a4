"""The environment that systemd gives the program of a unit, for another program to be started in the same one."""

from __future__ import annotations

import re
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
    """Return the arguments that have ``systemd-run`` start a program with these settings and wait for its output.

    The server's key stands in its EnvironmentFile, and no other program needs it.
    """
    options = ["--wait", "--pipe", "--collect", "--service-type=exec", "--property=TimeoutStopSec=10"]
    unset = "--property=UnsetEnvironment=VLLM_API_KEY"
    return ["systemd-run", *options, unset, *(f"--property={name}={value}" for name, value in found)]


# https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#Process%20Exit%20Codes
_NOT_STARTED = {
    200: "it cannot enter the WorkingDirectory (200/CHDIR): is it there, and may the User enter it?",
    203: "the program cannot be started (203/EXEC): does ProtectHome hide it, or is it not there?",
    216: "there is no such Group (216/GROUP)",
    217: "there is no such User (217/USER)",
    226: "its folders cannot be put together (226/NAMESPACE): a path among those of the sandbox is not there",
    228: "its SystemCallFilter cannot be set (228/SECCOMP)",
    238: "its StateDirectory cannot be made (238/STATE_DIRECTORY)",
    239: "its CacheDirectory cannot be made (239/CACHE_DIRECTORY)",
}


def why_not_started(said: str) -> str:
    """Return why ``systemd-run`` had nothing to print but its own words.

    + said: what it wrote to stderr, with what the program wrote there
    """
    status = re.search(r"code=exited/status=(\d+)", said)
    if status is not None and int(status[1]) in _NOT_STARTED:
        return _NOT_STARTED[int(status[1])]
    own = (
        "Running as unit",
        "Finished with result",
        "Main processes",
        "Service runtime",
        "CPU time",
        "IP traffic",
        "IO ",
    )
    lines = [line for line in said.strip().splitlines() if line.strip() and not line.startswith(own)]
    ended = f" (status {status[1]})" if status is not None else ""
    return f"{' / '.join(lines[-3:]) or 'it says nothing'}{ended}"
