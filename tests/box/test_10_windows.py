"""Acceptance: the Windows side. What the operations wrote through .NET is read with reg.exe and a fresh cmd.exe."""

from __future__ import annotations

from typing import Any

import pytest
from testinfra.host import Host


def level(declared: dict[str, Any]) -> str:
    """Where the variables of the user stand: a server that starts with Windows is given the machine's alone."""
    return "user" if declared["ollama_autostart"] == "logon" else "machine"


def wanted(declared: dict[str, Any], name: str, value: str) -> str:
    """What is declared of a variable; skips where that is another value than a sentence is about."""
    found = {**declared["ollama_machine_variables"], **declared["ollama_user_variables"]}.get(name)
    if found != value:
        pytest.skip(f"{name} is declared as {found}, and this sentence is about {value}")
    return value


def test_ollama_listens_on_every_address_by_a_variable_of_the_machine(windows: Host, declared: dict[str, Any]) -> None:
    assert windows.windows_environment("OLLAMA_HOST").machine == wanted(declared, "OLLAMA_HOST", "0.0.0.0:11434")


def test_ollama_gives_the_card_back_after_five_minutes_by_a_variable(windows: Host, declared: dict[str, Any]) -> None:
    expected = wanted(declared, "OLLAMA_KEEP_ALIVE", "5m")
    assert getattr(windows.windows_environment("OLLAMA_KEEP_ALIVE"), level(declared)) == expected


def test_no_variable_of_the_user_hides_the_one_of_the_machine(windows: Host) -> None:
    assert windows.windows_environment("OLLAMA_HOST").user is None


def test_each_variable_of_the_group_data_is_set(windows: Host, declared: dict[str, Any]) -> None:
    for name, value in declared["ollama_machine_variables"].items():
        assert windows.windows_environment(name).machine == value, name
    for name, value in declared["ollama_user_variables"].items():
        assert getattr(windows.windows_environment(name), level(declared)) == value, name


@pytest.mark.parametrize("name", ["OLLAMA_HOST", "OLLAMA_KEEP_ALIVE"])
def test_a_program_that_starts_now_gets_the_variables(windows: Host, declared: dict[str, Any], name: str) -> None:
    variables = {**declared["ollama_machine_variables"], **declared["ollama_user_variables"]}
    assert windows.windows_environment(name).of_a_new_program == variables.get(name)
