"""Operations on files of Windows."""

from __future__ import annotations

import hashlib
import ntpath
import os
from collections.abc import Generator
from pathlib import Path
from typing import IO

from pyinfra.api.command import FileUploadCommand, PyinfraCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.operation import operation
from pyinfra.context import host, state

from vengeance.facts.windows import Sha256


def _sha256(src: str | IO[str] | IO[bytes]) -> str:
    if isinstance(src, str):
        return hashlib.sha256(Path(src).read_bytes()).hexdigest()
    src.seek(0)
    data = src.read()
    src.seek(0)
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


@operation()
def put(src: str | IO[str] | IO[bytes], dest: str) -> Generator[PyinfraCommand, None, None]:
    """
    Upload a file to Windows, unless it is there with the same SHA-256.

    + src: local file, relative to the folder that pyinfra runs in, or a file-like object
    + dest: full Windows path; its folder must exist

    **Example:**

    .. code:: python

        windows.put(
            name="Put the settings of the WSL virtual machine",
            src="files/wslconfig",
            dest="C:\\\\Users\\\\Steam\\\\.wslconfig",
        )
    """
    drive, rest = ntpath.splitdrive(dest)
    if not drive or rest[:1] not in ("\\", "/"):
        raise OperationValueError(f"{dest!r} is not a full Windows path: begin with a drive, as in C:\\Users\\Steam.")
    if isinstance(src, str):
        src = os.path.join(state.cwd or "", src)
    if host.get_fact(Sha256, path=dest) == _sha256(src):
        host.noop(f"file {dest} is already uploaded")
        return
    yield FileUploadCommand(src, dest)
