"""The rules of the house that a machine can check: imports, versions, files, entry points, leaks."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from importlib.metadata import metadata as package_metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "vengeance"


def project_files() -> list[Path]:
    """Every text file that a commit would hold."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode == 0:
        names = listed.stdout.decode().split("\0")
        return [ROOT / name for name in names if name and (ROOT / name).is_file()]
    skipped = {".venv", ".git", "build"}
    return [p for p in ROOT.rglob("*") if p.is_file() and not skipped & set(p.relative_to(ROOT).parts)]


def texts() -> Iterator[tuple[Path, str]]:
    for path in project_files():
        try:
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


# --- imports -----------------------------------------------------------------------------------------------


def imports_of(path: Path, package: tuple[str, ...]) -> Iterator[str]:
    """The full dotted names that a file imports; ``package`` is the one that it lies in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join((*base, *filter(None, [node.module])))
            yield from (f"{start}.{alias.name}" for alias in node.names)


def ours(name: str) -> str | None:
    """The part of the package that a dotted name is in: ``vengeance.winrm.shell`` is in ``winrm``."""
    parts = name.split(".")
    return parts[1] if parts[0] == "vengeance" and len(parts) > 1 else None


def source_imports() -> Iterator[tuple[str, Path, str]]:
    """(part that imports, file, part that is imported) for all of the package."""
    for path in sorted(SOURCE.rglob("*.py")):
        relative = path.relative_to(SOURCE)
        part = relative.parts[0].removesuffix(".py")
        for name in imports_of(path, ("vengeance", *relative.parts[:-1])):
            target = ours(name)
            if target is not None and target != part:
                yield part, relative, target


# design, section 1: deploys -> operations -> facts -> connectors -> winrm, everything -> box.
ALLOWED = {
    "winrm": set(),
    "box": set(),
    "secret": set(),
    "colours": set(),
    "powershell": {"box"},
    "programs": set(),
    "twin": {"powershell", "box"},
    "connectors": {"winrm", "powershell", "box", "secret"},
    "facts": {"connectors", "powershell", "programs", "box", "secret"},
    "operations": {"facts", "connectors", "powershell", "programs", "box", "secret"},
    "verify": {"facts", "connectors", "winrm", "powershell", "box", "secret"},
    "doctor": {"operations", "facts", "connectors", "winrm", "powershell", "box", "secret", "colours"},
    "cli": {"doctor", "verify", "operations", "facts", "connectors", "powershell", "box", "secret", "colours"},
    "__main__": {"cli"},
}


def test_the_arrows_between_packages_go_one_way() -> None:
    wrong = [
        f"{path} imports vengeance.{target}"
        for part, path, target in source_imports()
        if target not in ALLOWED.get(part, set()) and part != "__init__"
    ]
    assert wrong == []


def test_every_part_of_the_package_has_its_arrows() -> None:
    parts = {p.name.removesuffix(".py") for p in SOURCE.iterdir() if p.is_dir() or p.suffix == ".py"}
    assert parts - {"__init__", "__pycache__"} <= ALLOWED.keys()


def test_the_wire_knows_nothing_of_pyinfra() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)} imports {name}"
        for folder in ("winrm", "box", "twin", "powershell")
        for path in (SOURCE / folder).rglob("*.py")
        for name in imports_of(path, ("vengeance", folder))
        if name.split(".")[0].startswith("pyinfra") and path != SOURCE / "powershell" / "__init__.py"
    ]
    assert wrong == []


def test_only_tests_benchmarks_and_the_twins_inventory_import_the_twin() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for folder in ("deploys", "group_data", "inventory", "templates")
        for path in (ROOT / folder).rglob("*.py")
        for name in imports_of(path, (folder,))
        if ours(name) == "twin" and path != ROOT / "inventory" / "twin.py"
    ]
    assert wrong == []


def test_the_source_has_no_assert_statement() -> None:
    # python -O drops them, and a user gets no sentence from one.
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert wrong == []


def test_no_module_is_named_after_nothing() -> None:
    nothing = re.compile(r"^_?(utils?|helpers?|managers?|common|misc)(\.py)?$")
    assert [str(p) for p, _ in texts() if any(nothing.match(part) for part in p.parts)] == []


# --- PowerShell --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", sorted([*SOURCE.rglob("*.ps1"), *(ROOT / "bootstrap").glob("*.ps1")]), ids=lambda p: p.name
)
def test_a_script_is_plain_ascii_with_lf_and_ends_with_a_newline(path: Path) -> None:
    content = path.read_bytes()
    assert content.isascii(), "Windows PowerShell 5.1 reads a file without a byte-order mark in the ANSI code page"
    assert b"\r" not in content
    assert content.endswith(b"\n")
    assert b"\t" not in content


def test_scripts_are_part_of_the_package() -> None:
    from vengeance import powershell

    names = powershell.names()
    assert names, "no script was found beside vengeance/powershell/__init__.py"
    for name in names:
        assert powershell.load(name).strip()


# --- versions ----------------------------------------------------------------------------------------------


def pinned() -> dict[str, Version]:
    """constraints.txt as name -> version; every line must be an exact pin."""
    versions: dict[str, Version] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, version = line.partition("==")
            assert version, f"constraints.txt has a line that is no exact pin: {line!r}"
            versions[canonicalize_name(name)] = Version(version)
    return versions


def declared() -> Iterator[Requirement]:
    """What pyproject.toml asks for with all extras that constraints.txt covers."""
    for line in package_metadata("vengeance").get_all("Requires-Dist") or []:
        requirement = Requirement(line)
        extras = ("", "verify", "twin", "test", "dev", "keyring")
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in extras):
            yield requirement


def test_constraints_pin_every_declared_requirement_inside_its_range() -> None:
    versions = pinned()
    asked = [r for r in declared() if r.name != "vengeance"]
    assert len(asked) > 15
    wrong = [
        f"{r}: {versions.get(canonicalize_name(r.name))}"
        for r in asked
        if canonicalize_name(r.name) not in versions or not r.specifier.contains(versions[canonicalize_name(r.name)])
    ]
    assert wrong == []


def test_what_is_installed_is_what_constraints_pin() -> None:
    """Whatever the declared requirements pull in is pinned too, and nothing else was put in its place."""
    from importlib.metadata import PackageNotFoundError, version

    versions = pinned()
    seen: set[str] = set()
    queue = [r for r in declared() if r.name != "vengeance"]
    wrong: list[str] = []
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        if name in seen:
            continue
        seen.add(name)
        try:
            installed = version(name)
        except PackageNotFoundError:
            wrong.append(f"{name} is not installed: run 'make test' rather than pytest alone")
            continue
        if Version(installed) != versions.get(name):
            wrong.append(f"{name} {installed} is installed, constraints.txt has {versions.get(name)}")
        for line in package_metadata(name).get_all("Requires-Dist") or []:
            further = Requirement(line)
            if further.marker is None or further.marker.evaluate({"extra": ""}):
                queue.append(further)
    assert wrong == []


# --- entry points ------------------------------------------------------------------------------------------


def connectors() -> dict[str, EntryPoint]:
    points = entry_points(group="pyinfra.connectors")
    return {p.name: p for p in points if p.value.startswith("vengeance.")}


@pytest.mark.parametrize("name", ["winrm", "wsl"])
def test_pyinfra_finds_the_connector(name: str) -> None:
    from pyinfra.connectors.base import BaseConnector

    connector = connectors()[name].load()
    assert issubclass(connector, BaseConnector)
    assert connector.handles_execution


# --- leaks -------------------------------------------------------------------------------------------------


def registry_hosts() -> set[str]:
    """The hosts that this machine takes its packages from, as its own configuration has them."""
    found: set[str] = set()
    pattern = re.compile(r"https?://(?:[^/@\s]*@)?([A-Za-z0-9.-]+)")
    for path in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        if path.is_file():
            found |= set(pattern.findall(path.read_text(encoding="utf-8", errors="replace")))
    for candidate in ("/etc/pip.conf", "~/.config/pip/pip.conf", "~/.pip/pip.conf", "~/.npmrc"):
        path = Path(candidate).expanduser()
        if not path.is_file():
            continue
        found |= set(pattern.findall(path.read_text(encoding="utf-8", errors="replace")))
    # Written apart, so that this file does not hold what it looks for.
    found |= {".".join(parts) for parts in (("pypi", "org"), ("files", "pythonhosted", "org"))}
    found |= {".".join(parts) for parts in (("deb", "debian", "org"), ("security", "debian", "org"))}
    return found - {"localhost", "127.0.0.1"}


def test_no_file_names_a_package_registry() -> None:
    hosts = registry_hosts()
    assert [f"{path}: {host}" for path, text in texts() for host in hosts if host in text] == []


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    # /home/steam is the box's own user; /home/linuxbrew and the like would be a slip.
    home = re.compile(r"/home/(?!steam\b|USER\b)[a-z_][a-z0-9_-]*|/Users/[a-z]\w*/|/root/\.pyenv")
    found = [f"{path}: {m[0]}" for path, text in texts() for m in home.finditer(text) if path.suffix != ".ps1"]
    assert [line for line in found if not line.startswith("tests/unit/test_project.py")] == []
    above = str(ROOT.parent) + "/"
    if len(ROOT.parent.parts) > 1 and str(ROOT.parent) not in ("/tmp", "/root", "/home"):
        assert [str(path) for path, text in texts() if above in text] == []


def test_no_file_holds_a_private_key() -> None:
    mark = "PRIVATE" + " KEY-----\n"
    assert [str(path) for path, text in texts() if "-----BEGIN" in text and mark in text] == []
