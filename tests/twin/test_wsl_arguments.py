"""wsl.exe's rules for its command line, its environment and its settings file, without a distro."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vengeance.twin.distro.accounts import LinuxUser
from vengeance.twin.distro.wsl_conf import WslConf, parse_wsl_conf
from vengeance.twin.wsl import messages
from vengeance.twin.wsl.arguments import consume, next_argument, split_like_program, split_windows, strip_quotes
from vengeance.twin.wsl.environment import linux_environment, shared_variables
from vengeance.twin.wsl.registrations import FileRegistrations, Registration, new_guid
from vengeance.twin.wsl.windows_paths import in_linux, on_drive
from vengeance.twin.wsl.wslconfig import IdleTimers, read_timers


def test_an_argument_ends_at_a_blank_whatever_the_quotes() -> None:
    assert next_argument('"a b" c') == '"a'
    assert next_argument('"a b" c', quotes=True) == '"a b"'
    assert consume("-d   Ubuntu rest", "-d") == "Ubuntu rest"
    assert next_argument("one\ttwo") == "one"
    assert strip_quotes('"C:\\a b"') == "C:\\a b"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (r'a "b c" d', ["a", "b c", "d"]),
        (r'"a\"b"', ['a"b']),
        (r'"a\\"', ["a\\"]),
        (r"a\\b", [r"a\\b"]),
        (r"a\\\"b", ['a\\"b']),
        ('"a""b" c', ['a"b', "c"]),
        ('""', [""]),
        ("", []),
        (r"\\server\share", [r"\\server\share"]),
    ],
)
def test_words_as_command_line_to_argv_w_splits_them(line: str, words: list[str]) -> None:
    assert split_windows(line) == words


@given(st.lists(st.text(st.characters(exclude_characters="\0"), max_size=12)))
def test_splitting_undoes_the_quoting_of_the_standard_library(words: list[str]) -> None:
    assert split_windows(subprocess.list2cmdline(words)) == words


def test_the_first_word_has_a_rule_of_its_own() -> None:
    assert split_like_program('"/opt/my dir/x" "a"') == ["/opt/my dir/x", "a"]
    assert split_like_program(r"/bin/a\"b c") == [r"/bin/a\"b", "c"]


def test_environment_follows_wsl_conf() -> None:
    user = LinuxUser("steam", 1000, 1000, "/home/steam", "/bin/bash")
    plain = linux_environment(
        distro="D",
        hostname="H",
        user=user,
        conf=WslConf(append_windows_path=False, append_gpu_library_path=False),
        systemd=False,
        windows={"Path": "C:\\x"},
        to_linux=lambda path: "/mnt/c/x",
    )
    assert "/mnt/c" not in plain["PATH"]
    assert "/usr/lib/wsl/lib" not in plain["PATH"]
    assert "XDG_RUNTIME_DIR" not in plain
    full = linux_environment(
        distro="D",
        hostname="H",
        user=user,
        conf=WslConf(),
        systemd=True,
        windows={"Path": "C:\\x"},
        to_linux=lambda path: "/mnt/c/x",
    )
    assert full["PATH"].endswith(":/usr/lib/wsl/lib:/mnt/c/x")
    assert full["XDG_RUNTIME_DIR"] == "/run/user/1000"


def test_wslenv_flags() -> None:
    named = {"WSLENV": "A:B/p:C/l:D/w:E/wu:MISSING", "A": "1", "B": "b", "C": "x;y", "D": "4", "E": "5"}
    shared = shared_variables(named, lambda path: f"/mnt/c/{path}")
    assert shared == {"A": "1", "B": "/mnt/c/b", "C": "/mnt/c/x:/mnt/c/y", "E": "5"}


def test_windows_paths_ignore_case_and_stay_on_the_drive(tmp_path: Path) -> None:
    (tmp_path / "Users/Steam").mkdir(parents=True)
    assert on_drive(tmp_path, "c:\\USERS\\steam\\New") == tmp_path / "Users/Steam/New"
    assert on_drive(tmp_path, "..\\Steam", "C:\\Users\\Steam") == tmp_path / "Users/Steam"
    assert on_drive(tmp_path, "C:\\..\\..\\etc") == tmp_path / "etc"
    assert on_drive(tmp_path, "D:\\x") is None
    assert in_linux(tmp_path, "C:\\users") == "/mnt/c/Users"
    assert in_linux(tmp_path, "\\\\server\\share") is None


@pytest.mark.parametrize(
    ("text", "instance", "machine"),
    [
        ("", 15.0, 60.0),
        ("[general]\ninstanceIdleTimeout=-1\n[wsl2]\nvmIdleTimeout=120000\n", None, 120.0),
        ("[wsl2]\ninstanceIdleTimeout=-1\n", 15.0, 60.0),
        ("[general]\ninstanceIdleTimeout=soon\n", 15.0, 60.0),
        ("\ufeff[General]\r\nInstanceIdleTimeout = 2500 # comment\r\n", 2.5, 60.0),
    ],
)
def test_timers_of_wslconfig(tmp_path: Path, text: str, instance: float | None, machine: float | None) -> None:
    file = tmp_path / ".wslconfig"
    file.write_text(text, encoding="utf-8")
    assert read_timers(file, IdleTimers()) == IdleTimers(instance, machine)


def test_wsl_conf() -> None:
    conf = parse_wsl_conf(
        '# comment\n[boot]\nsystemd=true\ncommand = "service x start"\n[user]\ndefault=steam # me\n'
        "[interop]\nappendWindowsPath = False\n[network]\nhostname=box\nnonsense\n"
    )
    assert conf == WslConf(
        systemd=True,
        boot_command="service x start",
        default_user="steam",
        hostname="box",
        append_windows_path=False,
    )
    assert parse_wsl_conf("[boot]\nsystemd=maybe\n") == WslConf()


def test_registrations_survive_and_keep_users_apart(tmp_path: Path) -> None:
    registrations = FileRegistrations(tmp_path / "lxss.json")
    first, second = (Registration(new_guid(), name, f"C:\\{name}") for name in ("one", "two"))
    registrations.add("S-1", first)
    registrations.add("S-1", second)
    again = FileRegistrations(tmp_path / "lxss.json")
    assert again.registered("S-1") == [first, second]
    assert again.registered("S-2") == []
    assert again.default("S-1") == first.guid
    again.remove("S-1", first.guid)
    assert registrations.default("S-1") == second.guid


def test_message_encoding() -> None:
    assert messages.encode("a\nb", {}) == "a\r\nb".encode("utf-16-le")
    assert messages.encode("é\n", {"wsl_utf8": "1"}) == "é\r\n".encode()
