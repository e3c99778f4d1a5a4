"""What is wrong with the Ollama that runs, a sentence each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from vengeance.box import ollama_server
from vengeance.box.ollama_start import Start
from vengeance.box.windows_environment import shown


class RunningServer(TypedDict):
    """A server that runs; ``environment`` is what it works with, None where its log does not tell."""

    pid: int
    session: int
    started_by: Literal["app", "task", "other"]
    environment: dict[str, str] | None
    listening: str | None
    version: str | None


def of_servers(
    servers: Sequence[RunningServer], app_runs: bool, declared: Mapping[str, str], start: Start
) -> list[str]:
    """Return what is wrong with the servers that run; [] when there is one, and it is as it should be.

    + app_runs: whether the tray app runs
    + declared: the variables that a server should work with
    + start: how it should have been started
    """
    if not servers:
        return ["no Ollama server runs" + (", though its tray app does" if app_runs else "")]
    if len(servers) > 1:
        listed = ", ".join(f"{each['pid']} (started by {each['started_by']})" for each in servers)
        return [f"{len(servers)} Ollama servers run, and only one can have the port: processes {listed}"]
    (server,) = servers
    wrong: list[str] = []
    wanted = {"boot": "task", "logon": "app"}[start]
    if server["started_by"] != wanted:
        wrong.append(f"the server (process {server['pid']}) was started by {server['started_by']}, not by the {wanted}")
    if start == "boot" and app_runs:
        wrong.append("the tray app runs beside the server, and will fight for its port")
    if start == "logon" and server["session"] == 0:
        wrong.append("the tray app runs in session 0, where nobody sees it")
    if server["environment"] is None:
        wrong.append(f"the log does not tell what the server (process {server['pid']}) works with")
        return wrong
    for name, (value, running) in ollama_server.differences(declared, server["environment"]).items():
        wrong.append(f"the running server works with {name}={running!r}, and the registry has {shown(value)}")
    return wrong


def of_answer(answered: str | None, version: str | None, address: str, port: int) -> list[str]:
    """Return what is wrong with the version that a server answers with; None for one is nobody.

    + version: that it should be, None for any
    """
    if answered is None:
        return [f"nobody answers at http://{address}:{port}/api/version"]
    if version is not None and answered != version:
        return [f"the running server is Ollama {answered}, not {version}"]
    return []
