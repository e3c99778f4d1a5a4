"""wsl.exe over a real distro: exit codes, streams, encodings, users, and when a distro stops."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.twin.linux_side import NAME, SID, LinuxSide, ended, linux_side, processes_with, until
from vengeance.twin.process import ProcessOutput, Start

FAILED = 0xFFFFFFFF


@pytest.fixture(scope="module")
def linux() -> Iterator[LinuxSide]:
    with linux_side() as side:
        yield side


def test_a_program_runs_as_the_given_user_in_the_given_folder_with_wsls_environment(linux: LinuxSide) -> None:
    done = linux.run(f"-d {NAME} -u root --cd /tmp --exec /usr/bin/env -0", PATH="C:\\Windows\\System32;D:\\none")
    variables = dict(item.split("=", 1) for item in done.text.split("\0") if item)
    assert done.code == 0
    assert variables["WSL_DISTRO_NAME"] == NAME
    assert variables["HOME"] == "/root"
    assert variables["USER"] == "root"
    assert variables["LANG"] == "C.UTF-8"
    assert variables["PATH"].endswith(":/usr/lib/wsl/lib:/mnt/c/Windows/System32")
    assert linux.run(f"-d {NAME} -u root --cd /tmp --exec pwd").text == "/tmp\n"
    assert linux.run("--exec /usr/bin/id -un").text == "steam\n"


def test_the_folder_is_the_windows_one_unless_cd_is_given(linux: LinuxSide) -> None:
    assert linux.run("--exec pwd").text == "/mnt/c/Users/Steam\n"
    assert linux.run("--cd ~ --exec pwd").text == "/home/steam\n"
    assert linux.run("~ --exec pwd").text == "/home/steam\n"
    assert linux.run('--cd "C:\\Windows" --exec pwd').text == "/mnt/c/Windows\n"


def test_a_folder_that_cannot_be_entered_is_logged_and_the_program_still_runs(linux: LinuxSide) -> None:
    done = linux.run("--cd /nowhere --exec pwd")
    assert (done.code, done.text) == (0, "/\n")
    assert b"chdir(/nowhere) failed 2" in done.stderr


@pytest.mark.parametrize("code", [0, 1, 42, 66, 68, 86, 88, 255])
def test_the_exit_code_of_the_program_is_the_exit_code(linux: LinuxSide, code: int) -> None:
    assert linux.run(f'--exec /bin/sh -c "exit {code}"').code == code


def test_the_exit_codes_67_and_87_become_errors_of_wsl(linux: LinuxSide) -> None:
    missing_user = linux.run('--exec /bin/sh -c "exit 67"')
    assert missing_user.code == FAILED
    assert missing_user.text == "User not found.\r\nError code: Wsl/WSL_E_USER_NOT_FOUND\r\n"
    no_terminal = linux.run('--exec /bin/sh -c "exit 87"')
    assert no_terminal.code == FAILED
    assert no_terminal.text.endswith("Error code: Wsl/WSL_E_TTY_LIMIT\r\n")


def test_a_program_ended_by_a_signal_gives_the_bare_number(linux: LinuxSide) -> None:
    assert linux.run('--exec /bin/sh -c "kill -9 $$"').code == 9


def test_a_program_that_is_not_there_is_said_on_stderr_and_gives_one(linux: LinuxSide) -> None:
    done = linux.run("--exec /no/such/program")
    assert (done.code, done.stdout) == (1, b"")
    assert b"execvpe(/no/such/program) failed: No such file or directory" in done.stderr


def test_an_unknown_user_fails_on_stdout(linux: LinuxSide) -> None:
    done = linux.run("-u nobody-here --exec true")
    assert (done.code, done.text) == (FAILED, "User not found.\r\nError code: Wsl/WSL_E_USER_NOT_FOUND\r\n")


def test_messages_are_utf16_on_stdout_unless_wsl_utf8_is_one(linux: LinuxSide) -> None:
    text = "There is no distribution with the supplied name.\r\nError code: Wsl/Service/WSL_E_DISTRO_NOT_FOUND\r\n"
    wide = linux.run("-d Nope --exec true", WSL_UTF8="0")
    assert (wide.code, wide.stdout, wide.stderr) == (FAILED, text.encode("utf-16-le"), b"")
    assert linux.run("-d Nope --exec true").stdout == text.encode()


def test_output_of_linux_programs_is_never_recoded(linux: LinuxSide) -> None:
    every_byte = bytes(range(256))
    done = linux.run("--exec /bin/cat", every_byte, WSL_UTF8="0")
    assert (done.code, done.stdout) == (0, every_byte)


def test_five_megabytes_of_binary_stdin_arrive_whole(linux: LinuxSide) -> None:
    data = os.urandom(5_000_000)
    assert linux.run("--exec /usr/bin/sha256sum", data).text.split()[0] == hashlib.sha256(data).hexdigest()
    assert linux.run("--exec /bin/cat", data).stdout == data


def test_exec_passes_arguments_without_a_shell_and_the_rest_goes_through_one(linux: LinuxSide) -> None:
    line = r'''--exec /usr/bin/printf "%s\n" "two words" "quote\"d" "" $HOME ';' "back\\"'''
    assert linux.run(line).text == "two words\nquote\"d\n\n$HOME\n';'\nback\\\n"
    assert linux.run("echo $HOME; echo two").text == "/home/steam\ntwo\n"
    assert linux.run("-- echo 'single  blanks' \"$USER\"").text == "single  blanks steam\n"


def test_values_of_d_and_u_keep_their_quotes(linux: LinuxSide) -> None:
    assert linux.run(f'-d "{NAME}" --exec true').code == FAILED
    assert linux.run('-u "root" --exec true').code == FAILED


def test_unknown_options_and_missing_values_fail(linux: LinuxSide) -> None:
    assert linux.run("--frobnicate").text.startswith("Invalid command line argument: --frobnicate\r\n")
    assert linux.run("-d").text.startswith("Command line argument --distribution requires a value.\r\n")
    assert linux.run("--exec").text.endswith("Error code: Wsl/E_INVALIDARG\r\n")
    assert linux.run("--help").code == FAILED


def test_lists(linux: LinuxSide) -> None:
    linux.run("--exec true")
    assert linux.run("--list --quiet").text == f"{NAME}\r\n"
    assert linux.run("-l").text == f"Windows Subsystem for Linux Distributions:\r\n{NAME} (Default)\r\n"
    rows = linux.run("-l -v").text.splitlines()
    assert [row.split() for row in rows] == [["NAME", "STATE", "VERSION"], ["*", NAME, "Running", "2"]]
    assert linux.run("--list --quiet --running").text == f"{NAME}\r\n"
    assert linux.run("--status").text.startswith(f"Default Distribution: {NAME}\r\nDefault Version: 2\r\n")
    assert linux.run("--version").text.startswith("WSL version: 2.")


def test_another_windows_user_has_no_distros_and_local_system_is_refused(linux: LinuxSide) -> None:
    empty = linux.run("--list --quiet", user="Guest")
    assert (empty.code, empty.stdout) == (0, b"")
    none = linux.run("--list", user="Guest")
    assert none.code == FAILED
    assert none.text.startswith("Windows Subsystem for Linux has no installed distributions.\r\n")
    assert linux.run("--exec true", user="Guest").code == FAILED
    refused = linux.run("--list --quiet", user="SYSTEM")
    assert refused.code == FAILED
    assert "WSL_E_LOCAL_SYSTEM_NOT_SUPPORTED" in refused.text


def test_output_is_seen_while_the_program_runs_and_input_arrives_in_pieces(linux: LinuxSide) -> None:
    process, output = linux.begin('--exec /bin/sh -c "while read line; do echo got $line; done; echo over; exit 5"')
    process.write(b"one\n")
    assert _next_output(output) == b"got one\n"
    process.write(b"two")
    process.write(b"\n")
    assert _next_output(output) == b"got two\n"
    process.close_stdin()
    assert ended(output).code == 5


def test_ten_megabytes_of_output_come_whole(linux: LinuxSide) -> None:
    done = linux.run('--exec /bin/sh -c "head -c 10000000 /dev/zero; echo end >&2"')
    assert (done.code, len(done.stdout), done.stderr) == (0, 10_000_000, b"end\n")


def test_a_background_child_does_not_hold_wsl_and_gets_a_hangup_unless_it_left_the_session(linux: LinuxSide) -> None:
    started = time.monotonic()
    assert linux.run('--exec /bin/sh -c "sleep 3001 & echo on"').text == "on\n"
    assert linux.run('--exec /bin/sh -c "setsid -f sleep 3002; sleep 0.3; echo on"').text == "on\n"
    assert time.monotonic() - started < 5
    assert until(lambda: not processes_with("sleep\0003001"))
    assert processes_with("sleep\0003002")
    linux.outside("pkill", "-f", "sleep 3002")


def test_a_program_finds_a_terminal_at_dev_tty_though_its_streams_are_pipes(linux: LinuxSide) -> None:
    done = linux.run('--exec /bin/sh -c "test -t 0 || echo no terminal on stdin; : < /dev/tty && echo a terminal"')
    assert done.text == "no terminal on stdin\na terminal\n"


def test_killing_wsl_leaves_the_linux_program_running_with_its_pipes_closed(linux: LinuxSide) -> None:
    process, output = linux.begin('--exec /bin/sh -c "echo up; cat; exec sleep 3003"')
    assert _next_output(output) == b"up\n"
    process.terminate()
    assert output.wait(5) is not None
    assert until(lambda: bool(processes_with("sleep\0003003"))), "cat did not see the end of its input"
    linux.outside("pkill", "-f", "sleep 3003")
    process.terminate()


def test_killing_wsl_with_a_program_that_does_not_read_does_not_hang(linux: LinuxSide) -> None:
    process, output = linux.begin("--exec sleep 3004")
    process.write(bytes(3_000_000))
    process.terminate()
    assert output.wait(5) is not None
    linux.outside("pkill", "-f", "sleep 3004")


def test_wslenv_shares_variables(linux: LinuxSide) -> None:
    done = linux.run(
        '--exec /bin/sh -c "echo $PLAIN $FOLDER $BACK"',
        WSLENV="PLAIN:FOLDER/p:BACK/w",
        PLAIN="a b",
        FOLDER="C:\\users",
        BACK="hidden",
    )
    assert done.text == "a b /mnt/c/Users\n"


def test_terminate_ends_clients_and_the_next_command_starts_anew(linux: LinuxSide) -> None:
    linux.sh("touch /run/was-here")
    _, output = linux.begin("--exec sleep 100")
    assert until(lambda: bool(processes_with("sleep\x00100")))
    done = linux.run(f"--terminate {NAME}")
    assert (done.code, done.text) == (0, "The operation completed successfully. \r\n")
    assert ended(output, 5).code != 0
    stopped = linux.run("--list --running")
    assert (stopped.code, stopped.text) == (FAILED, "There are no running distributions.\r\n")
    assert linux.sh("test -e /run/was-here || echo fresh").text == "fresh\n"


def test_shutdown_prints_nothing_and_takes_the_network_away(linux: LinuxSide) -> None:
    linux.run("--exec true")
    namespace = Path("/run/netns") / f"vg-{linux.host.identity}"
    assert namespace.exists() == linux.host.abilities.network
    done = linux.run("--shutdown")
    assert (done.code, done.stdout, done.stderr) == (0, b"", b"")
    assert not namespace.exists()
    assert linux.run("--list --running --quiet").stdout == b""


def test_import_set_default_manage_and_unregister(linux: LinuxSide) -> None:
    tarball = linux.drive_c / "Users/Steam/image.tar"
    small = linux.host.folder / "small"
    for folder in ("bin", "etc", "usr/bin"):
        (small / folder).mkdir(parents=True)
    (small / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n", encoding="utf-8")
    assert os.system(f"tar -C {small} -cf {tarball} .") == 0
    done = linux.run(r"--import small C:\Users\Steam\small image.tar --version 2")
    assert done.code == 0
    assert done.text.endswith("The operation completed successfully. \r\n")
    assert (linux.drive_c / "Users/Steam/small/ext4.vhdx").exists()
    assert linux.run(r"--import small C:\Users\Steam\small2 image.tar").text.endswith(
        "Error code: Wsl/Service/RegisterDistro/ERROR_ALREADY_EXISTS\r\n"
    )
    assert not (linux.drive_c / "Users/Steam/small2").exists()
    (linux.drive_c / "Users/Steam/no.tar").write_bytes(b"this is no tarball at all" * 100)
    assert linux.run(r"--import bad C:\Users\Steam\bad no.tar").code == FAILED
    assert sorted(linux.run("-l -q").text.split()) == [NAME, "small"]
    assert linux.run("--set-default small").code == 0
    assert linux.run("-l -q").text.split() == ["small", NAME]
    assert linux.run(f"-s {NAME}").code == 0
    assert linux.run("--unregister small").text == "Unregistering.\r\nThe operation completed successfully. \r\n"
    assert linux.run("-l -q").text.split() == [NAME]
    assert linux.run("--unregister small").code == FAILED
    assert linux.run(f"--manage {NAME} --set-default-user root").code == 0
    assert linux.run("--exec /usr/bin/id -un").text == "root\n"
    assert linux.run(f"--manage {NAME} --set-default-user nobody-here").code == 1
    assert linux.run(f"--manage {NAME} --set-default-user steam").code == 0
    assert linux.service.registrations.registered(SID)[0].default_uid == 1000


def test_import_from_stdin(linux: LinuxSide) -> None:
    tarball = (linux.drive_c / "Users/Steam/image.tar").read_bytes()
    assert linux.run(r"--import piped C:\Users\Steam\piped -", tarball).code == 0
    assert linux.run("--unregister piped").code == 0


def test_a_default_user_in_wsl_conf_counts_from_the_next_start(linux: LinuxSide) -> None:
    linux.sh("printf '[user]\\ndefault=root\\n' >> /etc/wsl.conf")
    assert linux.run("--exec id -un").text == "steam\n"
    linux.run(f"--terminate {NAME}")
    assert linux.run("--exec id -un").text == "root\n"
    linux.sh("printf '[boot]\\nsystemd=true\\n' > /etc/wsl.conf")
    linux.run(f"--terminate {NAME}")


def test_many_at_once(linux: LinuxSide) -> None:
    running = [linux.begin(f'--exec /bin/sh -c "cat; exit {index}"') for index in range(12)]
    for index, (process, _) in enumerate(running):
        process.write(f"number {index}".encode())
        process.close_stdin()
    results = [ended(output) for _, output in running]
    assert [(one.code, one.text) for one in results] == [(index, f"number {index}") for index in range(12)]


def test_a_restart_of_windows_cuts_the_power(linux: LinuxSide) -> None:
    _, output = linux.begin("--exec sleep 100")
    assert until(lambda: bool(processes_with("sleep\x00100")))
    linux.wsl.terminate_all()
    assert output.wait(5) is not None
    assert not linux.host.machine_runs
    assert linux.run("--exec true").code == 0


def test_a_distro_nobody_uses_stops_after_fifteen_seconds_and_its_machine_a_minute_later() -> None:
    with linux_side(systemd=False, time_scale=0.02) as side:
        _, output = side.begin("--exec sleep 1")
        assert ended(output).code == 0
        at = time.monotonic()
        assert until(lambda: side.run("--list --running --quiet").stdout == b"", 5)
        assert 0.2 < time.monotonic() - at < 5
        assert side.host.machine_runs
        assert until(lambda: not side.host.machine_runs, 5)
        assert time.monotonic() - at > 1.3
        assert side.run("--exec true").code == 0


def test_wslconfig_with_negative_timeouts_keeps_the_distro_alive() -> None:
    with linux_side(systemd=False, time_scale=0.01) as side:
        text = "[general]\ninstanceIdleTimeout = -1\n[wsl2]\nvmIdleTimeout=-1\n"
        (side.drive_c / "Users/Steam/.wslconfig").write_text(text, encoding="utf-8")
        side.run("--exec true")
        time.sleep(0.8)
        assert side.run("--list --running --quiet").text == f"{NAME}\r\n"


def test_a_client_keeps_the_distro_alive_and_a_background_program_does_not() -> None:
    with linux_side(systemd=False, time_scale=0.02) as side:
        side.run('--exec /bin/sh -c "setsid -f sleep 3005; sleep 0.3"')
        process, output = side.begin("--exec cat")
        time.sleep(0.8)
        assert processes_with("sleep\0003005")
        process.close_stdin()
        assert ended(output).code == 0
        assert until(lambda: not processes_with("sleep\0003005"), 5)


def _next_output(output: ProcessOutput) -> bytes:
    pieces, _ = output.take(1 << 20, 10)
    return b"".join(data for _, data in pieces)


def test_start_needs_only_the_raw_text(linux: LinuxSide) -> None:
    output = ProcessOutput()
    linux.wsl.start("  --version", [], Start("wsl.exe --version", {}), output)
    assert ended(output).stdout.startswith("WSL version: ".encode("utf-16-le"))
