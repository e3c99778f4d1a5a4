"""Servers of vLLM under the twin's systemd: how they start, stop and fail, and what a person is told then.

A program in vLLM's place does what vLLM does; unit, sandbox, look at the card, journal and cgroups are real.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.twin_deploys import ROOT, TWIN, Finished, right, run_pyinfra, told
from tests.unit.test_vllm_faults import CACHE_0_15, CACHE_0_32, CORE, NEW_CORE, OFFLINE, OUT, SAMPLER, WRAPPER
from tests.waiting import eventually, until
from vengeance.twin.client import Twin

NAME = "servers"
DEPLOYS = Path(__file__).parent / "deploys"
PATH = "/home/steam/tried"
UNIT = "vllm-tried.service"
PORT = 8093
SETTINGS: dict[str, Any] = {
    "model": "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ",
    "port": PORT,
    "gpu_memory_utilization": 0.92,
    "max_model_len": 4096,
    "variables": {"PLAN": f"{PATH}/plan.json"},
}


@dataclass
class Box:
    """The distro, and deploys on it."""

    twin: Twin

    def sh(self, script: str, data: bytes = b"") -> str:
        """What a script prints in the distro, entered by this machine's own tools; it must succeed."""
        done = self.twin.distro_exec(["/bin/sh", "-c", script], input=data, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.decode()

    def plan(self, **plan: Any) -> None:
        """Say what the program in vLLM's place does when it is started next."""
        self.sh(f"cat > {PATH}/plan.json", json.dumps(plan).encode())

    def arguments(
        self, deed: str, profile: str = "tried", timeout: int = 20, limit: bool = True, **settings: Any
    ) -> list[str]:
        """Those of pyinfra for this deed; without a limit the Windows side takes part."""
        data = {
            "deed": deed,
            "profile": profile,
            "path": PATH,
            "start_timeout": timeout,
            "settings": json.dumps({**SETTINGS, **settings}),
        }
        told = [word for name, value in data.items() for word in ("--data", f"{name}={value}")]
        return [str(DEPLOYS / "vllm_running.py"), "--yes", *(["--limit", "wsl"] if limit else []), *told]

    def deploy(
        self, deed: str, profile: str = "tried", timeout: int = 20, limit: bool = True, **settings: Any
    ) -> Finished:
        """Do it as a person does."""
        return run_pyinfra(NAME, *self.arguments(deed, profile, timeout, limit, **settings))

    def state(self, unit: str = UNIT) -> str:
        """What systemd says of a unit."""
        return self.sh(f"systemctl is-active {unit} || :").strip()

    def start_time(self, unit: str = UNIT) -> str:
        """When its main process began; another one has another time."""
        return self.sh(f"systemctl show -P ExecMainStartTimestampMonotonic {unit}")

    def processes(self) -> list[str]:
        """Programs of the server's environment, and what they have left behind."""
        lines = self.sh("ps axwwo pid=,args=").splitlines()
        return [line for line in lines if f"{PATH}/bin" in line or "SIG_IGN" in line]


def changed(finished: Finished) -> bool:
    """Whether a run that went well did anything."""
    return "Success" in right(finished).split("--> Results:")[0]


@pytest.fixture(scope="module")
def own_twin(twin_home: Path) -> Iterator[Twin]:
    """One of their own: Ollama is installed on it on the way."""
    twin = Twin(NAME)
    twin.up()
    try:
        yield twin
    finally:
        twin.down()


@pytest.fixture(scope="module")
def distro(own_twin: Twin) -> Box:
    """A distro with systemd, the unit of a server, and a program in vLLM's place."""
    state = own_twin.status()["distro"]
    if not state["systemd"]:
        pytest.skip("; ".join(state["missing"]) or "no distro with systemd on this machine")
    box = Box(own_twin)
    if box.sh("cat /proc/1/comm") != "systemd\n":
        box.sh("printf '[boot]\\nsystemd=true\\n' > /etc/wsl.conf")
        run = run_pyinfra(
            NAME,
            "--limit",
            "windows",
            "--yes",
            "--shell-executable",
            "cmd",
            "exec",
            "--",
            '"C:\\Program Files\\WSL\\wsl.exe" --terminate Ubuntu-24.04',
        )
        assert run.returncode == 0, told(run)
        assert box.sh("cat /proc/1/comm") == "systemd\n"
    if "no" in box.sh("command -v curl || echo no"):
        box.sh("apt-get update -q && apt-get install -qy curl")
    box.sh(f"mkdir -p {PATH}/bin && ln -sf /usr/bin/python3 {PATH}/bin/python && chown -R steam: {PATH}")
    box.sh(f"cat > {PATH}/bin/vllm && chmod 755 {PATH}/bin/vllm", (DEPLOYS / "vllm").read_bytes())
    right(box.deploy("server"))
    right(box.deploy("server", profile="other"))
    return box


@pytest.fixture
def box(distro: Box) -> Iterator[Box]:
    """The same with nothing running, and the card as it is."""
    distro.sh("systemctl stop 'vllm-*'")
    distro.plan()
    yield distro
    distro.sh(f"rm -rf /etc/systemd/system/{UNIT}.d; systemctl daemon-reload; rm -rf {PATH}/lib")
    distro.twin.card_set(present=True, dxg=True)


def test_a_server_is_started_once_and_answers(box: Box) -> None:
    assert "does not run -> answers on port 8093" in right(box.deploy("both"))
    assert box.sh(f"curl -s -o /dev/null -w '%{{http_code}}' --noproxy '*' http://127.0.0.1:{PORT}/health") == "200"
    since = box.start_time()
    assert not changed(box.deploy("both"))
    assert box.start_time() == since


def test_a_server_that_stops_by_itself_is_started_again_although_it_ended_well(box: Box) -> None:
    """As vLLM's does when its engine has died: it ends with 0."""
    right(box.deploy("running"))
    box.sh(f"mkdir -p /etc/systemd/system/{UNIT}.d")
    box.sh(f"printf '[Service]\\nRestartSec=100ms\\n' > /etc/systemd/system/{UNIT}.d/x.conf; systemctl daemon-reload")
    since = box.start_time()
    box.sh(f"kill $(systemctl show -P MainPID {UNIT})")
    assert until(lambda: box.start_time() != since and box.state() == "active")


@pytest.mark.full
def test_the_start_of_one_ends_the_other_first(box: Box) -> None:
    right(box.deploy("running", profile="other"))
    right(box.deploy("running"))
    assert (box.state(), box.state("vllm-other.service")) == ("active", "inactive")
    # By systemd alone, too.
    box.sh("systemctl start vllm-other")
    assert (box.state(), box.state("vllm-other.service")) == ("inactive", "active")
    box.sh(f"systemctl start {UNIT}")
    journal = box.sh("journalctl -o cat -n 20 -u vllm-other.service -u vllm-tried.service")
    assert journal.rindex("Stopped vllm-other") < journal.rindex("Started vllm-tried")


@pytest.mark.full
def test_a_change_restarts_it_once(box: Box) -> None:
    right(box.deploy("both"))
    since = box.start_time()
    assert changed(box.deploy("both", max_model_len=2048))
    assert box.start_time() != since
    assert not changed(box.deploy("both", max_model_len=2048))


@pytest.mark.full
def test_the_generated_key_reaches_the_server_and_a_new_one_restarts_it_once(box: Box, tmp_path: Path) -> None:
    for name in ("inventory/twin.py", "group_data/all.py", "group_data/windows.py", "group_data/wsl.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        own = (ROOT / name).read_text().replace('Secret.of("the-twins-api-key")', '"generated"')
        (tmp_path / name).write_text(own)
    keyed = ("--data", "api_key=generated")
    text = right(run_pyinfra(NAME, *box.arguments("both"), *keyed, "-vvv", "--debug"))
    environment = f"tr '\\0' '\\n' < /proc/$(systemctl show -P MainPID {UNIT})/environ | sed -n 's/^VLLM_API_KEY=//p'"
    key = box.sh("cat /etc/vllm/api-key.env").split('"')[1]
    assert box.sh(environment).strip() == key
    assert key not in text
    shown = subprocess.run(
        [sys.executable, "-m", "vengeance", "key", "--inventory", str(tmp_path / "inventory/twin.py")],
        cwd=ROOT,
        env={**os.environ, "VENGEANCE_TWIN": NAME},
        capture_output=True,
        text=True,
    )
    assert (shown.returncode, shown.stdout) == (0, f"{key}\n"), shown.stderr
    since = box.start_time()
    assert not changed(run_pyinfra(NAME, *box.arguments("both"), *keyed))
    assert box.start_time() == since
    box.sh("rm /etc/vllm/api-key.env")
    assert changed(run_pyinfra(NAME, *box.arguments("both"), *keyed))
    assert box.sh(environment).strip() not in ("", key)
    assert not changed(run_pyinfra(NAME, *box.arguments("both"), *keyed))


# --- what a person is told ----------------------------------------------------------------------------------


def failing(box: Box, *expected: str, timeout: int = 20, limit: bool = True) -> str:
    """Have a server not start, and look that all of this is told and nothing is left running."""
    finished = box.deploy("running", timeout=timeout, limit=limit)
    text = told(finished)
    assert finished.returncode == 1, text
    for each in expected:
        assert each in text, text
    assert box.state() in ("inactive", "failed")
    assert box.processes() == []
    return text


def test_a_port_that_somebody_else_has_is_told_although_he_seems_healthy(box: Box) -> None:
    somebody = box.sh(
        f"PLAN={PATH}/plan.json setsid {PATH}/bin/vllm --port {PORT} >/dev/null 2>&1 </dev/null & echo $!"
    ).strip()
    asked = f"curl -s -o /dev/null -w '%{{http_code}}' --noproxy '*' http://127.0.0.1:{PORT}/health || :"
    try:
        assert until(lambda: box.sh(asked) == "200")
        finished = box.deploy("running")
    finally:
        box.sh(f"kill {somebody}")
    text = told(finished)
    assert finished.returncode == 1
    assert "port taken: OSError: [Errno 98]" in text
    assert f"ss -ltnp 'sport = :{PORT}'" in text
    assert box.state() == "inactive"


def check_numbers(text: str) -> None:
    """What is missing, and the part that would fit, are what the free memory makes of them."""
    free = int(re.findall(r"(\d+) of 24564 MiB are free", text)[0])
    assert 22598 - free == int(re.findall(r"(\d+) MiB are missing", text)[0])
    assert f"gpu_memory_utilization = {free // 245.64 / 100:g} in tried" in text
    assert "python -m vengeance mode show" in text


def test_a_game_that_holds_the_card_is_told_by_name_with_the_numbers(box: Box) -> None:
    pid = box.twin.card_hold("Cyberpunk2077.exe", 9000)
    try:
        said = f"Cyberpunk2077.exe (process {pid}, 9000 MiB)"
        text = failing(box, "the card is not free: vllm-card: ", said, limit=False)
    finally:
        box.twin.card_end("Cyberpunk2077.exe")
    check_numbers(text)


@pytest.mark.full
def test_ollama_that_holds_the_card_is_told_by_name_with_the_numbers(box: Box) -> None:
    model = "qwen2.5:3b"
    declared = ["--data", "ollama_models=" + json.dumps([{"name": model, "size_gb": 1.9}])]
    right(run_pyinfra(NAME, "deploys/windows.py", "deploys/ollama.py", "--yes", "--limit", "windows", *declared))
    address = str(box.twin.status()["network"]["100.98.226.75"])

    def keep(seconds: int) -> None:
        connection = http.client.HTTPConnection(address, 11434, timeout=60)
        connection.request("POST", "/api/generate", json.dumps({"model": model, "keep_alive": seconds}))
        assert connection.getresponse().status == 200
        connection.close()

    keep(600)
    try:
        text = failing(
            box, "the card is not free: vllm-card: ", "Windows counts Ollama's llama-server.exe (process ", limit=False
        )
    finally:
        keep(0)
    check_numbers(text)
    assert "python -m vengeance mode batch has Ollama let it go" in text
    assert until(lambda: box.twin.card()["free_mib"] > 22598)
    right(box.deploy("running"))


def test_a_card_that_is_not_there_is_told(box: Box) -> None:
    box.twin.card_set(dxg=False)
    failing(box, "no card: vllm-card: /dev/dxg is not there", "wsl --update")
    box.twin.card_set(dxg=True)
    box.twin.card_set(present=False)
    failing(box, "NVIDIA's driver does not answer: vllm-card: nvidia-smi ended with 9")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("PrivateDevices=yes", "vllm-card: /dev/dxg"),
        (
            "InaccessiblePaths=/usr/lib/wsl",
            "NVIDIA's files are hidden: vllm-card: /usr/lib/wsl/lib/nvidia-smi is not there",
        ),
    ],
)
def test_a_unit_that_hides_the_card_does_not_start_instead_of_running_without_it(
    box: Box, line: str, said: str
) -> None:
    """nixpkgs#363357: one that ran on the processor, in silence."""
    box.sh(f"mkdir -p /etc/systemd/system/{UNIT}.d")
    box.sh(f"printf '[Service]\\n{line}\\n' > /etc/systemd/system/{UNIT}.d/x.conf; systemctl daemon-reload")
    failing(box, said)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (f"{CORE}{CACHE_0_15}\n{WRAPPER}", ["KV cache too small: ValueError: To serve", "max_model_len = 573"]),
        (f"{NEW_CORE}{CACHE_0_32}\n{WRAPPER}", ["KV cache too small: ValueError: To serve", "max_model_len = 4194304"]),
        (f"{CORE}{SAMPLER}\n{WRAPPER}", ["out of VRAM: RuntimeError: CUDA out of memory", "max_num_seqs = 16"]),
        (f"{NEW_CORE}{OUT}\n{WRAPPER}", ["out of VRAM: torch.OutOfMemoryError", "max_num_seqs = 16"]),
        (OFFLINE, ["the model is missing: huggingface_hub.errors.LocalEntryNotFoundError", "deploys/vllm.py"]),
    ],
)
def test_what_vllm_says_when_it_ends_is_translated(box: Box, said: str, expected: list[str]) -> None:
    box.plan(print=said, exit=1)
    text = failing(box, *expected)
    assert text.index(expected[1]) < text.index("The end of its log")


def test_a_flag_that_vllm_does_not_know_is_told(box: Box) -> None:
    box.plan(print="vllm serve: error: unrecognized arguments: --swap-space 4", exit=2)
    failing(box, "unknown flag: vllm serve: error: unrecognized arguments: --swap-space 4")


@pytest.mark.full
def test_a_token_in_the_log_is_not_shown_and_nothing_of_an_earlier_start(box: Box) -> None:
    box.plan(print=OFFLINE, exit=1)
    box.sh(f"systemctl start {UNIT}; systemctl stop {UNIT}")
    box.plan(print="RuntimeError: 'api_key': ['sk-shown'] and hf_abcdefghijklmnop", exit=1)
    text = failing(box, "an error that is not known here: RuntimeError: 'api_key': *MASKED* and *MASKED*")
    assert "sk-shown" not in text
    assert "hf_abc" not in text
    assert "LocalEntryNotFoundError" not in text


def test_an_environment_that_is_gone_is_told(box: Box) -> None:
    box.sh(f"mv {PATH}/bin/vllm {PATH}/bin/vllm.away")
    try:
        failing(box, "the program is not there: ", f"the Python environment {PATH}")
    finally:
        box.sh(f"mv {PATH}/bin/vllm.away {PATH}/bin/vllm")


def test_variables_that_are_gone_are_told(box: Box) -> None:
    box.sh("mv /etc/vllm/tried.env /etc/vllm/away")
    try:
        failing(box, "the variables are not there: ", "deploys/vllm.py")
    finally:
        box.sh("mv /etc/vllm/away /etc/vllm/tried.env")


def test_a_server_that_never_answers_is_stopped_when_its_time_is_over(box: Box) -> None:
    box.plan(wait=600, orphan=True)
    failing(box, "did not answer on port 8093 (at most 2 s), and is stopped", timeout=2)


# --- the end of all of it -----------------------------------------------------------------------------------


def test_nothing_of_a_stopped_server_is_left_and_a_second_run_changes_nothing(box: Box) -> None:
    box.plan(orphan=True)
    right(box.deploy("running"))
    assert len(box.processes()) == 2
    assert "runs -> stopped" in right(box.deploy("stopped"))
    assert (box.processes(), box.state()) == ([], "inactive")
    assert not changed(box.deploy("stopped"))


@pytest.mark.full
def test_what_systemd_has_left_of_a_server_is_ended_too(box: Box) -> None:
    box.plan(orphan=True)
    box.sh(f"mkdir -p /etc/systemd/system/{UNIT}.d")
    box.sh(f"printf '[Service]\\nKillMode=process\\n' > /etc/systemd/system/{UNIT}.d/x.conf; systemctl daemon-reload")
    right(box.deploy("running"))
    box.sh(f"systemctl stop {UNIT}")
    assert (box.state(), len(box.processes())) == ("inactive", 1)
    assert "runs -> stopped" in right(box.deploy("stopped"))
    assert box.processes() == []


def test_a_server_that_waits_for_its_next_start_is_stopped(box: Box) -> None:
    box.plan(exit=1)
    box.sh(f"systemctl start {UNIT}")
    eventually(lambda: box.state() == "activating", "the wait for the next start")
    right(box.deploy("stopped"))
    assert box.state() == "inactive"


@pytest.mark.full
@pytest.mark.parametrize(("number", "wait", "cut_waits"), [(signal.SIGINT, 6, 20), (signal.SIGKILL, 18, 12)])
def test_a_run_that_is_cut_while_a_server_loads_is_mended_by_the_next_without_a_second_start(
    box: Box, number: signal.Signals, wait: int, cut_waits: int
) -> None:
    """What the run that was killed has left in the distro gives up before the server answers, and must not stop it."""
    box.plan(wait=wait)
    command = [sys.executable, "-m", "pyinfra", str(TWIN), *box.arguments("running", timeout=cut_waits)]
    environment = {**os.environ, "VENGEANCE_TWIN": NAME, "PYINFRA_PROGRESS": "off"}
    run = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: box.state() == "active", "the start of the server")
        since = box.start_time()
    finally:
        run.send_signal(number)
        run.wait(30)
    right(box.deploy("running", timeout=40))
    assert box.start_time() == since
    assert not changed(box.deploy("running"))
