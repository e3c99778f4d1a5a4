"""Whether there is a card: the device can be opened, the driver's libraries are found by the loader, a card answers.

The real one has libcuda.so.1 do all this (cuInit). The twin's library defines nothing, so what lies beside the one that
the loader chose is asked: the socket of the twin's card, and what its nvidia-smi says. Beside the library of a Linux
driver there is neither, as no such driver finds a card in WSL.
"""

import ctypes
import errno
import json
import os
import shlex
import socket
from pathlib import Path
from typing import Any

_DEVICE = "/dev/dxg"
_LIBRARIES = ("libnvidia-ml.so.1", "libcuda.so.1")
# The driver brings this or a newer major version: CUDA's minor version compatibility.
_MAJOR = 12


def is_available() -> bool:
    """Whether a CUDA device can be used; False with any link broken, and no word of which, as the real one."""
    return device_count() > 0


def device_count() -> int:
    """How many there are: one, or none."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip() in ("", "-1"):
        return 0
    return 0 if _card() is None else 1


def get_device_name(device: "int | None" = None) -> str:
    """The name of a device.

    Raises RuntimeError as the real one does where there is none.
    """
    card = _card() if device in (None, 0) else None
    if card is None:
        raise RuntimeError("No CUDA GPUs are available")
    return str(card["name"])


def _card() -> "dict[str, Any] | None":
    if not _can_open(_DEVICE):
        return None
    folders = [_folder_of(name) for name in _LIBRARIES]
    if None in folders or folders[0] != folders[1]:
        return None
    folder = Path(str(folders[0]))
    said = _ask(folder / ".card")
    if not said.get("ok") or int(str(said["cuda"]).split(".")[0]) < _MAJOR:
        return None
    words = shlex.split((folder / "gpu.conf").read_text(encoding="utf-8"))
    return dict(word.split("=", 1) for word in words)


def _can_open(device: str) -> bool:
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as problem:
        # The twin's node has no driver behind it: these two say that it is there and that we may.
        return problem.errno in (errno.ENODEV, errno.ENXIO)
    return True


def _folder_of(library: str) -> "str | None":
    """Where the loader found a library, None where it finds none."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return None
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            path = line.rstrip("\n").partition("/")
            if path[1] and os.path.basename(path[2]) == library:
                return os.path.dirname("/" + path[2])
    return None


def _ask(path: Path) -> "dict[str, Any]":
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(20)
            connection.connect(str(path))
            connection.sendall(b'{"ask": true}\n')
            answer: dict[str, Any] = json.loads(connection.makefile("rb").readline())
            return answer
    except (OSError, ValueError):
        return {}
