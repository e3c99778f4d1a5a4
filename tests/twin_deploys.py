"""pyinfra's command line on the inventory of a twin, each run a process of its own as a user's is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from vengeance.verify import inventory

ROOT = Path(__file__).resolve().parents[1]
TWIN = ROOT / "inventory" / "twin.py"

Finished = subprocess.CompletedProcess[str]
Deploy = Callable[..., Finished]


def vllm_at_boot() -> list[str]:
    """Arguments of pyinfra by which the chosen profile of vLLM starts with the distro, beside Ollama."""
    declared = inventory.group_data(ROOT / "group_data")["wsl"]
    profiles = declared["vllm_profiles"]
    chosen = {**profiles[declared["vllm_profile"]], "enabled": True}
    return ["--data", "vllm_profiles=" + json.dumps({**profiles, declared["vllm_profile"]: chosen})]


def twin_environment(twin: str, vllm: str = "stand-in") -> dict[str, str]:
    """The environment of a program that uses the inventory of a twin; ``vllm`` is ``stand-in`` or ``real``."""
    return {**os.environ, "VENGEANCE_TWIN": twin, "VENGEANCE_TWIN_VLLM": vllm, "PYINFRA_PROGRESS": "off"}


def run_pyinfra(twin: str, *arguments: str, timeout: float = 900, vllm: str = "stand-in") -> Finished:
    """Run pyinfra in the project's folder.

    + twin: name of the twin
    + arguments: those that follow the inventory
    + timeout: seconds until it is given up
    + vllm: which one the distro gets: ``stand-in`` or ``real``
    """
    command = [sys.executable, "-m", "pyinfra", str(TWIN), *arguments]
    # With nothing to read, so that a question fails and does not wait for ever.
    return subprocess.run(
        command,
        cwd=ROOT,
        env=twin_environment(twin, vllm),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def told(finished: Finished) -> str:
    """All that a person saw, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", finished.stdout + finished.stderr)


def right(finished: Finished) -> str:
    """The same of a run that went well."""
    text = told(finished)
    assert finished.returncode == 0, text
    return text
