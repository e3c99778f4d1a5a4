"""The wheel that stands for PyTorch in the twin's distro: whether there is a card, and nothing to compute with."""

from __future__ import annotations

from pathlib import Path

from vengeance.twin.wheels import write_wheel

VERSION = "2.9.1+twin"
"""The one that vLLM 0.15.1 asks for."""
_PACKAGE = Path(__file__).with_name("package")


def build_torch_wheel(folder: Path) -> Path:
    """Write the wheel into ``folder`` (made if need be) and return its path; the same source gives the same bytes."""
    files = {str(file.relative_to(_PACKAGE)): file.read_bytes() for file in sorted(_PACKAGE.rglob("*.py"))}
    return write_wheel(
        folder, "torch", VERSION, "The twin's stand-in for PyTorch: it sees a card and computes nothing", files=files
    )
