"""The restart of Ollama's server, with the proof of what it works with."""

from __future__ import annotations

from collections.abc import Generator, Mapping

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from vengeance.box import ollama_faults, ollama_server, ollama_settings, ollama_start
from vengeance.box.ollama_start import Start
from vengeance.facts import ollama as facts
from vengeance.facts.windows import Environment
from vengeance.operations.ollama.processes import boot_task, start_app, start_by_task, stop
from vengeance.operations.ollama.variables import overrides
from vengeance.operations.refusal import checked, failed
from vengeance.operations.waiting import looks
from vengeance.operations.windows.variables import values_of


@operation()
def restarted(
    start: Start = "boot",
    version: str | None = None,
    address: str = ollama_server.LOOPBACK,
    port: int = ollama_server.PORT,
    log: str = facts.BOOT_LOG,
    timeout: int = 120,
) -> Generator[PyinfraCommand, None, None]:
    """
    Make the running server one that was started the right way, with the variables that the registry has now.

    + start: as ``autostart`` has it
    + version: that it must answer with, None for any
    + address, port: where it must answer, seen from the box
    + log: of the task's server
    + timeout: seconds that it may take to answer

    It is stopped in the order in which nothing is started again (tray app, server, what loads models; ollama/ollama,
    app/server/server.go), started, and must then prove it: by ``/api/version``, and by the line "server config" of its
    log. A server that runs as it should is left alone. With ``logon`` and nobody signed in it starts at the next logon.

    **Example:**

    .. code:: python

        ollama.restarted(name="Ollama runs with these variables", start="boot", version="0.34.1")
    """
    checked(lambda: ollama_start.check(start))
    checked(lambda: ollama_server.check_asked(address, port))
    there = host.get_fact(Environment)
    found = host.get_fact(facts.Server, boot_log=log)
    answered = host.get_fact(facts.Version, address=address, port=port)
    if there is None or found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    declared = ollama_settings.in_effect(values_of(there["machine"]), values_of(there["user"]))
    waits = start == "logon" and not found["signed_in"]
    if waits and not found["processes"]:
        host.noop("nobody is signed in: Ollama's app starts its server at the next logon")
        return
    wrong = _faults(found, declared, start) + ollama_faults.of_answer(answered, version, address, port)
    if not wrong:
        host.noop(f"Ollama {answered} runs with the variables of the registry")
        return
    for sentence in wrong:
        host.log(sentence)
    task = boot_task()
    yield from stop(task)
    if waits:
        host.log("nobody is signed in: Ollama's app starts its server at the next logon", logger.warning)
        return
    if start == "boot":
        yield start_by_task(task, log)
    else:
        yield from start_app()
    yield FunctionCommand(prove, [declared, start, version, address, port, log, timeout], {})


def _faults(found: facts.ServerFact, declared: Mapping[str, str], start: Start) -> list[str]:
    return ollama_faults.of_servers(found["servers"], found["app_runs"], declared, start)


def prove(
    state: State,
    host: Host,
    declared: Mapping[str, str],
    start: Start,
    version: str | None,
    address: str,
    port: int,
    log: str,
    timeout: float,
) -> bool:
    """Wait until the server answers, and compare what it works with; say what is wrong when it is not right."""
    for _ in looks(timeout):
        answered = host.get_fact(facts.Version, address=address, port=port)
        found = host.get_fact(facts.Server, boot_log=log)
        if found is None:
            return False  # it could not be read: pyinfra has said so
        wrong = _faults(found, declared, start) + ollama_faults.of_answer(answered, version, address, port)
        if not wrong:
            return True
        # An answer and a log that differ are not made better by waiting, once the new server has written its line.
        if answered is not None and found["servers"] and found["servers"][0]["environment"] is not None:
            break
    wrong += _reasons(host, found, start, log)
    return failed(host, f"{host.name}: Ollama was started again and is not as it should be: {'; '.join(wrong)}.")


def _reasons(host: Host, found: facts.ServerFact, start: Start, log: str) -> list[str]:
    """What may explain that a server is not as it should be."""
    told: list[str] = []
    app = host.get_fact(facts.Settings) if start == "logon" else None
    put = overrides(app["settings"]) if app is not None else {}
    if put:
        shown = ", ".join(f"{name}={value}" for name, value in put.items())
        told.append(f"the window of Ollama's app sets {shown}, which wins: take it back there")
    if found["servers"] and found["servers"][0]["listening"]:
        told.append(f"it listens on {found['servers'][0]['listening']}")
    if found["last_words"] and not found["servers"]:
        told.append(f"the last line of {log} is: {found['last_words']}")
    return told
