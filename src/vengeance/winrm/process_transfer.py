"""Windows files without an agent: a megabyte a PowerShell process, for when the agent cannot be used."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from typing import IO, Any, Protocol

from vengeance.winrm.errors import TransferFailed
from vengeance.winrm.result import Result
from vengeance.winrm.transfer import digest_of

# As base64 in JSON this stays below 2,097,152 characters, the default limit of .NET's JavaScriptSerializer, on which
# ConvertFrom-Json of Windows PowerShell is built; not every version raises it.
# https://learn.microsoft.com/dotnet/api/system.web.script.serialization.javascriptserializer.maxjsonlength
CHUNK_BYTES = 1024 * 1024


class RunScript(Protocol):
    """Runs a script with JSON parameters."""

    def __call__(self, script: str, parameters: str | None = None, *, read_only: bool = False) -> Result:
        """Return what it left behind."""


def upload_to_windows(run: RunScript, write_chunk: str, source: IO[bytes], path: str) -> bool:
    """Write a Windows file; return False when it was there already with the same content.

    + write_chunk: text of the script that appends to a temporary file and puts it in place with the last piece

    Raises TransferFailed with the box's own words; the old file is intact then.
    """
    sha256, size = digest_of(source)
    temp = f"{path}.{secrets.token_hex(16)}.tmp"
    offset = 0
    while True:
        piece = source.read(CHUNK_BYTES)
        last = offset + len(piece) >= size
        answer = _call(
            run,
            write_chunk,
            f"cannot write {path}",
            False,
            path=path,
            temp=temp,
            sha256=sha256,
            size=size,
            offset=offset,
            data=base64.b64encode(piece).decode("ascii"),
            last=last,
        )
        if answer["state"] == "equal":
            return False
        offset += len(piece)
        if last:
            return True


def download_from_windows(run: RunScript, read_chunk: str, path: str, target: IO[bytes]) -> str:
    """Read a Windows file into ``target``; return its SHA-256. Raises TransferFailed."""
    digest = hashlib.sha256()
    offset = 0
    sha256 = ""
    while True:
        answer = _call(run, read_chunk, f"cannot read {path}", True, path=path, offset=offset, count=CHUNK_BYTES)
        sha256 = answer["sha256"] or sha256
        data = base64.b64decode(answer["data"])
        target.write(data)
        digest.update(data)
        offset += len(data)
        if offset >= answer["size"] or not data:
            break
    if digest.hexdigest() != sha256:
        raise TransferFailed(f"{path} changed while it was read: run again")
    return sha256


def _call(run: RunScript, script: str, what: str, read_only: bool, **parameters: object) -> dict[str, Any]:
    result = run(script, json.dumps(parameters), read_only=read_only)
    if result.code != 0:
        raise TransferFailed(f"{what}: {result.stderr.decode(errors='replace').strip()}")
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer
