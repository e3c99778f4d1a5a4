"""Scripts that change Windows, over WinRM on a real one: done, seen by another program, done again, taken back.

What they touch is named after these tests; sleep and .wslconfig, which a machine has only once, are put back.
"""

from __future__ import annotations

import io
import json
import ntpath
import re
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import eventually
from tests.windows.machine import Machine, answer
from vengeance.powershell import load
from vengeance.winrm.client import WinRMClient

pytestmark = pytest.mark.usefixtures("may_change")

NAME = "vengeance tests"
FOLDER = rf"C:\ProgramData\{NAME}"
HOME = r"C:\ProgramData\vengeance"


def twice(client: WinRMClient, name: str, parameters: dict[str, Any]) -> Any:
    """Run a change, and again, which changes nothing; what the first run said."""
    first = answer(client, name, parameters)
    again = answer(client, name, parameters)
    assert (first["changed"], again["changed"]) == (True, False)
    assert again["before"] == again["after"] == first["after"]
    return first


@pytest.mark.parametrize(
    ("level", "key"),
    [
        ("machine", r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"),
        ("user", r"HKCU\Environment"),
    ],
)
def test_a_variable_is_in_the_registry_and_goes(machine: Machine, client: WinRMClient, level: str, key: str) -> None:
    variable = "VENGEANCE_TESTS"
    try:
        for value in ("a b;c", "0.0.0.0:11434"):
            twice(client, "Set-Environment", {"level": level, "variables": {variable: value}})
            assert machine.registry(key, variable) == ("REG_SZ", value)
    finally:
        answer(client, "Set-Environment", {"level": level, "variables": {variable: None}})
    assert machine.registry(key, variable) is None
    assert answer(client, "Set-Environment", {"level": level, "variables": {variable: None}})["changed"] is False


@pytest.mark.parametrize(
    ("kind", "data", "shown"),
    [
        ("String", "a b", ("REG_SZ", "a b")),
        ("ExpandString", "%SystemRoot%", ("REG_EXPAND_SZ", "%SystemRoot%")),
        ("DWord", 4_294_967_295, ("REG_DWORD", "0xffffffff")),
        ("QWord", 1, ("REG_QWORD", "0x1")),
        ("MultiString", ["one"], ("REG_MULTI_SZ", "one")),
        ("MultiString", ["one", "two"], ("REG_MULTI_SZ", r"one\0two")),
    ],
)
def test_a_registry_value_is_as_reg_shows_it_and_goes(
    machine: Machine, client: WinRMClient, kind: str, data: Any, shown: tuple[str, str]
) -> None:
    key = rf"HKLM\SOFTWARE\{NAME}"
    given = {"key": key, "value_name": "value", "kind": kind, "data": data, "present": True}
    try:
        assert twice(client, "Set-RegistryValue", given)["after"] == {"kind": kind, "data": data}
        assert machine.registry(key, "value") == shown
        twice(client, "Set-RegistryValue", {**given, "present": False})
        assert machine.registry(key, "value") is None
    finally:
        machine.seen(f'reg delete "{key}" /f')


def test_what_was_there_before_is_kept_once_and_forgotten(machine: Machine, client: WinRMClient) -> None:
    key = r"HKLM\SOFTWARE\vengeance\Before"
    try:
        assert answer(client, "Set-Before", {"keep": {NAME: '{"a": 1}'}, "forget": []})["changed"] is True
        assert answer(client, "Set-Before", {"keep": {NAME: "2"}, "forget": []})["changed"] is False
        assert machine.registry(key, NAME) == ("REG_SZ", '{"a": 1}')
        assert answer(client, "Get-Before", {})["entries"][NAME] == '{"a": 1}'
    finally:
        answer(client, "Set-Before", {"keep": {}, "forget": [NAME]})
    assert machine.registry(key, NAME) is None


def test_folders_and_files_come_are_closed_to_others_and_go(machine: Machine, client: WinRMClient) -> None:
    file = rf"{FOLDER}\inner\empty [1].txt"
    try:
        twice(client, "Set-Directory", {"path": rf"{FOLDER}\inner", "present": True, "contents": False})
        twice(client, "New-File", {"path": file})
        assert machine.seen(f'dir /b "{FOLDER}\\inner"').text.strip() == "empty [1].txt"
        twice(client, "Remove-File", {"path": file})
        assert machine.seen(f'dir /b "{FOLDER}\\inner"').code == 1
        answer(client, "Protect-Directory", {"path": FOLDER})
        assert answer(client, "Protect-Directory", {"path": FOLDER})["changed"] is False
        assert answer(client, "Get-DirectoryAccess", {"path": FOLDER})["closed"] is True
    finally:
        answer(client, "Set-Directory", {"path": FOLDER, "present": False, "contents": True})
    assert machine.seen(f'if exist "{FOLDER}" echo there').text.strip() == ""


def test_a_closed_folder_lets_nobody_in_but_administrators_and_the_account(
    machine: Machine, client: WinRMClient
) -> None:
    try:
        answer(client, "Protect-Directory", {"path": FOLDER})
        # /save writes SDDL, where groups have letters and are not translated: SY is SYSTEM, BA Administrators.
        assert machine.seen(f'icacls "{FOLDER}" /save "{FOLDER}\\rights.txt"').code == 0
        sid = answer(client, "Get-Account", {})["sid"]
        rights = machine.seen(f'type "{FOLDER}\\rights.txt"').text.replace("\x00", "")
        assert "D:P" in rights
        assert {entry.rpartition(";")[2].split(")")[0] for entry in rights.split("(")[1:]} <= {"SY", "BA", sid}
    finally:
        answer(client, "Set-Directory", {"path": FOLDER, "present": False, "contents": True})


def test_a_firewall_rule_is_seen_by_netsh_and_goes(machine: Machine, client: WinRMClient) -> None:
    given = {
        "rule": NAME,
        "title": NAME,
        "action": "block",
        "protocol": "tcp",
        "port": 47110,
        "remote_addresses": ["192.0.2.0/24"],
        "program": None,
        "profiles": ["public"],
    }
    show = f'netsh advfirewall firewall show rule name="{NAME}" verbose'
    try:
        twice(client, "Set-FirewallRule", given)
        shown = machine.seen(show)
        assert shown.code == 0
        assert "47110" in shown.text
        assert "192.0.2.0/24" in shown.text
    finally:
        answer(client, "Remove-FirewallRule", {"rules": [NAME]})
    assert machine.seen(show).code == 1
    assert answer(client, "Remove-FirewallRule", {"rules": [NAME]})["changed"] is False


def test_a_firewall_rule_that_was_removed_is_put_back_as_it_was(machine: Machine, client: WinRMClient) -> None:
    given = {
        "rule": NAME,
        "title": NAME,
        "action": "block",
        "protocol": None,
        "port": None,
        "remote_addresses": [],
        "program": r"C:\Windows\System32\ping.exe",
        "profiles": ["public"],
    }
    show = f'netsh advfirewall firewall show rule name="{NAME}" verbose'
    try:
        twice(client, "Add-FirewallRule", given)
        assert "ping.exe" in machine.seen(show).text.lower()
    finally:
        answer(client, "Remove-FirewallRule", {"rules": [NAME]})
    assert machine.seen(show).code == 1


def test_the_box_is_one_runs_alone_until_its_connection_is_gone(machine: Machine) -> None:
    first, second = machine.client(), machine.client()

    def taken(client: WinRMClient, owner: str) -> Any:
        return answer(client, "Set-RunLock", {"owner": owner, "instead_of": 0, "stay": False})

    try:
        mine = taken(first, "first")["after"]
        assert mine["owner"] == "first"
        assert mine["pid"] in machine.processes()
        assert taken(second, "second")["after"]["owner"] == "first"
        assert answer(second, "Get-RunLock", {})["holder"] == mine
        first.close()
        eventually(lambda: answer(second, "Get-RunLock", {})["holder"] is None, "the end of the lock", 60, every=1)
        assert taken(second, "second")["after"]["owner"] == "second"
    finally:
        first.close()
        second.close()


def test_a_forwarded_port_is_seen_by_netsh_and_goes(machine: Machine, client: WinRMClient) -> None:
    place = {"listen_address": "127.0.0.254", "listen_port": 47111}
    show = "netsh interface portproxy show v4tov4"
    try:
        twice(client, "Set-PortProxy", {**place, "connect_address": "127.0.0.1", "connect_port": 47112})
        assert ["127.0.0.254", "47111", "127.0.0.1", "47112"] in [
            line.split() for line in machine.seen(show).text.splitlines()
        ]
    finally:
        answer(client, "Set-PortProxy", {**place, "connect_address": None, "connect_port": None})
    assert "47111" not in machine.seen(show).text


def test_a_port_that_is_set_aside_is_seen_by_netsh_and_given_back(machine: Machine, client: WinRMClient) -> None:
    show = "netsh interface ipv4 show excludedportrange protocol=tcp store=persistent"
    try:
        twice(client, "Set-ReservedPort", {"port": 47113, "present": True, "stop_winnat": False})
        assert ["47113", "47113"] in [line.split()[:2] for line in machine.seen(show).text.splitlines()]
    finally:
        answer(client, "Set-ReservedPort", {"port": 47113, "present": False, "stop_winnat": False})
    assert "47113" not in machine.seen(show).text


@pytest.fixture
def service(machine: Machine) -> Iterator[str]:
    """A service that is registered and never started: its program is none."""
    name = "vengeance-tests"
    made = machine.seen(f"sc create {name} binPath= C:\\Windows\\System32\\ping.exe start= demand")
    assert made.code == 0, made
    try:
        yield name
    finally:
        machine.seen(f"sc delete {name}")


def test_how_a_service_starts_is_what_sc_shows(machine: Machine, client: WinRMClient, service: str) -> None:
    # From one to the next: what is left of the delay would show.
    for start, shown in (("delayed", "2"), ("auto", "2"), ("disabled", "4"), ("manual", "3")):
        twice(client, "Set-ServiceState", {"service": service, "start": start, "running": None})
        said = machine.seen(f"sc qc {service}").text
        # What is before the colon is translated; the delay is a word in brackets.
        (line,) = [line for line in said.splitlines() if re.search(rf":\s+{shown}\s+(\w+_START|DISABLED)", line)]
        assert ("(" in line) is (start == "delayed"), line
        assert answer(client, "Get-ServiceState", {"service": service})["service"]["start"] == start


@pytest.mark.parametrize("logon", ["s4u", "password"])
def test_a_task_is_seen_by_schtasks_and_goes(machine: Machine, client: WinRMClient, logon: str) -> None:
    account = answer(client, "Get-Task", {"name": NAME, "user": None})["account"]
    definition = {
        "description": "Made by a test.",
        "command": r"C:\Windows\System32\ping.exe",
        "arguments": "-n 600 127.0.0.1",
        "working_directory": "",
        "user": account,
        "logon": logon,
        "highest": True,
        "triggers": ["boot"],
        "time_limit": 0,
        "priority": 5,
        "restart_count": 3,
        "restart_interval": 60,
        "on_battery": True,
        "instances": "ignore_new",
        "conditions": [],
        "enabled": True,
    }
    password = machine.password if logon == "password" else None
    given = {"name": NAME, "definition": definition, "running": True, "renew": False}
    show = rf'schtasks /query /tn "\vengeance\{NAME}" /xml'
    try:
        said = answer(client, "Set-Task", given, password)
        assert (said["changed"], said["after"]["state"]) == (True, "running")
        assert answer(client, "Set-Task", given, password)["changed"] is False
        shown = machine.seen(show)
        assert shown.code == 0
        for part in ("<BootTrigger", "<ExecutionTimeLimit>PT0S<", "<Priority>5<", "-n 600 127.0.0.1"):
            assert part in shown.text
        # It runs outside of our shell, with nobody signed in at the screen: that is what it is for.
        eventually(lambda: "ping.exe" in machine.processes().values(), "the task's program", every=1)
    finally:
        answer(client, "Remove-Task", {"name": NAME})
    assert machine.seen(show).code != 0
    assert "ping.exe" not in machine.processes().values()


def test_sleep_is_switched_off_and_put_back(machine: Machine, client: WinRMClient) -> None:
    before = answer(client, "Get-Power", {})
    if before["sleep_ac_seconds"] is None or before["sleep_dc_seconds"] is None:
        pytest.skip("this Windows has no plan for sleep: a virtual machine cannot")
    nothing = dict.fromkeys(("hibernate_ac_minutes", "hibernate_dc_minutes", "hibernate", "fast_startup"))
    back = {"sleep_ac_minutes": before["sleep_ac_seconds"] // 60, "sleep_dc_minutes": before["sleep_dc_seconds"] // 60}
    try:
        twice(client, "Set-Power", {"sleep_ac_minutes": 47, "sleep_dc_minutes": 0, **nothing})
        listed = machine.seen("powercfg /query SCHEME_CURRENT SUB_SLEEP STANDBYIDLE").text
        assert listed.split()[-1] == "0x00000000"
        assert f"0x{47 * 60:08x}" in listed
    finally:
        answer(client, "Set-Power", {**back, **nothing})
    assert answer(client, "Get-Power", {}) == before


def test_the_settings_of_wsl_are_written_and_put_back(machine: Machine, client: WinRMClient) -> None:
    known = answer(client, "Get-WslConfiguration", {})
    text = "[wsl2]\nmemory=2GB\n# test\n"
    try:
        twice(client, "Set-WslConfiguration", {"text": text, "shutdown": False})
        assert machine.seen(f'type "{known["path"]}"').text.replace("\r\n", "\n") == text
    finally:
        answer(client, "Set-WslConfiguration", {"text": known["text"], "shutdown": False})
    assert answer(client, "Get-WslConfiguration", {}) == known


def test_a_feature_is_switched_on_and_off_as_dism_sees_it(machine: Machine, client: WinRMClient) -> None:
    feature = "TelnetClient"
    show = f"dism /English /Online /Get-FeatureInfo /FeatureName:{feature}"
    if "State : Disabled" not in machine.seen(show).text:
        pytest.skip(f"{feature}, a small feature that needs no restart, is on or not there already")
    try:
        twice(client, "Set-Feature", {"feature": feature, "present": True})
        assert "State : Enabled" in machine.seen(show).text
    finally:
        answer(client, "Set-Feature", {"feature": feature, "present": False})
    assert "State : Disabled" in machine.seen(show).text


@pytest.fixture
def no_ollama(client: WinRMClient) -> None:
    """For a test that plays Ollama: on a machine that has one it would change somebody's."""
    settings = answer(client, "Get-OllamaSettings", {})
    setup = answer(client, "Get-OllamaInstallation", {"folder": None})["setup"]
    running = answer(client, "Get-ProcessList", {"image": "ollama.exe", "environment": False})["processes"]
    if setup is not None or settings["settings"] is not None or settings["starts_at_logon"] or running:
        pytest.skip("this machine has an Ollama of its own")


def test_the_settings_of_ollamas_app_are_what_another_sqlite_reads(
    client: WinRMClient, no_ollama: None, tmp_path: Path
) -> None:
    known = answer(client, "Get-OllamaSettings", {})
    path, file = known["database"], tmp_path / "db.sqlite"
    columns = "expose BOOLEAN, browser BOOLEAN, models TEXT, context_length INTEGER, auto_update_enabled BOOLEAN"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(f"CREATE TABLE settings ({columns})")
        database.execute("INSERT INTO settings VALUES (0, 0, '', 0, 1)")
    wanted = {"settings": {"auto_update_enabled": False, "context_length": 8192, "models": "D:\\Mod\u00e8les"}}
    folder = ntpath.dirname(path)
    try:
        answer(client, "Set-Directory", {"path": folder, "present": True, "contents": False})
        client.upload(io.BytesIO(file.read_bytes()), path)
        twice(client, "Set-OllamaSettings", wanted)
        target = io.BytesIO()
        client.download(path, target)
        file.write_bytes(target.getvalue())
        with closing(sqlite3.connect(file)) as database:
            rows = database.execute(
                "SELECT auto_update_enabled, context_length, models, expose FROM settings"
            ).fetchall()
        assert rows == [(0, 8192, "D:\\Mod\u00e8les", 0)]
        settings = answer(client, "Get-OllamaSettings", {})["settings"]
        assert (settings["auto_update_enabled"], settings["context_length"]) == (False, 8192)
    finally:
        answer(client, "Set-Directory", {"path": folder, "present": False, "contents": True})


def test_ollamas_app_starts_at_logon_by_a_link_of_its_own_and_no_longer(
    machine: Machine, client: WinRMClient, no_ollama: None
) -> None:
    link = answer(client, "Get-OllamaSettings", {})["startup_link"]
    try:
        answer(client, "Set-Directory", {"path": rf"{FOLDER}\lib", "present": True, "contents": False})
        client.upload(io.BytesIO(b"a link"), rf"{FOLDER}\lib\Ollama.lnk")
        twice(client, "Set-OllamaStartup", {"present": True, "folder": FOLDER})
        assert machine.seen(f'type "{link}"').text.strip() == "a link"
        twice(client, "Set-OllamaStartup", {"present": False, "folder": FOLDER})
        assert machine.seen(f'if exist "{link}" echo there').text.strip() == ""
    finally:
        answer(client, "Set-OllamaStartup", {"present": False, "folder": FOLDER})
        answer(client, "Set-Directory", {"path": FOLDER, "present": False, "contents": True})


def test_where_no_ollama_runs_none_is_ended(client: WinRMClient, no_ollama: None) -> None:
    assert answer(client, "Stop-Ollama", {}) == {"changed": False, "before": [], "after": [], "reboot_required": False}


def test_a_program_gives_its_code_and_its_bytes(client: WinRMClient) -> None:
    given = {
        "file": r"C:\Windows\System32\cmd.exe",
        "arguments": '/d /s /c "echo %VENGEANCE_A%& exit 67"',
        "stdin": None,
        "cwd": r"C:\Windows",
        "env": {"VENGEANCE_A": "set"},
        "timeout": 60,
    }
    said = answer(client, "Invoke-Program", given)
    assert (said["rc"], said["stdout"], said["timed_out"]) == (67, "c2V0DQo=", False)


def test_another_boot_than_the_one_that_was_meant_is_not_ended(client: WinRMClient) -> None:
    boot = answer(client, "Get-BootState", {})
    assert answer(client, "Restart-Windows", {"boot_file_time": 1})["changed"] is False
    assert answer(client, "Get-BootState", {})["boot_file_time"] == boot["boot_file_time"]


def test_long_work_goes_on_when_the_connection_that_asked_for_it_is_gone(machine: Machine) -> None:
    there = machine.seen(f'if exist "{HOME}" echo there').text.strip() == "there"
    name = f"test-{uuid.uuid4().hex}"
    installer = {
        "file": r"C:\Windows\System32\cmd.exe",
        "arguments": "/d /c ping -n 8 127.0.0.1 >nul & exit 3",
        "timeout_seconds": 120,
        "busy_seconds": 0,
        "pause_seconds": 1,
    }
    start = {
        "name": name,
        "work": "Invoke-Installer",
        "runner": load("work/runner"),
        "text": load("work/Invoke-Installer"),
        "input": json.dumps(installer),
        "token": uuid.uuid4().hex,
    }
    first, second = machine.client(), machine.client()
    try:
        answer(first, "Protect-Directory", {"path": HOME})
        assert answer(first, "Start-Work", start)["started"] is True
        first.close()
        assert answer(second, "Start-Work", start)["started"] is False
        eventually(lambda: answer(second, "Get-Work", {"name": name})["state"] != "running", "the end", 90, every=1)
        said = answer(second, "Get-Work", {"name": name})
        assert (said["state"], said["error"], said["result"]["rc"]) == ("done", None, 3)
    finally:
        first.close()
        left = HOME if not there else rf"{HOME}\work\{name}"
        answer(second, "Set-Directory", {"path": left, "present": False, "contents": True})
        second.close()
