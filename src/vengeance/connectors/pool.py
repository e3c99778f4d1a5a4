"""One client a Windows machine and run: `@winrm` and the `@wsl` hosts on it share their connection and shell."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from pyinfra import logger

from vengeance.connectors.errors import SignInRefused, leave_no_traceback
from vengeance.powershell import load
from vengeance.winrm.settings import WinRMSettings

if TYPE_CHECKING:
    from pyinfra.api.state import State

    from vengeance.winrm.client import AgentTexts, WinRMClient


class _Entry:
    def __init__(self, client: WinRMClient) -> None:
        self.client = client
        self.users = 0
        self.left = False


_Key = tuple[str, "WinRMSettings"]
_pools: weakref.WeakKeyDictionary[State, dict[_Key, _Entry]] = weakref.WeakKeyDictionary()
# What Windows said to the first sign-in of a run, None where it let it in: a wrong password is tried once, whichever
# host of the box is connected first, for an account may be locked by a few. One that was right may well be refused
# for a while when the box has been restarted.
_first_sign_ins: weakref.WeakKeyDictionary[State, dict[_Key, SignInRefused | None]] = weakref.WeakKeyDictionary()


def agent_texts() -> AgentTexts:
    """Return the PowerShell of the agent as the client takes it."""
    from vengeance.winrm.client import AgentTexts

    return AgentTexts(
        loader=load("agent/loader"),
        agent=load("agent/agent"),
        process=load("agent/process"),
        write_chunk=load("agent/write-chunk"),
        read_chunk=load("agent/read-chunk"),
    )


def acquire(state: State, name: str, settings: WinRMSettings) -> WinRMClient:
    """Return the client for the Windows machine called ``name`` in this run, connected.

    Hosts share it when all their settings are the same; another account on the box has another. Who comes back after
    a ``release`` (after a reboot, say) is only let in once the box has answered.

    Raises OSError when there is no connection to be had. Give it back with ``release``.
    """
    # pywinrm and requests take a third of a second to import, and pyinfra loads every connector at each start.
    from vengeance.winrm.client import WinRMClient

    leave_no_traceback()
    pool = _pools.setdefault(state, {})
    answers = _first_sign_ins.setdefault(state, {})
    refused = answers.get((name, settings))
    if refused is not None:
        raise refused
    entry = pool.get((name, settings))
    if entry is None:
        entry = pool[name, settings] = _Entry(
            WinRMClient(settings, agent_texts(), lambda message: logger.warning("%s: %s", name, message))
        )
    entry.users += 1
    try:
        entry.client.connect()
        answers.setdefault((name, settings), None)
        if entry.left:
            entry.client.check()
            entry.left = False
    except BaseException as error:
        if isinstance(error, SignInRefused):
            answers.setdefault((name, settings), error)
        release(state, entry.client)
        raise
    return entry.client


def forget(state: State, name: str) -> None:
    """Have every client for the Windows machine called ``name`` sign in anew: it was restarted, and all is gone."""
    for (known, _), entry in list(_pools.get(state, {}).items()):
        if known == name:
            entry.client.forget()


def release(state: State, client: WinRMClient) -> None:
    """Give a client back; the last to do so closes it, and with it the shell on the box."""
    pool = _pools.get(state, {})
    for key, entry in list(pool.items()):
        if entry.client is client:
            entry.users -= 1
            entry.left = True
            if entry.users <= 0:
                del pool[key]
                client.close()
