"""Writing a wheel: https://packaging.python.org/specifications/binary-distribution-format/."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_WHEEL = """Wheel-Version: 1.0
Generator: vengeance twin
Root-Is-Purelib: true
Tag: py3-none-any
"""


def write_wheel(
    folder: Path,
    name: str,
    version: str,
    summary: str,
    *,
    files: Mapping[str, bytes] | None = None,
    requires: Sequence[str] = (),
    entry_points: Mapping[str, Mapping[str, str]] | None = None,
) -> Path:
    """Write a wheel of pure Python into a folder (made if need be) and return its path; same input, same bytes.

    + name, version: as pip knows it; a name without dashes
    + files: path in site-packages -> content; none for a wheel that is metadata alone
    + requires: what else pip installs for it
    + entry_points: group -> name -> object, such as ``{"console_scripts": {"vllm": "vllm.main:main"}}``
    """
    information = f"{name}-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", f"Summary: {summary}"]
    metadata += ["Requires-Python: >=3.9", *(f"Requires-Dist: {requirement}" for requirement in requires)]
    content = dict(files or {})
    content[f"{information}/METADATA"] = ("\n".join(metadata) + "\n").encode()
    content[f"{information}/WHEEL"] = _WHEEL.encode()
    if entry_points:
        content[f"{information}/entry_points.txt"] = _sections(entry_points).encode()
    record = [f"{path},sha256={_digest(data)},{len(data)}" for path, data in content.items()]
    content[f"{information}/RECORD"] = "\n".join([*record, f"{information}/RECORD,,"]).encode() + b"\n"
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    fresh = folder / f".{wheel.name}.new"
    with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in content.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    fresh.replace(wheel)
    return wheel


def _sections(entry_points: Mapping[str, Mapping[str, str]]) -> str:
    lines: list[str] = []
    for group, named in entry_points.items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in named.items()), ""]
    return "\n".join(lines)


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
