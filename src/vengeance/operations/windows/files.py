"""Operations on files and directories of Windows, and downloads that the box does by itself."""

from __future__ import annotations

import hashlib
import ntpath
import os
from collections.abc import Generator
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Literal

from pyinfra.api.command import FileUploadCommand, PyinfraCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.operation import operation
from pyinfra.context import host, state

from vengeance.box import before as names
from vengeance.box import downloads, windows_paths
from vengeance.box import private_directory as private
from vengeance.facts.windows import DirectoryAccess, File, Sha256
from vengeance.operations.before import kept
from vengeance.operations.refusal import checked, refuse
from vengeance.operations.templates import rendered
from vengeance.operations.work import name_of, run_work
from vengeance.powershell import Script
from vengeance.powershell.files import DownloadInput

TRIES = 20
"""How often a download connects at most; each time goes on where the last one stopped."""
STALL_SECONDS = 60
_FIRST_PAUSE_SECONDS = 1.0


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
    checked(lambda: windows_paths.check_file(dest))
    if isinstance(src, str):
        src = os.path.join(state.cwd or "", src)
    if host.get_fact(Sha256, path=dest) == _sha256(src):
        host.noop(f"file {dest} is already uploaded")
        return
    yield FileUploadCommand(src, dest)


@operation()
def template(
    src: str,
    dest: str,
    newline: Literal["crlf", "lf"] = "crlf",
    **data: Any,  # noqa: ANN401
) -> Generator[PyinfraCommand, None, None]:
    """
    Fill in a Jinja template and put the result on Windows, unless it is there with the same content.

    + src: template, relative to the folder that pyinfra runs in; a name in it that has no value is an error
    + dest: full Windows path; its folder must exist
    + newline: how lines end, ``crlf`` or ``lf``
    + data: what the template gets

    The file is UTF-8 without a byte-order mark.

    **Example:**

    .. code:: python

        windows.template(
            name="Write the settings of the WSL virtual machine",
            src="templates/wslconfig.j2",
            dest="C:\\\\Users\\\\Steam\\\\.wslconfig",
            settings={"wsl2": {"memory": "24GB"}},
        )
    """
    checked(lambda: windows_paths.check_file(dest))
    if newline not in ("crlf", "lf"):
        raise OperationValueError(f"The lines of {dest} end with crlf or lf, not {newline!r}.")
    lines = rendered(src, data).replace("\r\n", "\n")
    content = (lines.replace("\n", "\r\n") if newline == "crlf" else lines).encode()
    if host.get_fact(Sha256, path=dest) == hashlib.sha256(content).hexdigest():
        host.noop(f"file {dest} has this content already")
        return
    yield FileUploadCommand(BytesIO(content), dest)


@operation()
def file(path: str, present: bool = True) -> Generator[PyinfraCommand, None, None]:
    """
    Have a file, whatever it holds, or none.

    + path: full Windows path; its folder must exist
    + present: whether it should be there; one that is not is made empty

    **Example:**

    .. code:: python

        windows.file(name="No old log", path="C:\\\\ProgramData\\\\vengeance\\\\old.log", present=False)
    """
    checked(lambda: windows_paths.check_file(path))
    found = host.get_fact(File, path=path)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    if found["type"] == "directory":
        yield refuse(
            f"{path} on {host.name} is a directory, and a file is meant: use windows.directory, or look there."
        )
    elif found["exists"] == present:
        host.noop(f"file {path} is {'there' if present else 'not there'}")
    else:
        yield Script("New-File" if present else "Remove-File", {"path": path})


@operation()
def directory(path: str, present: bool = True, contents: bool = False) -> Generator[PyinfraCommand, None, None]:
    """
    Have a directory with those above it, or none.

    + path: full Windows path
    + present: whether it should be there
    + contents: with ``present=False``, whether one that is not empty may go, with all in it

    **Example:**

    .. code:: python

        windows.directory(name="A place for the distro's disk", path="C:\\\\WSL")
    """
    checked(lambda: windows_paths.check(path))
    if len(path.rstrip("\\/")) <= 2 and not present:
        raise OperationValueError(f"{path} is a drive, and stays.")
    found = host.get_fact(File, path=path)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    if found["type"] == "file":
        yield refuse(f"{path} on {host.name} is a file, and a directory is meant: move it away, or name another path.")
    elif found["exists"] == present:
        host.noop(f"directory {path} is {'there' if present else 'not there'}")
    else:
        yield Script("Set-Directory", {"path": path, "present": present, "contents": contents})


@operation()
def private_directory(path: str) -> Generator[PyinfraCommand, None, None]:
    """
    Have a directory that SYSTEM, administrators and the account that signs in can use, and nobody else.

    + path: full Windows path

    What runs with an administrator's rights may lie in it. In ``C:\\ProgramData`` every user may make folders: one
    that was there before with something of somebody else in it is refused, not mended.

    **Example:**

    .. code:: python

        windows.private_directory(name="Nobody else can write there", path="C:\\\\ProgramData\\\\vengeance")
    """
    checked(lambda: windows_paths.check(path))
    if len(path.rstrip("\\/")) <= 2:
        raise OperationValueError(f"{path} is a drive: name a directory of its own.")
    found = host.get_fact(DirectoryAccess, path=path)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    problem = private.objection(host.name, found["path"], found["account"], found["foreign"])
    if problem is not None:
        yield refuse(problem)
    elif found["exists"] and found["closed"]:
        host.noop(f"{path} is closed to all but administrators")
    else:
        yield from kept({names.folder(path): found["exists"]})
        yield Script("Protect-Directory", {"path": path})


@operation()
def download(
    url: str,
    dest: str,
    sha256: str,
    signer: str | None = None,
    proxy: str | None = None,
    timeout: int = 7200,
) -> Generator[PyinfraCommand, None, None]:
    """
    Have the box download a file by itself, unless it is there with that SHA-256.

    + url: address, https
    + dest: full Windows path; its folder is made
    + sha256: of the file, 64 hex digits; one with another hash is removed
    + signer: organisation that must have signed it (Authenticode, ``O=`` of the certificate), None for nobody
    + proxy: as ``http://proxy.lan:3128``; None goes the way that Windows is set to
    + timeout: seconds until it is given up watching; the box goes on, and the next run joins it

    A download that is cut goes on where it stopped, also in the next run. Nothing lies at ``dest`` before it is
    whole and right.

    **Example:**

    .. code:: python

        windows.download(
            name="Download Ollama",
            url="https://github.com/ollama/ollama/releases/download/v0.34.1/OllamaSetup.exe",
            dest="C:\\\\ProgramData\\\\vengeance\\\\downloads\\\\OllamaSetup.exe",
            sha256="a92986c8...",
            signer="Ollama Inc.",
        )
    """
    check_download(url, dest, sha256, proxy)
    if host.get_fact(Sha256, path=dest) == sha256.lower():
        host.noop(f"{dest} is downloaded")
        return
    given: DownloadInput = {
        "url": url,
        "path": dest,
        "sha256": sha256.lower(),
        "signer": signer,
        "proxy": proxy,
        "stall_seconds": STALL_SECONDS,
        "tries": TRIES,
        "pause_seconds": _FIRST_PAUSE_SECONDS,
    }
    yield run_work(
        name_of(ntpath.basename(dest), dest.lower()),
        "Save-Download",
        given,
        say=downloads.Transfer(ntpath.basename(dest)),
        timeout=timeout,
    )


def check_download(url: str, dest: str, sha256: str, proxy: str | None = None) -> None:
    """Check what ``download`` is given. Raises OperationValueError with a sentence."""
    checked(lambda: downloads.check_url(url))
    checked(lambda: windows_paths.check_file(dest))
    checked(lambda: downloads.check_sha256(sha256))
    checked(lambda: downloads.check_proxy(proxy))
