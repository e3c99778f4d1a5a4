"""The environment as ``ollama serve`` reads it, once, when it starts (ollama/ollama, envconfig/config.go)."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

FOREVER = math.inf
# What Go prints for the longest duration that it knows.
_LONGEST = "2562047h47m16.854775807s"
_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False"}
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+")
_PIECE = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_ORIGINS = ("localhost", "127.0.0.1", "0.0.0.0")  # noqa: S104
_MAX_UINT = 2**64 - 1


def parse_duration(text: str) -> float | None:
    """Seconds of a Go duration such as ``1h30m``, None when it is none."""
    if text in ("0", "+0", "-0"):
        return 0.0
    if not _DURATION.fullmatch(text):
        return None
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PIECE.findall(text))
    return -seconds if text.startswith("-") else seconds


def keep_alive(value: object) -> float | None:
    """Seconds of a ``keep_alive`` in a request or a variable, FOREVER for negative ones, None when it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return FOREVER if value < 0 else float(value)
    if not isinstance(value, str):
        return None
    seconds = float(value) if re.fullmatch(r"[-+]?\d+", value) else parse_duration(value)
    if seconds is None:
        return None
    return FOREVER if seconds < 0 else seconds


def go_duration(seconds: float) -> str:
    """A duration as Go prints it: ``5m0s``."""
    if math.isinf(seconds):
        return _LONGEST
    if seconds == 0:
        return "0s"
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    shown = f"{left:.9f}".rstrip("0").rstrip(".")
    if hours:
        return f"{hours:.0f}h{minutes:.0f}m{shown}s"
    return f"{minutes:.0f}m{shown}s" if minutes else f"{shown}s"


@dataclass(frozen=True)
class Address:
    """OLLAMA_HOST after it has been read; ``host`` is "" for every address."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{shown}:{self.port}"

    @property
    def everywhere(self) -> bool:
        """Whether it is every address of the box."""
        return self.host in ("", "0.0.0.0", "::")  # noqa: S104

    @property
    def loopback(self) -> bool:
        """Whether only the box itself reaches it."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(value: str) -> tuple[Address, str | None]:
    """OLLAMA_HOST and, when its port is none, that port."""
    text = value.strip().strip("\"'").strip()
    default = "11434"
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    elif scheme == "http":
        default = "80"
    elif scheme == "https":
        default = "443"
    if scheme == "http" and rest == "ollama.com":
        scheme, default = "https", "443"
    rest = rest.partition("/")[0]
    host, port = _split(rest)
    if port is None:
        host, port = rest.strip("[]") or "127.0.0.1", default
    if not re.fullmatch(r"[-+]?\d+", port) or not 0 <= int(port) <= 65535:
        return Address(scheme, host, int(default)), port
    return Address(scheme, host, int(port)), None


def _split(text: str) -> tuple[str, str | None]:
    """Go's net.SplitHostPort; the port is None where that fails."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        return (host, port[1:]) if bracket and port.startswith(":") else (text, None)
    host, colon, port = text.rpartition(":")
    return (host, port) if colon and ":" not in host else (text, None)


@dataclass(frozen=True)
class Variables:
    """What the server takes from its environment.

    keep_alive: seconds, FOREVER for a negative value
    warnings: message -> name, for the log
    """

    address: Address
    keep_alive: float
    models: str
    parallel: int
    max_loaded: int
    max_queue: int
    context_length: int
    kv_cache: str
    gpu_overhead: int
    flash_attention: bool | None
    no_prune: bool
    origins: tuple[str, ...]
    shown: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def read(environment: Mapping[str, str], home: str) -> Variables:
    """The variables of a process.

    home: the profile of its account, full Windows path
    """
    warnings: list[str] = []

    def text(name: str) -> str:
        return environment.get(name, "").strip().strip("\"' ")

    def boolean(name: str, default: bool = False) -> bool:
        value = text(name)
        if not value:
            return default
        # What is neither counts as true.
        return value not in _FALSE

    def number(name: str, default: int) -> int:
        value = text(name)
        if not value:
            return default
        if not value.isdecimal() or int(value) > _MAX_UINT:
            complaint = 'msg="invalid environment variable, using default"'
            warnings.append(f"{complaint} key={name} value={value} default={default}")
            return default
        return int(value)

    def duration(name: str, default: float) -> float:
        seconds = keep_alive(text(name)) if text(name) else default
        return default if seconds is None else seconds

    address, wrong_port = parse_address(environment.get("OLLAMA_HOST", ""))
    if wrong_port is not None:
        warnings.append(f'msg="invalid port, using default" port={wrong_port} default={address.port}')
    origins = [one for one in text("OLLAMA_ORIGINS").split(",") if one]
    for one in _ORIGINS:
        origins += [f"http://{one}", f"https://{one}", f"http://{one}:*", f"https://{one}:*"]
    origins += ["app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*"]
    flash = boolean("OLLAMA_FLASH_ATTENTION") if text("OLLAMA_FLASH_ATTENTION") else None
    found = Variables(
        address=address,
        keep_alive=duration("OLLAMA_KEEP_ALIVE", 300.0),
        models=text("OLLAMA_MODELS") or f"{home}\\.ollama\\models",
        parallel=number("OLLAMA_NUM_PARALLEL", 1),
        max_loaded=number("OLLAMA_MAX_LOADED_MODELS", 0),
        max_queue=number("OLLAMA_MAX_QUEUE", 512),
        context_length=number("OLLAMA_CONTEXT_LENGTH", 0),
        kv_cache=text("OLLAMA_KV_CACHE_TYPE"),
        gpu_overhead=number("OLLAMA_GPU_OVERHEAD", 0),
        flash_attention=flash,
        no_prune=boolean("OLLAMA_NOPRUNE"),
        origins=tuple(origins),
        warnings=tuple(warnings),
    )

    def shown(value: bool) -> str:
        return "true" if value else "false"

    debug = text("OLLAMA_DEBUG")
    level = "INFO"
    if debug in _TRUE or (debug and debug not in _FALSE and not debug.isdecimal()):
        level = "DEBUG"
    elif debug.isdecimal() and int(debug) > 1:
        level = "TRACE"
    found.shown.update(
        {
            "CUDA_VISIBLE_DEVICES": text("CUDA_VISIBLE_DEVICES"),
            "GGML_VK_VISIBLE_DEVICES": text("GGML_VK_VISIBLE_DEVICES"),
            "GPU_DEVICE_ORDINAL": text("GPU_DEVICE_ORDINAL"),
            "HIP_VISIBLE_DEVICES": text("HIP_VISIBLE_DEVICES"),
            "HSA_OVERRIDE_GFX_VERSION": text("HSA_OVERRIDE_GFX_VERSION"),
            "HTTPS_PROXY": text("HTTPS_PROXY"),
            "HTTP_PROXY": text("HTTP_PROXY"),
            "NO_PROXY": text("NO_PROXY"),
            "OLLAMA_CONTEXT_LENGTH": str(found.context_length),
            "OLLAMA_DEBUG": level,
            "OLLAMA_DEBUG_LOG_REQUESTS": shown(boolean("OLLAMA_DEBUG_LOG_REQUESTS")),
            "OLLAMA_EDITOR": text("OLLAMA_EDITOR"),
            "OLLAMA_FLASH_ATTENTION": shown(bool(flash)),
            "OLLAMA_GPU_OVERHEAD": str(found.gpu_overhead),
            "OLLAMA_HOST": str(address),
            "OLLAMA_KEEP_ALIVE": go_duration(found.keep_alive),
            "OLLAMA_KV_CACHE_TYPE": found.kv_cache,
            "OLLAMA_LLM_LIBRARY": text("OLLAMA_LLM_LIBRARY"),
            "OLLAMA_LOAD_TIMEOUT": go_duration(duration("OLLAMA_LOAD_TIMEOUT", 300.0) or FOREVER),
            "OLLAMA_MAX_LOADED_MODELS": str(found.max_loaded),
            "OLLAMA_MAX_QUEUE": str(found.max_queue),
            "OLLAMA_MODELS": found.models,
            "OLLAMA_NOHISTORY": shown(boolean("OLLAMA_NOHISTORY")),
            "OLLAMA_NOPRUNE": shown(found.no_prune),
            "OLLAMA_NO_CLOUD": shown(boolean("OLLAMA_NO_CLOUD")),
            "OLLAMA_NUM_PARALLEL": str(found.parallel),
            "OLLAMA_ORIGINS": f"[{' '.join(origins)}]",
            "OLLAMA_REMOTES": f"[{' '.join((text('OLLAMA_REMOTES') or 'ollama.com').split(','))}]",
            "OLLAMA_SCHED_SPREAD": shown(boolean("OLLAMA_SCHED_SPREAD")),
            "OLLAMA_VULKAN": shown(boolean("OLLAMA_VULKAN", True)),
            "ROCR_VISIBLE_DEVICES": text("ROCR_VISIBLE_DEVICES"),
        }
    )
    return found


def config_map(variables: Variables) -> str:
    """The value of ``env`` in the log line "server config", before it is quoted: a Go map, sorted by key."""
    return "map[" + " ".join(f"{name}:{value}" for name, value in sorted(variables.shown.items())) + "]"
