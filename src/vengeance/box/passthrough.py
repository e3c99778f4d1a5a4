"""How a card of Windows reaches a program in a distro of WSL, link by link, and what mends each.

The driver of Windows puts its Linux libraries into /usr/lib/wsl/lib, and /dev/dxg leads to it; nothing of a Linux
driver belongs into the distro: NVIDIA's "CUDA on WSL User Guide", https://docs.nvidia.com/cuda/wsl-user-guide/.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

from vengeance.box import cuda, versions

FOLDER = "/usr/lib/wsl/lib"
DEVICE = "/dev/dxg"
NVCC = "/usr/local/cuda/bin/nvcc"
LIBRARIES = ("libcuda.so.1", "libnvidia-ml.so.1")
"""What a CUDA program loads, and what nvidia-smi and vLLM ask (NVML)."""
RESTART = "On Windows: wsl --shutdown (it stops every distro once), then run this again."
TIMED_OUT = 124
"""Exit code of timeout(1)."""


class Card(TypedDict):
    """A card as nvidia-smi in the distro sees it; sizes in MiB."""

    name: str
    driver_version: str
    memory_mib: int
    memory_used_mib: int


class Passthrough(TypedDict):
    """What of the card is to be seen in a distro.

    ``dxg``: ``device``, ``file`` for something else of that name, None where nothing is. ``libraries``: which of those
    that are needed lie in /usr/lib/wsl/lib, None without that folder. ``loader``: library -> where the loader's cache
    has it, in its order. ``owners``: path -> package. ``packages``: installed ones that could break it. ``smi``: exit
    code of nvidia-smi, None where it is not there. ``nvcc``: where it really lies.
    """

    dxg: str | None
    libraries: list[str] | None
    loader: dict[str, list[str]]
    owners: dict[str, str]
    packages: list[str]
    smi: int | None
    said: list[str]
    cards: list[Card]
    nvcc: str | None


def parse(lines: Sequence[str]) -> Passthrough:
    """Read the lines ``name value`` of the fact, which end with ``end``.

    Raises ValueError for a name that is none of them, and for output that was cut.
    """
    if not lines or lines[-1] != "end":
        raise ValueError(f"What is seen of the card ends with {lines[-1:]!r}, so something of it is missing.")
    found: Passthrough = {
        "dxg": None,
        "libraries": None,
        "loader": {},
        "owners": {},
        "packages": [],
        "smi": None,
        "said": [],
        "cards": [],
        "nvcc": None,
    }
    for line in lines[:-1]:
        name, _, value = line.partition(" ")
        if name == "dxg":
            found["dxg"] = value
        elif name == "folder":
            found["libraries"] = []
        elif name == "library" and found["libraries"] is not None:
            found["libraries"].append(value)
        elif name == "loader":
            library, _, path = value.partition(" ")
            found["loader"].setdefault(library, []).append(path)
        elif name == "owner":
            path, _, package = value.partition(" ")
            found["owners"][path] = package
        elif name == "package":
            found["packages"].append(value)
        elif name == "smi":
            found["smi"] = int(value)
        elif name == "said":
            found["said"].append(value)
        elif name == "nvcc":
            found["nvcc"] = value
        else:
            raise ValueError(f"What is seen of the card has a line that nobody asked for: {line!r}.")
    if found["smi"] == 0:
        found["cards"] = [card for card in map(_card, found["said"]) if card is not None]
    return found


def _card(line: str) -> Card | None:
    words = line.split(", ")
    if len(words) != 4 or not (words[2].isdigit() and words[3].isdigit()):
        return None
    return {
        "name": words[0],
        "driver_version": words[1],
        "memory_mib": int(words[2]),
        "memory_used_mib": int(words[3]),
    }


def hiding(found: Passthrough) -> list[str]:
    """Return the libraries that the loader takes before those of /usr/lib/wsl/lib: their paths."""
    first = (paths[0] for paths in found["loader"].values() if paths)
    return [path for path in first if not path.startswith(f"{FOLDER}/")]


def broken_link(found: Passthrough) -> str | None:
    """Return the first link that is broken in a distro, by the name of the failure and with its mend; None for none.

    The order is that in which one needs the other: the device, the libraries, what hides them, nvidia-smi.
    """
    checks = (_device, _libraries, _breakers, _hidden, _smi)
    return next((sentence for check in checks if (sentence := check(found)) is not None), None)


def _device(found: Passthrough) -> str | None:
    if found["dxg"] == "device":
        return None
    seen = f"no {DEVICE}" if found["dxg"] is None else f"{DEVICE} is a plain file and no device"
    return (
        f"{seen}: WSL has not given the card to its virtual machine. On Windows: wsl --update, then wsl --shutdown (it "
        "stops every distro once); take gpuSupport and kernel out of .wslconfig if they are in it; then run this again."
    )


def _libraries(found: Passthrough) -> str | None:
    if found["libraries"] is None:
        return (
            f"no {FOLDER}: WSL has not put the libraries of Windows' driver there. Take [gpu] enabled=false out of "
            f"wsl_conf if it is in it. {RESTART}"
        )
    missing = [name for name in (*LIBRARIES, "nvidia-smi") if name not in found["libraries"]]
    if not missing:
        return None
    return (
        f"no {' and no '.join(missing)} in {FOLDER}: the driver of Windows has brought no part for WSL. Install "
        f"NVIDIA's driver on Windows again (https://www.nvidia.com/drivers), never one in the distro. {RESTART}"
    )


def _breakers(found: Passthrough) -> str | None:
    broken = cuda.breakers(found["packages"])
    if not broken:
        return None
    reasons = "; ".join(f"{package}: {reason}" for package, reason in broken.items())
    return f"packages that break the GPU in WSL ({reasons}). Remove them in the distro: {cuda.purge(broken)}"


def _hidden(found: Passthrough) -> str | None:
    paths = hiding(found)
    if not paths:
        return None
    owners = sorted({found["owners"][path] for path in paths if path in found["owners"]})
    strays = [path for path in paths if path not in found["owners"]]
    mends = [*([cuda.purge(owners)] if owners else []), *([f"rm {' '.join(strays)}"] if strays else []), "ldconfig"]
    return (
        f"{' and '.join(paths)} hides the library of Windows' driver in {FOLDER}: it belongs to a Linux driver, which "
        f"finds no card in WSL. Remove it in the distro: {' && '.join(mends)}"
    )


# What nvidia-smi says, which is not translated -> what mends it. https://docs.nvidia.com/deploy/nvidia-smi
_SAID: tuple[tuple[str, str], ...] = (
    (
        "GPU access blocked by the operating system",
        "Something of a Linux driver is in the way (WSL#9166): look with `dpkg -l | grep -i nvidia` in the distro and "
        "purge what is there. If nothing is: on Windows wsl --update, then wsl --shutdown.",
    ),
    (
        "Driver/library version mismatch",
        f"The driver of Windows was renewed while WSL ran. {RESTART}",
    ),
    (
        "couldn't find libnvidia-ml",
        f"The loader does not know {FOLDER}: take [automount] ldconfig=false out of wsl_conf, and run ldconfig in the "
        "distro.",
    ),
    (
        "couldn't communicate with the NVIDIA driver",
        "The driver of Windows does not answer, as while it is being installed. Finish that, restart Windows, and run "
        "this again.",
    ),
    (
        "No devices were found",
        "A card in TCC mode is not seen in WSL (WSL#11865). On Windows, as administrator: nvidia-smi -dm 0, then "
        "restart; if it is in WDDM mode already: wsl --shutdown.",
    ),
)


def _smi(found: Passthrough) -> str | None:
    if found["smi"] == 0 and found["cards"]:
        return None
    said = " / ".join(line for line in found["said"] if line.strip()) or "nothing"
    if found["smi"] == TIMED_OUT:
        return f"{FOLDER}/nvidia-smi gives no answer: the driver of Windows hangs. Restart Windows, and run this again."
    for text, mend in _SAID:
        if text in said:
            return f"{FOLDER}/nvidia-smi ended with {found['smi']} and says {said!r}. {mend}"
    return (
        f"{FOLDER}/nvidia-smi ended with {found['smi']} and says {said!r}. {RESTART} If it stays so, install NVIDIA's "
        "driver on Windows again (https://www.nvidia.com/drivers)."
    )


def renewed(found: Passthrough, windows: Iterable[Mapping[str, object]]) -> str | None:
    """Return a warning where the distro still has another version of the driver than Windows; None where it has not.

    + windows: the cards as Windows sees them

    WSL mounts the driver's folder when its virtual machine starts (microsoft/WSL, WslCoreVm.cpp).
    """
    there = {str(card["driver_version"]) for card in windows}
    here = {card["driver_version"] for card in found["cards"]}
    if not there or not here or here & there:
        return None
    older = versions.numbers(min(here)) < versions.numbers(min(there))
    return (
        f"Windows has NVIDIA's driver {' and '.join(sorted(there))}, and the distro sees {' and '.join(sorted(here))}"
        f"{', the one from before an update' if older else ''}. {RESTART}"
    )
