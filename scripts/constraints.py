"""Renew constraints.txt: exact versions of everything that the project can install, with no address in it.

The versions are those that the lowest supported Python can have, so that one file serves every Python.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOWEST = "3.10"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
EXTRAS = "dev"
HEADER = """\
# Exact versions of everything that `make demo` and `make test` install; renewed by `make constraints`.
# They fit every Python from {lowest} on. The extras kerberos and credssp are not in here.
"""


def resolve(requirements: Iterable[str]) -> list[dict[str, Any]]:
    """What pip would install for these requirements on the lowest supported Python, as metadata."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"),
                *("--report", str(report), "--target", folder),
                # Both together make pip choose for another Python than the one it runs on.
                *("--python-version", LOWEST, "--only-binary=:all:"),
                *requirements,
            ],
            cwd=ROOT,
            check=True,
        )
        installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    return [item["metadata"] for item in installed]


def wanted(metadata: Iterable[dict[str, Any]]) -> Iterator[Requirement]:
    """Every requirement that one of the supported Pythons has on Linux.

    pip evaluates markers such as ``python_version < "3.11"`` for the Python that it runs on, so that what
    only another Python needs is missing from its answer.
    """
    for record in metadata:
        for line in record.get("requires_dist", ()):
            requirement = Requirement(line)
            environments = ({"python_version": v, "python_full_version": f"{v}.0", "extra": ""} for v in PYTHONS)
            if requirement.marker is None or any(requirement.marker.evaluate(e) for e in environments):
                requirement.marker = None
                yield requirement


def main() -> int:
    """Write constraints.txt and say what it holds."""
    asked: dict[str, str] = {"": f".[{EXTRAS}]"}
    while True:
        metadata = resolve(asked.values())
        versions: dict[str, str] = {canonicalize_name(m["name"]): m["version"] for m in metadata}
        missing: dict[str, str] = {
            canonicalize_name(r.name): str(r) for r in wanted(metadata) if canonicalize_name(r.name) not in versions
        }
        if not missing:
            break
        asked.update(missing)
    versions.pop("vengeance", None)
    lines = [f"{name}=={version}\n" for name, version in sorted(versions.items())]
    (ROOT / "constraints.txt").write_text(HEADER.format(lowest=LOWEST) + "".join(lines), encoding="utf-8")
    print(f"constraints.txt: {len(lines)} packages.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
