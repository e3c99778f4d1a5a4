"""cmd.exe of the twin, line by line; the expected texts are those of an English Windows 11."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.twin.windows_box import Box, Done, collect

NOT_RECOGNIZED = "'{}' is not recognized as an internal or external command,\noperable program or batch file.\n"


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.mark.parametrize(
    ("line", "out"),
    [
        ("echo hi", "hi\n"),
        ("ECHO hi", "hi\n"),
        ("@echo hi", "hi\n"),
        ("echo.", "\n"),
        ("echo.hi", "hi\n"),
        ("echo", "ECHO is on.\n"),
        ("echo   two  blanks ", "  two  blanks \n"),
        ('echo "a & b"', '"a & b"\n'),
        ("echo a ^& b ^| c ^> d ^< e ^^ f", "a & b | c > d < e ^ f\n"),
        ('echo "no ^ escape"', '"no ^ escape"\n'),
        ("echo a&echo b", "a\nb\n"),
        ("echo a && echo b", "a \nb\n"),
        ("echo a || echo b", "a \n"),
        ("exit 0 && echo b", ""),
        ("nosuch 2>nul || echo no", "no\n"),
        ("nosuch 2>nul & echo then", "then\n"),
        ("(echo a & echo b)", "a \nb\n"),
        ("(echo a & echo b) | findstr b", "b\n"),
        ("echo %NOSUCH%", "%NOSUCH%\n"),
        ("echo 100%", "100%\n"),
        ("echo 50% of %USERNAME% is %", "50% of Steam is %\n"),
        ("echo %username%", "Steam\n"),
        ("echo %USERNAME:e=3%", "St3am\n"),
        ("echo %USERNAME:~1,2%", "te\n"),
        ("echo %USERNAME:~-2%", "am\n"),
        ("set ZA=1& echo %ZA%", "%ZA%\n"),
        ("set ZA=1& cmd /c echo %ZA%", "1\n"),
        ("set ZA=1& set ZA", "ZA=1\n"),
        ("set ZA=1 & set ZA", "ZA=1 \n"),
        ('set "ZA=1" & set ZA', "ZA=1\n"),
        ("set ZA=x=y& set ZA", "ZA=x=y\n"),
        ("cd \\ & cd", "C:\\\n"),
        ("cd /d C:\\WINDOWS & cd", "C:\\Windows\n"),
        ("cd", "C:\\Users\\Steam\n"),
        ("pushd C:\\Windows & cd & popd & cd", "C:\\Windows\nC:\\Users\\Steam\n"),
        ("ver", "\nMicrosoft Windows [Version 10.0.26100.4652]\n"),
        ("hostname", "VENGEANCE\n"),
        ("whoami", "vengeance\\steam\n"),
        ("rem nothing & echo x", ""),
        ("title x & echo x", "x\n"),
        ("if 1==1 echo yes", "yes\n"),
        ("if 1==2 (echo yes) else echo no", "no\n"),
        ("if /i A==a echo yes", "yes\n"),
        ("if not exist C:\\nosuch echo none", "none\n"),
        ("if exist C:\\windows (echo there)", "there\n"),
        ("if defined USERNAME echo set", "set\n"),
        ("if 10 gtr 9 echo more", "more\n"),
        ('if "%USERNAME%"=="Steam" (if 2 lss 3 (echo both))', "both\n"),
        ('cmd /c "echo a"', "a\n"),
        ('cmd /d /s /c "echo "a" & echo b"', '"a" \nb\n'),
        ('cmd /c ""hostname" & "whoami""', "VENGEANCE\nvengeance\\steam\n"),
        ("call hostname", "VENGEANCE\n"),
        ("chcp", "Active code page: 65001\n"),
        ("echo b>x.txt & echo a>>x.txt & sort x.txt", "a \nb \n"),
        ("echo one two | findstr two", "one two \n"),
        ("echo one two | find /c \"two\"", "1\n"),
        ("more < C:\\hosts | findstr /n /b #", "1:# localhost\n"),
        ("echo a>NUL", ""),
        ("echo a>C:\\Users\\nul", ""),
        ("type nul", ""),
        ("where hostname", "C:\\Windows\\System32\\hostname.exe\n"),
        ("C:\\Windows\\System32\\HOSTNAME.EXE", "VENGEANCE\n"),
        ("cd /d C:\\Windows\\System32 && .\\hostname.exe", "VENGEANCE\n"),
        ('"hostname"', "VENGEANCE\n"),
        ("echo x 1>&2 2>nul", ""),
        ("nosuch 2>&1 | find /c \"recognized\"", "1\n"),
    ],
)  # fmt: skip
def test_a_line_prints(box: Box, line: str, out: str) -> None:
    (box.drive_c / "hosts").write_bytes(b"# localhost\nother\n")
    done = box.run(line)
    assert (done.code, done.out) == (0, out)


@pytest.mark.parametrize(
    ("line", "code", "err"),
    [
        ("nosuch", 1, NOT_RECOGNIZED.format("nosuch")),
        ("nosuch 2>nul && echo yes", 1, ""),
        ("set ZA=1& set ZA=& set ZA", 1, "Environment variable ZA not defined\n"),
        ("nosuch.exe a b", 1, NOT_RECOGNIZED.format("nosuch.exe")),
        ("C:\\Windows\\nosuch", 1, NOT_RECOGNIZED.format("C:\\Windows\\nosuch")),
        ("C:\\nosuch\\x.exe", 1, "The system cannot find the path specified.\n"),
        ("type C:\\nosuch.txt", 1, "The system cannot find the file specified.\n"),
        ("type C:\\nosuch\\x.txt", 1, "The system cannot find the path specified.\n"),
        ("type C:\\Windows", 1, "Access is denied.\n"),
        ("echo x> C:\\Windows", 1, "Access is denied.\n"),
        ("echo x> C:\\nosuch\\x", 1, "The system cannot find the path specified.\n"),
        ('type "a|b"', 1, "The filename, directory name, or volume label syntax is incorrect.\n"),
        ("dir D:\\", 1, "The system cannot find the drive specified.\n"),
        ("type \\\\server\\share\\x", 1, "The network path was not found.\n"),
        ('type "C:\\System Volume Information\\x"', 1, "Access is denied.\n"),
        ("cd C:\\nosuch", 1, "The system cannot find the path specified.\n"),
        ("md C:\\Windows", 1, "A subdirectory or file C:\\Windows already exists.\n"),
        ("rd C:\\Users", 145, "The directory is not empty.\n"),
        ("rd C:\\nosuch", 2, "The system cannot find the file specified.\n"),
        ("del C:\\nosuch", 0, "Could Not Find C:\\nosuch\n"),
        ("set NOSUCH", 1, "Environment variable NOSUCH not defined\n"),
        ("exit 67", 67, ""),
        ("exit /b 5", 5, ""),
        ("exit -1", 0xFFFFFFFF, ""),
        ("cmd /c exit 3", 3, ""),
        ("cmd /c exit 3 & exit /b", 3, ""),
        ("& echo x", 1, "& was unexpected at this time.\n"),
        ("echo x &&", 1, "The syntax of the command is incorrect.\n"),
        ("echo x | | echo y", 1, "The syntax of the command is incorrect.\n"),
        ("(echo x", 1, "The syntax of the command is incorrect.\n"),
        ("echo x >", 1, "The syntax of the command is incorrect.\n"),
        ("timeout /t 1", 1, "ERROR: Input redirection is not supported, exiting the process immediately.\n"),
        ("wsl --version", 1, "The file cannot be accessed by the system.\n"),
        ("for %i in (1) do echo %i", 1, "The twin's cmd.exe does not model the command FOR.\n"),
        ("cmd /v:on /c echo !X!", 1, "The twin's cmd.exe has no delayed expansion (/V:ON).\n"),
    ],
)  # fmt: skip
def test_a_line_fails(box: Box, line: str, code: int, err: str) -> None:
    done = box.run(line)
    assert (done.code, done.err) == (code, err)


def test_quotes_stay_around_one_program_with_a_blank_in_its_path(box: Box) -> None:
    (box.drive_c / "Program Files/Tool").mkdir()
    line = '"C:\\Program Files\\Tool\\hostname" x'
    (box.drive_c / "Program Files/Tool/hostname.exe").write_bytes(b"MZ")
    # It is found (and has no model), so the quotes were not taken away.
    assert box.run(line).err == "The twin has no model of the program C:\\Program Files\\Tool\\hostname.exe.\n"


def test_quotes_are_taken_from_a_line_with_more_than_one_pair(box: Box) -> None:
    done = box.run('"C:\\Program Files\\WSL\\wsl.exe" --exec /bin/sh -c "echo hi"')
    assert done.code == 1
    assert done.err.startswith("'C:\\Program' is not recognized")


def test_the_longest_line_that_fits_and_one_more(box: Box) -> None:
    assert box.run("echo " + "x" * (8191 - 5)).out == "x" * (8191 - 5) + "\n"
    done = box.run("echo " + "x" * (8192 - 5))
    assert (done.code, done.err) == (1, "The command line is too long.\n")


def test_a_line_that_grows_by_expansion_is_too_long_too(box: Box) -> None:
    done = box.run("echo %BIG%%BIG%%BIG%", environment={"BIG": "x" * 4000})
    assert (done.code, done.err) == (1, "The input line is too long.\n")


@pytest.mark.parametrize(
    ("codepage", "expected"),
    [(65001, "Zürich €"), (437, "Zürich ?"), (1252, "Zürich €")],
)
def test_output_is_in_the_code_page(box: Box, codepage: int, expected: str) -> None:
    codec = {65001: "utf-8", 437: "cp437", 1252: "cp1252"}[codepage]
    done = box.run("echo Zürich €", codepage=codepage)
    assert done.stdout == (expected + "\r\n").encode(codec)


def test_chcp_changes_the_code_page_of_what_follows(box: Box) -> None:
    assert box.run("chcp 65001>nul & echo ä", codepage=437).stdout == "ä\r\n".encode()
    assert box.run("chcp 99999").out == "Invalid code page\n"


def test_a_file_comes_back_byte_for_byte(box: Box) -> None:
    raw = bytes(range(256)) * 5000
    (box.drive_c / "raw.bin").write_bytes(raw)
    assert box.run("type C:\\raw.bin").stdout == raw
    assert box.run("type C:\\raw.bin > C:\\copy.bin & exit 0").code == 0
    assert (box.drive_c / "copy.bin").read_bytes() == raw


def test_type_turns_utf_16_into_the_code_page(box: Box) -> None:
    (box.drive_c / "u.txt").write_bytes("\ufeffgrün\r\n".encode("utf-16-le"))
    assert box.run("type C:\\u.txt").out == "grün\n"


def test_files_are_made_copied_moved_and_removed(box: Box) -> None:
    assert box.run("md C:\\a\\b\\c && echo one> C:\\a\\b\\c\\One.txt").code == 0
    assert (box.drive_c / "a/b/c/One.txt").read_bytes() == b"one\r\n"
    assert box.run("copy C:\\A\\B\\C\\one.TXT C:\\a\\two.txt").out == "        1 file(s) copied.\n"
    assert box.run("move C:\\a\\two.txt C:\\a\\b").out == "        1 file(s) moved.\n"
    assert box.run("ren C:\\a\\b\\two.txt THREE.txt").code == 0
    assert box.run("dir /b C:\\a\\b").out == "c\nTHREE.txt\n"
    assert box.run("del C:\\a\\b\\*.txt & dir /b C:\\a\\b").out == "c\n"
    assert box.run("rd /s /q C:\\a").code == 0
    assert not (box.drive_c / "a").exists()


def test_dir_counts_files_and_bytes(box: Box) -> None:
    (box.drive_c / "d").mkdir()
    (box.drive_c / "d/x.txt").write_bytes(b"12345")
    out = box.run("dir C:\\d").out
    assert " Directory of C:\\d\n" in out
    assert "               1 File(s)              5 bytes\n" in out
    assert box.run("dir C:\\d\\*.exe").err == "File Not Found\n"


def test_stdin_reaches_set_p_and_more(box: Box) -> None:
    assert box.run("set /p X=ask & set X", b"an answer\r\nrest\r\n").out == "ask" + "X=an answer\n"
    assert box.run("more", b"a\nb\n").stdout == b"a\r\nb\r\n"
    assert box.run("set /p X= & more", b"first\nsecond\n").out == "second\n"


def test_input_arrives_in_pieces_and_output_at_once(box: Box) -> None:
    process, output = box.start("more")
    process.write(b"on")
    process.write(b"e\n")
    pieces, code = output.take(1000, 5)
    assert (b"".join(data for _, data in pieces), code) == (b"one\r\n", None)
    process.close_stdin()
    assert output.wait(5) == 0


def test_a_command_that_never_ends_is_killed_with_its_children(box: Box) -> None:
    process, output = box.start("ping -t 127.0.0.1 | findstr nothing")
    deadline = time.monotonic() + 5
    while len(box.windows.state.processes) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    images = sorted(p.image.rpartition("\\")[2] for p in box.windows.state.processes.values())
    assert images == ["cmd.exe", "findstr.exe", "ping.exe"]
    process.terminate()
    assert output.wait(5) == 1
    while box.windows.state.processes and time.monotonic() < deadline:
        time.sleep(0.01)
    assert box.windows.state.processes == {}
    process.terminate()
    process.write(b"too late")


def test_a_pipe_ends_when_its_reader_has_enough(box: Box) -> None:
    (box.drive_c / "big.txt").write_bytes(b"line\r\n" * 2_000_000)
    started = time.monotonic()
    assert box.run("type C:\\big.txt | cmd /c exit 4").code == 4
    assert time.monotonic() - started < 5


def test_a_background_program_outlives_the_command(box: Box) -> None:
    started = time.monotonic()
    done = box.run("start /b ping -n 4 127.0.0.1 >nul & echo then")
    assert done.out == "then\n"
    assert time.monotonic() - started < 2
    assert [p.image for p in box.windows.state.processes.values()] == [
        "C:\\Windows\\System32\\PING.EXE".replace("PING.EXE", "ping.exe")
    ]
    box.windows.stop_all()


def test_a_full_disk_stops_a_redirection_and_keeps_the_rest(box: Box) -> None:
    box.windows.state.set_free_bytes(3)
    done = box.run("echo 123456> C:\\x.txt")
    assert (done.code, done.err) == (1, "There is not enough space on the disk.\n")
    assert (box.drive_c / "x.txt").read_bytes() == b""
    box.windows.state.set_free_bytes(None)
    assert box.run("echo 123456> C:\\x.txt").code == 0


def test_cmd_without_a_command_reads_lines(box: Box) -> None:
    done = box.run("cmd", b"echo one\r\nexit 7\r\n")
    assert done.code == 7
    assert "\nC:\\Users\\Steam>echo one\none\n" in done.out


def test_a_working_directory_that_is_none_is_an_error(box: Box) -> None:
    with pytest.raises(NotADirectoryError):
        box.start("ver", cwd="C:\\nosuch")
    assert box.run("cd", cwd="c:\\windows\\TEMP").out == "C:\\Windows\\Temp\n"


def test_a_restart_is_scheduled_once_and_can_be_taken_back(box: Box) -> None:
    assert box.run("shutdown /r /t 60 /c because").code == 0
    again = box.run("shutdown.exe /r /t 60")
    assert (again.code, again.err) == (1190, "A system shutdown has already been scheduled.(1190)\n")
    assert box.run("shutdown /a").code == 0
    assert box.run("shutdown /a").code == 1116
    assert box.run("shutdown -r -t 0").code == 0
    deadline = time.monotonic() + 5
    while not box.restarts and time.monotonic() < deadline:
        time.sleep(0.01)
    assert box.restarts == [True]


def test_output_after_the_end_of_a_killed_program_is_dropped(box: Box) -> None:
    process, output = box.start("ping -n 3 127.0.0.1")
    output.take(10_000, 5)
    process.terminate()
    time.sleep(0.1)
    assert collect(output) == Done(1, b"", b"")
