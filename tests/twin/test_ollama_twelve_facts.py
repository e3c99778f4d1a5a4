"""The twelve facts that break a naive set-up of Ollama on Windows: as the twin shows them, and what we do of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.twin.ollama_box import APP_FOLDER, DATA, STARTUP
from tests.twin.ollama_host import MACHINE, TINY, VERSION, OllamaHost, quick
from tests.waiting import eventually
from vengeance.facts import ollama as facts
from vengeance.operations.ollama import install
from vengeance.powershell import Script
from vengeance.twin.windows.network import NetworkError

UNINSTALL = r"Software\Microsoft\Windows\CurrentVersion\Uninstall\{44E83376-CE68-45EB-8FC1-393500EB558C}_is1"


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OllamaHost:
    quick(monkeypatch)
    return OllamaHost(tmp_path)


def answers(box: OllamaHost) -> bool:
    try:
        return box.there.ask("GET", "/api/version").status == 200
    except NetworkError:
        return False


def later(box: OllamaHost, happens: Callable[[], object], step: float, what: str) -> None:
    """Let time pass in steps, seconds of the twin's clock, until something has happened."""

    def one_step() -> object:
        box.there.clock.advance(step)
        return happens()

    eventually(one_step, what)


def hosts(box: OllamaHost) -> list[str | None]:
    return [process.environment.get("OLLAMA_HOST") for process in box.there.processes("ollama.exe")]


def written(log: Path) -> str:
    """What a log holds; the task puts the one before aside first, and for a moment there is none."""
    try:
        return log.read_text()
    except FileNotFoundError:
        return ""


def test_01_the_windows_install_is_a_per_user_tray_app_not_a_service(box: OllamaHost) -> None:
    box.stage("logon")
    registry, sid = box.windows.registry, box.windows.state.sid("Steam")
    assert registry.exists(f"HKU\\{sid}\\{UNINSTALL}")
    assert not registry.exists(f"HKLM\\{UNINSTALL}")
    assert box.windows.services.get("Ollama") is None
    box.reboot()
    box.there.clock.advance(60)
    assert not answers(box), "with nobody logged on, nothing listens"
    box.stage("boot")
    box.reboot()
    eventually(lambda: answers(box), "the server of the boot task")


def test_02_a_silent_install_starts_the_tray_app_in_the_session_of_the_installer(box: OllamaHost) -> None:
    box.there.install(session=0)
    box.there.await_server()
    (app,) = box.there.processes("ollama app.exe")
    assert app.session == 0
    assert "OLLAMA_HOST" not in app.environment
    assert answers(box), "it owns the port, with the wrong environment"
    assert box.set()
    assert box.autostart()
    assert box.restart()
    assert not box.there.processes("ollama app.exe")
    assert box.server_environment["OLLAMA_HOST"] == "0.0.0.0:11434"


def test_02_the_operation_leaves_nothing_running_after_the_install(box: OllamaHost) -> None:
    assert box.install()
    assert box.windows.process_starts["ollama app.exe"] == 1, "the installer has started it"
    assert not box.there.processes("ollama app.exe")
    assert not box.there.processes("ollama.exe")


def test_03_waiting_for_the_installers_tree_never_ends_so_only_the_installer_is_waited_for(
    box: OllamaHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[bool] = []
    settle = install.settle

    def look(state: object, host: object) -> bool:
        ran.append(bool(box.there.processes("ollama app.exe")))
        return settle(state, host)  # type: ignore[arg-type]

    monkeypatch.setattr(install, "settle", look)
    assert box.install()
    assert ran == [True], "the installation was over while its tray app ran on"


def test_04_the_server_gets_the_apps_old_environment_when_it_alone_is_killed(box: OllamaHost) -> None:
    box.stage("logon")
    session = box.windows.sessions.logon("Steam")
    box.there.await_server()
    assert box.set({**MACHINE, "OLLAMA_NUM_PARALLEL": "3"}, autostart="logon")
    box.there.kill("ollama.exe")
    box.there.await_server()
    assert "OLLAMA_NUM_PARALLEL" not in box.server_environment, "the app started it again with its own old block"
    # A second app looks for the first and ends.
    second = box.windows.launch(f'"{APP_FOLDER}\\ollama app.exe"', user="Steam", session=session)
    second.wait(20)
    assert second.output.exit_code == 0
    assert "OLLAMA_NUM_PARALLEL" not in box.server_environment
    box.time_passes()
    assert box.restart("logon")
    assert "works with OLLAMA_NUM_PARALLEL='1', and the registry has '3'" in box.text
    assert box.server_environment["OLLAMA_NUM_PARALLEL"] == "3"


def test_04_the_order_of_the_end_is_app_server_loader(box: OllamaHost) -> None:
    box.stage("logon")
    box.windows.sessions.logon("Steam")
    box.there.await_server()
    box.there.have(TINY)
    box.there.load(TINY)
    good, printed, _ = box.run_script(Script("Stop-Ollama", {}))
    assert good
    names = [name for name in ("ollama app.exe", "ollama.exe", "llama-server.exe") if name in printed]
    assert names == ["ollama app.exe", "ollama.exe", "llama-server.exe"]
    box.there.clock.advance(10)
    assert not [name for name in names if box.there.processes(name)], "nothing starts again"


def test_05_settings_of_the_window_silently_beat_the_variables(box: OllamaHost) -> None:
    custom = {**MACHINE, "OLLAMA_HOST": "127.0.0.1:11500"}
    box.stage("logon", custom)
    box.windows.sessions.logon("Steam")
    box.there.await_server()
    box.there.ollama.change_settings("Steam", expose=1, context_length=8192)
    later(box, lambda: "0.0.0.0" in hosts(box), 0.5, "the server with the port lost")
    assert box.set(custom, autostart="logon")
    assert "a setting in the window of Ollama's app makes OLLAMA_HOST '0.0.0.0', which beats the variable" in box.text
    assert "makes OLLAMA_CONTEXT_LENGTH '8192'" in box.text
    box.time_passes()
    assert not box.restart("logon", port=11500, timeout=1)
    assert "the window of Ollama's app sets OLLAMA_HOST=0.0.0.0, OLLAMA_CONTEXT_LENGTH=8192, which wins" in box.text


def test_06_an_update_installs_itself_at_a_logon_unless_it_is_told_not_to(box: OllamaHost) -> None:
    box.there.ollama.offer("0.36.0")
    box.stage("logon", auto_update=True)
    box.windows.sessions.logon("Steam")
    box.there.await_server()
    box.there.clock.advance(10)
    assert box.windows.drive.is_file(f"{DATA}\\updates_v2\\0.36.0\\OllamaSetup.exe")
    assert box.fact(facts.Settings)["update_staged"]
    assert box.set(autostart="logon"), "from now on it may not"
    box.windows.sessions.logoff("Steam")
    box.windows.sessions.logon("Steam")
    box.there.await_server()
    assert box.there.ask("GET", "/api/version").json == {"version": VERSION}
    assert box.set(autostart="logon", auto_update=True)
    box.windows.sessions.logoff("Steam")
    box.windows.sessions.logon("Steam")
    key = f"HKU\\{box.windows.state.sid('Steam')}\\{UNINSTALL}"
    eventually(lambda: box.windows.registry.text(key, "DisplayVersion") == "0.36.0", "the update at the logon")


def test_07_an_icon_does_not_mean_that_a_server_is_up(box: OllamaHost) -> None:
    box.stage("logon")
    box.there.ollama.fault("no_server", times=2)
    box.windows.sessions.logon("Steam")
    box.there.clock.advance(30)
    eventually(lambda: box.there.processes("ollama app.exe"), "the tray app")
    assert not box.there.processes("ollama.exe")
    box.time_passes()
    assert not box.restart("logon", timeout=1)
    assert "no Ollama server runs, though its tray app does" in box.text
    assert box.restart("logon"), "the next start is a good one"


def test_08_a_server_and_a_tray_app_fight_for_the_port(box: OllamaHost) -> None:
    box.stage()
    box.windows.sessions.logon("Steam")
    box.there.start_app(session=1, wait=False)
    later(box, lambda: box.windows.process_starts["ollama.exe"] > 5, 0.5, "one try after the other")
    assert box.restart()
    assert "2 Ollama servers run" in box.text or "the tray app runs beside the server" in box.text
    assert not box.there.processes("ollama app.exe")
    assert box.stage() == [False] * 4
    assert not box.windows.drive.is_file(f"{STARTUP}\\Ollama.lnk"), "it does not come back at the next logon"


def test_09_the_default_context_follows_the_card_so_it_is_declared(box: OllamaHost) -> None:
    box.stage(machine={"OLLAMA_HOST": "0.0.0.0:11434"})
    box.there.have("qwen2.5:32b")
    box.there.load("qwen2.5:32b")
    by_default = box.fact(facts.Loaded)["qwen2.5:32b"]
    assert by_default["context_length"] == 32768
    assert by_default["size_vram"] < by_default["size"], "part of it is on the processor"
    box.stage()
    box.there.load("qwen2.5:32b")
    declared = box.fact(facts.Loaded)["qwen2.5:32b"]
    assert declared["context_length"] == 4096
    assert declared["size_vram"] == declared["size"]


def test_10_a_failed_bind_is_not_tried_again_by_ollama_but_by_its_task(box: OllamaHost) -> None:
    address = "100.98.226.75"
    box.windows.tailscale.set_unattended(True)
    assert box.install()
    assert box.set({**MACHINE, "OLLAMA_HOST": f"{address}:11434"})
    assert box.autostart()
    assert box.restart(address=address)
    box.reboot()
    log = box.there.drive_c / "ProgramData/vengeance/ollama/server.log"
    eventually(lambda: "bind: The requested address is not valid" in written(log), "the failed bind")
    eventually(lambda: not box.there.processes("ollama.exe"), "the end of the server")
    # Tailscale is there some seconds later, and the task looks again by itself.
    later(box, lambda: box.windows.network.listeners, 60, "the next try of the task")
    assert box.there.ask("GET", "/api/version", address=address).status == 200


def test_11_the_port_can_lie_in_a_range_that_winnat_has_reserved(box: OllamaHost) -> None:
    box.stage()
    box.windows.port_ranges.unlucky = 11434
    box.reboot()
    log = box.there.drive_c / "ProgramData/vengeance/ollama/server.log"
    eventually(lambda: "in a way forbidden by its access permissions" in written(log), "the failed bind")
    assert not box.restart(timeout=1)
    assert "in a way forbidden by its access permissions" in box.text, "the last words of the server say why"


def test_12_an_error_of_a_pull_comes_inside_of_an_answer_with_status_200(box: OllamaHost) -> None:
    box.stage()
    box.there.ollama.fault("fail_at", 60)
    answer = box.there.ask("POST", "/api/pull", {"model": TINY})
    assert answer.status == 200
    assert "error" in answer.lines[-1]
    assert {"status": "success"} not in answer.lines
    box.there.ollama.fault("fail_at", 80)
    assert box.pull(TINY), "asked again, it goes on"
    assert [model["name"] for model in box.there.ask("GET", "/api/tags").json["models"]] == [TINY]
