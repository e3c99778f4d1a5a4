"""The doctor's catalogue, its list of traps, its page, and what it shows; all without a box."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from vengeance.box import vllm_faults
from vengeance.doctor import page, report, traps
from vengeance.doctor.catalogue import CATALOGUE, KINDS, finding, of_a_journal
from vengeance.doctor.links import LINKS, NAMES, link
from vengeance.doctor.walk import Looked
from vengeance.facts.vllm.unit import parse_unit

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "doctor.md"


def test_the_page_of_the_findings_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: make docs"


def test_names_are_in_kebab_case_and_each_stands_once() -> None:
    assert len(KINDS) == len(CATALOGUE)
    assert [name for name in CATALOGUE if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)] == []


def test_a_link_hangs_on_links_before_it_alone() -> None:
    for number, each in enumerate(LINKS):
        assert set(each.needs) <= set(NAMES[:number])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_finding_says_what_it_means_what_mends_it_and_where_more_stands(kind: object) -> None:
    one = CATALOGUE[kind.name]  # type: ignore[attr-defined]
    assert one.says.endswith((".", ")"))
    assert one.mend
    assert one.link in NAMES
    assert one.docs
    for place in one.docs:
        assert place.startswith("https://") or (ROOT / place).is_file(), place


def test_every_fault_of_a_servers_journal_is_a_finding() -> None:
    assert [name for name in vllm_faults.NAMES if of_a_journal(name) not in CATALOGUE] == []


def test_every_trap_is_seen_as_findings_that_there_are_or_says_why_it_is_not() -> None:
    for rows in traps.TRAPS.values():
        for trap in rows:
            assert bool(trap.findings) != bool(trap.unseen), trap.what
            assert [name for name in trap.findings if name not in CATALOGUE] == [], trap.what


def test_a_mend_has_the_inventory_that_was_named_and_keeps_the_braces_of_powershell() -> None:
    found = finding("ollama-is-another", "an answer", port=11434)
    assert report.mend_of(found, "inventory/mine.py").count("{ Get-Process -Id $_.OwningProcess }") == 1
    mends = [report.mend_of(finding(kind.name, "seen"), "inventory/mine.py") for kind in KINDS]
    assert not [mend for mend in mends if "{inventory}" in mend]
    assert any("pyinfra inventory/mine.py deploys/wsl.py" in mend for mend in mends)


def looked(*names: str) -> list[Looked]:
    """A walk that found these."""
    found = [finding(name, "what was seen " * 12) for name in names]
    one = Looked(link("windows"), "Windows 11", tuple(found), None, 0.123, True)
    skipped = Looked(link("wsl"), "", (), "of something (Windows)", 0.0, False)
    return [one, skipped]


def test_notes_alone_are_no_reason_to_worry() -> None:
    assert report.verdict(looked("ollama-context-by-vram")) is None
    assert report.verdict(looked("ollama-context-by-vram", "windows-sleeps")) == "degraded"
    assert report.verdict(looked("windows-sleeps", "windows-too-old")) == "broken"


def test_lines_keep_to_the_width_and_commands_stay_whole() -> None:
    shown = list(report.lines("@winrm/box", "inventory/home.py", looked("windows-sleeps"), 1.5, 80, coloured=False))
    assert all(len(line) <= 80 for line in shown)
    assert "           pyinfra inventory/home.py deploys/windows.py" in shown
    assert any("not looked at, because of something (Windows)" in line for line in shown)
    assert shown[-1] == "1 degraded, 1 link not looked at. It took 1.5 s, and nothing was changed."
    painted = list(report.lines("@winrm/box", "inventory/home.py", looked("windows-sleeps"), 1.5, 80, coloured=True))
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in painted] == shown


def test_a_walk_without_findings_says_that_nothing_is_wrong() -> None:
    (one, _) = looked()
    shown = list(report.lines("@winrm/box", "inventory/home.py", [replace(one, findings=())], 1.5, 80, coloured=False))
    assert shown[-1] == "Nothing is wrong. It took 1.5 s, and nothing was changed."
    assert "ok       Windows: Windows 11 (0.1 s)" in shown


UNIT = """\
LoadState=loaded
ActiveState=active
Result=success
ActiveEnterTimestampMonotonic=5000000
DropInPaths=/run/a.conf /run/b.conf
Restart=always
PrivateDevices=no
DevicePolicy=closed
DeviceAllow=/dev/dxg rw
DeviceAllow=/dev/null rw
InaccessiblePaths=-/home/steam/token
Uptime=17.5"""


def test_what_systemd_says_of_a_unit_is_read() -> None:
    assert parse_unit(UNIT.splitlines()) == {
        "loaded": True,
        "state": "active",
        "result": "success",
        "active_seconds": 12.5,
        "drop_ins": ["/run/a.conf", "/run/b.conf"],
        "restart": "always",
        "private_devices": False,
        "device_policy": "closed",
        "devices": ["/dev/dxg rw", "/dev/null rw"],
        "inaccessible": ["-/home/steam/token"],
    }
