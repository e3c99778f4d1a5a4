"""The connectors can be used from a Windows machine too: nothing that they need is Linux's alone."""

from __future__ import annotations

import ast
import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest

from vengeance.connectors.winrm import receive_file
from vengeance.secret import Secret

SOURCE = Path(__file__).resolve().parents[2] / "src" / "vengeance"
# https://docs.python.org/3/library/unix.html
UNIX_ALONE = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
# Asked only where no variable has the name of the user, and Windows always has one.
NEVER_ON_WINDOWS = ["operations/run_lock.py: getuid"]
UNIX_NAMES = {"fork", "geteuid", "getuid", "killpg", "setsid", "SIGKILL", "SIGHUP", "AF_UNIX", "MSG_DONTWAIT"}


def used_on_windows() -> list[Path]:
    """All but the twin, and the programs that are sent into the distro."""
    elsewhere = (SOURCE / "twin", SOURCE / "programs")
    return [path for path in SOURCE.rglob("*.py") if not any(path.is_relative_to(place) for place in elsewhere)]


def test_the_tests_for_windows_need_nothing_of_the_twin_but_a_web_server() -> None:
    # It is made of processes, namespaces and mounts of Linux.
    used = set()
    for folder in ("powershell", "windows"):
        for path in (SOURCE.parents[1] / "tests" / folder).rglob("*.py"):
            used |= set(re.findall(r"^from (vengeance\.twin[.\w]*)", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert used <= {"vengeance.twin.vendors.site"}


def test_nothing_but_the_twin_uses_modules_and_names_that_only_unix_has() -> None:
    wrong = []
    for path in [*used_on_windows(), SOURCE / "twin" / "vendors" / "site.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: set[str] = set()
            if isinstance(node, ast.Import):
                names = {alias.name for alias in node.names} & UNIX_ALONE
            elif isinstance(node, ast.ImportFrom):
                names = {node.module or ""} & UNIX_ALONE
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                names = {node.attr} & UNIX_NAMES if node.value.id in ("os", "signal", "socket") else set()
            wrong += [f"{path.relative_to(SOURCE).as_posix()}: {name}" for name in names]
    assert [each for each in wrong if each not in NEVER_ON_WINDOWS] == []


def test_a_password_file_on_windows_is_not_judged_by_a_mode_that_it_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text("correct horse\n")
    file.chmod(0o666)
    monkeypatch.setattr("vengeance.secret.os", SimpleNamespace(name="nt"))
    assert Secret.from_file(file).reveal() == "correct horse"


def test_a_file_is_closed_before_it_is_moved_to_its_place(tmp_path: Path) -> None:
    seen: list[IO[bytes]] = []

    def download(target: IO[bytes]) -> None:
        seen.append(target)
        target.write(b"new")

    receive_file(str(tmp_path / "file"), download)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert seen[0].closed


def test_a_download_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")

    def download(target: IO[bytes]) -> None:
        target.write(b"half")
        raise OSError("cut")

    with pytest.raises(OSError, match="cut"):
        receive_file(str(tmp_path / "file"), download)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_a_file_that_is_open_already_gets_the_bytes(tmp_path: Path) -> None:
    target = io.BytesIO()
    receive_file(target, lambda file: file.write(b"abc"))
    assert target.getvalue() == b"abc"
