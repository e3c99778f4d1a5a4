"""The environment variables that Ollama reads, so that a name from somebody's guide is refused before it is set.

Taken from ollama/ollama at v0.33.0-rc2: envconfig/config.go, and its documentation (docs/faq.mdx).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "address", "boolean", "integer", "duration"]


@dataclass(frozen=True)
class Variable:
    """One variable: what its value is, what Ollama takes without it, and what to know before setting it."""

    kind: Kind
    default: str
    note: str


VARIABLES: dict[str, Variable] = {
    "OLLAMA_HOST": Variable(
        "address",
        "127.0.0.1:11434",
        "address to listen on; clients read it too; http:// without a port means port 80",
    ),
    "OLLAMA_KEEP_ALIVE": Variable("duration", "5m", "idle time before a model leaves VRAM; 0 at once, -1 never"),
    "OLLAMA_MODELS": Variable("text", r"%USERPROFILE%\.ollama\models", "folder; the app's own setting wins"),
    "OLLAMA_NUM_PARALLEL": Variable("integer", "1", "requests a model serves at once; memory grows with it"),
    "OLLAMA_MAX_LOADED_MODELS": Variable("integer", "0", "0: three per card"),
    "OLLAMA_MAX_QUEUE": Variable("integer", "512", "waiting requests; above it the answer is 503"),
    "OLLAMA_CONTEXT_LENGTH": Variable("integer", "0", "tokens; 0: by VRAM, 32768 on a card of 24 GB"),
    "OLLAMA_LOAD_TIMEOUT": Variable(
        "duration", "5m", "patience with a model that does not load on; 0 or less: endless"
    ),
    "OLLAMA_FLASH_ATTENTION": Variable("boolean", "automatic", "needed for a quantised KV cache"),
    "OLLAMA_KV_CACHE_TYPE": Variable("text", "f16", "q8_0 takes about half, q4_0 a quarter"),
    "OLLAMA_GPU_OVERHEAD": Variable("integer", "0", "bytes to leave free on each card"),
    "OLLAMA_SCHED_SPREAD": Variable("boolean", "false", "spread a model over all cards"),
    "OLLAMA_LLM_LIBRARY": Variable("text", "", "skips the detection of the library"),
    "OLLAMA_ORIGINS": Variable("text", "localhost", "browser origins, added to the built-in ones; no access control"),
    "OLLAMA_DEBUG": Variable("integer", "0", "1 debug, 2 trace"),
    "OLLAMA_DEBUG_LOG_REQUESTS": Variable("boolean", "false", "writes what people ask to a folder: mind their privacy"),
    "OLLAMA_NOPRUNE": Variable("boolean", "false", "keep blobs that no model uses"),
    "OLLAMA_NO_CLOUD": Variable("boolean", "false", "no models that run elsewhere; the tray app sets it itself"),
    "OLLAMA_REMOTES": Variable("text", "ollama.com", "hosts that models may come from"),
    "OLLAMA_MAX_TRANSFER_STREAMS": Variable("integer", "4", "safetensors only"),
    "OLLAMA_VULKAN": Variable("boolean", "true", "an integrated GPU can be taken beside the card"),
    "OLLAMA_IGPU_ENABLE": Variable("boolean", "automatic", "use an integrated GPU"),
    "OLLAMA_GO_TEMPLATE": Variable("boolean", "false", "render prompts with the Go template"),
    "OLLAMA_NOHISTORY": Variable("boolean", "false", "no history in the prompt of `ollama run`"),
    "OLLAMA_EDITOR": Variable("text", "", "editor of `ollama run`"),
    "OLLAMA_AUTH": Variable("boolean", "false", "sign requests to the server"),
}

WRONG_NAMES: dict[str, str] = {
    "OLLAMA_GPU": "Ollama never had it. Which cards it uses is CUDA_VISIBLE_DEVICES",
    "OLLAMA_NUM_GPU": "it belongs to Intel's fork. Layers on the card are num_gpu in the request or the Modelfile",
    "OLLAMA_GPU_LAYERS": "Ollama never had it. Layers on the card are num_gpu in the request or the Modelfile",
    "OLLAMA_GPU_LAYER": "Ollama never had it. Layers on the card are num_gpu in the request or the Modelfile",
    "OLLAMA_DEVICE": "Ollama never had it. Which cards it uses is CUDA_VISIBLE_DEVICES",
    "OLLAMA_PORT": "Ollama never had it. The port is part of OLLAMA_HOST, as in 0.0.0.0:11434",
    "OLLAMA_ORIGIN": "it is written OLLAMA_ORIGINS",
    "OLLAMA_MAX_VRAM": "only Ollama's own tests read it. Leave room with OLLAMA_GPU_OVERHEAD, in bytes",
    "OLLAMA_TMPDIR": "Ollama does not read it any more",
    "OLLAMA_INTEL_GPU": "it was removed after version 0.12. Its successor is OLLAMA_IGPU_ENABLE",
    "OLLAMA_NEW_ENGINE": "it was removed with version 0.30, which has one engine",
    "OLLAMA_MULTIUSER_CACHE": "it was removed with version 0.30",
}
"""Names that guides give and Ollama does not read, with what to use instead."""

_BOOLEANS = {"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"}
_DURATION = re.compile(r"[-+]?(\d+|(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*)")
_ADDRESS = re.compile(
    r"(?P<scheme>https?://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]*)(:(?P<port>\d+))?(?P<path>/\S*)?"
)


def check_name(name: str) -> None:
    """Check that Ollama reads a variable of this name; names that do not begin with OLLAMA_ always pass.

    Raises ValueError with a sentence that names the right one.
    """
    upper = name.upper()
    if not upper.startswith("OLLAMA_") or upper in VARIABLES:
        return
    if upper in WRONG_NAMES:
        raise ValueError(f"Ollama does not read {name}: {WRONG_NAMES[upper]}.")
    near = difflib.get_close_matches(upper, VARIABLES, n=1, cutoff=0.0)
    raise ValueError(f"Ollama does not read {name}. The nearest name that it reads is {near[0]}.")


def check_value(name: str, value: str) -> None:
    """Check that Ollama takes this value as it is meant.

    Ollama does not stop at a value it cannot read: a boolean then counts as true, a number or duration as not set.

    Raises ValueError with a sentence.
    """
    variable = VARIABLES.get(name.upper())
    if variable is None:
        return
    text = value.strip().strip("\"'")
    if variable.kind == "boolean" and text not in _BOOLEANS:
        raise ValueError(f"{name} is true or false, not {value!r}, which Ollama would take for true.")
    if variable.kind == "integer" and not text.isdecimal():
        raise ValueError(f"{name} is a whole number, not {value!r}, which Ollama would pass over ({variable.note}).")
    if variable.kind == "duration" and not _DURATION.fullmatch(text):
        raise ValueError(f"{name} is a duration such as 5m, 30s or -1, not {value!r}, which Ollama would pass over.")
    if variable.kind == "address":
        _check_address(name, text)


def _check_address(name: str, value: str) -> None:
    match = _ADDRESS.fullmatch(value)
    if match is None:
        raise ValueError(f"{name} is an address such as 0.0.0.0:11434, not {value!r}.")
    port = match["port"]
    if port is None and match["scheme"]:
        implied = 443 if match["scheme"] == "https://" else 80
        raise ValueError(
            f"{name}={value} names no port, and with {match['scheme']} Ollama takes {implied}: add :11434."
        )
    if port is not None and not 0 < int(port) < 65536:
        raise ValueError(f"{name}={value} has the port {port}; ports go from 1 to 65535. Ollama would take 11434.")
