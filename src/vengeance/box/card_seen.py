"""What a Python program sees of the card, asked by a few lines that run where the program will."""

from __future__ import annotations

from typing import TypedDict

PROGRAM = """\
import ctypes, errno, json, os, sys
seen = {"user": os.getuid(), "dxg": None, "libraries": {}, "torch": None, "cuda": None, "available": None,
        "device": None, "failure": None}
try:
    os.close(os.open("/dev/dxg", os.O_RDWR))
except OSError as error:
    seen["dxg"] = errno.errorcode.get(error.errno, str(error.errno))
for name in ("libcuda.so.1", "libnvidia-ml.so.1"):
    try:
        ctypes.CDLL(name)
        seen["libraries"][name] = None
    except OSError as error:
        seen["libraries"][name] = str(error)
if sys.argv[1:] == ["cuda"]:
    try:
        import torch
        seen["torch"], seen["cuda"] = str(torch.__version__), torch.version.cuda
        seen["available"] = bool(torch.cuda.is_available())
        if seen["available"]:
            seen["device"] = torch.cuda.get_device_name(0)
    except Exception as error:
        seen["failure"] = f"{type(error).__name__}: {error}"[:500]
print("seen " + json.dumps(seen))
"""
"""Its argument is ``cuda`` where torch is to be asked; it prints a line ``seen`` with JSON, after what torch says."""


class Seen(TypedDict):
    """What the program saw.

    ``dxg``: None where the device can be opened, else the name of the error; ``libraries``: name -> None where it can
    be loaded, else what the loader says; ``cuda``: the CUDA that torch was built for, None for its build without.
    """

    user: int
    dxg: str | None
    libraries: dict[str, str | None]
    torch: str | None
    cuda: str | None
    available: bool | None
    device: str | None
    failure: str | None


# The unit lets its program have the device; whether a driver is behind it is for torch to say.
_THERE = (None, "ENODEV", "ENXIO")


def failure(seen: Seen, unit: str, card: str, device: str) -> str | None:
    """Return why the unit's program would not reach the card, by the name of the failure and with its mend; None if so.

    + unit: for the sentence
    + card: part of the name that the device must have
    + device: ``cuda``, or ``cpu`` for a server that needs no card: it is asked nothing then
    """
    if device == "cpu":
        return None
    return _hidden(seen, unit) or _unloadable(seen, unit) or _torch(seen, unit, card)


def _hidden(seen: Seen, unit: str) -> str | None:
    if seen["dxg"] in _THERE:
        return None
    if seen["dxg"] == "ENOENT":
        return (
            f"{unit} hides /dev/dxg from its program (ENOENT), which is there outside of it: the server would run on "
            "the processor or not at all (nixpkgs#363357). Set PrivateDevices=no in the unit."
        )
    return (
        f"{unit} keeps its program from /dev/dxg ({seen['dxg']}): the server would run on the processor or not at all "
        "(nixpkgs#363357). Set DeviceAllow=/dev/dxg rw in the unit, and let its user have the device."
    )


def _unloadable(seen: Seen, unit: str) -> str | None:
    for name, said in seen["libraries"].items():
        if said is not None:
            return (
                f"{unit} does not let its program load {name} ({said}). Set "
                "Environment=LD_LIBRARY_PATH=/usr/lib/wsl/lib in the unit, and no "
                "InaccessiblePaths or TemporaryFileSystem over /usr/lib/wsl."
            )
    return None


def _torch(seen: Seen, unit: str, card: str) -> str | None:
    if seen["failure"] is not None:
        return (
            f"torch cannot be asked in the environment of {unit}: {seen['failure']}. Install it anew: deploys/vllm.py."
        )
    if seen["cuda"] is None:
        return (
            f"torch {seen['torch']} is the build for the processor, which sees no card whatever is there. Install the "
            "one for CUDA (vllm_package, vllm_lock), or say vllm_device = 'cpu' if the server is to run on the "
            "processor."
        )
    if not seen["available"]:
        return (
            f"torch {seen['torch']} (CUDA {seen['cuda']}) sees no card in the environment of {unit}, though /dev/dxg "
            "and the driver's libraries are there: torch.cuda.is_available() is False. The driver of Windows may "
            f"be older than CUDA {seen['cuda']} needs (https://docs.nvidia.com/deploy/cuda-compatibility): renew it on "
            "Windows, then wsl --shutdown. CUDA_VISIBLE_DEVICES among vllm_variables hides it too."
        )
    if card.lower() not in str(seen["device"]).lower():
        return f"torch sees {seen['device']}, and gpu_name is {card!r}: is this the right box? Else set gpu_name."
    return None


def summary(seen: Seen) -> str:
    """Return in a few words what the program saw."""
    if seen["device"] is not None:
        return f"torch {seen['torch']} (CUDA {seen['cuda']}) sees {seen['device']}"
    dxg = "can be opened" if seen["dxg"] in _THERE else f"cannot be opened ({seen['dxg']})"
    missing = [name for name, said in seen["libraries"].items() if said is not None]
    libraries = f"{' and '.join(missing)} cannot be loaded" if missing else "the driver's libraries can be loaded"
    return f"/dev/dxg {dxg}, {libraries}, torch was not asked"
