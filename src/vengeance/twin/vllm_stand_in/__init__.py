"""The wheel that the twin's distro installs when a deploy asks for vLLM: its flags and its web face, no model."""

from __future__ import annotations

from pathlib import Path

from vengeance.box import vllm_flags
from vengeance.box.pins import pinned
from vengeance.twin.torch_stand_in import VERSION as TORCH
from vengeance.twin.torch_stand_in import build_torch_wheel
from vengeance.twin.vllm_stand_in.library import REQUIREMENT
from vengeance.twin.wheels import write_wheel

_PACKAGE = Path(__file__).with_name("package")


def build_wheel(folder: Path, version: str = pinned("vllm")) -> Path:
    """Write the wheel into ``folder`` (made if need be) and return its path; the same source gives the same bytes.

    + version: of vLLM, one that there is a table of flags of; the stand-in's own ends with ``+twin``

    The wheel of torch, which it needs, is written beside it.
    """
    build_torch_wheel(folder)
    files = {
        str(file.relative_to(_PACKAGE)): file.read_bytes()
        for file in sorted(_PACKAGE.rglob("*"))
        if file.suffix == ".py"
    }
    files["vllm/flags.json"] = vllm_flags.table_file(version).read_bytes()
    return write_wheel(
        folder,
        "vllm",
        f"{version}+twin",
        "The twin's stand-in for vLLM: its command line and web interface without a model",
        files=files,
        requires=[REQUIREMENT, f"torch=={TORCH}"],
        entry_points={"console_scripts": {"vllm": "vllm.entrypoints.cli.main:main"}},
    )
