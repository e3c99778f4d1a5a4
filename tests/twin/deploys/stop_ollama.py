"""What a person does who ends Ollama."""

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.operations.ollama.processes import boot_task, stop


@operation()
def ended() -> Generator[PyinfraCommand, None, None]:
    """End all of Ollama, and its boot task."""
    yield from stop(boot_task())


if "windows" in host.groups:
    ended(name="Ollama is ended")
