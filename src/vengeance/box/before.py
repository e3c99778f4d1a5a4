"""Names of what is kept of a box from before the first change, by which it is had back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# On Windows.
POWER = "power"
TAILSCALE = "tailscale unattended"
OLLAMA = "ollama"
OLLAMA_PATH = "ollama path"
OLLAMA_UPDATES = "ollama updates"
OLLAMA_AT_LOGON = "ollama at logon"
WSL = "wsl"
WSLCONFIG = "wslconfig"
# In the distro.
WSL_CONF = "wsl.conf"


def feature(feature: str) -> str:
    """Return the name under which the state of a feature of Windows is kept."""
    return f"feature {feature}"


def variable(level: str, variable: str) -> str:
    """Return the name under which the value of an environment variable is kept, None for one that was not there."""
    return f"variable {level} {variable}"


def folder(path: str) -> str:
    """Return the name under which it is kept whether a folder was there."""
    return f"folder {path}"


def reserved(port: int) -> str:
    """Return the name under which it is kept whether a port was set aside."""
    return f"reserved {port}"


def served(port: int) -> str:
    """Return the name under which it is kept where Tailscale forwarded a port to, None for nowhere."""
    return f"serve {port}"


def proxied(address: str, port: int) -> str:
    """Return the name under which it is kept where Windows forwarded a port to, None for nowhere."""
    return f"proxy {address} {port}"


def rule(rule: str) -> str:
    """Return the name under which the text of a firewall rule is kept that a deploy has removed."""
    return f"rule {rule}"


def distro(distro: str) -> str:
    """Return the name under which it is kept that a distribution was not there."""
    return f"distro {distro}"


def package(package: str) -> str:
    """Return the name under which it is kept that a Debian package was not there."""
    return f"package {package}"


def user(user: str) -> str:
    """Return the name under which it is kept that a Linux user was not there."""
    return f"user {user}"


def environment(path: str) -> str:
    """Return the name under which it is kept whether a Python environment was there."""
    return f"environment {path}"


def of_kind(entries: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the entries of a kind, by what follows it in their names.

    + entries: name -> value
    + kind: the first word of their names, as ``feature``

    >>> of_kind({"feature Telnet": "Disabled", "power": {}}, "feature")
    {'Telnet': 'Disabled'}
    """
    return {name.removeprefix(f"{kind} "): value for name, value in entries.items() if name.startswith(f"{kind} ")}
