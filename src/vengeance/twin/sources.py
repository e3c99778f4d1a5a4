"""Which code a twin runs: a daemon that outlives an update of this project does not know the new scripts."""

from __future__ import annotations

import hashlib
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def fingerprint() -> str:
    """Return one hash of all that a twin is made from: its own code, the PowerShell scripts and the pure domain."""
    digest = hashlib.sha256()
    for part in ("twin", "powershell", "box"):
        for file in sorted((_PACKAGE / part).rglob("*")):
            if file.is_file() and file.suffix in (".py", ".ps1", ".json"):
                digest.update(f"{file.relative_to(_PACKAGE)}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
