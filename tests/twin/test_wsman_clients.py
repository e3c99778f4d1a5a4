"""Clients that others wrote get right answers from the twin's WinRM server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra
import winrm
from pypsrp.exceptions import AuthenticationError
from pypsrp.shell import Process, SignalCode, WinRS
from pypsrp.wsman import WSMan
from winrm.protocol import Protocol

from tests.twin.raw_wsman import CONFIG, OTHER_PASSWORD, PASSWORD, TRANSFER, Served, message, serving

# Basic over http is only for this test of Basic; Windows has it off as well
BASIC_HTTP = {"ssl": False, "auth": "basic", "encryption": "never"}
PYPSRP = {
    "basic": BASIC_HTTP,
    "ntlm, sealed": {"ssl": False, "auth": "ntlm", "encryption": "auto"},
    "negotiate, sealed": {"ssl": False, "auth": "negotiate", "encryption": "auto"},
    "basic over https": {"ssl": True, "auth": "basic"},
    "ntlm over https": {"ssl": True, "auth": "ntlm"},
    "negotiate over https": {"ssl": True, "auth": "negotiate"},
    "negotiate sealed over https": {"ssl": True, "auth": "negotiate", "encryption": "always"},
}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as running:
        yield running


def pypsrp(served: Served, settings: dict[str, Any], password: str = PASSWORD) -> WSMan:
    port = served.server.https_port if settings["ssl"] else served.server.http_port
    return WSMan("127.0.0.1", port=port, username="Steam", password=password, cert_validation=False, **settings)


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("name", PYPSRP)
def test_pypsrp_runs_a_process_with_input_both_streams_and_an_exit_code(served: Served, name: str) -> None:
    settings = PYPSRP[name]
    served.server.limits.allow_unencrypted = settings is BASIC_HTTP
    with (
        pypsrp(served, settings) as wsman,
        WinRS(wsman, codepage=65001, environment={"COLOUR": "grün & <blue>"}, working_directory="C:\\x") as shell,
    ):
        assert {"owner": "Steam", "client_ip": "127.0.0.1", "idle_time_out": "PT7200.000S"}.items() <= vars(
            shell
        ).items()
        process = Process(shell, "cat", ["-;", "echo", '"$COLOUR"', ">&2;", "exit", "5"])
        process.begin_invoke()
        process.send(b"one ", end=False)
        process.send("zwei \N{SNOWMAN}".encode(), end=True)
        process.end_invoke()
        process.signal(SignalCode.CTRL_C)
        process.signal(SignalCode.TERMINATE)
        assert process.stdout.decode() == "one zwei \N{SNOWMAN}"
        assert process.stderr.decode() == "grün & <blue>\n"
        assert process.rc == 5
    start = served.programs.starts[0]
    assert start.command_line == 'cat -; echo "$COLOUR" >&2; exit 5'
    assert (start.codepage, start.working_directory, start.user) == (65001, "C:\\x", "Steam")
    assert start.console_mode_stdin is True
    assert served.server.shells.snapshot() == []


@pytest.mark.filterwarnings("ignore::Warning")
def test_pypsrp_reads_the_envelope_size_from_the_config(served: Served) -> None:
    with pypsrp(served, PYPSRP["negotiate, sealed"]) as wsman:
        wsman.update_max_payload_size()
        assert wsman.max_envelope_size == 512_000


@pytest.mark.parametrize("name", ["ntlm, sealed", "negotiate, sealed", "basic over https"])
@pytest.mark.filterwarnings("ignore::Warning")
def test_pypsrp_with_a_wrong_password_is_refused_after_one_try(served: Served, name: str) -> None:
    with pytest.raises(AuthenticationError), pypsrp(served, PYPSRP[name], "wrong") as wsman, WinRS(wsman):
        pass
    assert served.server.log.snapshot()["failed_logons"] == {"Steam": 1}


PYWINRM: dict[str, dict[str, Any]] = {
    "ntlm, sealed": {"scheme": "http", "transport": "ntlm"},
    "ntlm over https": {"scheme": "https", "transport": "ntlm"},
    "ntlm sealed over https": {"scheme": "https", "transport": "ntlm", "message_encryption": "always"},
    "basic over https": {"scheme": "https", "transport": "basic"},
}


def pywinrm_arguments(served: Served, name: str) -> dict[str, Any]:
    settings = dict(PYWINRM[name])
    scheme = settings.pop("scheme")
    if scheme == "https":
        settings["server_cert_validation"] = "ignore"
    return {"endpoint": served.http if scheme == "http" else served.https, "proxy": None, **settings}


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("name", PYWINRM)
def test_pywinrm_session_runs_commands(served: Served, name: str) -> None:
    arguments = pywinrm_arguments(served, name)
    session = winrm.Session(arguments.pop("endpoint"), auth=("Steam", PASSWORD), **arguments)
    for number in range(3):
        result = session.run_cmd("echo", [f"number {number};", "echo problem >&2; exit 3"])
        assert (result.std_out, result.std_err, result.status_code) == (
            f"number {number}\n".encode(),
            b"problem\n",
            3,
        )
    assert served.server.shells.snapshot() == []


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("name", PYWINRM)
def test_pywinrm_protocol_streams_input_and_output(served: Served, name: str) -> None:
    protocol = Protocol(username="Steam", password=PASSWORD, **pywinrm_arguments(served, name))
    shell = protocol.open_shell(codepage=65001, env_vars={"WSL_UTF8": "1"}, idle_timeout="PT600S")
    command = protocol.run_command(shell, "cat", console_mode_stdin=False)
    for number in range(5):
        sent = bytes(range(256)) * 100 * (number + 1)
        protocol.send_command_input(shell, command, sent)
        got = b""
        while len(got) < len(sent):
            out, err, _, done = protocol.get_command_output_raw(shell, command)
            assert not err
            assert not done
            got += out
        assert got == sent
    protocol.send_command_input(shell, command, b"end", end=True)
    assert protocol.get_command_output(shell, command) == (b"end", b"", 0)
    protocol.cleanup_command(shell, command)
    protocol.close_shell(shell)
    start = served.programs.starts[0]
    assert (start.console_mode_stdin, start.environment, start.codepage) == (False, {"WSL_UTF8": "1"}, 65001)


def test_pywinrm_maps_the_faults(served: Served) -> None:
    protocol = Protocol(username="Steam", password=PASSWORD, **pywinrm_arguments(served, "ntlm, sealed"))
    with pytest.raises(winrm.exceptions.WSManFaultError) as unknown:
        protocol.run_command("00000000-0000-0000-0000-000000000000", "echo")
    assert unknown.value.wsman_fault_code == 2150858843
    shell = protocol.open_shell()
    with pytest.raises(winrm.exceptions.WSManFaultError) as missing:
        protocol.run_command(shell, "no-such-program")
    assert missing.value.wsman_fault_code == 2147942402
    served.server.limits.max_operations_per_shell = 1
    with pytest.raises(winrm.exceptions.WSManFaultError) as quota:
        protocol.run_command(shell, "echo")
    assert (quota.value.wsman_fault_code, quota.value.wmierror_code) == (None, 2150859174)
    served.server.limits.max_shells_per_user = 1
    with pytest.raises(winrm.exceptions.WSManFaultError) as shells:
        protocol.open_shell()
    assert shells.value.wmierror_code == 2150859173


def test_pywinrm_with_a_wrong_password_is_refused_after_one_try(served: Served) -> None:
    session = winrm.Session(served.http, auth=("Steam", "wrong"), transport="ntlm", proxy=None)
    with pytest.raises(winrm.exceptions.InvalidCredentialsError):
        session.run_cmd("echo")
    assert served.server.log.snapshot()["failed_logons"] == {"Steam": 1}


def test_testinfra_reaches_the_twin_with_its_own_winrm_backend(served: Served) -> None:
    # testinfra takes the password from a URL without decoding it, so this one needs an easy password
    host = testinfra.get_host(f"winrm://Other:{OTHER_PASSWORD}@127.0.0.1:{served.server.http_port}?no_ssl=true")
    result = host.run("echo out; echo err >&2; exit 4")
    assert (result.rc, result.stdout, result.stderr) == (4, "out\n", "err\n")
    over_https = testinfra.get_host(
        f"winrm://Other:{OTHER_PASSWORD}@127.0.0.1:{served.server.https_port}?no_verify_ssl=true"
    )
    assert over_https.check_output("echo fine") == "fine"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(("password", "status"), [(PASSWORD, "200"), ("wrong", "401")])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_curl_shakes_hands_with_ntlm(served: Served, tmp_path: Path, password: str, status: str, scheme: str) -> None:
    capabilities = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout
    if "NTLM" not in capabilities:
        pytest.skip("this curl has no NTLM")
    # curl's own NTLM takes the password as latin-1, so it gets the account with a plain one
    user = "Steam" if password == "wrong" else "Other"
    secret = OTHER_PASSWORD if password == PASSWORD else password
    settings = tmp_path / "curlrc"
    settings.write_text(f'user = "{user}:{secret}"\n')
    command = ["curl", "--config", str(settings), "--ntlm", "--insecure", "--silent", "--show-error"]
    command += ["--max-time", "20", "--noproxy", "*", "--output", "/dev/null", "--write-out", "%{http_code}"]
    url = served.http if scheme == "http" else served.https
    result = subprocess.run([*command, "--data", "", url], capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == (status, "")
    assert served.server.log.snapshot()["failed_logons"] == ({} if status == "200" else {user: 1})


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_gets_the_config_over_https_with_basic(served: Served, tmp_path: Path) -> None:
    body = tmp_path / "get.xml"
    body.write_bytes(message(f"{TRANSFER}/Get", resource=CONFIG))
    settings = tmp_path / "curlrc"
    settings.write_text(f'user = "Steam:{PASSWORD}"\n', encoding="utf-8")
    command = ["curl", "--config", str(settings), "--cacert", str(tmp_path / "winrm.crt"), "--noproxy", "*"]
    command += ["--silent", "--show-error", "--max-time", "20", "--data-binary", f"@{body}", served.https]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "<cfg:MaxEnvelopeSizekb>500</cfg:MaxEnvelopeSizekb>" in result.stdout


def ansible() -> str | None:
    """The ansible program: VENGEANCE_ANSIBLE names it or its folder; else the one on the path."""
    named = os.environ.get("VENGEANCE_ANSIBLE")
    if named is None:
        return shutil.which("ansible")
    path = Path(named)
    return str(path / "ansible" if path.is_dir() else path)


@pytest.mark.skipif(ansible() is None, reason="ansible is not installed; VENGEANCE_ANSIBLE can name its program")
@pytest.mark.parametrize("transport", ["ntlm", "plaintext"])
def test_ansible_raw_runs_a_command(served: Served, tmp_path: Path, transport: str) -> None:
    program = ansible()
    assert program is not None
    variables = {
        "ansible_connection": "winrm",
        "ansible_host": "127.0.0.1",
        "ansible_user": "Steam",
        "ansible_password": PASSWORD,
        "ansible_winrm_transport": transport,
        "ansible_winrm_scheme": "http" if transport == "ntlm" else "https",
        "ansible_port": served.server.http_port if transport == "ntlm" else served.server.https_port,
        "ansible_winrm_server_cert_validation": "ignore",
    }
    inventory = tmp_path / "hosts.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"twin": variables}}}))
    result = subprocess.run(
        [program, "-i", str(inventory), "twin", "-m", "raw", "-a", "echo from ansible; echo problem >&2"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "ANSIBLE_HOME": str(tmp_path / "ansible"), "LC_ALL": "C.UTF-8"},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "from ansible" in result.stdout
    assert "rc=0" in result.stdout
    assert served.server.log.snapshot()["by_action"]["Command"] == 1
