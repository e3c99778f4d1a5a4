"""Ollama's variables at the two levels of the registry, and what its packages and ways to start allow."""

from __future__ import annotations

import pytest

from vengeance.box import ollama_package, ollama_settings, ollama_start, versions


def test_the_users_value_wins_whatever_the_case_of_its_name() -> None:
    found = ollama_settings.in_effect({"OLLAMA_HOST": "0.0.0.0", "TEMP": "C:\\T"}, {"ollama_host": "127.0.0.1:4090"})
    assert found == {"OLLAMA_HOST": "127.0.0.1:4090"}


def test_a_server_is_asked_where_its_variables_put_it() -> None:
    assert ollama_settings.asked_at({"OLLAMA_HOST": "100.98.226.75:11434"}, {}) == "100.98.226.75"
    assert ollama_settings.asked_at({}, {"Ollama_Host": "0.0.0.0"}) == "127.0.0.1"
    assert ollama_settings.asked_at({}, {}) == "127.0.0.1"


PRESENT = {
    "machine": {"OLLAMA_KEEP_ALIVE": "-1", "Path": "C:\\"},
    "user": {"ollama_host": "127.0.0.1", "OLLAMA_DEBUG": "1", "TEMP": "C:\\T"},
}


def test_at_boot_the_machine_has_all_and_the_users_own_go() -> None:
    wanted = ollama_settings.levels(
        {"OLLAMA_HOST": "0.0.0.0", "OLLAMA_KEEP_ALIVE": "1h"}, {"ollama_keep_alive": "5m"}, "boot", PRESENT
    )
    assert wanted == {
        "machine": {"OLLAMA_HOST": "0.0.0.0", "ollama_keep_alive": "5m"},
        "user": {"ollama_host": None, "OLLAMA_DEBUG": None},
    }


def test_at_logon_each_level_has_its_own_and_nothing_of_the_others() -> None:
    wanted = ollama_settings.levels({"OLLAMA_HOST": "0.0.0.0"}, {"OLLAMA_KEEP_ALIVE": "5m"}, "logon", PRESENT)
    assert wanted == {
        "machine": {"OLLAMA_HOST": "0.0.0.0", "OLLAMA_KEEP_ALIVE": None},
        "user": {"OLLAMA_KEEP_ALIVE": "5m", "ollama_host": None},
    }
    assert list(ollama_settings.strays(PRESENT, wanted)) == [("user", "OLLAMA_DEBUG", "1")]


def test_a_variable_that_is_declared_for_both_levels_stays_at_both_for_a_logon() -> None:
    both = {"OLLAMA_HOST": "0.0.0.0"}
    there = {"machine": both, "user": both}
    assert ollama_settings.levels(both, both, "logon", there) == there


@pytest.mark.parametrize(
    ("version", "checks"), [("0.23.2", False), ("0.9.9", False), ("0.23.3", True), ("0.34.1-rc0", True)]
)
def test_old_versions_take_updates_that_nobody_signed(version: str, checks: bool) -> None:
    assert ollama_package.checks_its_updates(version) is checks


def test_only_the_zip_has_a_folder_of_its_own() -> None:
    assert ollama_package.archive_folder("setup", "D:\\Ollama") is None
    assert ollama_package.archive_folder("zip", None) == "C:\\Program Files\\Ollama"
    assert ollama_package.archive_folder("zip", "D:\\Ollama") == "D:\\Ollama"


def test_the_installer_asks_nothing_and_goes_where_it_is_told() -> None:
    assert ollama_package.setup_arguments(None) == "/VERYSILENT /NORESTART /SUPPRESSMSGBOXES"
    assert ollama_package.setup_arguments("D:\\My Ollama\\").endswith('/DIR="D:\\My Ollama"')


@pytest.mark.parametrize("path", ["C:\\100%\\Ollama", 'C:\\a"b', "C:\\a\nb"])
def test_cmd_does_not_take_every_path(path: str) -> None:
    assert not ollama_start.cmd_takes(path)
    assert ollama_start.cmd_takes("C:\\Program Files\\Ollama & Co")


def test_versions_compare_by_their_numbers() -> None:
    assert versions.numbers("0.9") < versions.numbers("0.15.1") < versions.numbers("0.15.1.1")
