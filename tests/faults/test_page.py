"""What docs/reliability.md says that the tests have seen."""

from __future__ import annotations

from tests.faults import outcomes
from tests.faults.kinds import KINDS
from tests.twin_deploys import ROOT

PAGE = ROOT / "docs" / "reliability.md"


def test_the_page_has_a_table_of_every_stage_and_kind_with_nothing_wrong_in_it() -> None:
    text = outcomes.between_the_marks(PAGE.read_text(encoding="utf-8"))
    assert outcomes.faults_tried(text) > 500
    assert "WRONG" not in text
    rows = {line.split("|")[1].strip(): line.split("|")[3:-1] for line in text.splitlines() if line.startswith("| ")}
    for stage in ("preflight", "windows", "ollama", "wsl", "cuda", "vllm", "expose", "verify", "all"):
        assert len(rows[stage]) == len(KINDS)
        assert all(cell.strip() != "-" for cell in rows[stage]), stage
