"""`@winrm`: Windows through pyinfra."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.connectors.conftest import WINDOWS, Pyinfra
from vengeance.twin.client import Twin


def test_a_fact_runs_in_one_powershell_however_many_are_asked(twin: Twin, pyinfra: Pyinfra, tmp_path: Path) -> None:
    deploy = tmp_path / "facts.py"
    deploy.write_text(
        "from pyinfra import host\n"
        "from vengeance.facts import windows\n"
        "for number in range(10):\n"
        "    assert host.get_fact(windows.Os)['build'] >= 22000\n"
        "    assert host.get_fact(windows.Boot)\n"
    )
    twin.log_reset()
    done = pyinfra.run(str(deploy), "--yes", "--limit", WINDOWS)
    assert done.returncode == 0, done.stderr
    counted = twin.log_snapshot()
    assert counted["process_starts"]["powershell.exe"] == 1
    assert counted["requests"] <= 40 + 12


def test_cmd_gets_its_line_as_it_was_written(twin: Twin, pyinfra: Pyinfra) -> None:
    done = pyinfra.execute(WINDOWS, 'echo "a & b" ^& %USERNAME% ^| ^< ^> ! \' $x', "--shell-executable", "cmd")
    assert done.returncode == 0, done.stderr
    assert '"a & b" & Steam | < > ! \' $x' in done.stderr


def test_cmd_exit_codes_and_failures_are_seen(twin: Twin, pyinfra: Pyinfra) -> None:
    assert pyinfra.execute(WINDOWS, "exit /b 7", "--shell-executable", "cmd").returncode == 1
    done = pyinfra.execute(WINDOWS, "no-such-program --x", "--shell-executable", "cmd")
    assert done.returncode == 1
    assert "is not recognized" in done.stderr


def test_a_child_that_reads_stdin_finds_it_empty(twin: Twin, pyinfra: Pyinfra) -> None:
    done = pyinfra.execute(WINDOWS, "more & echo after", "--shell-executable", "cmd")
    assert done.returncode == 0
    assert "after" in done.stderr


@pytest.mark.parametrize("argument", ["_sudo=True", "_su_user='x'", "_doas=True", "_get_pty=True"])
def test_what_windows_has_not_is_refused_in_a_sentence(pyinfra: Pyinfra, tmp_path: Path, argument: str) -> None:
    deploy = tmp_path / "refused.py"
    deploy.write_text(
        f"from pyinfra.operations import server\nserver.shell(name='x', commands=['hostname'], {argument})\n"
    )
    done = pyinfra.run(str(deploy), "--yes", "--limit", WINDOWS)
    assert done.returncode == 1
    assert "does not exist on Windows" in done.stderr
    assert "Traceback" not in done.stderr


def test_powershell_of_ones_own_says_that_the_twin_cannot_run_it(pyinfra: Pyinfra) -> None:
    done = pyinfra.execute(WINDOWS, "Get-ChildItem C:\\ | Sort-Object Name")
    assert done.returncode == 1
    assert "the twin does not interpret PowerShell" in done.stderr


FILES = """
from io import BytesIO
from pyinfra import host
from pyinfra.api import operation, FileUploadCommand, FileDownloadCommand

@operation()
def both(src, dest, back):
    yield FileUploadCommand(src, dest)
    yield FileDownloadCommand(dest, back)

both(name="both ways", src={src!r}, dest={dest!r}, back={back!r})
"""


@pytest.mark.parametrize("size", [0, 5, 1_000_000])
@pytest.mark.parametrize("name", ["plain.bin", "with space [1] (2) 'x' & ünï.bin"])
@pytest.mark.parametrize("mode", ["agent", "process"])
def test_files_go_both_ways(twin: Twin, pyinfra: Pyinfra, tmp_path: Path, size: int, name: str, mode: str) -> None:
    source, back, deploy = tmp_path / "source", tmp_path / "back", tmp_path / "files.py"
    source.write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    deploy.write_text(FILES.format(src=str(source), dest=f"C:\\Users\\Steam\\{mode}-{name}", back=str(back)))
    done = pyinfra.run(str(deploy), "--yes", "--limit", WINDOWS, winrm_mode=mode)
    assert done.returncode == 0, done.stderr
    there = twin.drive_c / "Users" / "Steam" / f"{mode}-{name}"
    assert there.read_bytes() == source.read_bytes() == back.read_bytes()
    assert not [entry for entry in there.parent.iterdir() if entry.name.endswith(".tmp")]


def test_a_relative_path_and_a_directory_are_refused(pyinfra: Pyinfra, tmp_path: Path) -> None:
    source, deploy = tmp_path / "source", tmp_path / "files.py"
    source.write_bytes(b"x")
    for destination, sentence in (("file.txt", "no absolute Windows path"), ("C:\\Windows", "is a directory")):
        deploy.write_text(FILES.format(src=str(source), dest=destination, back=str(tmp_path / "back")))
        done = pyinfra.run(str(deploy), "--yes", "--limit", WINDOWS)
        assert done.returncode == 1
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr


def test_a_full_disk_leaves_the_old_file_as_it_was(twin: Twin, pyinfra: Pyinfra, tmp_path: Path) -> None:
    there = twin.drive_c / "Users" / "Steam" / "full.bin"
    there.write_bytes(b"old")
    source, deploy = tmp_path / "source", tmp_path / "files.py"
    source.write_bytes(b"y" * 3_000_000)
    deploy.write_text(FILES.format(src=str(source), dest="C:\\Users\\Steam\\full.bin", back=str(tmp_path / "back")))
    twin.fault("disk_full", bytes=1_000_000)
    done = pyinfra.run(str(deploy), "--yes", "--limit", WINDOWS)
    twin.fault("clear")
    assert done.returncode == 1
    assert "not enough space on the disk" in done.stderr
    assert there.read_bytes() == b"old"
    assert not [entry for entry in there.parent.iterdir() if entry.name.endswith(".tmp")]


def test_an_agent_that_cannot_prove_itself_is_replaced_by_processes_with_one_warning(
    twin: Twin, pyinfra: Pyinfra, tmp_path: Path
) -> None:
    deploy = tmp_path / "facts.py"
    deploy.write_text(
        "from pyinfra import host\nfrom vengeance.facts import windows\n"
        "assert [host.get_fact(windows.Os)['hostname'] for number in range(3)] == ['VENGEANCE'] * 3\n"
    )
    twin.fault("add_type")
    done = pyinfra.run(str(deploy), "--yes", "--limit", WINDOWS)
    twin.fault("clear")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Going on with one PowerShell process a command") == 1
    assert "blocked by group policy" in done.stderr


def test_bad_connector_data_is_a_sentence(pyinfra: Pyinfra) -> None:
    for changes, sentence in (
        ({"winrm_port": "5986"}, "winrm_port"),
        ({"winrm_prot": 1}, "did you mean winrm_port"),
        ({"winrm_scheme": "http", "winrm_transport": "basic"}, "in the clear"),
    ):
        done = pyinfra.run("--limit", WINDOWS, "fact", "vengeance.facts.windows.Os", **changes)
        assert done.returncode != 0
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr


def test_a_wrong_password_is_tried_once_for_both_hosts_and_not_shown(twin: Twin, pyinfra: Pyinfra) -> None:
    twin.log_reset()
    done = pyinfra.run("--limit", WINDOWS, "-vvv", "--debug", "fact", "vengeance.facts.windows.Os", password="Wr0ng!pw")
    assert done.returncode == 1
    assert "refused the user 'Steam'" in done.stderr
    assert "Wr0ng!pw" not in done.stdout + done.stderr
    assert sum(twin.log_snapshot()["failed_logons"].values()) == 1


def test_no_output_of_pyinfra_shows_the_password(twin: Twin, pyinfra: Pyinfra) -> None:
    password = twin.status()["winrm"]["password"]
    runs = [
        pyinfra.run("-vvv", "--debug", "--yes", "fact", "vengeance.facts.windows.Os"),
        pyinfra.run("debug-inventory"),
        pyinfra.run("--json", "debug-inventory"),
        pyinfra.run("-vvv", "--debug", "--yes", "exec", "--", "hostname"),
    ]
    for done in runs:
        assert password not in done.stdout + done.stderr
    assert json.loads(runs[2].stdout)


def test_a_run_leaves_no_shell_on_the_box(twin: Twin, pyinfra: Pyinfra) -> None:
    # A run that was killed leaves one, for a quarter of an hour.
    before = twin.status()["shells"]
    pyinfra.run("--yes", "fact", "vengeance.facts.windows.Os")
    assert [one for one in twin.status()["shells"] if one["id"] not in {other["id"] for other in before}] == []
