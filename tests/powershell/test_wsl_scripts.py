"""The scripts about WSL, run for real; the real .wslconfig is put back, and nothing is shut down."""

from __future__ import annotations

from pathlib import Path

from tests.powershell.test_powershell_scripts import answer, needs_windows, runs_pwsh

TEXT = "[wsl2]\nmemory=24GB\n# caf\u00e9\n"


@runs_pwsh
def test_wslconfig_is_read_from_the_profile_of_who_asks() -> None:
    said = answer("Get-WslConfiguration", {})
    file = Path.home() / ".wslconfig"
    assert Path(said["path"]) == file
    assert (said["text"] is None) == (not file.exists())


@runs_pwsh
@needs_windows
def test_wslconfig_is_written_once() -> None:
    file = Path.home() / ".wslconfig"
    before = file.read_bytes() if file.exists() else None
    try:
        file.unlink(missing_ok=True)
        first = answer("Set-WslConfiguration", {"text": TEXT, "shutdown": False})
        assert (first["changed"], first["before"], first["after"], first["stopped"]) == (True, None, TEXT, False)
        assert file.read_bytes() == TEXT.encode()
        assert answer("Get-WslConfiguration", {})["text"] == TEXT
        assert answer("Set-WslConfiguration", {"text": TEXT, "shutdown": False})["changed"] is False
        second = answer("Set-WslConfiguration", {"text": "[wsl2]\n", "shutdown": False})
        assert (second["changed"], second["before"]) == (True, TEXT)
    finally:
        file.unlink(missing_ok=True)
        if before is not None:
            file.write_bytes(before)


@runs_pwsh
@needs_windows
def test_distributions_and_their_owners_are_read() -> None:
    names = [one["name"] for one in answer("Get-WslInstallation", {})["distributions"]]
    said = answer("Get-WslOwner", {})
    mine = [one["distributions"] for one in said["owners"] if one["account"] == said["account"]]
    assert sorted(mine[0] if mine else []) == sorted(names)
