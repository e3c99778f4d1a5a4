"""Drive, registry, environment and processes of the twin's Windows."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from tests.twin.windows_box import Box
from vengeance.twin.windows import errors
from vengeance.twin.windows.arguments import split, split_program
from vengeance.twin.windows.drive import Drive
from vengeance.twin.windows.errors import Win32Error
from vengeance.twin.windows.registry import ENVIRONMENT, Registry
from vengeance.twin.windows.state import State, file_time


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    return Drive(tmp_path)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.mark.parametrize(
    ("path", "full"),
    [
        ("C:\\a\\b", "C:\\a\\b"),
        ("c:/a/b/", "C:\\a\\b"),
        ("\\a", "C:\\a"),
        ("a", "C:\\Users\\Steam\\a"),
        ("C:a", "C:\\Users\\Steam\\a"),
        ("..\\x", "C:\\Users\\x"),
        ("C:\\..\\..\\x", "C:\\x"),
        ("C:\\a\\.\\b\\..\\c", "C:\\a\\c"),
        ("C:\\dots...\\blank ", "C:\\dots\\blank"),
        ("\\\\?\\C:\\a", "C:\\a"),
        ("C:\\[brackets] and blanks", "C:\\[brackets] and blanks"),
        ("C:\\größe\\🦀", "C:\\größe\\🦀"),
    ],
)
def test_full_paths(drive: Drive, path: str, full: str) -> None:
    assert drive.absolute(path, "C:\\Users\\Steam") == full


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("C:\\a|b", errors.INVALID_NAME),
        ("C:\\a*b", errors.INVALID_NAME),
        ("C:\\a\tb", errors.INVALID_NAME),
        ("C:\\a:stream", errors.INVALID_NAME),
        ("C:\\con", errors.INVALID_NAME),
        ("C:\\LPT1", errors.INVALID_NAME),
        ("D:\\x", errors.INVALID_DRIVE),
        ("\\\\server\\share", errors.BAD_NETPATH),
        ("C:\\" + "x" * 256, errors.TOO_LONG),
        ("C:\\" + "\\".join(["x" * 50] * 6), errors.TOO_LONG),
    ],
)
def test_paths_that_windows_refuses(drive: Drive, path: str, code: int) -> None:
    with pytest.raises(Win32Error) as caught:
        drive.absolute(path)
    assert caught.value.code == code


def test_names_are_found_in_any_case_and_keep_theirs(drive: Drive, tmp_path: Path) -> None:
    drive.make_directory("C:\\Some\\Folder")
    drive.write("c:\\SOME\\folder\\File.TXT", b"1")
    assert sorted(p.name for p in (tmp_path / "Some/Folder").iterdir()) == ["File.TXT"]
    drive.write("C:\\some\\FOLDER\\file.txt", b"22")
    assert (tmp_path / "Some/Folder/File.TXT").read_bytes() == b"22"
    assert drive.shown("c:\\sOmE\\fOlDeR\\fIlE.tXt") == "C:\\Some\\Folder\\File.TXT"


def test_a_rename_may_change_nothing_but_the_case(drive: Drive) -> None:
    drive.write("C:\\readme.txt", b"x")
    drive.move("C:\\readme.txt", "C:\\README.txt")
    assert [entry.name for entry in drive.entries("C:\\")] == ["README.txt"]


def test_nothing_outside_of_the_drive_is_reached(drive: Drive, tmp_path: Path) -> None:
    outside = tmp_path.parent / "outside.txt"
    outside.write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path.parent)
    assert not drive.exists("C:\\link\\outside.txt")
    with pytest.raises(Win32Error):
        drive.read("C:\\link\\outside.txt")
    with pytest.raises(Win32Error):
        drive.write("C:\\link\\new.txt", b"")
    assert not drive.exists("C:\\..\\outside.txt")


def test_a_read_only_file_is_not_written_or_removed(drive: Drive, tmp_path: Path) -> None:
    drive.write("C:\\x", b"old")
    os.chmod(tmp_path / "x", stat.S_IRUSR)
    assert drive.attributes("C:\\x") == ["ReadOnly", "Archive"]
    with pytest.raises(Win32Error) as caught:
        drive.write("C:\\x", b"new")
    assert caught.value.code == errors.ACCESS_DENIED
    with pytest.raises(Win32Error) as caught:
        drive.remove_file("C:\\x")
    assert caught.value.code == errors.ACCESS_DENIED
    assert (tmp_path / "x").read_bytes() == b"old"


def test_free_space_is_used_up_and_given_back(drive: Drive) -> None:
    drive.free_bytes = 10
    drive.write("C:\\a", b"12345678")
    with pytest.raises(Win32Error) as caught:
        drive.write("C:\\b", b"123")
    assert caught.value.code == errors.DISK_FULL
    drive.remove_file("C:\\a")
    drive.write("C:\\b", b"1234567890")
    assert drive.free_bytes == 0
    drive.write("C:\\b", b"12")
    assert drive.free_bytes == 8


def test_a_link_is_described_itself(drive: Drive) -> None:
    drive.write("C:\\target.txt", b"x")
    drive.link("C:\\link.txt", "C:\\target.txt")
    assert drive.link_target("C:\\link.txt") == "C:\\target.txt"
    assert drive.attributes("C:\\link.txt") == ["Archive", "ReparsePoint"]
    assert drive.read("C:\\link.txt") == b"x"


def test_registry_ignores_case_and_keeps_it() -> None:
    registry = Registry()
    registry.set("HKLM\\Software\\Demo", "Value", "1")
    registry.set("hklm\\SOFTWARE\\demo", "VALUE", "2", "ExpandString")
    assert registry.to_json() == {"HKLM\\Software\\Demo": {"Value": {"kind": "ExpandString", "value": "2"}}}
    assert registry.exists("HKLM\\software")
    assert registry.subkeys("HKLM\\SOFTWARE") == ["Demo"]
    assert registry.delete_key("HKLM\\Software")
    assert not registry.exists("HKLM\\Software\\Demo")


def test_a_new_process_finds_machine_then_user_variables(box: Box) -> None:
    registry = box.windows.registry
    user = f"HKU\\{box.windows.state.sid('Steam')}\\Environment"
    registry.set(ENVIRONMENT, "BOTH", "machine")
    registry.set(user, "Both", "user")
    registry.set(ENVIRONMENT, "WHERE", "%SystemRoot%\\x;%NOSUCH%", "ExpandString")
    registry.set(user, "Path", "C:\\mine", "ExpandString")
    registry.set(ENVIRONMENT, "NUMBER", 5, "DWord")
    out = box.run("echo %BOTH% %WHERE% %NUMBER%& path").out
    assert out.startswith("user C:\\Windows\\x;%NOSUCH% %NUMBER%\n")
    assert out.rstrip().endswith(";C:\\mine")
    assert "C:\\Windows\\system32;C:\\Windows;" in out


def test_a_shell_keeps_the_environment_that_it_was_opened_with(box: Box) -> None:
    opened = box.windows.shell_environment("Steam", {"MINE": "1"})
    assert box.run("setx LATER yes /M").code == 0
    assert box.run("set LATER", environment=opened).err == "Environment variable LATER not defined\n"
    assert box.run("set LATER & set MINE", environment=box.windows.shell_environment("Steam", {"MINE": "1"})).out == (
        "LATER=yes\nMINE=1\n"
    )


def test_processes_stand_on_the_disk_with_their_environment(box: Box) -> None:
    process, _ = box.start("set DEEP=1& ping -t localhost", environment={"OUTER": "o"})
    deadline = time.monotonic() + 5
    found: dict[str, dict[str, str]] = {}
    pids: dict[str, tuple[int, int]] = {}
    while "ping.exe" not in found and time.monotonic() < deadline:
        listed = json.loads((box.folder / "processes.json").read_text())["processes"]
        found = {p["image"].rpartition("\\")[2]: p["environment"] for p in listed}
        pids = {p["image"].rpartition("\\")[2]: (p["pid"], p["parent"]) for p in listed}
        time.sleep(0.01)
    assert found["ping.exe"]["DEEP"] == "1"
    assert found["ping.exe"]["OUTER"] == "o"
    assert "DEEP" not in found["cmd.exe"]
    assert pids["ping.exe"][1] == pids["cmd.exe"][0]
    process.terminate()


def test_program_starts_are_counted(box: Box) -> None:
    box.run("hostname & whoami & hostname")
    assert box.windows.process_starts == {"cmd.exe": 1, "hostname.exe": 2, "whoami.exe": 1}


def test_state_survives_and_a_boot_changes_the_boot_time(tmp_path: Path) -> None:
    first = State(tmp_path)
    first.registry.set("HKLM\\SOFTWARE\\Demo", "X", ["a", "b"], "MultiString")
    first.add_user("Alyx")
    second = State(tmp_path)
    assert second.registry.to_json() == first.registry.to_json()
    assert second.users == first.users
    assert second.boot_time == first.boot_time
    before = second.boot_time
    second.boot()
    assert file_time(second.boot_time) - file_time(before) >= 10_000_000
    assert State(tmp_path).boot_time == second.boot_time


def test_a_boot_does_what_waited_for_it(box: Box) -> None:
    key = "HKLM\\SYSTEM\\CurrentControlSet\\Control\\ComputerName\\ComputerName"
    assert box.run(f"reg add {key} /v ComputerName /d ORACLE /f").code == 0
    box.windows.registry.create(
        "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\RebootPending"
    )
    assert box.run("hostname").out == "VENGEANCE\n"
    box.windows.state.boot()
    assert box.run("hostname").out == "ORACLE\n"
    assert not box.windows.registry.exists(
        "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\RebootPending"
    )


def test_state_files_are_for_their_owner_only(box: Box) -> None:
    for name in ("windows.json", "processes.json"):
        assert stat.S_IMODE((box.folder / name).stat().st_mode) == 0o600


def test_reg_shows_the_registry_by_another_way(box: Box) -> None:
    assert box.run("reg add HKCU\\Environment /v A /t REG_EXPAND_SZ /d ^%TEMP^%\\x /f").code == 0
    assert box.windows.state.registry.text(f"HKU\\{box.windows.state.sid('Steam')}\\Environment", "a") == "%TEMP%\\x"
    out = box.run("reg query HKCU\\Environment /v a").out
    assert "    A    REG_EXPAND_SZ    %TEMP%\\x\n" in out
    assert box.run("reg delete HKCU\\Environment /v A /f").code == 0
    gone = box.run("reg query HKCU\\Environment /v A")
    assert (gone.code, gone.err) == (1, "ERROR: The system was unable to find the specified registry key or value.\n")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a b  c", ["a", "b", "c"]),
        ('"a b" c', ["a b", "c"]),
        ('a\\"b', ['a"b']),
        ('"a\\\\" b', ["a\\", "b"]),
        ("C:\\x\\ y", ["C:\\x\\", "y"]),
        ('""', [""]),
        ('a""b', ["ab"]),
        ('"a""b"', ['a"b']),
        ("", []),
    ],
)
def test_arguments_are_split_as_c_programs_get_them(line: str, words: list[str]) -> None:
    assert split(line) == words


def test_the_program_is_the_first_word_of_a_command_line() -> None:
    assert split_program('"C:\\Program Files\\x.exe" a "b"') == ("C:\\Program Files\\x.exe", ' a "b"')
    assert split_program("  x.exe  a") == ("x.exe", "  a")


def test_one_thread_may_write_the_registry_while_another_saves(tmp_path: Path) -> None:
    state = State(tmp_path)

    def save() -> None:
        for _ in range(200):
            state.save()

    def write() -> None:
        for number in range(200):
            state.registry.set("HKLM\\SOFTWARE\\Test", "count", number, "DWord")

    threads = [threading.Thread(target=deed, daemon=True) for deed in (save, write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert State(tmp_path).registry.number("HKLM\\SOFTWARE\\Test", "count") == 199
