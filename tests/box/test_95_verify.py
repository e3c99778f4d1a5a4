"""Acceptance: the list itself: what is broken on a box is what does not hold, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from tests.box.conftest import NAME, start_vllm
from tests.twin_deploys import ROOT, TWIN, Finished, twin_environment
from vengeance.twin.client import Twin
from vengeance.verify.modules.firewall_rule import RULES
from vengeance.verify.modules.ollama import Ollama
from vengeance.verify.modules.vllm import Vllm

pytestmark = pytest.mark.deploys
RULE = "vengeance-ollama"
# MiB that a game leaves free beside the desktop: half of the smallest model.
LEFT_MIB = 1500


def run(*words: str, inventory: Path = TWIN, twin: str = NAME) -> Finished:
    """Run a program on the box as it is."""
    command = [sys.executable, "-m", *words, "--inventory", str(inventory)]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=twin_environment(twin),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def sentences(found: dict[str, Any], verdict: str) -> list[str]:
    """What has a verdict, in a report."""
    return [one["said"] for one in found["sentences"] if one["verdict"] == verdict]


@contextmanager
def without_rule(windows: Host) -> Iterator[None]:
    """Somebody has deleted the rule of the firewall that lets the tailnet reach Ollama."""
    text = windows.registry(RULES)[RULE].data
    windows.check_output(f'reg delete "{RULES}" /v {RULE} /f')
    try:
        yield
    finally:
        windows.check_output(f'reg add "{RULES}" /v {RULE} /t REG_SZ /d "{text}" /f')


def test_a_rule_that_is_gone_is_the_one_sentence_that_fails(
    deployed: None, windows: Host, declared: dict[str, Any], api_key: str, tmp_path: Path
) -> None:
    with without_rule(windows):
        done = run("vengeance", "verify", "--limit", "windows", "--json", "--report", str(tmp_path))
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert sentences(found, "fails") == [
        "The firewall lets the declared machines reach Ollama, and no rule of ours lets others"
    ]
    assert len(sentences(found, "holds")) > 20
    assert found["measured"]["NVIDIA driver"] == "591.86"
    written = done.stdout + done.stderr + "".join(path.read_text() for path in tmp_path.iterdir())
    for name, secret in (("the password", declared["winrm_password"].reveal()), ("the key", api_key)):
        shown = secret in written
        assert not shown, f"{name} is shown"


@pytest.mark.usefixtures("deployed", "systemd")
def test_a_card_that_is_nearly_full_makes_the_box_degraded_and_nothing_fails(
    twin: Twin, linux: Host, vllm: Vllm, ollama: Ollama, tmp_path: Path
) -> None:
    linux.check_output("systemctl stop %s", vllm.unit)
    try:
        twin.card_hold("Cyberpunk2077.exe", twin.card()["free_mib"] - LEFT_MIB)
        done = run("pytest", "-q", "tests/box/test_60_ollama.py", "--report", str(tmp_path), "-p", "no:cacheprovider")
    finally:
        twin.card_end("Cyberpunk2077.exe")
        start_vllm(linux, vllm, ollama)
    found = json.loads((tmp_path / "report.json").read_text())
    assert (done.returncode, found["verdict"]) == (0, "degraded"), done.stdout
    assert sentences(found, "advice") == [
        "Ollama's smallest model is on the card alone, and not partly on the processor",
        "Ollama makes tokens at least as fast as declared (ollama_lowest_tokens_per_second)",
    ]


def test_a_box_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    for name in ("tests", "group_data", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "inventory").mkdir()
    inventory = tmp_path / "inventory" / "gone.py"
    inventory.write_text(
        "from vengeance.secret import Secret\n"
        "windows = [('@winrm/gone', {'winrm_host': '127.0.0.1', 'winrm_port': 9, 'winrm_user': 'Steam',\n"
        "            'winrm_password': Secret.of('not-that'), 'winrm_connect_timeout': 2})]\n"
    )
    done = run("vengeance", "verify", inventory=inventory)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "nothing listens on 127.0.0.1:9" in done.stderr


def test_a_box_that_was_never_deployed_is_one_sentence(twin_home: Path) -> None:
    fresh = Twin("box-new")
    try:
        if fresh.up()["distro"]["rung"] == "none":
            pytest.skip("the twin has no distro here")
        done = run("vengeance", "verify", twin="box-new")
    finally:
        fresh.down()
    assert (done.returncode, done.stdout) == (1, "")
    assert "has not been deployed: pyinfra inventory/twin.py deploys/vengeance.py does that." in done.stderr
