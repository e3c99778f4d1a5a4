"""The models of the scripts about WSL, and of the work that imports a distribution."""

from __future__ import annotations

import ntpath
import re
from collections.abc import Callable
from typing import Any

from vengeance.powershell.wsl import Configuration, ConfigurationChange, Owner, Owners
from vengeance.twin.process import ProcessOutput
from vengeance.twin.windows.environment import Environment
from vengeance.twin.windows.model import CannotStart
from vengeance.twin.windows.pipes import InputPipe
from vengeance.twin.windows.program import Run
from vengeance.twin.windows.registry import LXSS
from vengeance.twin.windows.scripts.model import Given, Model, ScriptFailed
from vengeance.twin.windows.works import WORKS, Work, WorkFailed


class _Collected(ProcessOutput):
    def __init__(self) -> None:
        super().__init__()
        self.text = b""

    def write_stdout(self, data: bytes) -> None:
        self.text += data

    def write_stderr(self, data: bytes) -> None:
        self.text += data


def _wsl(run: Run, arguments: str, wait: Callable[[], None] = lambda: None) -> tuple[int, str] | None:
    """Run the package's wsl.exe with an empty input; None when there is none. ``wait`` is called each second."""
    location = run.windows.registry.text(f"HKLM\\{LXSS}\\MSI", "InstallLocation")
    if not location:
        return None
    image = location.rstrip("\\") + "\\wsl.exe"
    environment = Environment({**run.environment, "WSL_UTF8": "1", "WSL_DISABLE_WARNINGS": "1"})
    stdin, output = InputPipe(), _Collected()
    stdin.close()
    try:
        run.windows.program(image)
    except CannotStart as error:
        raise ScriptFailed(f'Exception calling "Start" with "1" argument(s): "{error}"') from error
    child = run.windows.spawn(run, output, image=image, arguments=" " + arguments, environment=environment, stdin=stdin)
    while not child.wait(1.0):
        run.job.check()
        wait()
    run.job.check()
    code = output.exit_code or 0
    return code - (1 << 32 if code >= 1 << 31 else 0), " ".join(output.text.decode(errors="replace").split())


def _file(run: Run) -> str:
    return f"C:\\Users\\{run.user}\\.wslconfig"


def _text(run: Run) -> str | None:
    path = _file(run)
    return run.windows.drive.read(path).decode("utf-8-sig") if run.windows.drive.is_file(path) else None


def get_wsl_configuration(run: Run, given: Given) -> Configuration:
    """Get-WslConfiguration."""
    return {"path": _file(run), "text": _text(run)}


def set_wsl_configuration(run: Run, given: Given) -> ConfigurationChange:
    """Set-WslConfiguration."""
    before, wanted = _text(run), None if given["text"] is None else str(given["text"])
    if before == wanted:
        return {"changed": False, "before": before, "after": before, "reboot_required": False, "stopped": False}
    if wanted is None:
        run.windows.drive.remove_file(_file(run))
    else:
        run.windows.drive.write(f"{_file(run)}.new", wanted.encode())
        run.windows.drive.move(f"{_file(run)}.new", _file(run), replace=True)
    try:
        stopped = _wsl(run, "--shutdown") if given["shutdown"] else None
        if stopped is not None and stopped[0] != 0:
            raise ScriptFailed(f"wsl.exe --shutdown ended with {stopped[0]}: {stopped[1]}")
    except ScriptFailed:
        if before is None:
            run.windows.drive.remove_file(_file(run))
        else:
            run.windows.drive.write(_file(run), before.encode())
        raise
    return {
        "changed": True,
        "before": before,
        "after": _text(run),
        "reboot_required": False,
        "stopped": stopped is not None,
    }


def get_wsl_owner(run: Run, given: Given) -> Owners:
    """Get-WslOwner. Every account's registry is loaded in the twin."""
    registry, state = run.windows.registry, run.windows.state
    owners: list[Owner] = []
    for account, sid in state.users.items():
        key = f"HKU\\{sid}\\{LXSS}"
        named = [registry.text(f"{key}\\{guid}", "DistributionName") for guid in registry.subkeys(key)]
        names = [name for name in named if name]
        if names:
            owners.append({"sid": sid, "account": f"{state.hostname}\\{account}", "distributions": names})
    return {"account": f"{state.hostname}\\{run.user}", "owners": owners}


def _state(run: Run, name: str) -> int:
    registry = run.windows.registry
    key = f"HKU\\{run.windows.state.sid(run.user)}\\{LXSS}"
    for guid in registry.subkeys(key):
        if registry.text(f"{key}\\{guid}", "DistributionName").lower() == name.lower():
            return registry.number(f"{key}\\{guid}", "State")
    return 0


def import_distribution(work: Work) -> dict[str, Any]:
    """The work Import-Distribution."""
    run = work.run
    name, path, image = (str(work.input[key]) for key in ("distribution", "path", "image"))
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise WorkFailed(f"'{name}' is no name of a WSL distribution.")
    for place in (path, image):
        if re.search(r'["<>|]', place) or place.endswith("\\"):
            raise WorkFailed(f"'{place}' cannot stand on the command line of wsl.exe.")
    if _state(run, name) == 1:
        return {"changed": False, "name": name, "path": path}
    parent = ntpath.dirname(path)
    if not run.windows.drive.is_directory(parent):
        run.windows.drive.make_directory(parent)
    done = _wsl(run, f'--import {name} "{path}" "{image}" --version 2', lambda: work.progress({"bytes": 0}))
    if done is None:
        raise WorkFailed("There is no WSL from its package on this box.")
    if done[0] != 0 or _state(run, name) != 1:
        room = run.windows.machine.free_bytes >> 20
        raise WorkFailed(
            f"wsl.exe --import {name} ended with {done[0]}: {done[1]} Where its disk was to be, {room} MB are free: "
            "make room there if that is little, then run the deploy again."
        )
    return {"changed": True, "name": name, "path": path}


WORKS["Import-Distribution"] = import_distribution

MODELS: dict[str, Model] = {
    "Get-WslConfiguration": get_wsl_configuration,
    "Set-WslConfiguration": set_wsl_configuration,
    "Get-WslOwner": get_wsl_owner,
}
"""Script name -> what does its work here."""
