"""One client a Windows machine and run: `@winrm` and the `@wsl` hosts on it share their connection and shell."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from pyinfra import logger

from vengeance.powershell import load
from vengeance.winrm.settings import WinRMSettings

if TYPE_CHECKING:
    from pyinfra.api.state import State

    from vengeance.winrm.client import AgentTexts, WinRMClient


class _Entry:
    def __init__(self, client: WinRMClient) -> None:
        self.client = client
        self.users = 0


_pools: weakref.WeakKeyDictionary[State, dict[str, _Entry]] = weakref.WeakKeyDictionary()


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

    Raises OSError when there is no connection to be had. Give it back with ``release``.
    """
    # pywinrm and requests take a third of a second to import, and pyinfra loads every connector at each start.
    from vengeance.winrm.client import WinRMClient

    pool = _pools.setdefault(state, {})
    entry = pool.get(name)
    if entry is None:
        entry = pool[name] = _Entry(
            WinRMClient(settings, agent_texts(), lambda message: logger.warning("%s: %s", name, message))
        )
    entry.users += 1
    try:
        entry.client.connect()
    except BaseException:
        release(state, name)
        raise
    return entry.client


def release(state: State, name: str) -> None:
    """Give a client back; the last to do so closes it, and with it the shell on the box."""
    entry = _pools.get(state, {}).get(name)
    if entry is None:
        return
    entry.users -= 1
    if entry.users <= 0:
        del _pools[state][name]
        entry.client.close()
