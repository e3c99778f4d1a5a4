"""Where a twin keeps its files, the same for the daemon and for those who talk to it."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from vengeance.twin.distro.user_namespace import outer_uid

DEFAULT_NAME = "vengeance"
# sockaddr_un.sun_path has 108 bytes with its closing zero (unix(7)).
_SOCKET_PATH_BYTES = 107
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")


def home() -> Path:
    """The folder of all twins: $VENGEANCE_TWIN_HOME, else ~/.cache/vengeance/twins."""
    chosen = os.environ.get("VENGEANCE_TWIN_HOME")
    if chosen:
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vengeance" / "twins"


def state_folder(name: str) -> Path:
    """The state folder of a twin; ValueError when that cannot be a name."""
    if not _NAME.match(name):
        raise ValueError(
            f"{name!r} cannot be the name of a twin: use letters, digits, '.', '_' and '-', at most 63 of them, "
            "beginning with a letter or digit."
        )
    return home() / name


def control_socket(folder: Path) -> Path:
    """The Unix socket of the twin with this state folder, elsewhere when the path would be too long."""
    socket = folder / "control"
    if len(os.fsencode(socket)) <= _SOCKET_PATH_BYTES:
        return socket
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    runtime = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(runtime) / f"vengeance-{outer_uid()}" / digest
