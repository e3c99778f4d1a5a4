"""The scripts about which run has the box, run for real: Windows alone has named pieces of memory."""

from __future__ import annotations

import json
import subprocess

from tests.powershell.test_powershell_scripts import PWSH, answer, needs_windows, runs_pwsh
from vengeance.powershell import load


def taken(owner: str, instead_of: int = 0) -> dict[str, object]:
    return {"owner": owner, "instead_of": instead_of, "stay": False}


@runs_pwsh
@needs_windows
def test_a_box_is_had_by_one_process_until_it_ends() -> None:
    given = json.dumps({"owner": "first", "instead_of": 0, "stay": True})
    script = f"& {{ {load('Set-RunLock')} }} -InputJson '{given}'"
    line = [str(PWSH), "-NoLogo", "-NoProfile", "-NonInteractive", "-Command", "-"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{script}\n\n".encode())
        process.stdin.close()
        mine = json.loads(process.stdout.readline())["after"]
        assert mine["owner"] == "first"
        assert answer("Get-RunLock", {}) == {"holder": mine}
        refused = answer("Set-RunLock", taken("second"))
        assert (refused["changed"], refused["after"]) == (False, mine)
        instead = answer("Set-RunLock", taken("second", int(mine["pid"])))
        assert (instead["changed"], instead["after"]["owner"]) == (True, "second")
        assert process.wait(20) != 0
    assert answer("Get-RunLock", {}) == {"holder": None}
