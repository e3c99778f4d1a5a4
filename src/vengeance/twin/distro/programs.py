"""Running the host's own programs (mount, ip, nft, gpg ...) for the Linux side of the twin."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from vengeance.twin.distro.errors import DistroError

# Host variables (PIP_*, SSL_*, LANG, DEBIAN_FRONTEND) would leak into what we build and hide faults.
PLAIN_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "HOME": os.environ.get("HOME", "/root"),
}
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def plain_environment(**more: str) -> dict[str, str]:
    """A short environment for host programs: PATH, C.UTF-8, the proxies of the host, and ``more``."""
    proxies = {name: os.environ[name] for name in _PROXIES if name in os.environ}
    return {**PLAIN_ENVIRONMENT, **proxies, **more}


def found(program: str) -> bool:
    """Whether the host has this program, also in the sbin folders that a user's PATH may lack."""
    return shutil.which(program, path=PLAIN_ENVIRONMENT["PATH"]) is not None


def run(
    argv: Sequence[str | Path],
    *,
    what: str,
    input_text: str | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout: float = 120,
) -> str:
    """Run a host program and return its standard output.

    what: the deed in words, for the error message, as in "mount the distro's file system"
    timeout: seconds
    Raises DistroError with the program's last lines when it fails or does not end.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            input=input_text,
            stdin=subprocess.DEVNULL if input_text is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            env=dict(environment) if environment is not None else plain_environment(),
            cwd=folder,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise DistroError(
            f"Could not {what}: the program {words[0]} is missing. Install the Debian package that has it."
        ) from None
    except subprocess.TimeoutExpired:
        raise DistroError(f"Could not {what}: {words[0]} did not end within {timeout:g} s.") from None
    if done.returncode != 0:
        said = " / ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-4:]) or "no message"
        raise DistroError(f"Could not {what}: {words[0]} ended with {done.returncode}: {said}")
    return done.stdout


def runs(argv: Sequence[str | Path], timeout: float = 30) -> bool:
    """Whether a host program ends with 0; what it prints is dropped. ``timeout`` is in seconds."""
    try:
        return (
            subprocess.run(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=plain_environment(),
                timeout=timeout,
                check=False,
            ).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
