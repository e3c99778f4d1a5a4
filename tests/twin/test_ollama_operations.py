"""The operations on Ollama, done to the twin: each is proved by another path than the facts, and done twice."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from tests.twin.ollama_box import APP_FOLDER, SMALL, STARTUP
from tests.twin.ollama_host import MACHINE, TINY, VERSION, OllamaHost, quick
from tests.waiting import eventually
from vengeance.box.downloads import Transfer
from vengeance.box.pins import pinned
from vengeance.facts import ollama as facts
from vengeance.operations import ollama
from vengeance.operations.ollama import pulls
from vengeance.twin.ollama import package


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OllamaHost:
    quick(monkeypatch)
    return OllamaHost(tmp_path)


# --- the whole stage ----------------------------------------------------------------------------------------


def test_the_stage_ends_with_a_server_at_boot_and_does_nothing_again(box: OllamaHost) -> None:
    assert box.stage() == [True, True, True, False], "the task has started it with the right variables already"
    assert box.there.ask("GET", "/api/version").json == {"version": VERSION}
    assert box.server_environment["OLLAMA_HOST"] == "0.0.0.0:11434"
    assert not box.there.processes("ollama app.exe")
    assert not box.windows.drive.is_file(f"{STARTUP}\\Ollama.lnk")
    assert box.stage() == [False, False, False, False]


def test_after_a_reboot_with_nobody_logged_on_ollama_answers(box: OllamaHost) -> None:
    box.stage()
    box.reboot()
    eventually(lambda: box.windows.network.listeners, "the server after the boot")
    assert box.there.ask("GET", "/api/version").json == {"version": VERSION}
    (server,) = box.there.processes("ollama.exe")
    assert server.session == 0
    assert box.restart()
    assert not box.changed


def test_logon_and_logoff_leave_the_server_alone(box: OllamaHost) -> None:
    box.stage()
    (before,) = box.there.processes("ollama.exe")
    box.windows.sessions.logon("Steam")
    box.there.clock.advance(5)
    assert not box.there.processes("ollama app.exe")
    box.windows.sessions.logoff("Steam")
    (after,) = box.there.processes("ollama.exe")
    assert after.pid == before.pid


def test_the_log_of_the_server_before_is_kept(box: OllamaHost) -> None:
    box.stage()
    (before,) = box.there.processes("ollama.exe")
    assert box.set({**MACHINE, "OLLAMA_NUM_PARALLEL": "2"})
    assert box.restart()
    (after,) = box.there.processes("ollama.exe")
    assert after.pid != before.pid
    logs = box.there.drive_c / "ProgramData/vengeance/ollama"
    assert "OLLAMA_NUM_PARALLEL:1" in (logs / "server-1.log").read_text()
    assert "OLLAMA_NUM_PARALLEL:2" in (logs / "server.log").read_text()


# --- installed ----------------------------------------------------------------------------------------------


def test_another_version_is_installed_over_the_one_that_runs(box: OllamaHost) -> None:
    box.stage()
    assert box.install("0.35.0")
    assert f"Ollama: {pinned('ollama')} -> 0.35.0" in box.text
    assert not box.there.processes("ollama.exe")
    assert box.restart(version="0.35.0")
    assert box.there.ask("GET", "/api/version").json == {"version": "0.35.0"}
    assert box.install("0.35.0")
    assert not box.changed


def test_an_installation_with_its_server_missing_is_mended(box: OllamaHost) -> None:
    box.stage()
    box.there.kill("ollama.exe")
    box.windows.drive.remove_file(f"{APP_FOLDER}\\ollama.exe")
    assert box.install()
    assert box.windows.drive.is_file(f"{APP_FOLDER}\\ollama.exe")


def test_ollama_goes_to_the_folder_that_is_declared(box: OllamaHost) -> None:
    assert box.install(path="C:\\Tools\\Ollama AI")
    assert box.windows.drive.is_file("C:\\Tools\\Ollama AI\\ollama.exe")
    assert box.install(path="C:\\Tools\\Ollama AI")
    assert not box.changed
    assert box.set()
    assert box.autostart()
    assert box.restart()


def zip_of(version: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in package.zip_files(version).items():
            archive.writestr(name.replace("\\", "/"), data)
    return packed.getvalue()


def test_the_zip_gives_a_server_without_a_tray_app(box: OllamaHost) -> None:
    for version, changed in (("0.33.0", True), (VERSION, True), (VERSION, False)):
        digest = box.offer(version, "ollama-windows-amd64.zip", zip_of(version))
        assert box.do(ollama.installed, version=version, sha256=digest, package="zip")
        assert box.changed == changed
    assert box.windows.drive.is_file("C:\\Program Files\\Ollama\\lib\\ollama\\llama-server.exe")
    assert not box.windows.drive.exists("C:\\Program Files\\Ollama.old")
    assert box.set()
    assert box.autostart(package="zip")
    assert box.restart()
    assert box.there.ask("GET", "/api/version").json == {"version": VERSION}


def test_a_folder_with_other_files_is_not_taken_for_the_zip(box: OllamaHost) -> None:
    digest = box.offer(VERSION, "ollama-windows-amd64.zip", zip_of(VERSION))
    box.windows.drive.make_directory("C:\\Mine")
    box.windows.drive.write("C:\\Mine\\thesis.txt", b"")
    assert not box.do(ollama.installed, version=VERSION, sha256=digest, package="zip", path="C:\\Mine")
    assert "holds files that were not put there" in box.text
    assert box.windows.drive.is_file("C:\\Mine\\thesis.txt")


# --- settings -----------------------------------------------------------------------------------------------


def test_a_stale_user_variable_is_found_and_removed(box: OllamaHost) -> None:
    box.windows.registry.set(box.user_key, "OLLAMA_HOST", "127.0.0.1:11434")
    box.stage()
    assert box.variables("user") == {}
    assert box.variables("machine") == {**MACHINE, "OLLAMA_KEEP_ALIVE": "5m"}
    box.windows.registry.set(box.user_key, "OLLAMA_HOST", "127.0.0.1:11434")
    assert box.set()
    assert "user variable OLLAMA_HOST: '127.0.0.1:11434' -> (not set)" in box.text


def test_with_logon_each_variable_has_its_level_and_a_stale_one_goes(box: OllamaHost) -> None:
    box.windows.registry.set(box.user_key, "ollama_host", "127.0.0.1")
    assert box.set(autostart="logon")
    assert box.variables("user") == {"OLLAMA_KEEP_ALIVE": "5m"}
    assert box.variables("machine") == MACHINE
    assert box.set(autostart="logon")
    assert not box.changed


def test_a_variable_that_is_declared_nowhere_is_reported_and_stays(box: OllamaHost) -> None:
    box.windows.registry.set(
        "HKLM\\SYSTEM\\CurrentControlSet\\Control\\Session Manager\\Environment", "OLLAMA_GPU", "1"
    )
    assert box.set()
    assert "the machine variable OLLAMA_GPU='1' is declared nowhere" in box.text
    assert box.variables("machine")["OLLAMA_GPU"] == "1"


def test_the_apps_settings_are_written_only_while_it_is_stopped(box: OllamaHost) -> None:
    box.there.install(session=1)
    box.there.await_server()
    assert box.there.processes("ollama app.exe")
    assert box.set(autostart="logon")
    assert box.scripts[-2:] == ["Stop-Ollama", "Set-OllamaSettings"]
    assert not box.there.processes("ollama app.exe")
    assert box.fact(facts.Settings)["settings"]["auto_update_enabled"] is False


def test_a_database_that_cannot_be_read_is_told(box: OllamaHost) -> None:
    box.stage()
    box.windows.add_type_blocked = True
    assert box.set()
    assert "cannot be read, and may beat the variables: Cannot add type" in box.text


# --- logon --------------------------------------------------------------------------------------------------


def test_with_logon_and_nobody_there_it_waits_for_the_next_logon(box: OllamaHost) -> None:
    box.stage("logon")
    assert "Ollama's app starts its server at the next logon" in box.last.noops[0]
    assert not box.windows.network.listeners
    assert box.windows.drive.is_file(f"{STARTUP}\\Ollama.lnk")
    box.windows.sessions.logon("Steam")
    box.there.await_server()
    assert box.server_environment["OLLAMA_HOST"] == "0.0.0.0:11434"
    assert box.server_environment["OLLAMA_KEEP_ALIVE"] == "5m"
    assert box.restart("logon")
    assert not box.changed


def test_with_logon_and_somebody_there_the_app_starts_on_his_desktop(box: OllamaHost) -> None:
    session = box.windows.sessions.logon("Steam")
    box.time_passes()
    box.stage("logon")
    (app,) = box.there.processes("ollama app.exe")
    assert app.session == session
    assert box.server_environment["OLLAMA_HOST"] == "0.0.0.0:11434"
    assert box.stage("logon") == [False] * 4


def test_from_logon_to_boot_and_back(box: OllamaHost) -> None:
    box.stage("logon")
    assert box.stage("boot")[2]
    assert box.windows.tasks.names() == ["ollama"]
    assert not box.windows.drive.is_file(f"{STARTUP}\\Ollama.lnk")
    assert box.stage("logon")[2]
    assert box.windows.tasks.names() == []
    assert box.windows.drive.is_file(f"{STARTUP}\\Ollama.lnk")
    assert not box.there.processes("ollama.exe")


# --- restarted ----------------------------------------------------------------------------------------------


def test_a_changed_variable_is_proved_in_the_running_server(box: OllamaHost) -> None:
    box.stage()
    assert box.set({**MACHINE, "OLLAMA_NUM_PARALLEL": "4"})
    assert box.server_environment.get("OLLAMA_NUM_PARALLEL") is None
    assert box.restart()
    assert "works with OLLAMA_NUM_PARALLEL='1', and the registry has '4'" in box.text
    assert box.server_environment["OLLAMA_NUM_PARALLEL"] == "4"


def test_a_server_that_a_person_started_beside_is_found(box: OllamaHost) -> None:
    box.stage()
    box.there.serve(OLLAMA_HOST="127.0.0.1:11500")
    assert box.restart()
    assert "2 Ollama servers run" in box.text
    assert len(box.there.processes("ollama.exe")) == 1


def test_a_server_that_cannot_start_gives_its_last_words(box: OllamaHost) -> None:
    box.stage()
    assert box.set({**MACHINE, "OLLAMA_HOST": "192.168.1.99:11434"})
    assert not box.restart(address="192.168.1.99", timeout=1)
    assert "bind: The requested address is not valid in its context." in box.text


def test_a_server_that_listens_elsewhere_is_told(box: OllamaHost) -> None:
    box.stage()
    assert box.set({**MACHINE, "OLLAMA_HOST": "127.0.0.1:11500"})
    assert not box.restart(timeout=1)
    assert "nobody answers at http://127.0.0.1:11434" in box.text
    assert "it listens on 127.0.0.1:11500" in box.text


# --- models -------------------------------------------------------------------------------------------------


def test_models_are_pulled_once(box: OllamaHost) -> None:
    box.stage()
    assert box.pull(TINY, SMALL)
    names = [model["name"] for model in box.there.ask("GET", "/api/tags").json["models"]]
    assert sorted(names) == [TINY, SMALL]
    assert box.pull(TINY, SMALL)
    assert not box.changed


def digest_of(box: OllamaHost, model: str) -> str:
    found = box.there.ollama.registry.find(model)
    assert found is not None
    return found.digest


def test_a_pull_that_is_cut_twice_ends_with_the_right_digest(box: OllamaHost) -> None:
    box.stage()
    box.there.ollama.fault("cut", 30)
    box.there.ollama.fault("fail_at", 60)
    digest = digest_of(box, TINY)
    assert box.do(ollama.models, models=[{"name": TINY, "size_gb": 0.4, "digest": digest}], timeout=60)
    (model,) = box.there.ask("GET", "/api/tags").json["models"]
    assert model["digest"] == digest
    assert not [
        name for name in (box.there.drive_c / "Users/Steam/.ollama/models/blobs").iterdir() if "partial" in name.name
    ]


def test_a_pull_survives_a_dropped_connection_because_the_box_does_it(box: OllamaHost) -> None:
    box.stage()
    cuts = iter([True, True])

    def cut(script: str) -> None:
        if script == "Get-Work" and next(cuts, False):
            raise ConnectionError("cut")

    box.before = cut
    assert box.pull(TINY)
    assert next(cuts, None) is None
    assert box.scripts.count("Start-Work") == 2, "the installer's and one for the pull"


def test_a_line_with_an_error_inside_of_200_is_no_success(box: OllamaHost) -> None:
    box.stage()
    box.there.ollama.fault("offline", times=20)
    assert not box.pull(TINY)
    assert f"Ollama did not get the model {TINY}, in 6 attempts: pull model manifest" in box.text
    assert "no such host" in box.text


def test_a_model_that_the_registry_does_not_have_is_told_at_once(box: OllamaHost) -> None:
    box.stage()
    assert not box.pull("qwen2.5:72q")
    assert "model qwen2.5:72q, in 1 attempts: pull model manifest: file does not exist. Is its name" in box.text


def test_too_little_disk_is_refused_with_the_numbers_before_any_pull(box: OllamaHost) -> None:
    box.stage()
    box.windows.state.set_free_bytes(40 * 10**9)
    assert not box.do(ollama.models, models=[{"name": "qwen2.5:72b", "size_gb": 47}, {"name": TINY, "size_gb": 0.4}])
    assert "take 47.4 GB (qwen2.5:72b 47.0 GB, qwen2.5:0.5b 400.0 MB) and 2.0 GB stay free beside them" in box.text
    assert "only 40.0 GB are free: 9.4 GB too little. Nothing was pulled." in box.text
    assert box.there.ask("GET", "/api/tags").json["models"] == []


def test_a_tag_that_points_to_something_else_than_its_pin_fails_the_host(box: OllamaHost) -> None:
    box.stage()
    assert not box.do(ollama.models, models=[{"name": TINY, "digest": "0" * 64}], timeout=60)
    assert f"got {digest_of(box, TINY)}, while {'0' * 64} is pinned" in box.text


def test_pruning_removes_what_is_not_declared_and_nothing_else(box: OllamaHost) -> None:
    box.stage()
    assert box.pull(TINY, SMALL)
    assert box.pull(SMALL)
    assert not box.changed, "without prune both stay"
    assert box.pull(SMALL, prune=True)
    assert [model["name"] for model in box.there.ask("GET", "/api/tags").json["models"]] == [SMALL]
    assert box.pull(SMALL, prune=True)
    assert not box.changed


def test_models_without_a_server_are_refused_with_what_comes_first(box: OllamaHost) -> None:
    assert not box.pull(TINY)
    assert "no Ollama server answers at 127.0.0.1:11434" in box.text


def test_with_logon_and_nobody_there_the_models_wait(box: OllamaHost) -> None:
    box.stage("logon")
    assert box.pull(TINY, start="logon")
    assert not box.changed
    assert "nobody is signed in, so no Ollama server runs to pull models with" in box.text
    box.windows.sessions.logon("Steam")
    box.there.await_server()
    assert box.pull(TINY, start="logon")
    assert box.changed


def test_progress_is_told_in_bytes_speed_and_time_left() -> None:
    clock = iter([0.0, 10.0, 20.0])
    say = pulls.progress_line(Transfer("m:1", lambda: next(clock)))
    progress = {"model": "m:1", "status": "pulling", "completed": 10**9, "total": 4 * 10**9, "attempt": 1}
    assert say(progress) == "m:1: pulled 1.0 GB of 4.0 GB, 25 %"
    assert say({**progress, "completed": 2 * 10**9}) == "m:1: pulled 2.0 GB of 4.0 GB, 50 %, 100.0 MB/s, 20 s left"
    again = say({**progress, "completed": 2 * 10**9, "attempt": 2})
    assert again == "m:1: pulled 2.0 GB of 4.0 GB, 50 %, attempt 2"
    assert say({**progress, "status": "pulling manifest", "total": 0}) == "m:1: pulling manifest"


# --- unloaded -----------------------------------------------------------------------------------------------


def test_unloaded_waits_until_the_server_shows_no_model(box: OllamaHost) -> None:
    box.stage()
    box.there.have(SMALL)
    idle = box.there.gpu.used_mib
    box.there.load(SMALL)
    assert box.there.gpu.used_mib > idle
    assert box.do(ollama.unloaded)
    assert box.there.loaded() == {}
    assert box.there.gpu.used_mib == idle
    assert box.do(ollama.unloaded)
    assert not box.changed


def test_only_the_named_models_are_unloaded(box: OllamaHost) -> None:
    box.stage()
    box.there.have(SMALL, TINY)
    box.there.load(SMALL)
    box.there.load(TINY)
    assert box.do(ollama.unloaded, models=[TINY])
    assert list(box.there.loaded()) == [SMALL]
    loaded = box.fact(facts.Loaded)
    assert loaded[SMALL]["size_vram"] == loaded[SMALL]["size"]
    assert loaded[SMALL]["context_length"] == 4096
