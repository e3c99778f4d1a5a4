"""Remove packages of the Python environment that runs this, whole or not.

Arguments: names of their .dist-info folders, and of what pip left aside ("~orch"). What RECORD names is removed;
without one, the folder that is called like the package, unless a whole package has files in it.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import sys
import sysconfig

prefix = os.path.realpath(sys.prefix)
folders = sorted({os.path.realpath(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")})


def recorded(folder: str, name: str) -> list[str]:
    """The full paths that a RECORD names, none without one."""
    try:
        with open(os.path.join(folder, name, "RECORD"), encoding="utf-8", newline="") as file:
            rows = [row[0] for row in csv.reader(file) if row]
    except OSError:
        return []
    paths = [os.path.normpath(os.path.join(folder, row)) for row in rows]
    return [path for path in paths if path.startswith(prefix + os.sep)]


def top_levels(folder: str, name: str) -> set[str]:
    """What a package without RECORD is likely to have put beside its description."""
    try:
        with open(os.path.join(folder, name, "top_level.txt"), encoding="utf-8") as file:
            names = file.read().split()
    except OSError:
        names = []
    names.append(re.sub(r"[-.]+", "_", name.split("-")[0]))
    return {os.path.join(folder, each) for each in names if re.fullmatch(r"\w+", each)}


def remove(path: str) -> None:
    """Remove a file or a folder that may not be there."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


wanted = set(sys.argv[1:])
for folder in folders:
    here = {name for name in wanted if os.path.lexists(os.path.join(folder, name))}
    kept = [each for each in os.listdir(folder) if each.endswith(".dist-info") and each not in wanted]
    others = {path for each in kept for path in recorded(folder, each)}
    for name in sorted(here):
        if name.endswith(".dist-info"):
            files = recorded(folder, name)
            for path in files:
                if path not in others:
                    remove(path)
            if not files:
                for path in top_levels(folder, name):
                    if not any(other.startswith(path + os.sep) for other in others):
                        remove(path)
        remove(os.path.join(folder, name))
        print(f"removed {name}", flush=True)
