"""A twin from outside: its command line, its daemon, its control socket, and pywinrm as a stranger who signs in."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import winrm
import winrm.exceptions

from vengeance.twin.client import Twin, TwinError, all_twins
from vengeance.twin.folders import control_socket, state_folder


def cli(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vengeance.twin", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )


def session(status: dict[str, Any], **options: Any) -> winrm.Session:
    endpoint = status["winrm"]
    options.setdefault("auth", (endpoint["user"], endpoint["password"]))
    return winrm.Session(endpoint["http"], transport="ntlm", **options)


def run(status: dict[str, Any], line: str) -> tuple[int, str, str]:
    answer = session(status).run_cmd(line)
    return answer.status_code, answer.std_out.decode(), answer.std_err.decode()


@pytest.fixture(scope="module")
def shared(twin_home: Path) -> Iterator[Twin]:
    one = Twin("cli")
    one.up(distro=False)
    yield one
    one.down()


@pytest.fixture
def status(shared: Twin) -> Iterator[dict[str, Any]]:
    yield shared.status()
    shared.fault("clear")


@pytest.fixture
def fresh(twin_home: Path) -> Iterator[Twin]:
    one = Twin(f"fresh-{time.monotonic_ns()}")
    yield one
    one.down()


# --- life ---


def test_up_says_where_it_listens_and_a_second_up_changes_nothing(shared: Twin, status: dict[str, Any]) -> None:
    done = cli("up", "--name", shared.name, "--json", "--no-distro")
    assert done.returncode == 0
    again = json.loads(done.stdout)
    assert again == status
    assert set(again) >= {"name", "state", "winrm", "distro", "ollama", "log", "control", "pid"}
    assert set(again["winrm"]) == {
        *("http", "https", "host", "http_port", "https_port", "user", "password", "certificate_sha256"),
    }
    assert again["distro"]["rung"] == "none"
    assert "--no-distro" in again["distro"]["missing"][0]


def test_a_twin_that_runs_other_code_is_started_again(fresh: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fresh.up(distro=False)
    assert fresh.up(distro=False)["pid"] == first["pid"]
    monkeypatch.setattr("vengeance.twin.client.fingerprint", lambda: "of an update")
    said: list[str] = []
    second = fresh.up(distro=False, on_progress=said.append)
    assert second["pid"] != first["pid"]
    assert second["winrm"] == first["winrm"]
    assert said[0] == f"The twin {fresh.name} runs the code from before an update; it is started again."


def test_a_rung_that_there_is_not_is_refused(fresh: Twin) -> None:
    done = cli("up", "--name", fresh.name, VENGEANCE_TWIN_RUNG="chrooot")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"vengeance: The twin {fresh.name} did not start: VENGEANCE_TWIN_RUNG is 'chrooot': "
        "use one of namespaces, delegated, chroot, none, or unset it.\n"
    )


def test_a_twin_that_cannot_be_is_said_by_pyinfra_in_one_sentence() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("pyinfra")), "inventory/twin.py", "debug-inventory"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "VENGEANCE_TWIN": "a b"},
    )
    assert done.returncode != 0
    assert "'a b' cannot be the name of a twin" in done.stderr
    assert "Traceback" not in done.stderr


def test_up_is_quick_without_a_distro(fresh: Twin) -> None:
    started = time.monotonic()
    fresh.up(distro=False)
    # 0.6 s on two idle cores; the rest is for a machine that has other things to do.
    assert time.monotonic() - started < 5


def test_two_ups_at_once_make_one_twin(fresh: Twin) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(Twin(fresh.name).up(distro=False)["pid"])) for _ in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1


def test_down_keeps_state_password_and_ports(fresh: Twin) -> None:
    before = fresh.up(distro=False)
    assert run(before, "setx KEPT yes & echo x> C:\\kept.txt")[0] == 0
    assert fresh.down() is True
    assert fresh.status() == {"name": fresh.name, "state": "stopped", "folder": str(fresh.folder)}
    assert not Path(before["control"]).exists()
    assert fresh.down() is False
    after = fresh.up(distro=False)
    assert after["winrm"] == before["winrm"]
    assert after["boot_time"] != before["boot_time"]
    assert run(after, "set KEPT & type C:\\kept.txt") == (0, "KEPT=yes\r\nx\r\n", "")


def test_a_killed_twin_comes_back(fresh: Twin) -> None:
    before = fresh.up(distro=False)
    os.kill(before["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 5
    while fresh.pid is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert fresh.status()["state"] == "stopped"
    with pytest.raises(TwinError, match="does not run"):
        fresh.log_snapshot()
    after = fresh.up(distro=False)
    assert after["pid"] != before["pid"]
    assert run(after, "hostname")[1] == "VENGEANCE\r\n"


def test_sigterm_ends_it_cleanly(fresh: Twin) -> None:
    before = fresh.up(distro=False)
    os.kill(before["pid"], signal.SIGTERM)
    deadline = time.monotonic() + 10
    while fresh.pid is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert fresh.pid is None
    assert not Path(before["control"]).exists()


def test_reset_brings_back_a_new_windows(fresh: Twin) -> None:
    before = fresh.up(distro=False)
    run(before, "setx GONE yes & echo x> C:\\gone.txt")
    fresh.fault("delay", milliseconds=1)
    after = fresh.reset()
    assert after["winrm"] == before["winrm"]
    assert after["faults"] == []
    assert run(after, "set GONE")[2] == "Environment variable GONE not defined\r\n"
    assert not (fresh.drive_c / "gone.txt").exists()
    fresh.down()
    (fresh.drive_c / "later.txt").write_text("x")
    assert fresh.reset()["state"] == "stopped"
    assert not fresh.drive_c.exists()


def test_each_twin_is_its_own(shared: Twin, status: dict[str, Any], fresh: Twin) -> None:
    other = fresh.up(distro=False)
    assert other["winrm"]["password"] != status["winrm"]["password"]
    assert other["winrm"]["http_port"] != status["winrm"]["http_port"]
    assert other["winrm"]["certificate_sha256"] != status["winrm"]["certificate_sha256"]
    run(other, "echo x> C:\\mine.txt")
    assert not (shared.drive_c / "mine.txt").exists()
    listed = json.loads(cli("list", "--json").stdout)["twins"]
    assert {(one["name"], one["state"]) for one in listed} >= {(shared.name, "running"), (fresh.name, "running")}
    assert {twin.name for twin in all_twins()} >= {shared.name, fresh.name}


def test_secrets_lie_in_files_of_their_owner(shared: Twin, status: dict[str, Any]) -> None:
    assert stat.S_IMODE(shared.folder.stat().st_mode) == 0o700
    for name in ("credentials.json", "ntlm-users"):
        assert stat.S_IMODE((shared.folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(os.stat(status["control"]).st_mode) == 0o600
    password = status["winrm"]["password"]
    assert len(password) >= 20
    for path in shared.folder.rglob("*"):
        if path.is_file() and path.name != "credentials.json":
            assert password.encode() not in path.read_bytes(), path
    assert password not in Path(f"/proc/{status['pid']}/cmdline").read_text()
    assert password not in Path(f"/proc/{status['pid']}/environ").read_text()


def test_a_long_path_gets_a_socket_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    monkeypatch.setenv("VENGEANCE_TWIN_HOME", str(deep))
    one = Twin("deep")
    try:
        status = one.up(distro=False)
        assert len(status["control"]) <= 107
        assert status["control"] == str(control_socket(one.folder))
        assert run(status, "echo far")[1] == "far\r\n"
    finally:
        one.down()


def test_a_state_that_cannot_be_read_is_named(fresh: Twin) -> None:
    fresh.up(distro=False)
    fresh.down()
    (fresh.folder / "windows.json").write_text("{ broken")
    with pytest.raises(TwinError, match="did not start") as caught:
        fresh.up(distro=False)
    assert str(fresh.folder / "daemon.log") in str(caught.value)
    assert str(fresh.folder / "windows.json") in str(caught.value)
    assert fresh.reset()["state"] == "stopped"
    assert fresh.up(distro=False)["state"] == "running"


def test_ports_that_somebody_took_are_replaced(fresh: Twin) -> None:
    before = fresh.up(distro=False)["winrm"]
    fresh.down()
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", before["http_port"]))
        thief.listen()
        after = fresh.up(distro=False)
        assert after["winrm"]["http_port"] != before["http_port"]
        assert run(after, "echo moved")[1] == "moved\r\n"


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "a b", "x" * 64])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a twin"):
        state_folder(name)
    done = cli("status", f"--name={name}")
    assert done.returncode == 1
    assert "cannot be the name of a twin" in done.stderr


# --- Windows behind it, through a stranger's client ---


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("echo hi", (0, "hi\r\n", "")),
        ("exit 67", (67, "", "")),
        ("exit -1", (0xFFFFFFFF, "", "")),
        ("whoami", (0, "vengeance\\steam\r\n", "")),
        ("powershell hostname", (0, "VENGEANCE\r\n", "")),
        ("type C:\\nosuch", (1, "", "The system cannot find the file specified.\r\n")),
    ],
)
def test_pywinrm_runs_commands(status: dict[str, Any], line: str, expected: tuple[int, str, str]) -> None:
    assert run(status, line) == expected


def test_pywinrm_run_ps_is_refused_unless_it_is_one_program(status: dict[str, Any]) -> None:
    answer = session(status).run_ps("whoami")
    assert (answer.status_code, answer.std_out) == (0, b"vengeance\\steam\r\n")
    answer = session(status).run_ps("Get-Service | Where Status -eq Running")
    assert (answer.status_code, answer.std_out) == (1, b"")
    assert b"does not interpret PowerShell" in answer.std_err


def test_tailscale_is_the_accounts_that_is_said(fresh: Twin) -> None:
    status = fresh.up(distro=False)
    program = '"C:\\Program Files\\Tailscale\\tailscale.exe" status --json'
    done = cli("tailscale", "--name", fresh.name, "Andi", "--json")
    assert json.loads(done.stdout)["owner"] == "Andi", done.stderr
    fresh.logon("Andi")
    code, _, complaint = run(status, program)
    assert (code, "401 Unauthorized: Tailscale already in use by VENGEANCE\\Andi" in complaint) == (1, True)
    assert cli("tailscale", "--name", fresh.name, "--out").stdout == "Andi is signed out of Tailscale.\n"
    code, said, _ = run(status, program)
    assert (code, json.loads(said)["BackendState"]) == (0, "NeedsLogin")


def test_a_wrong_password_is_refused(status: dict[str, Any]) -> None:
    with pytest.raises(winrm.exceptions.InvalidCredentialsError):
        session(status, auth=("Steam", "wrong")).run_cmd("ver")


def test_a_shell_keeps_its_environment_while_the_registry_changes(status: dict[str, Any], shared: Twin) -> None:
    protocol = session(status).protocol
    old = protocol.open_shell(codepage=65001, env_vars={"MINE": "é %x%"})

    def line(shell: str, text: str) -> bytes:
        command = protocol.run_command(shell, text)
        out, _, _ = protocol.get_command_output(shell, command)
        protocol.cleanup_command(shell, command)
        return bytes(out)

    assert line(old, "set MINE") == "MINE=é %x%\r\n".encode()
    line(old, "setx SHELLTEST new /M")
    assert line(old, "set SHELLTEST") == b""
    new = protocol.open_shell(codepage=65001)
    assert line(new, "set SHELLTEST") == b"SHELLTEST=new\r\n"
    for shell in (old, new):
        protocol.close_shell(shell)
    key = "HKLM\\SYSTEM\\CurrentControlSet\\Control\\Session Manager\\Environment"
    assert shared.windows_state()["registry"][key]["SHELLTEST"] == {"kind": "String", "value": "new"}


def test_a_shell_in_a_folder_that_is_not_there_gets_a_fault(status: dict[str, Any]) -> None:
    protocol = session(status).protocol
    shell = protocol.open_shell(working_directory="C:\\nosuch")
    with pytest.raises(winrm.exceptions.WSManFaultError):
        protocol.run_command(shell, "ver")
    protocol.close_shell(shell)


def test_closing_the_shell_ends_its_programs(status: dict[str, Any], shared: Twin) -> None:
    protocol = session(status).protocol
    shell = protocol.open_shell()
    protocol.run_command(shell, "ping -t 127.0.0.1")
    deadline = time.monotonic() + 5

    def images() -> list[str]:
        return [p["image"].rpartition("\\")[2] for p in shared.windows_state()["processes"]]

    while "ping.exe" not in images():
        assert time.monotonic() < deadline
    protocol.close_shell(shell)
    while "ping.exe" in images():
        assert time.monotonic() < deadline


def test_another_account_has_its_own_variables(status: dict[str, Any], shared: Twin) -> None:
    password = shared.add_account("Alyx")
    assert shared.add_account("Alyx") == password
    alyx = session(status, auth=("Alyx", password))
    assert alyx.run_cmd("whoami & cd").std_out == b"vengeance\\alyx\r\nC:\\Users\\Alyx\r\n"
    run(status, "setx MINE steam")
    assert alyx.run_cmd("set MINE").status_code == 1
    done = cli("account", "bad/name", "--name", shared.name)
    assert done.returncode == 1
    assert "bad/name" in done.stderr


# --- restart ---


def test_a_restart_by_program_drops_everything_and_changes_the_boot_time(fresh: Twin) -> None:
    before = fresh.up(distro=False)
    protocol = session(before).protocol
    shell = protocol.open_shell()
    protocol.run_command(shell, "ping -t 127.0.0.1")
    assert run(before, "shutdown /r /t 0")[0] == 0
    deadline = time.monotonic() + 20
    seen_away = False
    while fresh.status().get("boot_time") == before["boot_time"]:
        assert time.monotonic() < deadline
        try:
            socket.create_connection(("127.0.0.1", before["winrm"]["http_port"]), 0.2).close()
        except OSError:
            seen_away = True
        time.sleep(0.02)
    assert seen_away
    after = fresh.status()
    while True:
        try:
            assert run(after, "hostname")[1] == "VENGEANCE\r\n"
            break
        except requests.exceptions.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert after["winrm"] == before["winrm"]
    assert fresh.windows_state()["processes"] == []
    with pytest.raises(winrm.exceptions.WSManFaultError) as caught:
        session(after).protocol.run_command(shell, "ver")
    assert caught.value.wsman_fault_code == 2150858843


def test_a_restart_by_hand_takes_as_long_as_it_is_told(shared: Twin, status: dict[str, Any]) -> None:
    started = time.monotonic()
    boot_time = shared.reboot(seconds=0.5)
    assert 0.5 <= time.monotonic() - started < 5
    assert boot_time != status["boot_time"]
    assert shared.windows_state()["boot_time"] == boot_time
    assert run(status, "echo back")[1] == "back\r\n"


def test_switching_off_is_what_down_does(fresh: Twin) -> None:
    status = fresh.up(distro=False)
    run(status, "shutdown /s /t 0")
    deadline = time.monotonic() + 10
    while fresh.status()["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert fresh.up(distro=False)["winrm"] == status["winrm"]


# --- faults, limits, log ---


def test_faults_are_set_and_cleared_from_the_command_line(shared: Twin, status: dict[str, Any]) -> None:
    done = cli("fault", "--name", shared.name, "--json", "cut-after", "2", "delay", "5", "code", "3", "170")
    assert done.returncode == 0, done.stderr
    kinds = {rule["kind"]: rule for rule in json.loads(done.stdout)["faults"]}
    assert kinds["cut_after"]["request"] == 2
    assert kinds["delay"]["milliseconds"] == 5
    assert (kinds["fault"]["request"], kinds["fault"]["code"]) == (3, 170)
    with pytest.raises(requests.exceptions.ConnectionError):
        run(status, "echo cut")
    done = cli("fault", "--name", shared.name, "clear")
    assert (done.returncode, done.stdout) == (0, "No fault is set.\n")
    assert run(status, "echo whole")[1] == "whole\r\n"


def test_a_fault_can_be_for_one_action(shared: Twin, status: dict[str, Any]) -> None:
    assert cli("fault", "--name", shared.name, "--action", "Command", "code", "1", "2150858843").returncode == 0
    with pytest.raises(winrm.exceptions.WSManFaultError) as caught:
        run(status, "echo x")
    assert caught.value.wsman_fault_code == 2150858843
    assert run(status, "echo x")[0] == 0


def test_connections_are_refused_for_a_while(shared: Twin, status: dict[str, Any]) -> None:
    shared.fault("refuse", seconds=0.5)
    with pytest.raises(requests.exceptions.ConnectionError):
        run(status, "echo x")
    time.sleep(0.6)
    assert run(status, "echo x")[0] == 0


def test_the_disk_is_full_until_it_is_not(shared: Twin, status: dict[str, Any]) -> None:
    assert cli("fault", "--name", shared.name, "disk-full", "4").stdout == "4 bytes may still be written to C:\n"
    assert run(status, "echo 12345> C:\\full.txt")[2] == "There is not enough space on the disk.\r\n"
    assert shared.windows_state()["disk_free_bytes"] == 4
    assert cli("fault", "--name", shared.name, "disk-full", "off").returncode == 0
    assert run(status, "echo 12345> C:\\full.txt")[0] == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("explode",), "There is no fault 'explode'."),
        (("cut-before",), "cut-before needs the number of a request"),
        (("cut-before", "x"), "and 'x' is no number"),
        (("cut-before", "0"), "of at least 1, and 0 is less"),
        (("delay", "-1"), "of at least 0, and -1 is less"),
        (("delay", "nan"), "and nan is no finite number"),
        (("refuse", "inf"), "and inf is no finite number"),
        (("cut-after", "1.5"), "and 1.5 is no whole number"),
        (("disk-full", "1e999"), "and 1e999 is no whole number"),
        (("code", "1"), "code needs a fault code"),
    ],
)
def test_faults_that_make_no_sense(shared: Twin, words: tuple[str, ...], sentence: str) -> None:
    done = cli("fault", "--name", shared.name, "--", *words)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert shared.status()["faults"] == []


def test_the_log_counts_requests_bytes_and_program_starts(shared: Twin, status: dict[str, Any]) -> None:
    assert cli("log", "--name", shared.name, "--reset").returncode == 0
    run(status, "hostname & hostname")
    counters = json.loads(cli("log", "--name", shared.name, "--json", "--reset").stdout)
    assert counters["by_action"] == {"Create": 1, "Command": 1, "Receive": 1, "Signal": 1, "Delete": 1}
    assert counters["messages"] == 5
    assert counters["requests"] == 8
    assert counters["process_starts"] == {"cmd.exe": 1, "hostname.exe": 2}
    assert counters["bytes_in"] > 5000
    assert shared.log_snapshot()["requests"] == 0
    text = cli("log", "--name", shared.name)
    assert (text.returncode, text.stdout[:11]) == (0, "0 requests ")
    lines = [json.loads(line) for line in Path(status["log"]).read_text().splitlines()]
    assert lines[-1]["action"] == "Delete"


def test_limits_are_changed_while_it_runs(shared: Twin, status: dict[str, Any]) -> None:
    endpoint = status["winrm"]
    basic = requests.Session()
    basic.trust_env = False
    basic.verify = False
    token = base64.b64encode(f"{endpoint['user']}:{endpoint['password']}".encode()).decode()

    def code() -> int:
        return basic.post(endpoint["https"], headers={"Authorization": f"Basic {token}"}, timeout=10).status_code

    shared.limits(allow_basic=True)
    allowed = code()
    done = cli("limits", "--name", shared.name, "--json", "allow_basic=false", "max_shells_per_user=5")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["max_shells_per_user"] == 5
    assert code() == 401
    assert allowed != 401
    shared.limits(max_shells_per_user=30)
    for words, sentence in (
        ("nosuch=1", "There is no limit 'nosuch'"),
        ("allow_basic=7", "cannot become 7"),
        ("allow_basic", "is no limit"),
        ("max_timeout_ms=x", "needs a number"),
        ("max_timeout_ms=-4", "needs a number above 0, not -4"),
        ("max_envelope_size=nan", "needs a number above 0, not nan"),
    ):
        refused = cli("limits", "--name", shared.name, words)
        assert (refused.returncode, sentence in refused.stderr) == (1, True), refused.stderr


# --- the command line itself ---


def test_exit_codes_and_sentences_of_a_twin_that_is_not_there(twin_home: Path) -> None:
    done = cli("status", "--name", "nobody")
    assert (done.returncode, done.stdout) == (3, "The twin nobody is not running.\n")
    done = cli("log", "--name", "nobody")
    assert done.returncode == 1
    assert done.stderr == (
        "vengeance: The twin nobody does not run: start it with 'python -m vengeance.twin up --name nobody'.\n"
    )
    done = cli("log", "--name", "nobody", "--json")
    assert json.loads(done.stdout)["error"].startswith("The twin nobody does not run")
    assert cli("down", "--name", "nobody").stdout == "The twin nobody was not running.\n"
    done = cli("reset", "--name", "nobody")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("vengeance: There is no twin nobody: ")
    assert not (twin_home / "nobody").exists()
    assert cli("status", VENGEANCE_TWIN="").stderr == ""
    assert cli("fault", "--name", "nobody", "--action", "Dance", "cut-after", "1").returncode == 2
    assert "takes 0 seconds or more, not -3" in cli("reboot", "--name", "nobody", "--seconds", "-3").stderr
    assert cli("dance").returncode == 2
    assert cli().returncode == 2


def test_help_names_every_command_and_fault() -> None:
    text = cli("--help").stdout
    for word in ("up", "down", "status", "reset", "reboot", "log", "fault", "limits", "account", "exec", "list"):
        assert f"    {word} " in text or f"    {word}\n" in text
    faults = cli("fault", "--help").stdout
    for word in (
        "cut-before",
        "cut-after",
        "no-answer",
        "timed-out",
        "delay",
        "code",
        "bad-request",
        "refuse",
        "disk-full",
        "clear",
    ):
        assert word in faults


def test_a_stranger_on_the_control_socket_does_no_harm(shared: Twin, status: dict[str, Any]) -> None:
    for sent in (
        b"",
        b"\n",
        b"nonsense\n",
        b"[1]\n",
        b'{"do": "dance"}\n',
        b'{"do": "fault", "rule": {"kind": "x"}}\n',
    ):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(status["control"])
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.makefile("rb").read()
        if sent:
            assert json.loads(answer)["ok"] is False
    assert shared.status()["pid"] == status["pid"]


def test_the_twin_has_made_no_mistake_of_its_own(shared: Twin) -> None:
    log = (shared.folder / "daemon.log").read_text()
    assert "Traceback" not in log
