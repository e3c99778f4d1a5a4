"""What a run that went wrong leaves behind, and that the next one sees it."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import pytest

from tests.twin.ollama_box import SMALL, OllamaBox
from tests.twin.windows_box import Box
from tests.twin.works_box import WorksHost
from vengeance.powershell import Script
from vengeance.twin.windows.program import Run
from vengeance.twin.windows.registry import LXSS

PACKAGE = "C:\\Program Files\\WSL"


class Shutdowns:
    """A wsl.exe that is only ever told to shut down; ``code`` is what it ends with."""

    def __init__(self) -> None:
        self.code = 1
        self.asked = 0

    def __call__(self, run: Run) -> int:
        self.asked += 1
        return self.code


@pytest.mark.parametrize("before", [None, "[wsl2]\nmemory=8GB\n"])
def test_a_wslconfig_that_wsl_was_not_shut_down_for_is_written_again(tmp_path: Path, before: str | None) -> None:
    box, wsl = Box(tmp_path), Shutdowns()
    box.windows.registry.set(f"HKLM\\{LXSS}\\MSI", "InstallLocation", f"{PACKAGE}\\")
    box.windows.add_program(f"{PACKAGE}\\wsl.exe", wsl)
    file = box.drive_c / "Users/Steam/.wslconfig"
    if before is not None:
        file.write_text(before)
    host, script = WorksHost(box), Script("Set-WslConfiguration", {"text": "[wsl2]\nmemory=24GB\n", "shutdown": True})
    good, _, said = host.run_script(script)
    assert not good
    assert "wsl.exe --shutdown ended with 1" in said
    assert (file.read_text() if file.exists() else None) == before
    wsl.code = 0
    good, out, _ = host.run_script(script)
    assert good
    assert (json.loads(out)["changed"], json.loads(out)["stopped"], wsl.asked) == (True, True, 2)
    assert file.read_text() == "[wsl2]\nmemory=24GB\n"


def test_of_a_cut_pull_only_what_has_come_counts_as_there(tmp_path: Path) -> None:
    box = OllamaBox(tmp_path)
    host = WorksHost(box)

    def partial() -> Any:
        return json.loads(host.run_script(Script("Get-OllamaStorage", {"folder": None}))[1])["partial_bytes"]

    box.serve()
    assert partial() == 0
    box.ollama.fault("cut", percent=30)
    with pytest.raises(http.client.IncompleteRead):
        box.pull(SMALL)
    parts = list((box.drive_c / "Users/Steam/.ollama/models/blobs").glob("*-partial-0"))
    assert partial() == sum(json.loads(part.read_text())["Completed"] for part in parts) > 0
    # The server makes the file as long as the whole blob at once; that says nothing.
    for part in parts:
        with part.with_name(part.name.removesuffix("-0")).open("r+b") as file:
            file.truncate(1 << 30)
    assert partial() < 1 << 30
    box.pull(SMALL)
    assert partial() == 0
