"""What a Python environment with vLLM is made from: the lock, the room that it takes, and pip's and uv's arguments."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from vengeance.box import versions

GB = 10**9
# What must be left when all is there: systemd's journal and the distro's own updates want some.
SPARE_GB = 1.0
MARKER = ".vengeance.json"
LOCK = "vengeance-lock.txt"
INSTALLERS = "vengeance-installers.txt"
CONSTRAINTS = "vengeance-constraints.txt"
"""Names of files in the environment."""

# pip's changelog: the progress bar "raw" came with 24.1.
_RAW_PROGRESS = (24, 1)
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")
_PYTHON = re.compile(r"^# .*\bPython (\d+\.\d+)\b")


@dataclass(frozen=True)
class Lock:
    """A requirements file with a hash for each package.

    python: the version that it was resolved for, as ``3.12``; None where it does not say
    """

    text: str
    pins: Mapping[str, str]
    python: str | None


def parse_lock(text: str, file: str) -> Lock:
    """Read a lock as ``scripts/lock_vllm.py`` writes it.

    + file: for the sentence

    Raises ValueError for one in which a package has no hash, or that names no package.
    """
    pins: dict[str, str] = {}
    without = ""
    for line in text.splitlines():
        pin = _PIN.match(line)
        if pin is not None:
            if without:
                break
            pins[canonicalize_name(pin[1])] = pin[2]
            without = pin[1]
        if "--hash=sha256:" in line:
            without = ""
    if not pins or without:
        raise ValueError(
            f"{file} is no lock: {f'{without} has no hash in it' if without else 'it names no package'}. Make it anew: "
            "make lock-vllm."
        )
    python = next((match[1] for line in text.splitlines() if (match := _PYTHON.match(line))), None)
    return Lock(text, pins, python)


def part_of(text: str, names: Iterable[str]) -> str:
    """Return the lines of a lock that are about some packages."""
    wanted = {canonicalize_name(name) for name in names}
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        pin = _PIN.match(line)
        if pin is not None:
            inside = canonicalize_name(pin[1]) in wanted
        if inside:
            kept.append(line)
    return "\n".join(kept) + "\n"


def check_lock(lock: Lock, requirement: Requirement, python: str, file: str) -> None:
    """Compare a lock with what is to be installed.

    + python: name of the Python that the environment is made from, such as ``python3.12``

    Raises ValueError with what mends it.
    """
    version = lock.pins.get(canonicalize_name(requirement.name))
    if version is None or not requirement.specifier.contains(version, prereleases=True):
        raise ValueError(
            f"{file} has {requirement.name} {version or '(nowhere)'}, and {requirement} is to be installed: "
            "make another lock (scripts/lock_vllm.py --version ...), or install what the lock has."
        )
    wanted = minor_of(python)
    if wanted is not None and lock.python is not None and wanted != lock.python:
        raise ValueError(
            f"{file} is for Python {lock.python}, and the environment is made from {python}: say python{lock.python}, "
            "or make another lock (scripts/lock_vllm.py --python ...)."
        )


def minor_of(python: str) -> str | None:
    """Return ``3.12`` for ``python3.12`` or ``/usr/bin/python3.12``, None where the name does not say."""
    match = re.search(r"python(\d+\.\d+)$", python)
    return match[1] if match else None


def asked(package: str, python: str, *texts: str | None) -> str:
    """Return one hash of what an environment is to hold.

    + package, python: as they are declared
    + texts: the lock and the constraints, None for none
    """
    return hashlib.sha256(json.dumps([package, python, *texts]).encode()).hexdigest()


def needed_gb(download: float, installed: float, installer: str) -> float:
    """Return the GB that an installation takes while it runs.

    + download, installed: GB of all packages, as they come and as they lie there

    pip keeps each file twice until all are installed, in its cache and where it unpacks them from; uv unpacks into its
    cache, and what is in the environment is the same files (hard links; docs.astral.sh/uv, Caching).
    """
    return installed + (2 if installer == "pip" else 1) * download


def no_room(path: str, free: int, held: int, needed: float) -> str | None:
    """Return a sentence where there is not enough room, None where there is.

    + free, held: bytes that are free, and those that an interrupted run has downloaded already
    + needed: GB
    """
    missing = needed + SPARE_GB - held / GB
    if needed <= 0 or missing <= free / GB:
        return None
    return (
        f"{path} has {free / GB:.1f} GB free on its disk, and {missing:.1f} GB are needed: {needed:.1f} GB for the "
        f"packages while they are installed, and {SPARE_GB:.0f} GB to spare. Make room in the distro, or name another "
        "vllm_path; vllm_size_gb says what is reckoned with."
    )


def pip_arguments(
    requirement: Requirement, locked: bool, constrained: bool, path: str, own: Sequence[str], pip: str = "0"
) -> list[str]:
    """Return pip's arguments after ``-m pip``.

    + locked, constrained: whether there is a lock, or a file with constraints, in the environment
    + path: folder of the environment
    + own: further ones, such as an index
    + pip: its version
    """
    start = ["install", "--no-input", "--disable-pip-version-check"]
    # An older one draws bars without a name beside them.
    bar = "raw" if versions.numbers(pip) >= _RAW_PROGRESS else "off"
    return [*start, "--progress-bar", bar, *_what(requirement, locked, constrained, path, own)]


def uv_arguments(requirement: Requirement, locked: bool, constrained: bool, path: str, own: Sequence[str]) -> list[str]:
    """Return uv's arguments; see ``pip_arguments``. Without the third uv writes no bytecode, and the server would."""
    start = ["pip", "install", "--compile-bytecode", "--python", f"{path}/bin/python"]
    return [*start, *_what(requirement, locked, constrained, path, own)]


def _what(requirement: Requirement, locked: bool, constrained: bool, path: str, own: Sequence[str]) -> list[str]:
    if locked:
        return [*own, "--only-binary", ":all:", "--require-hashes", "-r", f"{path}/{LOCK}"]
    return [*own, *(["-c", f"{path}/{CONSTRAINTS}"] if constrained else []), str(requirement)]


def whole(packages: Mapping[str, str], broken: Iterable[str]) -> dict[str, str]:
    """Return the packages (name -> version) that are not among the broken ones, folders of descriptions."""
    names = {canonicalize_name(each.split("-")[0]) for each in broken}
    return {name: version for name, version in packages.items() if canonicalize_name(name) not in names}
