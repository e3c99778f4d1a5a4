"""The tray app of the twin's Ollama: whose environment its server gets, when it starts, and how it updates itself."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.twin.ollama_box import APP_FOLDER, DATA, FOLDER, STARTUP, OllamaBox
from tests.waiting import eventually
from vengeance.box.pins import pinned
from vengeance.twin.ollama.package import APP_ID
from vengeance.twin.process import ProcessOutput, Start
from vengeance.twin.windows.environment import block
from vengeance.twin.windows.registry import ENVIRONMENT

DATABASE = "Users/Steam/AppData/Local/Ollama/db.sqlite"
APP = "ollama app.exe"
SERVER = "ollama.exe"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[OllamaBox]:
    box = OllamaBox(tmp_path)
    yield box
    box.windows.stop_all()


def user_key(box: OllamaBox) -> str:
    return f"HKU\\{box.windows.state.sid('Steam')}"


def set_user(box: OllamaBox, name: str, value: str) -> None:
    box.windows.registry.set(f"{user_key(box)}\\Environment", name, value)


def installed_version(box: OllamaBox) -> str:
    key = f"{user_key(box)}\\Software\\Microsoft\\Windows\\CurrentVersion\\Uninstall\\{APP_ID}_is1"
    return box.windows.registry.text(key, "DisplayVersion")


def server_log(box: OllamaBox, number: str = "") -> str:
    return (box.drive_c / f"Users/Steam/AppData/Local/Ollama/server{number}.log").read_text()


def app_log(box: OllamaBox) -> str:
    return (box.drive_c / "Users/Steam/AppData/Local/Ollama/app.log").read_text()


def settings(box: OllamaBox, column: str) -> object:
    with sqlite3.connect(box.drive_c / DATABASE) as connection:
        return connection.execute(f"SELECT {column} FROM settings WHERE id = 1").fetchone()[0]


def change(box: OllamaBox, column: str, value: object) -> None:
    with sqlite3.connect(box.drive_c / DATABASE) as connection:
        connection.execute(f"UPDATE settings SET {column} = ?", (value,))


def pass_time(box: OllamaBox, happens: Callable[[], bool], what: str) -> None:
    """Let second after second pass in the twin until something has happened."""

    def has_happened() -> bool:
        box.clock.advance(1)
        return happens()

    eventually(has_happened, what)


def install_without_app(box: OllamaBox) -> None:
    """An Ollama that has been installed, with nothing of it running."""
    assert box.install() == 0
    box.await_server()
    box.kill(APP)
    box.kill(SERVER)


def test_a_silent_installation_starts_the_tray_app_in_the_installers_session(box: OllamaBox) -> None:
    assert box.install(session=0) == 0
    server = box.await_server()
    app = box.processes(APP)[0]
    assert (app.session, server.session) == (0, 0)
    assert server.parent == app.pid
    assert installed_version(box) == pinned("ollama")
    assert APP_FOLDER.lower() in box.windows.registry.text(f"{user_key(box)}\\Environment", "Path").lower()
    assert box.ask("GET", "/api/version").json == {"version": pinned("ollama")}


def test_the_installer_goes_where_it_is_told_and_stays_there(box: OllamaBox) -> None:
    from vengeance.twin.ollama.package import setup_bytes

    box.windows.drive.write("C:\\OllamaSetup.exe", setup_bytes(pinned("ollama")))
    box.windows.launch('"C:\\OllamaSetup.exe" /VERYSILENT /DIR="C:\\Tools\\Ollama"', user="Steam").wait(30)
    assert (box.drive_c / "Tools/Ollama/ollama.exe").is_file()
    assert box.install("0.35.0") == 0
    assert b"0.35.0" in (box.drive_c / "Tools/Ollama/ollama.exe").read_bytes()
    assert not (box.drive_c / APP_FOLDER[3:].replace("\\", "/")).exists()


def test_what_an_installer_in_a_winrm_shell_starts_ends_with_the_shell(box: OllamaBox) -> None:
    from vengeance.twin.ollama.package import setup_bytes

    box.windows.drive.write("C:\\OllamaSetup.exe", setup_bytes(pinned("ollama")))
    output = ProcessOutput()
    shell = box.windows.start(Start("C:\\OllamaSetup.exe /VERYSILENT & ping -t 127.0.0.1"), output)
    box.await_server()
    shell.terminate()
    eventually(lambda: not box.processes(APP), "the app's end")


def test_the_zip_has_no_tray_app_and_starts_nothing(box: OllamaBox) -> None:
    assert not box.windows.drive.exists(f"{FOLDER}\\ollama app.exe")
    assert box.windows.drive.is_file(f"{FOLDER}\\ollama.exe")
    assert installed_version(box) == ""
    box.windows.sessions.logon("Steam")
    assert box.processes(APP) == box.processes(SERVER) == []


def test_an_upgrade_ends_running_inference(box: OllamaBox) -> None:
    box.install()
    box.await_server()
    box.have()
    box.load()
    assert box.install("0.35.0") == 0
    assert box.gpu.used_mib == 1900
    box.await_server()
    eventually(lambda: box.ask("GET", "/api/version").json == {"version": "0.35.0"}, "the new version")


def test_the_app_hands_its_own_environment_to_the_server(box: OllamaBox) -> None:
    install_without_app(box)
    set_user(box, "OLLAMA_KEEP_ALIVE", "7m")
    box.start_app()
    server = box.processes(SERVER)[-1]
    assert server.environment["OLLAMA_KEEP_ALIVE"] == "7m"
    assert "OLLAMA_KEEP_ALIVE:7m0s" in server_log(box)


def test_killing_only_the_server_brings_it_back_with_the_old_environment(box: OllamaBox) -> None:
    install_without_app(box)
    box.start_app()
    set_user(box, "OLLAMA_KEEP_ALIVE", "7m")
    box.kill(SERVER)
    assert box.processes(SERVER) == []
    box.clock.advance(1.5)
    server = box.await_server()
    assert "OLLAMA_KEEP_ALIVE" not in server.environment
    assert "OLLAMA_KEEP_ALIVE:7m0s" not in server_log(box)


def test_a_second_start_of_the_app_focuses_the_first_and_ends(box: OllamaBox) -> None:
    install_without_app(box)
    box.start_app()
    first = box.processes(APP)[0].pid
    set_user(box, "OLLAMA_KEEP_ALIVE", "7m")
    second = box.start_app(wait=False)
    assert second.wait(30)
    assert second.output.exit_code == 0
    assert [one.pid for one in box.processes(APP)] == [first]
    assert "OLLAMA_KEEP_ALIVE:5m0s" in server_log(box)


def test_the_right_order_brings_the_new_environment(box: OllamaBox) -> None:
    install_without_app(box)
    box.start_app()
    set_user(box, "OLLAMA_KEEP_ALIVE", "7m")
    for name in (APP, SERVER, "llama-server.exe"):
        box.kill(name)
    box.start_app()
    assert box.processes(SERVER)[-1].environment["OLLAMA_KEEP_ALIVE"] == "7m"


def test_an_app_that_was_killed_alone_leaves_its_server_which_the_next_one_ends(box: OllamaBox) -> None:
    install_without_app(box)
    box.start_app()
    server = box.processes(SERVER)[0].pid
    box.kill(APP)
    assert box.ask("GET", "/").status == 200
    box.start_app(wait=False)
    eventually(lambda: server not in box.windows.state.processes, "the end of the server left behind")
    assert box.await_server().pid != server


def test_a_users_value_beats_the_machines_of_the_same_name(box: OllamaBox) -> None:
    install_without_app(box)
    box.windows.registry.set(ENVIRONMENT, "OLLAMA_HOST", "0.0.0.0:11434")
    set_user(box, "OLLAMA_HOST", "127.0.0.1:11434")
    box.start_app()
    assert "OLLAMA_HOST:http://127.0.0.1:11434" in server_log(box)


def test_expose_in_the_window_beats_the_environment_and_its_port(box: OllamaBox) -> None:
    install_without_app(box)
    change(box, "expose", 1)
    set_user(box, "OLLAMA_HOST", "127.0.0.1:4090")
    box.start_app()
    assert box.processes(SERVER)[-1].environment["OLLAMA_HOST"] == "0.0.0.0"
    eventually(lambda: "Listening on [::]:11434" in server_log(box), "the line in the log")


def test_expose_switched_off_does_not_close_what_the_environment_opens(box: OllamaBox) -> None:
    install_without_app(box)
    set_user(box, "OLLAMA_HOST", "0.0.0.0")
    box.start_app()
    assert settings(box, "expose") == 0
    assert box.ask("GET", "/", address="192.168.1.20").status == 200


def test_models_and_context_of_the_window_win_too(box: OllamaBox) -> None:
    install_without_app(box)
    box.windows.drive.make_directory("C:\\gui-models")
    change(box, "models", "C:\\gui-models")
    change(box, "context_length", 8192)
    set_user(box, "OLLAMA_MODELS", "C:\\env-models")
    set_user(box, "OLLAMA_CONTEXT_LENGTH", "4096")
    box.start_app()
    log = server_log(box)
    assert "OLLAMA_MODELS:C:\\\\gui-models" in log
    assert "OLLAMA_CONTEXT_LENGTH:8192" in log


def test_a_models_path_that_is_gone_is_cleared(box: OllamaBox) -> None:
    install_without_app(box)
    change(box, "models", "C:\\gone")
    box.start_app()
    assert settings(box, "models") == ""
    assert "models path not accessible" in app_log(box)


def test_a_change_in_the_window_starts_the_server_anew(box: OllamaBox) -> None:
    install_without_app(box)
    box.start_app()
    first = box.processes(SERVER)[0].pid
    box.ollama.change_settings("Steam", context_length=16384)
    eventually(lambda: first not in box.windows.state.processes, "the end of the old server")
    box.await_server()
    assert "OLLAMA_CONTEXT_LENGTH:16384" in server_log(box)


def test_the_settings_are_a_real_sqlite_database_with_one_row(box: OllamaBox) -> None:
    install_without_app(box)
    query = "SELECT id, expose, models, context_length, auto_update_enabled FROM settings"
    with sqlite3.connect(box.drive_c / DATABASE) as connection:
        rows = connection.execute(query).fetchall()
    assert rows == [(1, 0, "", 0, 1)]


def test_the_first_run_makes_the_startup_link_and_no_later_one_does(box: OllamaBox) -> None:
    install_without_app(box)
    link = f"{STARTUP}\\Ollama.lnk"
    assert box.windows.drive.is_file(link)
    box.windows.drive.remove_file(link)
    box.start_app()
    assert not box.windows.drive.exists(link)


def test_the_startup_link_starts_the_app_at_logon_on_that_desktop(box: OllamaBox) -> None:
    install_without_app(box)
    assert box.processes(APP) == []
    session = box.windows.sessions.logon("Steam")
    server = box.await_server()
    assert (server.session, server.elevated) == (session, False)


def test_nobody_listens_when_nobody_is_logged_on(box: OllamaBox) -> None:
    install_without_app(box)
    box.restart()
    box.clock.advance(600)
    assert box.windows.network.listeners == []
    box.windows.sessions.logon("Steam")
    box.await_server()


def test_logging_off_ends_app_server_and_runner(box: OllamaBox) -> None:
    install_without_app(box)
    box.windows.sessions.logon("Steam")
    box.await_server()
    box.have()
    box.load()
    box.windows.sessions.logoff("Steam")
    eventually(lambda: not (box.processes(APP) or box.processes(SERVER)), "the end of all")
    assert box.gpu.used_mib == 1900
    box.clock.advance(10)
    assert box.windows.network.listeners == []


def test_the_server_log_is_rotated_when_the_app_starts(box: OllamaBox) -> None:
    install_without_app(box)
    box.start_app()
    box.kill(APP)
    box.kill(SERVER)
    box.start_app()
    assert "Listening on" in server_log(box)
    assert "Listening on" in server_log(box, "-1")


def test_an_app_and_a_server_of_a_task_fight_over_the_port_for_ever(box: OllamaBox) -> None:
    install_without_app(box)
    task = box.serve()
    box.start_app(wait=False)
    pass_time(box, lambda: app_log(box).count("exit status 1") >= 3, "three attempts")
    assert "Only one usage of each socket address" in server_log(box)
    assert box.listens(task.run.pid)


def test_a_server_that_cannot_bind_to_the_tailnets_address_ends(box: OllamaBox) -> None:
    child = box.serve(wait=False, OLLAMA_HOST="100.98.226.75")
    assert child.wait(30)
    assert child.output.exit_code == 1
    assert "Error: listen tcp 100.98.226.75:11434: bind: The requested address is not valid in its context." in box.log


def test_a_port_that_winnat_has_reserved_cannot_be_listened_on(box: OllamaBox) -> None:
    class Rules:
        def is_taken(self, port: int) -> bool:
            return port == 11434

    box.windows.network.port_rules = Rules()
    child = box.serve(wait=False)
    assert child.wait(30)
    assert "forbidden by its access permissions" in box.log


def test_the_icon_does_not_mean_that_a_server_is_up(box: OllamaBox) -> None:
    install_without_app(box)
    box.ollama.fault("no_server", times=1)
    box.start_app(wait=False)
    eventually(lambda: box.processes(APP), "the app's start")
    box.clock.advance(60)
    assert box.processes(SERVER) == []


def test_the_app_refuses_to_serve_and_tells_its_version(box: OllamaBox) -> None:
    install_without_app(box)
    served = box.run(f'"{APP_FOLDER}\\ollama app.exe" serve')
    assert (served.code, served.err) == (1, "serve command not supported, use ollama\n")
    assert box.run(f'"{APP_FOLDER}\\ollama app.exe" --version').out == f"{pinned('ollama')}\n"


def test_an_update_is_fetched_in_the_background_and_installed_at_the_next_logon(box: OllamaBox) -> None:
    install_without_app(box)
    box.ollama.offer("0.35.0")
    box.windows.sessions.logon("Steam")
    box.await_server()
    staged = f"{DATA}\\updates_v2\\0.35.0\\OllamaSetup.exe"
    pass_time(box, lambda: box.windows.drive.is_file(staged), "the download")
    assert installed_version(box) == pinned("ollama")
    box.windows.sessions.logoff("Steam")
    eventually(lambda: not box.processes(APP), "the app's end")
    box.windows.sessions.logon("Steam")
    eventually(lambda: installed_version(box) == "0.35.0", "the update")
    box.await_server()
    eventually(lambda: box.ask("GET", "/api/version").json == {"version": "0.35.0"}, "the new server")


def test_an_app_that_runs_on_looks_for_an_update_each_hour(box: OllamaBox) -> None:
    install_without_app(box)
    box.start_app()
    box.clock.advance(10)
    box.ollama.offer("0.35.0")
    box.clock.advance(3600)
    assert box.windows.drive.is_file(f"{DATA}\\updates_v2\\0.35.0\\OllamaSetup.exe")
    assert box.ask("GET", "/api/version").json == {"version": pinned("ollama")}


def test_without_automatic_updates_nothing_is_fetched_nor_installed(box: OllamaBox) -> None:
    install_without_app(box)
    change(box, "auto_update_enabled", 0)
    box.ollama.offer("0.35.0")
    box.start_app()
    box.clock.advance(7300)
    assert not box.windows.drive.exists(f"{DATA}\\updates_v2")


def test_a_staged_update_waits_where_automatic_updates_are_off(box: OllamaBox) -> None:
    install_without_app(box)
    box.ollama.offer("0.35.0")
    box.start_app()
    staged = f"{DATA}\\updates_v2\\0.35.0\\OllamaSetup.exe"
    pass_time(box, lambda: box.windows.drive.is_file(staged), "the download")
    box.kill(APP)
    box.kill(SERVER)
    change(box, "auto_update_enabled", 0)
    box.windows.sessions.logon("Steam")
    box.await_server()
    assert installed_version(box) == pinned("ollama")
    assert "auto-update disabled, skipping automatic upgrade at startup" in app_log(box)


def test_uninstalling_keeps_the_models_and_takes_the_link(box: OllamaBox) -> None:
    box.install()
    box.await_server()
    box.have()
    child = box.windows.launch(f'"{APP_FOLDER}\\unins000.exe" /VERYSILENT', user="Steam")
    assert child.wait(30)
    assert installed_version(box) == ""
    assert not box.windows.drive.exists(f"{STARTUP}\\Ollama.lnk")
    assert not box.windows.drive.exists(APP_FOLDER)
    assert (box.drive_c / "Users/Steam/.ollama/models/manifests/registry.ollama.ai/library/qwen2.5/3b").is_file()


def test_the_command_line_tool_starts_the_app_when_nobody_answers(box: OllamaBox) -> None:
    install_without_app(box)
    done = box.run(f'"{APP_FOLDER}\\ollama.exe" list')
    assert done.code == 0
    # The app was started in the tool's shell, and went with it; app.log tells that it was there.
    assert "starting ollama server" in app_log(box)


def test_a_process_in_the_list_has_the_environment_it_was_started_with(box: OllamaBox) -> None:
    box.serve(OLLAMA_KEEP_ALIVE="9m")
    set_user(box, "OLLAMA_KEEP_ALIVE", "1m")
    listed = json.loads((box.folder / "processes.json").read_text())["processes"]
    server = next(one for one in listed if one["image"].endswith("\\ollama.exe"))
    assert server["environment"]["OLLAMA_KEEP_ALIVE"] == "9m"
    assert block(box.windows.state, "Steam")["OLLAMA_KEEP_ALIVE"] == "1m"
