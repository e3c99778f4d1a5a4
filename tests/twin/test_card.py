"""The one card of a twin, seen from both sides: who has its memory, what frees it, and how it is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import winrm

from tests.twin.ollama_box import OllamaBox
from tests.twin.works_box import WorksHost
from tests.waiting import until
from vengeance.box.gpu_tenants import Held, held
from vengeance.facts import windows as facts
from vengeance.twin.__main__ import parse_card
from vengeance.twin.client import Twin, TwinError

GAME = "Cyberpunk2077.exe"
USED = "--query-gpu=memory.used --format=csv,noheader,nounits"
IDLE = 1900
HOLD = """\
import json, socket, sys, time
connection = socket.socket(socket.AF_UNIX)
connection.connect("/usr/lib/wsl/lib/.card")
connection.sendall(json.dumps({"take": 20000, "image": "python3", "label": "a test"}).encode() + b"\\n")
print(connection.makefile().readline(), end="", flush=True)
time.sleep(600)
"""


class CardBox(OllamaBox):
    """A Windows with Ollama and a card, and what the project reads of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.host = WorksHost(self)

    @property
    def used(self) -> int:
        """MiB in use as nvidia-smi.exe tells."""
        return int(self.run(f"nvidia-smi {USED}").out)

    @property
    def held(self) -> Held:
        """Who has it, by the two facts."""
        return held(self.host.fact(facts.Gpu), self.host.fact(facts.GpuProcesses))


@pytest.fixture
def box(tmp_path: Path) -> Iterator[CardBox]:
    box = CardBox(tmp_path)
    yield box
    box.windows.stop_all()
    assert not box.faults


# --- on Windows ---


def test_a_game_is_a_process_that_holds_the_card_until_it_is_ended(box: CardBox) -> None:
    pid = box.windows.games.hold(GAME, 12_000)
    assert box.used == IDLE + 12_000
    (game,) = box.held.of("game")
    assert (game.image, game.pid, game.mib) == (GAME, pid, 12_000)
    assert [one.pid for one in box.held.of("comfyui", "game", "other")] == [pid]
    assert box.run(f"taskkill /f /im {GAME}").code == 0
    assert until(lambda: box.used == IDLE)
    assert box.held.of("comfyui", "game", "other") == ()


def test_a_person_who_logs_off_ends_the_game(box: CardBox) -> None:
    box.windows.sessions.logon("Steam")
    box.windows.games.hold(GAME, 500)
    assert box.host.fact(facts.Processes, image=GAME)[0]["session"] == 1
    box.windows.sessions.logoff("Steam")
    assert until(lambda: box.used == IDLE)


def test_comfyui_is_told_from_another_python(box: CardBox) -> None:
    box.windows.games.hold(None, 5_000, comfyui=True)
    box.windows.games.hold("pythonw.exe", 600)
    assert [(one.tenant, one.image) for one in box.held.of("comfyui", "game", "other")] == [
        ("comfyui", "python.exe"),
        ("game", "pythonw.exe"),
    ]
    assert "windows-standalone-build" not in json.dumps(box.host.fact(facts.GpuProcesses))
    assert box.windows.games.end("PYTHON.exe")
    assert until(lambda: box.used == IDLE + 600)


def test_ollamas_runner_is_ollamas(box: CardBox) -> None:
    box.serve()
    box.have()
    box.load()
    (runner,) = box.held.of("ollama")
    assert (runner.image, runner.pid) == ("llama-server.exe", box.processes("llama-server.exe")[0].pid)
    assert box.used == IDLE + runner.mib
    assert box.held.of("comfyui", "game", "other") == ()


def test_what_a_distro_holds_is_its_machines(box: CardBox) -> None:
    box.windows.gpu.take("one", 1_000, "python3", label="x")
    box.windows.gpu.take("two", 2_000, "python3")
    assert [(one.image, one.mib) for one in box.held.of("wsl")] == [("vmmemWSL", 3_000)]


def test_what_is_named_is_no_more_than_what_is_taken(box: CardBox) -> None:
    seen = box.held
    assert [one.image for one in seen.holders][:2] == ["dwm.exe", "explorer.exe"]
    assert {one.tenant for one in seen.holders} == {"desktop"}
    assert sum(one.mib for one in seen.holders) + seen.unnamed == seen.used == IDLE
    assert seen.used + seen.free == seen.total


def test_more_than_is_left_is_refused_and_so_is_what_is_no_program(box: CardBox) -> None:
    with pytest.raises(ValueError, match="22665 MiB cannot be had: 22664 MiB are free"):
        box.windows.games.hold(GAME, 22_665)
    for name in ("..\\x.exe", "game", "", "a&b.exe"):
        with pytest.raises(ValueError, match="is no program"):
            box.windows.games.hold(name, 10)
    with pytest.raises(ValueError, match=r"No chess\.exe has memory of the card; of the programs of Windows, none has"):
        box.windows.games.end("chess.exe")
    assert box.used == IDLE


def test_a_restart_frees_the_card(box: CardBox) -> None:
    box.windows.games.hold(GAME, 12_000)
    box.restart()
    assert box.used == IDLE


def test_broken_counters_are_a_reason_and_no_error(box: CardBox) -> None:
    box.windows.gpu.counted = False
    seen = box.host.fact(facts.GpuProcesses)
    assert (seen["counted"], seen["processes"]) == (False, [])
    assert "GPUProcessMemory" in seen["reason"]
    assert "lodctr /R" in box.held.complaints[0]


@pytest.mark.parametrize(("driver", "cuda"), [("537.58", "12.2"), ("591.86", "13.1"), ("516.94", "11.0")])
def test_a_driver_brings_its_cuda(box: CardBox, driver: str, cuda: str) -> None:
    box.windows.gpu.set(driver=driver)
    assert box.host.fact(facts.Gpu)["driver_version"] == driver
    assert f"CUDA Version        : {cuda}\n" in box.run("nvidia-smi --version").out


# --- the whole twin ---


@pytest.fixture(scope="module")
def twin(twin_home: Path) -> Iterator[Twin]:
    one = Twin("card")
    if one.up()["distro"]["rung"] == "none":
        one.down()
        pytest.skip("needs a distro")
    yield one
    one.down()


def on_windows(twin: Twin, line: str) -> str:
    endpoint = twin.status()["winrm"]
    session = winrm.Session(endpoint["http"], auth=(endpoint["user"], endpoint["password"]), transport="ntlm")
    answer = session.run_cmd(line)
    assert answer.status_code == 0, answer.std_err
    return str(answer.std_out.decode())


def both(twin: Twin) -> tuple[int, int]:
    """MiB in use as the nvidia-smi of Windows and that of the distro tell."""
    inside = twin.distro_exec(["/usr/lib/wsl/lib/nvidia-smi", *USED.split()]).stdout
    return int(on_windows(twin, f"nvidia-smi {USED}")), int(inside)


def holder(twin: Twin) -> subprocess.Popen[str]:
    """Somebody in the distro who holds 20,000 MiB; ended with the distro or by a kill."""
    script = f"exec python3 -c '{HOLD}'"
    command = [sys.executable, "-m", "vengeance.twin", "exec", "--name", twin.name, "--", "sh", "-c", script]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["ok"] is True
    return process


def gone(twin: Twin, process: subprocess.Popen[str]) -> bool:
    process.wait(30)
    return until(lambda: twin.card()["used_mib"] == IDLE)


def test_both_sides_tell_the_same_and_a_kill_gives_it_back(twin: Twin) -> None:
    assert both(twin) == (IDLE, IDLE)
    process = holder(twin)
    assert both(twin) == (IDLE + 20_000, IDLE + 20_000)
    assert [(one["image"], one["pid"], one["label"]) for one in twin.card()["holders"]] == [("python3", 0, "a test")]
    twin.distro_exec(["pkill", "-KILL", "-f", "vengeance|a test"])
    assert gone(twin, process)
    assert both(twin) == (IDLE, IDLE)


@pytest.mark.parametrize("how", ["--terminate Ubuntu-24.04", "--shutdown", "reboot"])
def test_the_end_of_the_distro_gives_it_back(twin: Twin, how: str) -> None:
    process = holder(twin)
    if how == "reboot":
        twin.reboot(0.1)
    else:
        on_windows(twin, f'cd /d "C:\\Program Files\\WSL" && .\\wsl.exe {how}')
    assert gone(twin, process)


def test_a_game_on_windows_is_seen_in_the_distro_and_ended_by_its_number(twin: Twin) -> None:
    pid = twin.card_hold(GAME, 12_000)
    assert both(twin) == (IDLE + 12_000, IDLE + 12_000)
    assert str(pid) in on_windows(twin, "tasklist")
    on_windows(twin, f"taskkill /f /pid {pid}")
    assert until(lambda: both(twin) == (IDLE, IDLE))
    with pytest.raises(TwinError, match=f"No {GAME} has memory of the card"):
        twin.card_end(GAME)


def test_the_command_line_holds_shows_breaks_and_mends(twin: Twin) -> None:
    def card(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vengeance.twin", "card", *words, "--name", twin.name]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ})

    assert f"12,000 MiB  C:\\Games\\Cyberpunk2077\\{GAME}" in card("hold", "--image", GAME, "--mib", "12000").stdout
    assert json.loads(card("--json").stdout)["used_mib"] == IDLE + 12_000
    assert GAME not in card("free", GAME).stdout
    assert "no card" in card("off").stdout
    assert twin.distro_exec(["/usr/lib/wsl/lib/nvidia-smi"]).returncode == 9
    assert "1,900 MiB  the desktop" in card("on").stdout
    assert "/dev/dxg is missing" in card("dxg", "off").stdout
    assert twin.distro_exec(["ls", "/dev/dxg"]).returncode != 0
    assert "/dev/dxg" not in card("dxg", "on").stdout
    assert twin.distro_exec(["ls", "/dev/dxg"]).returncode == 0
    wrong = card("driver", "new")
    assert (wrong.returncode, "'new' is no version of an NVIDIA driver" in wrong.stderr) == (1, True)


@pytest.mark.parametrize(
    ("deed", "given", "said"),
    [
        (["blow-up"], {}, "There is no deed 'blow-up'"),
        (["dxg"], {}, "There is no deed 'dxg'"),
        (["hold"], {"image": GAME}, "hold needs --mib and --image"),
        (["hold"], {"mib": 3}, "hold needs --mib and --image"),
        (["show"], {"mib": 3}, "are for 'card hold' alone"),
    ],
)
def test_a_wrong_deed_is_told(deed: list[str], given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_card(deed, given.get("image"), given.get("mib"), given.get("comfyui", False))
