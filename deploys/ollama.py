"""How Ollama on Windows listens, and how long it keeps models in VRAM."""

from pyinfra import host

from vengeance.operations import settings, windows

settings.check_host()

if "windows" in host.groups:
    windows.environment(
        name="Ollama's variables for everybody",
        variables=host.data.ollama_machine_variables,
        level="machine",
    )

    windows.environment(
        name="Ollama's variables of the user",
        variables=host.data.ollama_user_variables,
        level="user",
    )
