"""What is to be done to a Python environment, by what was found of it."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pyinfra import logger
from pyinfra.api.command import FileUploadCommand, PyinfraCommand, QuoteString, StringCommand
from pyinfra.context import ctx_state, host, state

from vengeance import programs
from vengeance.box import python_packages, vllm_unit
from vengeance.box import vllm_environment as box
from vengeance.connectors.long_command import LongCommand
from vengeance.facts.vllm.environment import EnvironmentState, Faults

INSTALLERS_LOCK = "locks/installers.txt"
# The same as servers have, of a vLLM that the user has started by himself; below his home.
_COMPILED_AT_HOME = (".triton/cache", ".cache/vllm/torch_compile_cache", ".cache/flashinfer")
_FILES_AT_ONCE = 200
_QUIETLY = ("install", "--no-input", "--disable-pip-version-check")


@dataclass(frozen=True)
class Sources:
    """What packages are taken by.

    constraints: text of a constraints file, None with a lock
    arguments: further ones of the installer, such as an index
    """

    lock: box.Lock | None
    constraints: str | None
    arguments: Sequence[str]

    @classmethod
    def read(
        cls,
        requirement: Requirement,
        python: str,
        lock: str | None,
        constraints: str | None,
        arguments: Sequence[str],
    ) -> Sources:
        """Read the files that are named, relative to the folder that pyinfra runs in.

        Raises ValueError for one that cannot be read, and for a lock of something else.
        """
        if lock is None:
            return cls(None, None if constraints is None else text_of(constraints), arguments)
        parsed = box.parse_lock(text_of(lock), lock)
        box.check_lock(parsed, requirement, python, lock)
        return cls(parsed, None, arguments)


def text_of(file: str) -> str:
    """Return the text of a file, relative to the folder that pyinfra runs in.

    Raises ValueError for one that cannot be read.
    """
    folder = state.cwd if ctx_state.isset() else None  # type: ignore[no-untyped-call]
    place = Path(folder or ".", file)
    try:
        return place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise ValueError(f"{file} cannot be read ({place}): {why}.") from None


class Installation:
    """What is to be done to an environment, by what was found of it.

    met: whether the package is there whole in the right version
    """

    def __init__(
        self,
        path: str,
        user: str,
        requirement: Requirement,
        found: EnvironmentState | None,
        faults: Faults | None,
        asked: str,
    ) -> None:
        self.path, self.user, self.requirement, self.found = path, user, requirement, found
        self.cache = f"{path}.cache"
        marker = faults["marker"] if faults else None
        accepted = marker["accepted"] if marker else []
        self.broken = {name: why for name, why in (faults["broken"] if faults else {}).items() if name not in accepted}
        self.leftovers = faults["leftovers"] if faults else []
        self.bytecode = faults["bytecode"] if faults else []
        self.strange = faults["strange"] if faults else None
        self.packages = box.whole(found["packages"], self.broken) if found else {}
        self.met = python_packages.is_met(requirement, self.packages)
        self.finished = marker is not None and marker["asked"] == asked
        # Without a package in it, it is one whose making was cut short.
        self.anew = not self.packages
        self.installs = self.anew or not self.met or not self.finished or bool(self.broken or self.leftovers)

    @property
    def nothing(self) -> bool:
        """Whether all is as it should be."""
        return not (self.installs or self.bytecode or self.strange)

    @property
    def upgrades(self) -> bool:
        """Whether another version of the package was there before."""
        named = canonicalize_name(self.requirement.name)
        halves = [each for each in self.broken if canonicalize_name(each.split("-")[0]) == named]
        whole = python_packages.version_of(self.requirement, self.packages)
        return not self.met and (whole is not None or bool(halves))

    def tell(self) -> None:
        """Say before and after of each thing that will change."""
        has = python_packages.version_of(self.requirement, self.packages)
        if not self.met:
            name, wanted = self.requirement.name, self.requirement.specifier
            host.log(f"{self.path}: {name} {has or '(not installed)'} -> {wanted or 'the newest'}")
        elif not self.finished:
            host.log(
                f"{self.path}: {self.requirement} is there, and no run has come to its end -> installed and proved"
            )
        for name, why in self.broken.items():
            host.log(f"{self.path}: {name.removesuffix('.dist-info')}: {why} -> installed again", logger.warning)
        if self.leftovers:
            aside = ", ".join(self.leftovers[:5])
            host.log(f"{self.path}: {aside}, left by an installation that was cut short -> removed", logger.warning)
        if self.bytecode:
            files = "1 file" if len(self.bytecode) == 1 else f"{len(self.bytecode)} files"
            host.log(
                f"{self.path}: {files} of bytecode that cannot be read (bad marshal data), such as "
                f"{self.bytecode[0]} -> removed; Python makes them anew",
                logger.warning,
            )
        if self.strange:
            host.log(f"{self.strange}: somebody else's -> {self.user}'s, as everything in {self.path}")

    def as_user(self, *bits: str | QuoteString) -> StringCommand:
        """A command as the user who owns the environment."""
        return StringCommand(*bits, _su_user=self.user, _su_shell="/bin/sh")

    def python(self, words: Sequence[str]) -> LongCommand:
        """A command of the environment's Python, with its cache and what is temporary on the environment's disk."""
        variables = (
            f"PIP_CACHE_DIR={self.cache}",
            f"UV_CACHE_DIR={self.cache}",
            f"TMPDIR={self._unpacked}",
            "UV_HTTP_TIMEOUT=300",
        )
        quoted = [QuoteString(word) for word in (*variables, f"{self.path}/bin/python", "-I", *words)]
        return LongCommand("env", *quoted, _su_user=self.user, _su_shell="/bin/sh")

    @property
    def _unpacked(self) -> str:
        return f"{self.cache}/unpacked"

    def mend(self, python: str) -> Generator[PyinfraCommand, None, None]:
        """Give the commands that make it fit to be installed into.

        + python: the one it is made from, if there is none
        """
        path = QuoteString(self.path)
        if self.strange:
            yield StringCommand("chown -R -h", QuoteString(self.user), path)
        if self.installs:
            # What is unpacked there belongs to a run that has ended; what was downloaded need not come again.
            unpacked = QuoteString(self._unpacked)
            yield self.as_user("rm -rf --", unpacked, QuoteString(f"{self.path}/{box.MARKER}"))
            yield self.as_user("mkdir -p -m 700", QuoteString(self.cache), unpacked)
        if self.anew:
            yield self.as_user(QuoteString(python), "-m venv --clear", path)
            return
        removed = [*self.broken, *self.leftovers]
        if removed:
            yield self.python(["-c", programs.load("remove_packages"), *removed])
        if "pip" not in self.packages:
            yield self.python(["-m", "ensurepip"])
        if self.upgrades:
            yield from self._clear_caches()
        elif self.bytecode:
            files = [QuoteString(f"{self.path}/{file}") for file in self.bytecode]
            for start in range(0, len(files), _FILES_AT_ONCE):
                yield self.as_user("rm -f --", *files[start : start + _FILES_AT_ONCE])

    def _clear_caches(self) -> Generator[PyinfraCommand, None, None]:
        host.log(f"{self.path}: what the old version has compiled -> removed")
        library = QuoteString(f"{self.path}/lib")
        # find goes back to where it was started, which may be root's.
        yield self.as_user("cd / && find", library, "-type d -name __pycache__ -prune -exec rm -rf -- {} +")
        # It is of no use to another version.
        folders = (*_COMPILED_AT_HOME, *vllm_unit.COMPILED)
        yield self.as_user("cd && rm -rf --", *(QuoteString(folder) for folder in folders))

    def install(self, installer: str, sources: Sources) -> Generator[PyinfraCommand, None, None]:
        """Give the commands that install what is asked for.

        + installer: ``pip`` or ``uv``
        """
        locked, constrained = sources.lock is not None, sources.constraints is not None
        pip = self.packages.get("pip", "0")
        arguments = (self.requirement, locked, constrained, self.path, sources.arguments)
        if sources.lock is not None:
            yield self._put(box.LOCK, sources.lock.text)
        if sources.constraints is not None:
            yield self._put(box.CONSTRAINTS, sources.constraints)
        if locked or installer == "uv":
            # A pip that tells how far it is, and uv, in versions and with hashes of our own.
            tools = ["pip", "uv"] if installer == "uv" else ["pip"]
            text = text_of(INSTALLERS_LOCK)
            pip = box.parse_lock(text, INSTALLERS_LOCK).pins["pip"]
            yield self._put(box.INSTALLERS, box.part_of(text, tools))
            pinned = ["--require-hashes", "--no-deps", "-r", f"{self.path}/{box.INSTALLERS}"]
            yield self.python(["-m", "pip", *_QUIETLY, *sources.arguments, *pinned])
        uv = installer == "uv"
        words = ["uv", *box.uv_arguments(*arguments)] if uv else ["pip", *box.pip_arguments(*arguments, pip)]
        count = len(sources.lock.pins) if sources.lock is not None else 0
        yield self.python(["-c", programs.load("install"), str(count), *words])

    def _put(self, name: str, text: str) -> FileUploadCommand:
        return FileUploadCommand(StringIO(text), f"{self.path}/{name}", _su_user=self.user)
