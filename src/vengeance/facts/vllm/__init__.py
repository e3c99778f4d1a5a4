"""Facts of vLLM in a distro: its Python environment, its server."""

from vengeance.facts.vllm.environment import Environment, EnvironmentState, parse_environment
from vengeance.facts.vllm.server import (
    ABSENT,
    FOLDER,
    Health,
    Server,
    ServerState,
    Units,
    environment_file,
    parse_server,
    started_with_file,
)

__all__ = [
    "ABSENT",
    "FOLDER",
    "Environment",
    "EnvironmentState",
    "Health",
    "Server",
    "ServerState",
    "Units",
    "environment_file",
    "parse_environment",
    "parse_server",
    "started_with_file",
]
