"""Our client against the WinRM of a real Windows: sign-in, commands, files; what it did is seen through pywinrm."""

from __future__ import annotations

import hashlib
import io
import os
import uuid
from collections.abc import Iterator

import pytest

from tests.waiting import eventually
from tests.windows.machine import Machine
from vengeance.winrm.client import WinRMClient
from vengeance.winrm.errors import ConnectFailed, SignInRefused

TEXT = "Zoë, 文字, \U0001f389 & \"%PATH%\" 'x' ^ | <"


@pytest.fixture(scope="module", params=["agent", "process"])
def either(machine: Machine, request: pytest.FixtureRequest) -> Iterator[WinRMClient]:
    """A client in each of the two modes."""
    client = machine.client(mode=request.param)
    client.connect()
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def interpreted(machine: Machine) -> None:
    """For a test with PowerShell of its own: the twin knows nothing but the shipped scripts."""
    if machine.is_twin:
        pytest.skip("the twin interprets no PowerShell")


@pytest.fixture
def folder(machine: Machine, may_change: None) -> Iterator[str]:
    """A new folder on the machine, named with signs that trip shells over."""
    path = rf"C:\Windows\Temp\vengeance tests {uuid.uuid4().hex}"
    assert machine.seen(f'mkdir "{path}"').code == 0
    try:
        yield path
    finally:
        machine.seen(f'rmdir /s /q "{path}"')


def test_another_certificate_than_the_pinned_one_is_refused(machine: Machine) -> None:
    client = machine.client(certificate_sha256="0" * 64)
    with pytest.raises(ConnectFailed, match=machine.settings.certificate_sha256):
        client.connect()


def test_a_wrong_password_is_refused_in_a_sentence_after_one_try(machine: Machine) -> None:
    # One try alone: Windows locks an account after ten by default.
    client = machine.client(password=lambda: "not the password")
    with pytest.raises(SignInRefused, match="It was tried once"):
        client.connect()


@pytest.mark.usefixtures("interpreted")
def test_the_agent_proves_itself_and_is_used(machine: Machine) -> None:
    client = machine.client()
    try:
        assert client.powershell("$PID").stdout.strip() == client.powershell("$PID").stdout.strip()
        assert machine.warnings == []
    finally:
        client.close()


@pytest.mark.usefixtures("interpreted")
def test_it_is_windows_powershell_5_1_of_64_bit_as_the_account_that_signs_in(
    machine: Machine, either: WinRMClient
) -> None:
    said = either.powershell('"$($PSVersionTable.PSVersion.Major) $([IntPtr]::Size) $env:USERNAME"', read_only=True)
    assert said.stdout.decode().split() == ["5", "8", *machine.settings.user.split("\\")[-1:]]
    assert machine.seen("whoami").text.strip().rpartition("\\")[2] == machine.settings.user.split("\\")[-1].lower()


@pytest.mark.usefixtures("interpreted")
def test_text_in_any_script_arrives_and_comes_back(either: WinRMClient) -> None:
    said = either.powershell("@($input) -join ''; $env:VENGEANCE_A", stdin=TEXT + "\n", env={"VENGEANCE_A": TEXT})
    assert said.stdout.decode().splitlines() == [TEXT, TEXT]


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 3", 3), ("throw 'no'", 1), ("cmd.exe /c exit 5; exit $LASTEXITCODE", 5), ("'fine'", 0)],
)
@pytest.mark.usefixtures("interpreted")
def test_a_script_gives_its_exit_code(either: WinRMClient, script: str, code: int) -> None:
    assert either.powershell(script).code == code


@pytest.mark.usefixtures("interpreted")
def test_the_two_streams_stay_apart(either: WinRMClient) -> None:
    said = either.powershell("'out'; [Console]::Error.WriteLine('err')")
    assert (said.stdout.split(), said.stderr.split()) == ([b"out"], [b"err"])


@pytest.mark.usefixtures("interpreted")
def test_a_command_that_takes_too_long_is_stopped_and_the_next_one_runs(either: WinRMClient) -> None:
    said = either.powershell("Start-Sleep -Seconds 120", timeout=3)
    assert said.timed_out
    assert either.powershell("'next'").stdout.split() == [b"next"]


@pytest.mark.usefixtures("interpreted")
def test_much_output_is_whole(either: WinRMClient) -> None:
    lines = either.powershell('1..20000 | ForEach-Object { "line $_" }', read_only=True).stdout.decode().splitlines()
    assert lines == [f"line {number}" for number in range(1, 20001)]


@pytest.mark.usefixtures("interpreted")
def test_a_child_that_reads_its_standard_input_gets_none_of_the_next_requests(either: WinRMClient) -> None:
    assert either.powershell("cmd.exe /c more; 'first'", timeout=60).stdout.split()[-1:] == [b"first"]
    assert either.powershell("'second'").stdout.split() == [b"second"]


def test_cmd_runs_a_line_and_gives_its_code(client: WinRMClient) -> None:
    said = client.cmd("echo one& echo two 1>&2& exit 67", stdin=b"")
    assert (said.code, said.stdout.split(), said.stderr.split()) == (67, [b"one"], [b"two"])


@pytest.mark.parametrize("size", [0, 1, 300_000, 2_000_000])
def test_a_file_arrives_whole_is_not_sent_twice_and_comes_back(
    machine: Machine, either: WinRMClient, folder: str, size: int
) -> None:
    path, data = rf"{folder}\file [1] ö.bin", os.urandom(size)
    assert either.upload(io.BytesIO(data), path) is True
    assert either.upload(io.BytesIO(data), path) is False
    # certutil takes no empty file: https://learn.microsoft.com/windows-server/administration/windows-commands/certutil
    if size:
        assert hashlib.sha256(data).hexdigest() in machine.hashed(path)
    assert len(machine.seen(f'dir /b "{folder}"').text.splitlines()) == 1
    target = io.BytesIO()
    either.download(path, target)
    assert target.getvalue() == data


@pytest.mark.usefixtures("interpreted")
def test_a_closed_client_leaves_no_powershell_behind(machine: Machine) -> None:
    client = machine.client()
    pid = int(client.powershell("$PID").stdout)
    assert pid in machine.processes()
    client.close()
    eventually(lambda: pid not in machine.processes(), "its end", 30, every=1)
