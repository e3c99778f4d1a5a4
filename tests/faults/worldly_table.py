"""The table of docs/reliability.md about faults of the world, written by the tests that have seen what stands in it."""

from __future__ import annotations

import ast
import fcntl

from tests.twin_deploys import ROOT

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- worldly faults: begin -->", "<!-- worldly faults: end -->"
HEAD = "| what happens | when | this run | the next run | shown by |\n|---|---|---|---|---|\n"
RIGHT = "ends right"


def record(what: str, when: str, outcome: str, after: str, file: str, test: str) -> None:
    """Put a row into the page, instead of an older one about the same.

    + what, when: the fault, and the moment of a run at which it came
    + outcome, after: what became of that run, and of the next
    + file, test: below ``tests/``, where it was seen
    """
    row = f"| {what} | {when} | {outcome} | {after} | `{file}::{test}` |"
    with PAGE.open("r+", encoding="utf-8") as page:
        fcntl.flock(page, fcntl.LOCK_EX)
        text = page.read()
        before, _, rest = text.partition(BEGIN)
        table, _, behind = rest.partition(END)
        # A row whose test is no more goes with it.
        lines = [one for one in table.splitlines() if one.startswith("| ") and f"{one}\n" not in HEAD]
        rows = {tuple(one.split(" | ")[:2]): one for one in lines if has_test(*_shown_by(one))}
        rows[tuple(row.split(" | ")[:2])] = row
        written = f"{before}{BEGIN}\n{HEAD}" + "".join(f"{one}\n" for one in sorted(rows.values())) + f"{END}{behind}"
        if written != text:
            page.seek(0)
            page.write(written)
            page.truncate()


def _shown_by(row: str) -> tuple[str, str]:
    file, _, test = row.strip("| ").split(" | ")[4].strip("`").partition("::")
    return file, test


def has_test(file: str, test: str) -> bool:
    """Whether a file below ``tests/`` has a test of this name."""
    path = ROOT / "tests" / file
    tree = ast.parse(path.read_text(encoding="utf-8") if path.is_file() else "")
    return any(isinstance(node, ast.FunctionDef) and node.name == test for node in ast.walk(tree))


def rows() -> list[list[str]]:
    """The cells of each row that is on the page."""
    table = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    return [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
