"""A distro on a real Windows: imported by our operations, reached by @wsl, looked at by wsl.exe alone, and removed.

It downloads the image that the project pins (400 MB), so VENGEANCE_WINDOWS_WSL=1 has to ask for it. The distro is of
its own and belongs to the account that signs in; no other is touched.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator

import pytest

from tests.waiting import eventually
from tests.windows.machine import PREFIX, Machine, answer
from tests.windows.test_pyinfra import deployed, pyinfra
from vengeance.winrm.client import DistroMissing, WinRMClient

DISTRO = "vengeance-tests"
FOLDER = r"C:\ProgramData\vengeance tests"
# wsl.exe in session 0, without our client: the quotes are for cmd.exe.
WSL = r'cd /d "C:\Program Files\WSL" && set WSL_UTF8=1&& wsl.exe'


@pytest.fixture(scope="module")
def distro(machine: Machine, client: WinRMClient) -> Iterator[str]:
    """The distro, made by a deploy; it goes in the end, with its folder."""
    if os.environ.get(PREFIX + "WSL") != "1":
        pytest.skip("it downloads 400 MB and makes a distro: VENGEANCE_WINDOWS_WSL=1 allows that")
    status = machine.seen(f"{WSL} --status")
    if status.code != 0:
        pytest.skip(f"no WSL that works here: wsl.exe --status ended with {status.code}: {status.text.strip()[:300]}")
    try:
        assert "the distro" in deployed("distro", timeout=2400)
        assert {"a user", "it runs with systemd", "a file"} <= set(deployed("distro", limit=None))
        yield DISTRO
    finally:
        machine.seen(f"{WSL} --unregister {DISTRO}")
        answer(client, "Set-Directory", {"path": FOLDER, "present": False, "contents": True})


def inside(machine: Machine, command: str) -> str:
    """What a program in the distro prints, started by wsl.exe through pywinrm."""
    said = machine.seen(f"{WSL} -d {DISTRO} -u root --cd / --exec {command}")
    assert said.code == 0, said
    return said.text


def test_the_distro_is_one_of_the_account_that_signs_in(machine: Machine, client: WinRMClient, distro: str) -> None:
    assert distro in machine.seen(f"{WSL} --list --quiet").text.split()
    known = answer(client, "Get-WslInstallation", {})["distributions"]
    assert [(one["version"], one["state"]) for one in known if one["name"] == distro] == [(2, 1)]
    assert any(distro in owner["distributions"] for owner in answer(client, "Get-WslOwner", {})["owners"])


def test_a_second_run_changes_nothing(distro: str) -> None:
    assert deployed("distro", limit=None) == []


def test_systemd_is_process_1_and_what_was_deployed_is_there(machine: Machine, distro: str) -> None:
    assert inside(machine, "/bin/cat /proc/1/comm").strip() == "systemd"
    assert inside(machine, '/bin/cat "/opt/tests/a file.txt"') == "it's $HOME\n"
    assert inside(machine, '/usr/bin/stat -c "%a %U" "/opt/tests/a file.txt"').split() == ["640", "tester"]
    assert "/srv/second" in inside(machine, "/usr/bin/getent passwd second")


@pytest.mark.parametrize("code", [0, 1, 67, 87, 255])
def test_every_exit_code_of_the_distro_arrives(client: WinRMClient, distro: str, code: int) -> None:
    # wsl.exe takes 67 and 87 for errors of its own (microsoft/WSL, WslClient.cpp); the agent's frames do not.
    assert client.sh(distro, "root", f"exit {code}").code == code


def test_streams_input_and_any_text_go_through(client: WinRMClient, distro: str) -> None:
    text = 'it\'s "q" $HOME `x` \\ % ^ & Zoë 文字 \U0001f389\n'
    said = client.sh(distro, "root", "cat; echo err >&2; id -un >&2", stdin=text)
    assert (said.stdout.decode(), said.stderr.split()) == (text, [b"err", b"root"])
    assert client.sh(distro, "tester", "id -un").stdout.split() == [b"tester"]


@pytest.mark.parametrize("size", [0, 300_000, 3_000_000])
def test_a_file_arrives_in_the_distro_and_comes_back(client: WinRMClient, distro: str, size: int) -> None:
    data, path = os.urandom(size), "/root/it's a file.bin"
    assert client.upload_to_distro(distro, "root", io.BytesIO(data), path) is True
    assert client.upload_to_distro(distro, "root", io.BytesIO(data), path) is False
    target = io.BytesIO()
    client.download_from_distro(distro, "root", path, target)
    assert target.getvalue() == data


def test_a_command_that_takes_too_long_is_ended_in_the_distro(
    machine: Machine, client: WinRMClient, distro: str
) -> None:
    assert client.sh(distro, "root", "sleep 613", timeout=3).timed_out
    look = f'{WSL} -d {DISTRO} -u root --cd / --exec /usr/bin/pgrep -xf "sleep 613"'
    eventually(lambda: machine.seen(look).code == 1, "the end of what ran in the distro", every=1)


def test_a_distro_that_is_not_there_is_a_sentence_of_wsl(client: WinRMClient, distro: str) -> None:
    with pytest.raises(DistroMissing, match="no-such-distro"):
        client.sh("no-such-distro", "root", ":")


def test_pyinfras_own_facts_work_in_it(machine: Machine, distro: str) -> None:
    done = pyinfra("--json", "fact", "server.LinuxName", limit="wsl")
    assert done.returncode == 0, done.stdout + done.stderr
    (name,) = json.loads(done.stdout)["server.LinuxName"].values()
    assert f'NAME="{name}' in inside(machine, "/bin/cat /etc/os-release")
