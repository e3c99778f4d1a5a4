"""The workflow of GitHub Actions, judged without a run as far as that goes; and that tests/windows forgets nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
TEXT = WORKFLOW.read_text(encoding="utf-8")
SCRIPTS = ROOT / "src" / "vengeance" / "powershell"
WINDOWS = ROOT / "tests" / "windows"

# Of tests/powershell, which run on the runner too, without WinRM; and what nothing but a real box can show.
NOT_OVER_WINRM: dict[str, str] = {
    "Expand-OllamaArchive": "tests/powershell, with an archive of its own",
    "Remove-OllamaModel": "it needs an Ollama with a model; tests/powershell answers as one",
    "Stop-OllamaModel": "it needs an Ollama with a model; tests/powershell answers as one",
    "Set-Tailscale": "it needs a Tailscale that is signed in",
    "Set-TailscaleServe": "it needs a Tailscale that is signed in",
    "work/Save-OllamaModel": "it needs an Ollama; tests/powershell answers as one",
}
"""Script -> why no test of tests/windows runs it."""
BY_OPERATIONS: dict[str, str] = {
    "work/Import-Distribution": "test_wsl.py",
    "work/Save-Download": "test_wsl.py",
    **dict.fromkeys(("agent/agent", "agent/loader", "agent/process"), "test_the_wire.py"),
    **dict.fromkeys(("agent/read-chunk", "agent/write-chunk"), "test_the_wire.py, in process mode"),
}
"""Script -> the test that has it run without naming it."""


def workflow() -> dict[Any, Any]:
    loaded = yaml.safe_load(TEXT)
    assert isinstance(loaded, dict)
    return loaded


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in workflow()["jobs"].items():
        for step in job["steps"]:
            yield name, step


def commands() -> list[str]:
    return [line.strip() for _, step in steps() for line in step.get("run", "").splitlines() if line.strip()]


# --- what a stranger's code may do ------------------------------------------------------------------------


def test_it_may_read_and_nothing_else_and_every_job_has_an_end() -> None:
    assert workflow()["permissions"] == {"contents": "read"}
    for name, job in workflow()["jobs"].items():
        assert "permissions" not in job, name
        assert 0 < job["timeout-minutes"] < 360, name


def test_actions_are_githubs_own_pinned_by_commit_with_the_version_behind() -> None:
    used = re.findall(r"uses: (\S+)(.*)", TEXT)
    assert len(used) > 5
    hashes: dict[str, set[str]] = {}
    for action, comment in used:
        name, _, commit = action.partition("@")
        assert name.startswith("actions/"), action
        assert re.fullmatch("[0-9a-f]{40}", commit), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
        hashes.setdefault(name, set()).add(commit + comment)
    assert [name for name, different in hashes.items() if len(different) > 1] == []


def test_a_checkout_leaves_no_token_behind() -> None:
    checkouts = [step for _, step in steps() if str(step.get("uses", "")).startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert len(checkouts) == len(workflow()["jobs"])


def test_no_command_holds_a_text_that_somebody_else_can_choose() -> None:
    assert [line for line in commands() if "${{" in line] == []


# --- what it names is there -------------------------------------------------------------------------------


def test_every_file_and_folder_that_a_step_names_is_in_the_project() -> None:
    made = (".venv/", "build/")
    named = []
    for line in commands():
        for word in line.replace("\\", "/").split():
            path = word.removeprefix("./").partition("=")[2] if word.startswith("--") else word.removeprefix("./")
            looks_like_one = "/" in path or path.endswith((".txt", ".ps1", ".sh", ".py"))
            if looks_like_one and not path.startswith(made) and "=" not in path:
                named.append(path)
    assert "tests/windows/prepare.ps1" in named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_target_of_make_exists_with_the_variables_that_it_reads() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    scripts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "scripts").glob("*.sh"))
    called = [line.split()[line.split().index("make") + 1 :] for line in commands() if "make" in line.split()]
    assert called
    for target, *settings in called:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
        for setting in settings:
            assert setting.partition("=")[0] in scripts, setting


def test_every_extra_that_pip_is_asked_for_is_one_of_ours_and_holds_what_the_tests_need() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    asked = {extra for line in commands() for extra in re.findall(r'-e "\.\[(\w+)\]"', line)}
    assert asked == {"windows"}
    (listed,) = re.findall(r"^windows = \[(.*)\]$", text, re.MULTILINE)
    names = {Requirement(each).name for each in re.findall(r'"([^"]+)"', listed)}
    # The marks and the time limit of pyproject.toml and tests/conftest.py come from these two.
    assert {"pytest-timeout", "pytest-xdist"} <= names


def test_every_setting_of_the_windows_tests_is_one_that_they_read() -> None:
    read = "".join(path.read_text(encoding="utf-8") for path in WINDOWS.glob("*.py"))
    given = {name for _, step in steps() for name in step.get("env", {})}
    given |= set(re.findall(r"VENGEANCE_WINDOWS_\w+", (WINDOWS / "prepare.ps1").read_text(encoding="utf-8")))
    assert given > {"VENGEANCE_WINDOWS_CHANGES", "VENGEANCE_WINDOWS_USER"}
    unread = [name for name in given if f'PREFIX + "{name.removeprefix("VENGEANCE_WINDOWS_")}"' not in read]
    # These three are read in one line, by a loop.
    assert set(unread) <= {f"VENGEANCE_WINDOWS_{name}" for name in ("USER", "PASSWORD", "SHA256")}


def test_windows_powershell_and_not_7_starts_the_tests_on_windows() -> None:
    job = workflow()["jobs"]["windows"]
    assert job["defaults"]["run"]["shell"] == "powershell"
    others = {step.get("name"): step["shell"] for step in job["steps"] if "shell" in step}
    assert others == {"PSScriptAnalyzer": "pwsh"}


# --- no script is forgotten -------------------------------------------------------------------------------


def literals(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_script_is_run_over_winrm_or_here_stands_why_not() -> None:
    every = {path.relative_to(SCRIPTS).with_suffix("").as_posix() for path in SCRIPTS.rglob("*.ps1")}
    named = every & {text for file in WINDOWS.glob("*.py") for text in literals(file)}
    assert sorted(every - named - NOT_OVER_WINRM.keys() - BY_OPERATIONS.keys()) == []
    assert sorted(named & NOT_OVER_WINRM.keys()) == []
    assert sorted((NOT_OVER_WINRM.keys() | BY_OPERATIONS.keys()) - every) == []


def test_a_script_that_changes_something_is_asked_only_where_changes_are_allowed() -> None:
    # The name of a script that reads begins with Get-; the table of the reading tests holds no other.
    tree = ast.parse((WINDOWS / "test_reading_scripts.py").read_text(encoding="utf-8"))
    names = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[A-Z]\w+-\w+", node.value)
    }
    assert names
    assert [name for name in names if not name.startswith("Get-")] == []
    changing = ast.parse((WINDOWS / "test_changing_scripts.py").read_text(encoding="utf-8"))
    marks = [ast.unparse(node) for node in changing.body if isinstance(node, ast.Assign)]
    assert "pytestmark = pytest.mark.usefixtures('may_change')" in marks


@pytest.mark.parametrize("name", sorted(NOT_OVER_WINRM))
def test_a_reason_that_names_other_tests_names_some_that_are_there(name: str) -> None:
    if NOT_OVER_WINRM[name].startswith("it needs a Tailscale"):
        return
    files = (ROOT / "tests" / "powershell").glob("test_*.py")
    assert any(name in literals(file) for file in files)
