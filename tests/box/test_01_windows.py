"""Acceptance: the Windows side. What the operations wrote through .NET is read with reg.exe and a fresh cmd.exe."""

from __future__ import annotations

import re

import pytest
from pyinfra.api.state import State
from testinfra.host import Host

from tests.box.conftest import only_host

MACHINE = r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
USER = r"HKCU\Environment"


def registry_value(windows: Host, key: str, name: str) -> tuple[str, str] | None:
    """Kind and data of a value as ``reg query`` prints it: name, kind and data between four blanks."""
    result = windows.run(f'reg query "{key}" /v {name}')
    if result.rc != 0:
        return None
    for line in result.stdout.splitlines():
        match = re.fullmatch(r" {4}(\S+) {4}(REG_\w+) {4}(.*?)\r?", line)
        if match and match[1].upper() == name.upper():
            return match[2], match[3]
    raise AssertionError(f"reg query ended with 0 and printed no value {name}: {result.stdout!r}")


def test_ollama_listens_on_every_address_by_a_variable_of_the_machine(windows: Host) -> None:
    assert registry_value(windows, MACHINE, "OLLAMA_HOST") == ("REG_SZ", "0.0.0.0:11434")


def test_ollama_gives_the_card_back_after_five_minutes_by_a_variable(windows: Host, box: State) -> None:
    level = USER if only_host(box, "windows").data.ollama_autostart == "logon" else MACHINE
    assert registry_value(windows, level, "OLLAMA_KEEP_ALIVE") == ("REG_SZ", "5m")


def test_no_variable_of_the_user_hides_the_one_of_the_machine(windows: Host) -> None:
    assert registry_value(windows, USER, "OLLAMA_HOST") is None


def test_each_variable_of_the_group_data_is_set(windows: Host, box: State) -> None:
    data = only_host(box, "windows").data
    # A server that starts with Windows is given the machine's variables alone.
    level = USER if data.ollama_autostart == "logon" else MACHINE
    for name, value in data.ollama_machine_variables.items():
        assert registry_value(windows, MACHINE, name) == ("REG_SZ", value)
    for name, value in data.ollama_user_variables.items():
        assert registry_value(windows, level, name) == ("REG_SZ", value)


@pytest.mark.parametrize(("name", "value"), [("OLLAMA_HOST", "0.0.0.0:11434"), ("OLLAMA_KEEP_ALIVE", "5m")])
def test_a_program_that_starts_now_gets_the_variables(windows: Host, name: str, value: str) -> None:
    assert windows.run(f"echo %{name}%").stdout.split() == [value]
