"""Print what is wrong with the Python environment that runs this, as one line of JSON.

The shape is ``vengeance.facts.vllm.EnvironmentFaults``. pip writes RECORD last and moves what it removes into folders
that begin with "~" (pip, operations/install/wheel.py and req/req_uninstall.py), so a cut shows as a package without
RECORD, as two of one package, as such a folder, or as files that RECORD names and that are gone. A power cut leaves
files of no length, and .pyc files with a good header and zeros behind it, which Python does not make anew.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import marshal
import os
import re
import sys
import sysconfig

HEADER = 16
site = os.path.realpath(sysconfig.get_path("purelib"))
prefix = os.path.realpath(sys.prefix)


def folders() -> list[str]:
    """The folders that packages lie in."""
    return sorted({site, os.path.realpath(sysconfig.get_path("platlib"))})


def missing(folder: str, record: str) -> list[str]:
    """The files that a RECORD names and that are not there, or are empty and should not be."""
    gone = []
    with open(record, encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            if not row or row[0].endswith(".pyc"):
                continue
            path = os.path.join(folder, row[0])
            try:
                size = os.lstat(path).st_size
            except OSError:
                gone.append(row[0])
                continue
            if size == 0 and len(row) > 2 and row[2] not in ("", "0"):
                gone.append(row[0])
    return gone


def packages() -> tuple[dict[str, str], list[str]]:
    """The broken packages: folder of its description -> why; and what pip left aside."""
    broken: dict[str, str] = {}
    leftovers: list[str] = []
    seen: dict[str, list[str]] = {}
    for folder in folders():
        for name in sorted(os.listdir(folder)):
            if name.startswith("~"):
                leftovers.append(name)
            if not name.endswith(".dist-info"):
                continue
            project = re.sub(r"[-_.]+", "-", name.split("-")[0]).lower()
            seen.setdefault(project, []).append(name)
            record = os.path.join(folder, name, "RECORD")
            if not os.path.isfile(record) or os.path.getsize(record) == 0:
                broken[name] = "its installation was cut short (no RECORD)"
                continue
            gone = missing(folder, record)
            if gone:
                broken[name] = f"{len(gone)} of its files are gone or empty, such as {gone[0]}"
    for names in seen.values():
        if len(names) > 1:
            for name in names:
                broken[name] = "it is there in two versions, " + " and ".join(names)
    return broken, leftovers


def bytecode() -> list[str]:
    """The .pyc files of this Python that it takes for good and cannot read."""
    broken = []
    for folder, _, files in os.walk(os.path.join(prefix, "lib")):
        for name in files:
            if not name.endswith(".pyc"):
                continue
            path = os.path.join(folder, name)
            try:
                with open(path, "rb") as file:
                    data = file.read()
            except OSError:
                continue
            # One of another Python is made anew when it is wanted.
            if len(data) < HEADER or data[:4] != importlib.util.MAGIC_NUMBER:
                continue
            try:
                # No more than Python does with it when the package is imported.
                marshal.loads(data[HEADER:])  # noqa: S302
            except (ValueError, EOFError, TypeError):
                broken.append(os.path.relpath(path, prefix))
    return broken


def strange() -> str | None:
    """The first file that is somebody else's, None where there is none."""
    own = os.getuid()
    for folder, folders_in_it, files in os.walk(prefix):
        for name in [".", *folders_in_it, *files]:
            path = os.path.normpath(os.path.join(folder, name))
            if os.lstat(path).st_uid != own:
                return path
    return None


def marker() -> dict[str, object] | None:
    """What the last run that came to its end has left."""
    try:
        with open(os.path.join(prefix, ".vengeance.json"), encoding="utf-8") as file:
            found = json.load(file)
        return {"asked": str(found["asked"]), "accepted": [str(each) for each in found["accepted"]]}
    except (OSError, ValueError, KeyError, TypeError):
        return None


broken, leftovers = packages()
print(
    json.dumps(
        {
            "broken": broken,
            "leftovers": leftovers,
            "bytecode": bytecode(),
            "strange": strange(),
            "marker": marker(),
        }
    )
)
