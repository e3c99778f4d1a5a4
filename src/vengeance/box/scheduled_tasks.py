"""Scheduled tasks of Windows as data: what is refused, how a declared task looks, where two differ.

What Task Scheduler does, and where that is written:

- Its defaults end a task after 72 hours, give it priority 7 (background), and neither start nor keep it on battery:
  https://learn.microsoft.com/powershell/module/scheduledtasks/new-scheduledtasksettingsset
- RestartOnFailure tries again when a task could not be *started*. A program that ran and ended, with any exit code, is
  not started again (MS-TSCH 2.5.4.2; seen with 0xFFFFFFFF and 0xC000013A: duolahypercho/codex-router#581,
  coastal-ms/DST-DuneServerTool#115). So a task that should keep running has a second trigger that fires again and
  again, which is ignored while it runs (MultipleInstances IgnoreNew).
- Windows 11 locks an account at the tenth wrong password, and counts anew only when the last one is 10 minutes old
  (learn.microsoft.com/windows/security/threat-protection/security-policy-settings/account-lockout-threshold and
  .../reset-account-lockout-counter-after). A task whose stored password was changed since signs in with the old one at
  each attempt. So attempts with a password are 15 minutes apart, and only one of the two ways makes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from vengeance.box import characters

LOGONS = ("s4u", "password", "interactive")
TRIGGERS = ("boot", "logon", "none")
INTERVAL = "PT1M"
INTERVAL_OF_A_STORED_LOGON = "PT15M"
# The schema's unsignedByte: learn.microsoft.com/windows/win32/taskschd/taskschedulerschema-count-restarttype-element
MOST_RESTARTS = 255
LONGEST_INTERVAL = 31 * 24 * 3600
LOGON_FAILURE = 0x8007052E
"""HRESULT of ERROR_LOGON_FAILURE, the last result of a task whose stored password is wrong."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._ -]{0,98}[A-Za-z0-9])?")
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_FULL_PATH = re.compile(r"(?:[A-Za-z]:\\|\\\\[^\\]|%[^%]+%\\)[^\"<>|*?\r\n\0]+")
_SERVICES = ("system", "localsystem", "local service", "localservice", "network service", "networkservice")


def seconds_of(duration: str) -> int:
    """Return the seconds of an ISO 8601 duration of days and smaller: ``PT72H``.

    Raises ValueError with a sentence.
    """
    found = _DURATION.fullmatch(duration) if isinstance(duration, str) else None
    if found is None or not any(found.groups()):
        raise ValueError(f"{duration!r} is no duration: write it as PT0S, PT5M, PT72H or P3D (ISO 8601).")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def check_name(task: str) -> None:
    """Raise ValueError when it can be no task's name."""
    if not isinstance(task, str) or not _NAME.fullmatch(task):
        raise ValueError(
            f"{task!r} is no name of a task: up to 100 letters, digits, '.', '_', '-' and blanks inside, without a "
            "folder (tasks lie in \\vengeance)."
        )


def check_program(command: str, arguments: str, working_directory: str | None) -> None:
    """Raise ValueError when a task could not start this program."""
    for what, path in (("command", command), ("working_directory", working_directory)):
        if path is not None and (not isinstance(path, str) or not _FULL_PATH.fullmatch(path)):
            raise ValueError(
                f"{what} is a full path without quotes, as C:\\Program Files\\WSL\\wsl.exe, not {path!r}: a task "
                "has no folder of its own."
            )
    if not isinstance(arguments, str) or any(sign in arguments for sign in "\r\n"):
        raise ValueError(f"arguments is one line of text, not {arguments!r}.")
    for what, text in (("command", command), ("arguments", arguments), ("working_directory", working_directory or "")):
        characters.check(what, text)


def check_account(user: str | None, logon: str, trigger: str, has_password: bool) -> None:
    """Raise ValueError when a task could not sign in that way; user None is the account of the connection."""
    if logon not in LOGONS:
        raise ValueError(f"logon is one of {', '.join(LOGONS)}, not {logon!r}.")
    if trigger not in TRIGGERS:
        raise ValueError(f"trigger is one of {', '.join(TRIGGERS)}, not {trigger!r}.")
    if user is not None and (not isinstance(user, str) or not user.strip()):
        raise ValueError(f"user is the name of an account, not {user!r}.")
    if user is not None and user.rpartition("\\")[2].lower() in _SERVICES:
        raise ValueError(f"user is a person's account, not {user}: WSL refuses the accounts of services.")
    if logon == "password" and user is not None and not has_password:
        raise ValueError(
            f"logon='password' with user={user!r} needs that account's password: "
            "password=Secret.from_environment(...), or logon='s4u', which stores none."
        )
    if logon != "password" and has_password:
        raise ValueError(f"logon={logon!r} uses no password: leave it out, or say logon='password'.")
    if logon == "interactive" and trigger == "boot":
        raise ValueError(
            "logon='interactive' runs only while that person is signed in, which nobody is at boot: use "
            "logon='password' or 's4u', or trigger='logon'."
        )


def check_limits(time_limit: str, priority: int, restart_count: int | None, restart_interval: str | None) -> None:
    """Raise ValueError for what Task Scheduler would not take; None is our own default."""
    limit, interval = seconds_of(time_limit), seconds_of(INTERVAL if restart_interval is None else restart_interval)
    if 0 < limit < 60:
        raise ValueError(f"time_limit is PT0S (none) or at least a minute, not {time_limit}.")
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= 10:
        raise ValueError(f"priority is 0 (highest) to 10 (idle), 4 to 6 are normal; not {priority!r}.")
    count = 0 if restart_count is None else restart_count
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MOST_RESTARTS:
        raise ValueError(f"restart_count is 0 to {MOST_RESTARTS}, not {restart_count!r}.")
    if not 60 <= interval <= LONGEST_INTERVAL:
        raise ValueError(f"restart_interval is PT1M to P31D, not {restart_interval}.")


def can_repeat(trigger: str, logon: str) -> bool:
    """Tell whether the clock may start a task too: one that waits for somebody's sign-in must not run before it."""
    return trigger == "boot" or (trigger == "logon" and logon == "interactive")


def triggers_of(trigger: str, account: str, every: int | None) -> list[str]:
    """Return a declared task's triggers as the scripts name them.

    + account: whose sign-in counts for ``logon``
    + every: seconds between two looks whether it runs; None has none
    """
    first = {"boot": ["boot"], "logon": [f"logon {account}"], "none": []}[trigger]
    return first if every is None else [*first, f"every {every}"]


def restarts_of(restart_count: int | None, restart_interval: str | None, logon: str, repeats: bool) -> tuple[int, int]:
    """Return how often, and after how many seconds, a declared task is tried again when it could not be started.

    + restart_count, restart_interval: as declared; None is our own default
    + repeats: whether a second trigger starts it again and again anyway
    """
    interval = restart_interval or (INTERVAL_OF_A_STORED_LOGON if logon == "password" else INTERVAL)
    count = restart_count if restart_count is not None else 0 if repeats else MOST_RESTARTS
    return count, seconds_of(interval)


def differences(found: Mapping[str, object], wanted: Mapping[str, object]) -> dict[str, tuple[object, object]]:
    """Return in what two definitions of a task differ: field -> what it is, what it should be."""
    return {key: (found[key], value) for key, value in wanted.items() if not _same(key, found[key], value)}


def _same(key: str, one: object, other: object) -> bool:
    if key in ("user", "command", "working_directory"):
        return str(one).lower() == str(other).lower()
    return one == other
