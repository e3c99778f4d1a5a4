"""Prints as JSON what is there of a model in Hugging Face's cache; asks nobody, and needs Python's own library alone.

It runs in the distro: HF_HOME, MODEL and REVISION (empty for none) are its arguments. What a complete model has stands
in the list that the download writes at its end; sizes are compared with it, as a power cut leaves short or empty files.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
import stat
import sys
from typing import Any


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def commit_of(repository: str, revision: str) -> str | None:
    """The commit that a revision is here, by the library's own notes."""
    if re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    return _text(os.path.join(repository, "refs", *revision.split("/")))


def faulty(snapshot: str, files: dict[str, Any]) -> list[str]:
    """The files that are not there, or have another size than they should."""
    return sorted(name for name, known in files.items() if _size(os.path.join(snapshot, name)) != known["size"])


def mount_of(path: str) -> tuple[str, str]:
    """Where a path lies with all links followed, and the kind of its file system."""
    place = os.path.realpath(path)
    best, kind = "", "unknown"
    for line in (_text("/proc/self/mountinfo") or "").splitlines():
        words = line.split()
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), words[4])
        # Of two mounts at one place, the later one is seen.
        if len(point) >= len(best) and (place + "/").startswith(point.rstrip("/") + "/"):
            best, kind = point, words[words.index("-") + 1]
    return place, kind


def token_at(home: str) -> dict[str, Any] | None:
    """The token's hash, its file's mode and owner, and whether this project has put it there."""
    path = os.path.join(home, "token")
    try:
        with open(path, "rb") as file:
            text = file.read().strip()
        about = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError:
        return {"sha256": "", "mode": "", "owner": "", "ours": False}
    sha256 = hashlib.sha256(text).hexdigest()
    try:
        owner = pwd.getpwuid(about.st_uid).pw_name
    except KeyError:
        owner = str(about.st_uid)
    ours = _text(os.path.join(home, "vengeance", "token.sha256")) == sha256
    return {"sha256": sha256, "mode": f"{stat.S_IMODE(about.st_mode):o}", "owner": owner, "ours": ours}


def look(home: str, model: str, revision: str) -> dict[str, Any]:
    """All that is told of a model."""
    near = home
    while not os.path.isdir(near):
        near = os.path.dirname(near)
    place, kind = mount_of(home)
    found: dict[str, Any] = {
        "commit": None,
        "complete": False,
        "faulty": [],
        "size": 0,
        "place": place,
        "file_system": kind,
        "writable": os.access(near, os.W_OK | os.X_OK),
        "token": token_at(home),
        # What a cut left between the upload of a token and its move.
        "token_left": os.path.lexists(os.path.join(home, "vengeance", "token.new")),
    }
    if model.startswith("/"):
        found["complete"] = os.path.isfile(model) or os.path.isfile(os.path.join(model, "config.json"))
        return found
    folder = "models--" + model.replace("/", "--")
    repository = os.path.join(home, "hub", folder)
    found["commit"] = commit_of(repository, revision or "main")
    if found["commit"] is None:
        return found
    try:
        files = json.loads(_text(os.path.join(home, "vengeance", folder, found["commit"] + ".json")) or "")["files"]
    except (ValueError, KeyError, TypeError):
        return found
    found["faulty"] = faulty(os.path.join(repository, "snapshots", found["commit"]), files)
    found["complete"] = not found["faulty"]
    found["size"] = sum(known["size"] for known in files.values())
    return found


if __name__ == "__main__":
    print(json.dumps(look(*sys.argv[1:4])))
