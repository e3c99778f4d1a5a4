"""Facts of vLLM in a distro: its Python environment, its server."""

from vengeance.facts.vllm.environment import Environment, EnvironmentState
from vengeance.facts.vllm.journal import Journal, masked
from vengeance.facts.vllm.model import Model, ModelState, parse_model
from vengeance.facts.vllm.model_files import ModelFiles, ModelFilesState
from vengeance.facts.vllm.server import (
    ABSENT,
    CARD_CHECK,
    FOLDER,
    Alive,
    Health,
    Server,
    ServerState,
    api_key_file,
    environment_file,
    parse_server,
    started_with_file,
)
from vengeance.facts.vllm.states import States, Units

__all__ = [
    "ABSENT",
    "CARD_CHECK",
    "FOLDER",
    "Alive",
    "Environment",
    "EnvironmentState",
    "Health",
    "Journal",
    "Model",
    "ModelFiles",
    "ModelFilesState",
    "ModelState",
    "Server",
    "ServerState",
    "States",
    "Units",
    "api_key_file",
    "environment_file",
    "masked",
    "parse_model",
    "parse_server",
    "started_with_file",
]
