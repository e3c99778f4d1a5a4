"""The wheel that the twin's distro installs when a deploy asks for vLLM: its flags and its web face, no model."""

from __future__ import annotations

from pathlib import Path

from vengeance.twin.torch_stand_in import VERSION as TORCH
from vengeance.twin.torch_stand_in import build_torch_wheel
from vengeance.twin.vllm_stand_in.library import REQUIREMENT
from vengeance.twin.wheels import write_wheel

VERSION = "0.15.1+twin"
_PACKAGE = Path(__file__).with_name("package")


def build_wheel(folder: Path) -> Path:
    """Write the wheel into ``folder`` (made if need be) and return its path; the same source gives the same bytes.

    The wheel of torch, which it needs, is written beside it.
    """
    build_torch_wheel(folder)
    files = {
        str(file.relative_to(_PACKAGE)): file.read_bytes()
        for file in sorted(_PACKAGE.rglob("*"))
        if file.suffix in (".py", ".json")
    }
    return write_wheel(
        folder,
        "vllm",
        VERSION,
        "The twin's stand-in for vLLM: its command line and web interface without a model",
        files=files,
        requires=[REQUIREMENT, f"torch=={TORCH}"],
        entry_points={"console_scripts": {"vllm": "vllm.entrypoints.cli.main:main"}},
    )
