"""Operations for vLLM in a distro: its Python environment, its servers as systemd units, and how they run."""

from vengeance.operations.vllm.api_key import generated_key, guarded, made_key, ports_without_key
from vengeance.operations.vllm.budget import fits
from vengeance.operations.vllm.environment import check_place, environment
from vengeance.operations.vllm.model import model, revealed_token
from vengeance.operations.vllm.running import healthy, running, stopped
from vengeance.operations.vllm.server import no_other_servers, revealed, server

__all__ = [
    "check_place",
    "environment",
    "fits",
    "generated_key",
    "guarded",
    "healthy",
    "made_key",
    "model",
    "no_other_servers",
    "ports_without_key",
    "revealed",
    "revealed_token",
    "running",
    "server",
    "stopped",
]
