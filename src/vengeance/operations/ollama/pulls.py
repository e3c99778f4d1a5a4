"""The models that Ollama's server has."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from typing import Any

from pyinfra import logger
from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.box import ollama_models, ollama_server, ollama_start
from vengeance.box.downloads import Transfer, size_text
from vengeance.box.ollama_start import Start
from vengeance.facts import ollama as facts
from vengeance.operations.refusal import checked, refuse
from vengeance.operations.work import name_of, run_work
from vengeance.powershell import Script
from vengeance.powershell.ollama import PullInput

Present = Mapping[str, facts.InstalledModel]


@operation()
def models(
    models: list[dict[str, Any]],
    prune: bool = False,
    address: str = ollama_server.LOOPBACK,
    port: int = ollama_server.PORT,
    timeout: int = 21600,
    start: Start = "boot",
    log: str = facts.BOOT_LOG,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have the server pull the models it lacks; it goes on by itself when the connection drops.

    + models: each ``{"name": "qwen2.5:3b", "size_gb": 1.9, "digest": "357c53fb659c"}``; ``size_gb`` (GB on disk) is
      compared with the free disk before anything is pulled, ``digest`` pins what the tag means; both may be left out
    + prune: whether models that are not listed are removed, before the others are pulled
    + address, port: where the server answers, seen from the box
    + timeout: seconds that all pulls together may take
    + start: as ``autostart`` has it; with ``logon`` and nobody signed in the models wait for the next run
    + log: of the task's server, which tells the folder of the models

    The box itself asks its server (``POST /api/pull``), reads the errors that come inside of an answer with status 200,
    and asks again for as long as each attempt gets further. The server is never restarted meanwhile: it deletes what is
    half there and older than an hour (ollama/ollama, server/download.go).

    **Example:**

    .. code:: python

        ollama.models(name="The models", models=[{"name": "qwen2.5:3b", "size_gb": 1.9}])
    """
    wanted = checked(lambda: ollama_models.declared(models))
    checked(lambda: ollama_start.check(start))
    checked(lambda: ollama_server.check_asked(address, port))
    if isinstance(timeout, bool) or not isinstance(timeout, int) or timeout < 1:
        raise OperationValueError(f"timeout is a number of seconds, not {timeout!r}.")
    present = host.get_fact(facts.Models, address=address, port=port)
    todo = ollama_models.plan(wanted, {name: each["digest"] for name, each in (present or {}).items()}, prune)
    _report(todo, present or {})
    if present is None:
        yield from _unanswered(address, port, start, log)
        return
    if not todo.pull and not todo.extra:
        host.noop(f"all {len(wanted)} models are there")
        return
    yield from _change(todo, present, address, port, timeout, log)


def _report(todo: ollama_models.Plan, present: Present) -> None:
    for name in todo.extra:
        host.log(f"model {name}: {size_text(present[name]['size'])} -> (removed)")
    digests = {name.lower(): each["digest"] for name, each in present.items()}
    for model in todo.pull:
        size = size_text(model.size) if model.size else "size not declared"
        digest = digests.get(model.name.lower())
        before = "(not there)" if digest is None else f"{digest[:12]}, not the pinned {model.digest}"
        host.log(f"model {model.name}: {before} -> pulled ({size})")


def _unanswered(address: str, port: int, start: Start, log: str) -> Generator[PyinfraCommand, None, None]:
    """Refuse a box whose server does not answer; one that waits for a logon is only told of."""
    running = host.get_fact(facts.Server, boot_log=log)
    if start == "logon" and running is not None and not running["signed_in"]:
        host.log(
            "nobody is signed in, so no Ollama server runs to pull models with: sign in at the box, and run the "
            "deploy again",
            logger.warning,
        )
        host.noop("the models wait for somebody to sign in at the box")
        return
    yield refuse(
        f"no Ollama server answers at {address}:{port} on {host.name}, so there is nothing to pull models with: "
        "ollama.restarted comes first."
    )


def _change(
    todo: ollama_models.Plan, present: Present, address: str, port: int, timeout: int, log: str
) -> Generator[PyinfraCommand, None, None]:
    """Remove what is too much and pull what is missing, when the disk has room for it."""
    storage = host.get_fact(facts.Storage, folder=_folder_of_models(log))
    if storage is None:
        return  # it could not be read: pyinfra has said so and failed the host
    freed = sum(present[name]["size"] for name in todo.extra)
    sentence = ollama_models.too_little_room(todo.pull, storage["free_bytes"], storage["partial_bytes"], freed)
    if sentence is not None:
        yield refuse(
            f"{host.name}: {sentence}. Nothing was pulled. Free space on the drive of {storage['folder']}, set "
            "OLLAMA_MODELS to another drive, or take models out of ollama_models."
        )
        return
    for name in todo.extra:
        yield Script("Remove-OllamaModel", {"address": address, "port": port, "model": name})
    deadline = time.monotonic() + timeout
    for model in todo.pull:
        # What is left of the time when its turn comes, and always enough to see that it is there already.
        yield pull(model, address, port, max(deadline - time.monotonic(), 30.0))


def _folder_of_models(log: str) -> str | None:
    found = host.get_fact(facts.Server, boot_log=log)
    for server in found["servers"] if found is not None else []:
        if server["environment"] is not None and server["environment"].get("OLLAMA_MODELS"):
            return server["environment"]["OLLAMA_MODELS"]
    return None


def pull(model: ollama_models.Model, address: str, port: int, timeout: float) -> FunctionCommand:
    """Return a command that has the box pull one model, and watches it to its end.

    + timeout: seconds to watch it
    """

    def check(host: Host, result: Mapping[str, Any]) -> str | None:
        if model.is_that_of(str(result["digest"])):
            return None
        return (
            f"{host.name} pulled {model.name} and got {result['digest']}, while {model.digest} is pinned: the tag "
            "points to something else now. Take the new digest into ollama_models, or leave the pin out."
        )

    given: PullInput = {
        "address": address,
        "port": port,
        "model": model.name,
        "stall_seconds": 300,
        "pause_seconds": 5,
        "fruitless": 6,
    }
    return run_work(
        name_of(f"pull-{model.name}", address, str(port)),
        "Save-OllamaModel",
        given,
        say=progress_line(Transfer(model.name)),
        timeout=timeout,
        check=check,
    )


def progress_line(transfer: Transfer) -> Callable[[Mapping[str, Any]], str]:
    """Return what makes a line of a pull's progress.

    + transfer: that of the model, which remembers the speed
    """

    def say(progress: Mapping[str, Any]) -> str:
        again = f", attempt {progress['attempt']}" if int(progress["attempt"]) > 1 else ""
        if not progress["total"]:
            return f"{progress['model']}: {progress['status']}{again}"
        # The status changes with each layer, and the bytes are those of all.
        return transfer({"phase": "pulled", "bytes": progress["completed"], "total": progress["total"]}) + again

    return say
