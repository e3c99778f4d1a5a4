"""A plugin of vLLM that lets a server on the processor hold memory of the twin's card as one on the card would.

vLLM calls it in each of its processes (https://docs.vllm.ai/en/latest/design/plugin_system.html). The engine's takes
the memory, over a connection that stays open as long as that process lives. Where there is no card to ask, it holds
nothing.
"""

import json
import multiprocessing
import socket
import sys

SOCKET = "/usr/lib/wsl/lib/.card"
_MIB_PER_GIB = 1024
_PATIENCE_SECONDS = 20.0
_UTILISATION = ("--gpu-memory-utilization", "--device-memory-utilization")
# That of vLLM 0.32.
_DEFAULT = 0.92
_held: "list[socket.socket]" = []


def take_memory() -> None:
    """Take the part of the card that the command line asks for; ValueError in vLLM's words when it is not free."""
    if not multiprocessing.current_process().name.startswith("EngineCore") or _held:
        return
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_PATIENCE_SECONDS)
    try:
        connection.connect(SOCKET)
    except OSError:
        connection.close()
        return
    stream = connection.makefile("rwb")

    def ask(request: "dict[str, object]") -> "dict[str, object]":
        stream.write(json.dumps(request).encode() + b"\n")
        stream.flush()
        answer: dict[str, object] = json.loads(stream.readline())
        return answer

    card = ask({"ask": True})
    total, free = int(str(card["total"])), int(str(card["free"]))
    utilisation = wanted_part(sys.argv)
    wanted = int(total * utilisation)
    if total and not ask({"take": wanted, "image": "python3", "label": "vLLM"})["ok"]:
        connection.close()
        raise ValueError(
            f"Free memory on device cuda:0 ({_gib(free)}/{_gib(total)} GiB) on startup is less than desired GPU "
            f"memory utilization ({utilisation}, {_gib(wanted)} GiB). Decrease GPU memory utilization or reduce GPU "
            "memory used by other processes."
        )
    _held.append(connection)


def wanted_part(words: "list[str]") -> float:
    """The part of the card that a command line of ``vllm serve`` asks for; the last word counts, as in argparse."""
    part = _DEFAULT
    for word, following in zip(words, [*words[1:], ""]):  # noqa: B905
        name, equals, value = word.replace("_", "-").partition("=")
        if name in _UTILISATION:
            part = float(value if equals else following)
    return part


def _gib(mib: int) -> str:
    return str(round(mib / _MIB_PER_GIB, 2))
