"""The links of the chain from the wire to the token, in the order in which they are looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """One link; ``needs`` are those without which looking at it says nothing."""

    name: str
    title: str
    needs: tuple[str, ...] = ()


LINKS = (
    Link("network", "Network"),
    Link("tls", "TLS and certificate", ("network",)),
    Link("winrm", "WinRM", ("tls",)),
    Link("account", "Account and WinRM's settings", ("winrm",)),
    Link("windows", "Windows", ("account",)),
    Link("driver", "Card and driver", ("account",)),
    Link("wsl", "WSL", ("account",)),
    Link("distro", "Distro", ("wsl",)),
    Link("systemd", "systemd", ("distro",)),
    Link("cuda", "CUDA in the distro", ("distro", "driver")),
    Link("venv", "vLLM's environment and model", ("distro",)),
    Link("unit", "vLLM's servers", ("systemd", "venv", "cuda")),
    Link("port", "Ports", ("account",)),
    Link("exposure", "Exposure", ("account",)),
    Link("ollama", "Ollama", ("account",)),
    Link("models", "Ollama's models", ("ollama",)),
    Link("tenants", "Who has the card", ("driver",)),
    Link("token", "A token", ("unit", "port", "exposure")),
)

NAMES = tuple(link.name for link in LINKS)


def link(name: str) -> Link:
    """Return a link by its name."""
    return next(one for one in LINKS if one.name == name)
