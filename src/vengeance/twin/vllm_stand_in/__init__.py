"""The wheel that the twin's distro installs when a deploy asks for vLLM: its flags and its web face, no model."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

VERSION = "0.15.1+twin"
_PACKAGE = Path(__file__).with_name("package")
_DIST_INFO = f"vllm-{VERSION}.dist-info"
_METADATA = f"""Metadata-Version: 2.1
Name: vllm
Version: {VERSION}
Summary: The twin's stand-in for vLLM: its command line and web interface without a model
Requires-Python: >=3.9
"""
_WHEEL = """Wheel-Version: 1.0
Generator: vengeance twin
Root-Is-Purelib: true
Tag: py3-none-any
"""
_ENTRY_POINTS = """[console_scripts]
vllm = vllm.entrypoints.cli.main:main
"""


def build_wheel(folder: Path) -> Path:
    """Write the wheel into ``folder`` (made if need be) and return its path; the same source gives the same bytes."""
    files = {
        str(file.relative_to(_PACKAGE)): file.read_bytes()
        for file in sorted(_PACKAGE.rglob("*"))
        if file.suffix in (".py", ".json")
    }
    files[f"{_DIST_INFO}/METADATA"] = _METADATA.encode()
    files[f"{_DIST_INFO}/WHEEL"] = _WHEEL.encode()
    files[f"{_DIST_INFO}/entry_points.txt"] = _ENTRY_POINTS.encode()
    record = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    files[f"{_DIST_INFO}/RECORD"] = "\n".join([*record, f"{_DIST_INFO}/RECORD,,"]).encode() + b"\n"
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"vllm-{VERSION}-py3-none-any.whl"
    fresh = folder / f".{wheel.name}.new"
    with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    fresh.replace(wheel)
    return wheel


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
