"""The models that Ollama's server has in memory."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from vengeance.box import ollama_models, ollama_server
from vengeance.box.downloads import size_text
from vengeance.facts import ollama as facts
from vengeance.operations.refusal import checked, failed
from vengeance.powershell import Script


@operation()
def unloaded(
    models: list[str] | None = None,
    address: str = ollama_server.LOOPBACK,
    port: int = ollama_server.PORT,
    timeout: int = 120,
) -> Generator[PyinfraCommand, None, None]:
    """
    Take models out of memory, and wait until the server shows none of them any more.

    + models: their names, None for all that are loaded
    + address, port: where the server answers, seen from the box
    + timeout: seconds that each may take

    The server says "unload" before the memory is free (docs/api.md), so /api/ps is asked until it is. A model that a
    program asks for again is loaded again.

    **Example:**

    .. code:: python

        ollama.unloaded(name="Leave the card to vLLM")
    """
    checked(lambda: ollama_server.check_asked(address, port))
    names = checked(lambda: None if models is None else [ollama_models.full_name(name).lower() for name in models])
    loaded = host.get_fact(facts.Loaded, address=address, port=port)
    if loaded is None:
        host.noop(f"no Ollama server answers at {address}:{port}, so no model is loaded")
        return
    chosen = [name for name in loaded if names is None or name.lower() in names]
    if not chosen:
        host.noop("no such model is loaded")
        return
    for name in chosen:
        host.log(f"model {name}: {size_text(loaded[name]['size_vram'])} of VRAM -> (unloaded)")
        yield Script("Stop-OllamaModel", {"address": address, "port": port, "model": name, "timeout": timeout})
    yield FunctionCommand(check_unloaded, [chosen, address, port], {})


def check_unloaded(state: State, host: Host, names: Sequence[str], address: str, port: int) -> bool:
    """Fail the host when one of these models is still in memory."""
    loaded = host.get_fact(facts.Loaded, address=address, port=port)
    left = [name for name in names if loaded and name in loaded]
    if not left:
        return True
    return failed(
        host,
        f"{host.name} still has {', '.join(left)} in memory: a program asks for it again and again. See who connects "
        f"to port {port}: Get-NetTCPConnection -LocalPort {port}",
    )
