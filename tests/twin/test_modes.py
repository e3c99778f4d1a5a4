"""One card and three tenants: handed over and back on the twin, refused, failed and undone, and shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.twin.modes_box import (
    BATCH_MIB,
    IDLE_MIB,
    LARGE,
    OTHER,
    PROFILE,
    SMALL,
    UNIT,
    ModesBox,
    modes_box,
    said,
)
from tests.twin_deploys import ROOT, TWIN, Finished, run_pyinfra, twin_environment

BACK_AND_FORTH = Path(__file__).with_name("deploys") / "back_and_forth.py"
ROUNDS = 20 if os.environ.get("VENGEANCE_FULL") else 2


@pytest.fixture(scope="module")
def found() -> Iterator[tuple[ModesBox, Finished]]:
    with modes_box("modes") as made:
        yield made


@pytest.fixture
def box(found: tuple[ModesBox, Finished]) -> ModesBox:
    """The box with nothing on its card but the desktop."""
    found[0].back()
    return found[0]


# --- before anything is changed -----------------------------------------------------------------------------


def test_batch_before_vllm_is_installed_says_what_installs_it(found: tuple[ModesBox, Finished]) -> None:
    assert found[1].returncode == 1
    assert "vLLM is not installed in /home/steam/vllm-env: run deploys/vllm.py" in said(found[1])
    assert "Nothing was changed" in said(found[1])


@pytest.mark.parametrize("asked", [(), ("--data", "mode=bach"), ("--data", "mod=batch"), ("--data", "mode=Batch")])
def test_a_missing_or_misspelled_mode_is_refused_with_all_three_before_anything(
    box: ModesBox, asked: tuple[str, ...]
) -> None:
    box.load(SMALL)
    refused = run_pyinfra(box.twin.name, "deploys/mode.py", "--yes", *asked)
    assert refused.returncode == 1
    wanted = ("did you mean mode?",) if "mod=batch" in asked else ("interactive", "batch", "images")
    assert all(word in said(refused) for word in wanted)
    assert "Traceback" not in said(refused)
    assert "Starting operation" not in said(refused)
    assert SMALL in box.loaded()


@pytest.mark.full
def test_a_profile_that_there_is_not_is_refused_with_those_there_are(box: ModesBox) -> None:
    refused = box.mode("batch", "--profile", "qwen")
    assert refused.returncode == 1
    assert f"there is no profile 'qwen' among vllm_profiles; there are {PROFILE}, {OTHER}" in said(refused)
    assert "Starting operation" not in said(refused)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("bach",), "invalid choice: 'bach'"),
        (("interactive", "--profile", PROFILE), "--profile says what batch is to serve"),
        (("batch", "--inventory", "inventory/nowhere.py"), "There is no inventory inventory/nowhere.py"),
    ],
)
def test_wrong_usage_is_a_sentence_and_64(words: tuple[str, ...], sentence: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vengeance", "mode", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 64
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mode_is_changed_in_the_projects_folder_alone(box: ModesBox, tmp_path: Path) -> None:
    done = subprocess.run(
        box.command("batch"), cwd=tmp_path, env=twin_environment(box.twin.name), capture_output=True, text=True
    )
    assert done.returncode == 64
    assert f"There is no deploys/mode.py here ({tmp_path}): run this in the project's folder" in done.stderr


@pytest.mark.parametrize("comfyui", [pytest.param(False, marks=pytest.mark.full), True])
def test_who_has_the_card_is_refused_by_name_and_nothing_is_changed(box: ModesBox, comfyui: bool) -> None:
    box.load(SMALL)
    pid = box.twin.card_hold(None if comfyui else "Game.exe", 6000, comfyui=comfyui)
    before = box.card
    refused = box.mode("batch")
    assert refused.returncode == 1
    who = f"ComfyUI has the card: python.exe (process {pid}, 6000 MiB)"
    assert (who if comfyui else f"A game has the card: Game.exe (process {pid}, 6000 MiB)") in said(refused)
    assert "Nothing was changed" in said(refused)
    assert box.card == before
    assert SMALL in box.loaded()
    assert box.active() == "inactive"
    box.into("images")
    assert len(box.images) == 1, "images leaves it to whoever has it"


@pytest.mark.full
def test_a_port_that_a_program_of_windows_has_is_refused_by_its_name_and_mended_when_it_ends(box: ModesBox) -> None:
    box.twin.fault("port_taken", port=8080)
    try:
        refused = box.mode("batch")
    finally:
        box.twin.fault("port_taken", port=None)
    assert refused.returncode == 1
    assert "Nothing was changed" in said(refused)
    assert "Port 8080 of Windows is taken by node.exe (process 4712), so WSL could not forward it" in said(refused)
    assert "Traceback" not in said(refused)
    assert box.active() == "inactive"
    box.into("batch")
    assert box.active() == "active"


# --- there and back -----------------------------------------------------------------------------------------


def test_batch_takes_ollamas_model_off_the_card_and_interactive_warms_nothing(box: ModesBox) -> None:
    box.load(LARGE)
    assert box.used > 20000
    box.into("batch")
    assert box.loaded() == {}
    assert box.images == ["python3"]
    assert box.used == IDLE_MIB + BATCH_MIB
    assert box.inside("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:8080/health") == "200"
    box.into("interactive")
    assert box.used == IDLE_MIB
    assert box.loaded() == {}
    assert box.server_processes() == []
    box.load(LARGE)
    assert all(box.loaded().values())


@pytest.mark.full
def test_images_frees_the_card_of_both(box: ModesBox) -> None:
    box.load(SMALL)
    box.into("images")
    assert (box.used, box.loaded()) == (IDLE_MIB, {})
    box.into("batch")
    box.into("images")
    assert (box.used, box.server_processes()) == (IDLE_MIB, [])


@pytest.mark.parametrize(
    "mode",
    [pytest.param("interactive", marks=pytest.mark.full), "batch", pytest.param("images", marks=pytest.mark.full)],
)
def test_a_second_run_changes_nothing(box: ModesBox, mode: str) -> None:
    box.into(mode)
    before = box.card
    assert box.changes(mode) == []
    assert box.card == before


def test_interactive_leaves_a_loaded_model_where_it_is(box: ModesBox) -> None:
    box.load(SMALL)
    assert box.changes("interactive") == []
    assert SMALL in box.loaded()


@pytest.mark.full
@pytest.mark.timeout(600)
def test_there_and_back_many_times_nothing_of_the_card_is_lost(box: ModesBox, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    environment = {**twin_environment(box.twin.name), "ROUNDS": str(ROUNDS), "SEEN": str(seen)}
    finished = subprocess.run(
        [sys.executable, "-m", "pyinfra", str(TWIN), str(BACK_AND_FORTH.relative_to(ROOT)), "--yes"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert finished.returncode == 0, said(finished)[-6000:]
    looks = [json.loads(line) for line in seen.read_text(encoding="utf-8").splitlines()]
    assert looks == ROUNDS * [
        {"mode": "batch", "used": IDLE_MIB + BATCH_MIB, "holders": ["python3"]},
        {"mode": "interactive", "used": IDLE_MIB, "holders": []},
    ]
    assert box.server_processes() == []
    assert box.inside("systemctl", "show", "--property", "NRestarts", "--value", UNIT) == "0"


@pytest.mark.full
def test_from_one_profile_to_another_the_first_makes_way(box: ModesBox) -> None:
    box.into("batch", "--profile", OTHER)
    assert box.active(OTHER) == "active"
    box.into("batch")
    assert (box.active(OTHER), box.active()) == ("inactive", "active")
    assert box.used == IDLE_MIB + BATCH_MIB


@pytest.mark.full
def test_ollama_asked_during_batch_computes_on_the_processor_and_takes_nothing_from_vllm(box: ModesBox) -> None:
    box.into("batch")
    box.load(SMALL)
    assert box.loaded() == {SMALL: 0}
    assert box.used == IDLE_MIB + BATCH_MIB
    shown = box.shown()
    assert (shown["mode"], shown["settled"]) == ("batch", True)
    assert [(one["name"], one["mib_on_card"]) for one in shown["models"]] == [(SMALL, 0)]
    assert box.changes("batch") == []
    assert box.loaded() == {SMALL: 0}, "what is not on the card is left alone"
    box.into("interactive")
    box.load(SMALL)
    assert box.loaded()[SMALL] > 0, "it does not stay on the processor once the card is free"


# --- starts that fail ---------------------------------------------------------------------------------------

TAKE_THE_PORT = "import socket, time\ns = socket.create_server(('127.0.0.1', 8080))\ntime.sleep(600)"


@pytest.mark.full
def test_a_start_that_fails_goes_back_to_where_it_was_and_says_why(box: ModesBox) -> None:
    box.load(SMALL)
    box.inside("systemd-run", "--unit", "taker", "--collect", "python3", "-c", TAKE_THE_PORT)
    try:
        failed = box.mode("batch")
    finally:
        box.inside("systemctl", "stop", "taker")
    assert failed.returncode == 1
    text = said(failed)
    assert "port taken: " in text
    assert "ss -ltnp 'sport = :8080'" in text
    assert "did not get into mode batch, and is where it was: no vLLM server runs" in text
    assert (box.used, box.server_processes()) == (IDLE_MIB, [])
    box.load(SMALL)
    assert box.loaded()[SMALL] > 0, "Ollama loads on the card when it is asked, as before"
    box.into("batch")
    assert box.active() == "active"


@pytest.fixture
def doomed(box: ModesBox) -> Iterator[None]:
    """The server of the profile does not start, whatever is done."""
    folder = f"/run/systemd/system/{UNIT}.d"
    text = "[Service]\\nExecStartPre=/bin/false\\n"
    box.inside("sh", "-c", f"mkdir -p {folder} && printf '{text}' > {folder}/doomed.conf && systemctl daemon-reload")
    yield
    box.inside("sh", "-c", f"rm -r {folder} && systemctl daemon-reload")


@pytest.mark.full
def test_the_server_that_ran_before_runs_again_after_a_start_that_fails(box: ModesBox, doomed: None) -> None:
    box.into("batch", "--profile", OTHER)
    failed = box.mode("batch")
    assert failed.returncode == 1
    assert f"is where it was: the server of {OTHER} runs again" in said(failed)
    assert (box.active(OTHER), box.active()) == ("active", "inactive")
    assert box.images == ["python3"]


# --- boxes that are not whole -------------------------------------------------------------------------------


@pytest.fixture
def without_ollama(box: ModesBox) -> Iterator[None]:
    stopped = run_pyinfra(box.twin.name, "tests/twin/deploys/stop_ollama.py", "--yes")
    assert stopped.returncode == 0, said(stopped)
    yield
    assert run_pyinfra(box.twin.name, "deploys/ollama.py", "--yes").returncode == 0


@pytest.mark.full
def test_the_card_is_handed_over_where_ollama_does_not_run(box: ModesBox, without_ollama: None) -> None:
    box.into("batch")
    assert box.used == IDLE_MIB + BATCH_MIB
    box.into("interactive")
    assert box.used == IDLE_MIB
    shown = box.shown()
    assert shown["models"] is None
    assert "No Ollama answers on the box" in " ".join(shown["sentences"])


@pytest.fixture
def without_keepalive(box: ModesBox) -> Iterator[None]:
    """The distro is stopped, and nothing starts it but whoever uses it."""
    stopped = run_pyinfra(box.twin.name, "tests/twin/deploys/stop_the_distro.py", "--yes")
    assert stopped.returncode == 0, said(stopped)
    yield
    assert run_pyinfra(box.twin.name, "deploys/wsl.py", "--yes").returncode == 0


@pytest.mark.full
def test_a_distro_that_is_stopped_is_not_started_by_looking_and_is_by_batch(
    box: ModesBox, without_keepalive: None
) -> None:
    assert box.shown()["servers"] is None
    assert "does not run: the distro does not" in box.into("show").stdout
    assert box.shown()["servers"] is None, "nobody has started it"
    box.into("batch")
    assert box.used == IDLE_MIB + BATCH_MIB


# --- show ---------------------------------------------------------------------------------------------------


def test_show_tells_who_has_the_card_in_mib_and_by_model(box: ModesBox) -> None:
    box.load(LARGE)
    pid = box.twin.card_hold("Game.exe", 1000)
    shown, card = box.shown(), box.card
    assert (shown["card"]["used"], shown["card"]["free"]) == (card["used_mib"], card["free_mib"])
    by_image = {one["image"]: one for one in shown["holders"]}
    assert (by_image["Game.exe"]["tenant"], by_image["Game.exe"]["pid"]) == ("game", pid)
    (runner,) = [one for one in card["holders"] if one["image"].endswith("llama-server.exe")]
    assert by_image["llama-server.exe"]["mib"] == runner["mib"]
    (model,) = shown["models"]
    assert (model["name"], model["mib_on_card"]) == (LARGE, runner["mib"])
    assert [(one["profile"], one["state"]) for one in shown["servers"] if one["profile"] == PROFILE] == [
        (PROFILE, "inactive")
    ]
    text = box.into("show").stdout
    assert f"{card['used_mib']:,} of 24,564 MiB are taken" in text
    assert f"llama-server.exe ({runner['pid']}): {LARGE} {runner['mib']:,} MiB" in text
    assert f"batch        is refused: A game has the card: Game.exe (process {pid}, 1000 MiB)" in text


def test_show_tells_the_server_of_batch_with_its_model_port_and_memory(box: ModesBox) -> None:
    box.into("batch")
    shown = box.shown()
    assert (shown["mode"], shown["settled"], shown["fits"]) == ("batch", True, ["batch"])
    (server,) = [one for one in shown["servers"] if one["state"] == "active"]
    assert server == {
        "profile": PROFILE,
        "unit": UNIT,
        "state": "active",
        "healthy": True,
        "model": "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ",
        "port": 8080,
        "mib": BATCH_MIB,
    }
    before = box.card
    assert f"WSL              {BATCH_MIB:,} MiB" in box.into().stdout, "show is the default"
    assert box.card == before


def test_show_changes_nothing(box: ModesBox) -> None:
    box.load(SMALL)
    before, counters = box.card, box.twin.log_snapshot()["process_starts"]
    box.into("show")
    assert box.card == before
    assert box.loaded().keys() == {SMALL}
    after = box.twin.log_snapshot()["process_starts"]
    assert after.get("ollama.exe", 0) == counters.get("ollama.exe", 0)


def test_a_box_that_does_not_answer_is_a_sentence(box: ModesBox) -> None:
    box.twin.fault("refuse", seconds=30)
    try:
        failed = box.mode("show")
    finally:
        box.twin.fault("clear")
    assert failed.returncode == 1
    assert "@winrm/vengeance cannot be read: " in failed.stderr
    assert "Traceback" not in failed.stderr
