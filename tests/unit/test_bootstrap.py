"""The one paste: what is printed is the script as it stands, with nothing but known defaults filled in."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import pytest

from tests.unit.test_settings import DATA
from vengeance.box import bootstrap
from vengeance.cli import main

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = (ROOT / "bootstrap" / "enable-winrm.ps1").read_text(encoding="utf-8")
UNDO = (ROOT / "bootstrap" / "disable-winrm.ps1").read_text(encoding="utf-8")


def changes(text: str) -> list[str]:
    """The lines of a printed script that stand otherwise in ours."""
    lines = difflib.ndiff(SCRIPT.splitlines(keepends=True), text.splitlines(keepends=True))
    return [line[2:].strip() for line in lines if line.startswith("+ ")]


def project(folder: Path, inventory: str, windows: str = "") -> Path:
    """A project with the script, an inventory and group data; the inventory's file."""
    for name, text in (
        ("bootstrap/enable-winrm.ps1", SCRIPT),
        ("inventory/home.py", inventory),
        ("group_data/windows.py", windows),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "inventory" / "home.py"


# --- python -m vengeance bootstrap ------------------------------------------------------------------------


def test_the_script_of_the_shipped_inventory_differs_in_its_defaults_only(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bootstrap", "--inventory", str(ROOT / "inventory" / "home.py")]) == 0
    printed = capfd.readouterr().out
    assert changes(printed) == ["[string] $Account = 'Steam',", "[string] $BoxAddress = '100.98.226.75',"]
    assert len(printed.splitlines()) == len(SCRIPT.splitlines())


def test_account_addresses_and_port_are_those_of_the_inventory_and_its_group_data(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    box = (
        '{"winrm_host": "box.lan", "winrm_user": ".\\\\J\u00f6rg O\'Hara", "winrm_port": 15986, '
        '"winrm_password_env": "THE_VARIABLE"}'
    )
    file = project(tmp_path, f'windows = [("@winrm/box", {box})]', 'remote_addresses = ["10.1.0.0/16", "fd00::/8"]')
    assert main(["bootstrap", "--inventory", str(file)]) == 0
    printed = capfd.readouterr().out
    assert changes(printed) == [
        "[string] $Account = 'J\u00f6rg O''Hara',",
        "[string[]] $RemoteAddress = @('10.1.0.0/16', 'fd00::/8', 'LocalSubnet'),",
        "[string] $BoxAddress = 'box.lan',",
        "[int] $Port = 15986",
    ]
    assert "THE_VARIABLE" not in printed


def test_no_password_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENGEANCE_PASSWORD", "hunter2-and-more")
    hosts = 'windows = [("@winrm/a", {"winrm_password": Secret.of("hunter2-and-more")})]'
    text = f"from vengeance.secret import Secret\n{hosts}"
    assert main(["bootstrap", "--inventory", str(project(tmp_path, text))]) == 0
    assert "hunter2" not in capfd.readouterr().out
    assert main(["bootstrap", "--inventory", str(ROOT / "inventory" / "home.py")]) == 0
    assert "hunter2" not in capfd.readouterr().out


def test_an_address_of_a_microsoft_account_is_not_filled_in_as_a_local_account(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = 'windows = [("@winrm/a", {"winrm_user": "me@example.com"})]'
    assert main(["bootstrap", "--inventory", str(project(tmp_path, text))]) == 0
    assert changes(capfd.readouterr().out) == []


def test_one_of_several_boxes_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = 'windows = [("@winrm/a", {"winrm_user": "A"}), ("@winrm/b", {"winrm_user": "B"})]'
    file = project(tmp_path, text)
    assert main(["bootstrap", "--inventory", str(file)]) == 64
    assert "@winrm/a, @winrm/b: say which" in capfd.readouterr().err
    assert main(["bootstrap", "b", "--inventory", str(file)]) == 0
    assert changes(capfd.readouterr().out) == ["[string] $Account = 'B',"]
    assert main(["bootstrap", "c", "--inventory", str(file)]) == 64
    assert "has no @winrm/c; it has @winrm/a, @winrm/b" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("inventory", "windows", "sentence"),
    [
        ("windows = []", "", "has no box"),
        ("windows = [(", "", "cannot be read"),
        ('windows = [("@winrm/a", {"winrm_user": "a/b"})]', "", "'a/b' is no name of a local account"),
        ('windows = ["@winrm/a"]', 'remote_addresses = ["100.64.0.1/10"]', "the network is 100.64.0.0/10"),
        ('windows = ["@winrm/a"]', 'remote_addresses = ["everybody"]', "'everybody' is no remote address"),
    ],
)
def test_an_inventory_that_will_not_do_is_told_in_a_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], inventory: str, windows: str, sentence: str
) -> None:
    code = main(["bootstrap", "--inventory", str(project(tmp_path, inventory, windows))])
    assert code == (64 if sentence in ("cannot be read", "has no box") else 1)
    said = capfd.readouterr()
    assert sentence in said.err
    assert said.out == ""


def test_a_missing_inventory_is_told_in_a_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bootstrap", "--inventory", str(tmp_path / "no.py")]) == 64
    assert "There is no inventory" in capfd.readouterr().err


# --- the text of PowerShell -------------------------------------------------------------------------------


@pytest.mark.parametrize("quote", "'\u2018\u2019\u201a\u201b")
def test_no_quote_ends_the_text_it_stands_in(quote: str) -> None:
    written = bootstrap.text(f"a{quote}; Remove-Item x; {quote}")
    assert written[1:-1].count(quote * 2) == 2
    assert written[1:-1].replace(quote * 2, "").count(quote) == 0


def test_what_is_filled_in_stays_on_the_line_of_its_parameter() -> None:
    with pytest.raises(ValueError, match="no name of a local account"):
        bootstrap.filled(SCRIPT, account="a\nb")
    with pytest.raises(ValueError, match=r"no parameter \$Port"):
        bootstrap.filled("& {\n}\n", port=1)


# --- what a paste needs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [SCRIPT, UNDO], ids=["enable", "disable"])
def test_a_paste_is_one_statement(text: str) -> None:
    """The console runs each statement when its line is complete: only a block waits for its end."""
    code = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert code[0] == "& {"
    assert code[-1] in ("} @args", "}")
    assert all(line.startswith("    ") for line in code[1:-1])


@pytest.mark.parametrize("text", [SCRIPT, UNDO], ids=["enable", "disable"])
def test_a_paste_ends_with_one_newline_that_no_prompt_reads_as_its_answer(text: str) -> None:
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize("text", [SCRIPT, UNDO], ids=["enable", "disable"])
def test_a_paste_never_closes_the_window_or_completes_a_word(text: str) -> None:
    assert not re.search(r"^\s*exit\b", text, re.MULTILINE)
    assert "\t" not in text
    assert "@'" not in text.replace("@('", "")
    assert '@"' not in text


def test_nothing_is_downloaded() -> None:
    assert not re.search(r"Invoke-WebRequest|Invoke-RestMethod|WebClient|Start-BitsTransfer|\biex\b|Install-", SCRIPT)


# --- what it sets is what the rest relies on -----------------------------------------------------------------


def test_its_own_addresses_are_those_of_the_group_data_and_the_local_network() -> None:
    wanted = [*DATA["windows"]["remote_addresses"], "LocalSubnet"]
    assert bootstrap.filled(SCRIPT, remote_addresses=wanted) == SCRIPT


def test_all_that_it_makes_is_undone() -> None:
    for made in ("vengeance-winrm-https", "vengeance WinRM", "LocalAccountTokenFilterPolicy", "winrm/config/listener"):
        assert made in SCRIPT
        assert made in UNDO
