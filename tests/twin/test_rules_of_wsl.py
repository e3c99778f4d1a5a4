"""The rules that a box with WSL is built by, each as the sentence that it is; the number is that of the rule.

One box is built from a bare Windows by our own operations, and looked at by other ways than they took: what was
started on it, its registry, its files, this machine's own process list. Further proofs of the same rules, of their
parts one by one, are in test_wsl_lifetime.py, test_task_scheduler.py, test_system.py, test_network_operations.py and
test_works.py; those that need pyinfra's command line are in tests/connectors and tests/bare.
"""

from __future__ import annotations

import configparser
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import OperationValueError

from tests.twin.rules_box import IN_DISTRO, PASSWORD, ROOT, SETTINGS, TEMPLATE, Built, bare_box, built_box
from tests.twin.windows_box import Box
from tests.twin.works_box import WorksHost
from tests.twin.wsl_box import DISTRO, FAILED, USER
from tests.unit.operation_runs import Run
from tests.waiting import until
from vengeance.facts import wsl as wsl_facts
from vengeance.operations import preflight, tailscale, windows, wsl
from vengeance.twin.windows import network as net
from vengeance.twin.windows.features import SERVICING
from vengeance.twin.windows.machine import POWER, SESSION_POWER
from vengeance.twin.windows.model import Windows
from vengeance.twin.windows.port_proxy import ENTRIES
from vengeance.twin.windows.program import WSL
from vengeance.twin.windows.registry import LXSS
from vengeance.twin.windows.state import State, to_text
from vengeance.twin.windows.works import WMI_PID
from vengeance.winrm.client import DistroMissing
from vengeance.winrm.errors import ConnectFailed

HOUR = 3600.0
SCRIPTS = ROOT / "src" / "vengeance" / "powershell"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The box; who changes it puts it back."""
    with built_box(tmp_path_factory.mktemp("built")) as built:
        yield built


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """A Windows without a Linux side."""
    box = Box(tmp_path)
    box.windows.boot()
    yield box
    box.windows.stop_all()
    assert box.faults == []


def file_of(built: Built) -> dict[str, dict[str, str]]:
    """The .wslconfig on the drive, read by Python's own reader of such files."""
    reader = configparser.ConfigParser()
    reader.optionxform = str  # type: ignore[assignment,method-assign]
    reader.read_string((built.there.drive_c / "Users" / USER / ".wslconfig").read_text())
    return {name: dict(reader[name]) for name in reader.sections()}


def planned(host: WorksHost, operation: Any, **arguments: Any) -> Run:
    """What an operation would do on the box as it is; nothing is done."""
    run = Run()
    with host.pyinfra(run):
        run.commands.extend(operation._inner(**arguments))
    return run


# --- 1 -------------------------------------------------------------------------------------------------------------


def test_01_only_the_packages_own_wsl_exe_is_called_each_time_with_utf8_and_without_warnings(built: Built) -> None:
    assert len(built.wsl_calls) > 6
    for one in built.wsl_calls:
        assert one.image == WSL
        # What keeps the distro up prints nothing, and to nobody.
        if not one.command_line.endswith("sleep infinity"):
            assert (one.environment["WSL_UTF8"], one.environment["WSL_DISABLE_WARNINGS"]) == ("1", "1")


def test_01_so_does_every_script_that_starts_it() -> None:
    texts = {path: path.read_text() for path in SCRIPTS.rglob("*.ps1")}
    starting = [path for path, text in texts.items() if "'wsl.exe')" in text and "::Start(" in text]
    assert {path.stem for path in starting} >= {"Import-Distribution", "Set-WslConfiguration"}
    for path in starting:
        for name in ("WSL_UTF8", "WSL_DISABLE_WARNINGS"):
            assert f"EnvironmentVariables['{name}'] = '1'" in texts[path], path


def test_01_its_version_and_place_are_read_from_the_registry_without_starting_it(box: Box) -> None:
    box.windows.registry.set(f"HKLM\\{LXSS}\\MSI", "InstallLocation", "D:\\Elsewhere\\")
    box.windows.registry.set(f"HKLM\\{LXSS}\\MSI", "Version", "2.9.9.0")
    found = WorksHost(box).fact(wsl_facts.Installation)
    assert (found["version"], found["path"]) == ("2.9.9.0", "D:\\Elsewhere\\wsl.exe")
    assert box.windows.process_starts["wsl.exe"] == 0


# --- 2 -------------------------------------------------------------------------------------------------------------


def test_02_one_local_account_owns_the_distro_wslconfig_and_the_keepalive_task(built: Built) -> None:
    state = built.there.state
    state.add_user("Another")
    owners = [sid for sid in state.users.values() if built.there.registry_keys(f"HKU\\{sid}\\{LXSS}")]
    assert owners == [state.sid(USER)]
    assert [path.parent.name for path in (built.there.drive_c / "Users").glob("*/.wslconfig")] == [USER]
    assert state.section("tasks")["wsl ubuntu-24.04"]["definition"]["user"] == f"{state.hostname}\\{USER}"
    assert {one.user for one in built.wsl_calls} == {USER}


def test_02_the_system_account_is_refused_everywhere(box: Box) -> None:
    box.windows.state.users["SYSTEM"] = "S-1-5-18"
    host = WorksHost(box, "SYSTEM")
    good, _ = host.run(preflight.ready)
    assert not good
    assert "for which WSL does not work: set winrm_user to a local administrator" in "\n".join(host.said)
    with pytest.raises(OperationValueError, match="WSL refuses the accounts of services"):
        host.run(windows.scheduled_task, task="x", command=WSL, user="NT AUTHORITY\\SYSTEM", logon="s4u")
    assert box.windows.tasks.names() == []


def test_02_a_microsoft_account_is_warned_of_with_what_is_better(box: Box) -> None:
    box.windows.machine.set(microsoft_account=True)
    host = WorksHost(box)
    host.run(preflight.ready)
    assert any("is a Microsoft account" in line and "A local administrator" in line for line in host.said)


# --- 3 -------------------------------------------------------------------------------------------------------------


def test_03_the_order_is_feature_restart_package_image_user_conf_terminate(built: Built) -> None:
    assert built.there.registered() == [DISTRO]
    lines = ["restart" if one is None else one.command_line for one in built.started]
    steps = ("restart", "msiexec.exe /i", "--import", "--exec /bin/sh", "--terminate", "sleep infinity")
    places = [next(index for index, line in enumerate(lines) if step in line) for step in steps]
    assert places == sorted(places)
    assert "SKIPMSIX=1" in lines[places[1]]
    # It exits with 0 where nothing is installed.
    assert not [line for line in lines if "--install" in line]


def test_03_neither_package_nor_distro_comes_before_the_feature_is_really_on(tmp_path: Path) -> None:
    with bare_box(tmp_path) as built:
        for _ in range(2):
            good, _run = built.installed()
            assert not good
            assert "without it WSL starts no distro" in built.said[-1]
            # From the second time on it waits for the restart.
            built.must(windows.feature, feature="VirtualMachinePlatform")
        assert built.wsl_calls == []
        assert not built.there.state.registry.exists(f"HKLM\\{LXSS}\\MSI")
        assert built.vendors.site.requests == []


# --- 4 -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[tuple[Windows, WorksHost]]:
    box = Box(tmp_path / "other")
    box.windows = Windows(State(tmp_path / "bare", bare=True), log=box.faults.append)
    box.windows.boot()
    yield box.windows, WorksHost(box)
    box.windows.stop_all()
    assert box.faults == []


def boot(windows_: Windows) -> None:
    windows_.stop_all()
    windows_.state.boot()
    windows_.boot()


def test_04_whether_to_restart_is_told_by_what_windows_waits_for_and_not_by_the_features_state(
    bare: tuple[Windows, WorksHost],
) -> None:
    windows_, host = bare
    platform = {"feature": "VirtualMachinePlatform"}
    assert planned(host, windows.reboot).commands == []
    host.run(windows.feature, **platform)
    assert len(planned(host, windows.reboot).commands) == 1
    boot(windows_)
    assert windows_.features.state("VirtualMachinePlatform") == "Enabled"
    assert planned(host, windows.reboot).commands == []
    # This one's state changes too, and nothing waits for a restart.
    host.run(windows.feature, feature="TelnetClient")
    assert windows_.features.state("TelnetClient") == "Enabled"
    assert planned(host, windows.reboot).commands == []
    # Here every feature is as it should be, and half an update waits.
    windows_.registry.create(f"{SERVICING}\\RebootPending")
    assert planned(host, windows.feature, **platform).commands == []
    assert len(planned(host, windows.reboot).commands) == 1


# --- 5: that the restart is one is proved in tests/connectors/test_restart.py --------------------------------------


@pytest.mark.parametrize(
    ("operation", "given"),
    [(windows.port_proxy, {"listen_address": "tailscale", "listen_port": 8080}), (tailscale.serve, {"port": 8080})],
)
def test_05_after_a_restart_tailscale_is_waited_for_by_itself(
    box: Box, monkeypatch: pytest.MonkeyPatch, operation: Any, given: dict[str, Any]
) -> None:
    monkeypatch.setattr(tailscale, "_LOOK_EVERY_SECONDS", 0.01)
    box.windows.tailscale.set_unattended(True)
    boot(box.windows)
    assert net.TAILNET not in box.windows.network.addresses
    host = WorksHost(box)
    looks: list[str] = []

    def time_passes(script: str) -> None:
        if script == "Get-Tailscale":
            looks.append(script)
            box.windows.clock.advance(2)

    host.before = time_passes
    good, _ = host.run(operation, **given)
    assert good, host.said
    assert len(looks) > 1
    assert net.TAILNET in box.windows.network.addresses
    if operation is windows.port_proxy:
        assert box.windows.registry.text(ENTRIES, f"{net.TAILNET}/8080") == "127.0.0.1/8080"
    else:
        assert State(box.folder).section("tailscale")["serve"] == {"8080": 8080}


# --- 6 -------------------------------------------------------------------------------------------------------------


def test_06_the_image_is_a_file_with_a_hash_and_another_file_is_never_imported(built: Built) -> None:
    mark = len(built.started)
    good, _ = built.distro(distro="Other", path="C:\\WSL\\Other", image_sha256="0" * 64, folder="C:\\Elsewhere")
    assert not good
    assert built.calls_since(mark) == []
    assert built.there.registered() == [DISTRO]
    assert list((built.there.drive_c / "Elsewhere").glob("*")) == []
    assert re.search(r"ubuntu-24\.04\.\d+-wsl-amd64\.wsl$", SETTINGS["distro_url"])


def test_06_a_distro_that_is_there_is_kept_and_no_name_that_is_only_like_it_is_taken_for_it(built: Built) -> None:
    mark = len(built.started)
    good, run = built.distro()
    assert (good, run.commands) == (True, [])
    assert built.calls_since(mark) == []
    like = {"distro": "Ubuntu", "path": "C:\\WSL\\Ubuntu"}
    image = {"image_url": SETTINGS["distro_url"], "image_sha256": "0" * 64}
    assert planned(built, wsl.distro, **like, **image).commands


# --- 7, 8, 9 -------------------------------------------------------------------------------------------------------

NASTY = "a 'b' \"c\" $HOME `id` %PATH% ^ & | ; \\ \u00e9 \u65e5\n"
_MANAGES = r"(--list --running --quiet|--shutdown|--terminate \S+|--import \S+ \".*\" \".*\" --version 2)"
_RUNS = rf"-d {re.escape(DISTRO)} -u [a-z]+ --cd / --exec /\S.*"


def test_07_what_runs_in_the_distro_is_named_on_the_command_line_and_what_it_gets_is_not(built: Built) -> None:
    done = built.client.sh(DISTRO, "root", f"printf %s {_quoted(NASTY)}; cat", stdin="und " + NASTY)
    assert (done.code, done.stdout.decode()) == (0, NASTY + "und " + NASTY)
    built.client.upload_to_distro(DISTRO, "root", io.BytesIO(NASTY.encode()), "/root/nasty")
    assert built.there.inside("cat", "/root/nasty") == NASTY
    running = [one.command_line for one in built.wsl_calls if " -d " in one.command_line]
    assert len(running) > 3
    for line in running:
        assert re.fullmatch(rf'"{re.escape(WSL)}" {_RUNS}', line)
        assert not [sign for sign in ("`", "%", "^", "&", "\u00e9", NASTY[:3]) if sign in line]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


@pytest.mark.parametrize("name", ["Ubuntu 24.04", '"Ubuntu-24.04"', "a;b"])
def test_07_a_name_that_wsl_exe_would_not_unquote_never_reaches_it(built: Built, name: str) -> None:
    mark = len(built.started)
    with pytest.raises(ValueError, match="takes it only with letters"):
        built.client.sh(name, "root", "true")
    with pytest.raises(OperationValueError, match="is no name of a WSL distribution"):
        built.run(wsl.terminated, distro=name)
    assert built.started[mark:] == []


def test_08_wsl_exe_is_never_started_without_a_command(built: Built) -> None:
    for one in built.wsl_calls:
        assert re.fullmatch(rf'"{re.escape(WSL)}" ({_MANAGES}|{_RUNS})', one.command_line)


def test_08_what_reads_its_input_finds_the_end_of_it(built: Built) -> None:
    good, printed, _ = built.run_script(wsl_facts.wsl_exe(f"-d {DISTRO} -u root --cd / --exec /bin/cat", timeout=15))
    assert good
    assert wsl_facts.parse_program([printed]) == (0, "")
    done = built.client.sh(DISTRO, "root", "cat; echo end", timeout=15)
    assert (done.timed_out, done.stdout) == (False, b"end\n")


@pytest.mark.parametrize("code", [0, 1, 67, 87, 255])
def test_09_every_exit_code_of_a_linux_program_is_told_as_it_was(built: Built, code: int) -> None:
    assert built.client.sh(DISTRO, "root", f"exit {code}").code == code
    # wsl.exe itself makes failures of its own out of two of them.
    plain = built.there.wsl(f'-d {DISTRO} -u root --cd / --exec /bin/sh -c "exit {code}"')
    assert (plain.code == code) is (code not in (67, 87))


def test_09_a_failure_of_wsl_exe_is_minus_one_and_its_words_are_on_stdout(built: Built) -> None:
    said = "There is no distribution with the supplied name."
    with built.pyinfra(Run()) as (state, host):
        built.said.clear()
        assert not wsl.run_wsl(state, host, "--terminate Nope")
    assert f"ended with {FAILED}" in built.said[-1]
    assert said in built.said[-1]
    with pytest.raises(DistroMissing, match=said):
        built.client.sh("Nope", "root", "true")


def test_09_what_we_run_in_a_distro_never_ends_with_67_or_87() -> None:
    texts = [(ROOT / "src/vengeance/winrm/agent.sh").read_text(), (ROOT / "src/vengeance/winrm/client.py").read_text()]
    ends = [int(code) for text in texts for code in re.findall(r"\bexit (\d+)", text)]
    assert ends
    assert not {67, 87} & set(ends)


# --- 10 ------------------------------------------------------------------------------------------------------------


def test_10_the_user_is_made_with_useradd_and_is_the_default_and_nobody_was_asked(built: Built) -> None:
    user = IN_DISTRO["wsl_conf"]["user"]["default"]
    name, _, uid, _, _, home, shell = built.there.inside("getent", "passwd", user).strip().split(":")
    assert (name, int(uid) >= 1000, home, shell) == (user, True, f"/home/{user}", "/bin/bash")
    assert built.there.inside("stat", "-c", "%U", home) == f"{user}\n"
    assert built.there.wsl(f"-d {DISTRO} --cd / --exec /usr/bin/id -un").out == f"{user}\n"
    assert not (built.there.drive_c / "Users" / USER / ".cloud-init").exists()


# --- 11, 12, 13 ----------------------------------------------------------------------------------------------------


def test_11_both_timeouts_are_off_and_a_task_holds_the_distro_too(built: Built) -> None:
    file = file_of(built)
    assert (file["general"]["instanceIdleTimeout"], file["wsl2"]["vmIdleTimeout"]) == ("-1", "-1")
    assert len(built.held()) == 1
    # Without the task the timeouts hold it, for as long as it takes to be started again.
    (task,) = [pid for pid, one in built.there.state.processes.items() if one.command_line.endswith("sleep infinity")]
    built.there.inside("pkill", "-fx", "/usr/bin/sleep infinity")
    assert until(lambda: task not in built.there.state.processes)
    built.there.clock.advance(14 * 60)
    assert built.there.running() == [DISTRO]
    built.there.clock.advance(2 * 60)
    assert until(lambda: len(built.held()) == 1)


def test_12_the_keepalive_task_starts_at_boot_with_a_password_and_nothing_ends_it(built: Built) -> None:
    written = json.loads((built.there.folder / "windows.json").read_text())["sections"]["tasks"]["wsl ubuntu-24.04"]
    definition = written["definition"]
    assert definition["command"] == WSL
    assert definition["triggers"][0] == "boot"
    assert (definition["logon"], definition["highest"], definition["time_limit"]) == ("password", True, 0)
    assert 4 <= definition["priority"] <= 6
    assert definition["on_battery"]
    assert definition["conditions"] == []
    # Restart on failure, by a second trigger: https://learn.microsoft.com/windows/win32/taskschd/repetition-interval
    assert [one for one in definition["triggers"][1:] if one.startswith("every ")]
    assert SETTINGS["task_logon"] == "password"
    assert PASSWORD not in (built.there.folder / "windows.json").read_text()


def test_13_session_0_touches_wsl_first_after_a_boot_so_no_logoff_can_end_it(built: Built) -> None:
    built.restart()
    built.there.until_runs()
    assert until(lambda: len(built.held()) == 1, 60)
    wsl_of_windows = built.there.windows.wsl
    assert wsl_of_windows.state(USER)["windows_session"] == 0
    (program,) = built.held()
    session = built.there.windows.sessions.logon(USER)
    desktop = built.there.use(session, "100013")
    built.there.windows.sessions.logoff(USER)
    assert desktop.wait(10)
    assert built.held() == [program], "the same one: it was not even started again"
    built.there.clock.advance(72 * HOUR)
    assert built.held() == [program]
    assert built.there.running() == [DISTRO]


def test_13_everything_of_ours_uses_wsl_with_the_same_elevation(built: Built) -> None:
    ours = [one for one in built.wsl_calls if "sleep 100013" not in one.command_line]
    assert {(one.session, one.elevated) for one in ours} == {(0, True)}
    assert not built.there.windows.wsl.state(USER)["mixed_elevation"]


# --- 14 ------------------------------------------------------------------------------------------------------------


def meminfo(built: Built, name: str) -> float:
    """GiB of a line of /proc/meminfo."""
    match = re.search(rf"(?m)^{name}:\s+(\d+) kB$", built.there.inside("cat", "/proc/meminfo"))
    assert match
    return int(match[1]) / 2**20


def test_14_wslconfig_says_memory_swap_and_processors_no_graphics_nat_and_no_sparse_disk(built: Built) -> None:
    machine = file_of(built)["wsl2"]
    assert (machine["guiApplications"], machine["networkingMode"]) == ("false", "nat")
    assert "experimental" not in file_of(built)
    assert 0.93 * 24 < meminfo(built, "MemTotal") <= 24
    assert 0.93 * 8 < meminfo(built, "SwapTotal") <= 8
    assert (machine["memory"], machine["swap"]) == ("24GB", "8GB")
    assert built.there.inside("grep", "-c", "^processor", "/proc/cpuinfo").strip() == machine["processors"] == "8"
    built.there.clock.advance(HOUR)
    assert built.there.windows.wsl.state(USER)["graphics_restarts"] == 0


def test_14_a_change_is_an_outage_that_is_told_and_done_once_and_its_effect_is_seen_inside(built: Built) -> None:
    smaller = {**SETTINGS["wslconfig"], "wsl2": {**SETTINGS["wslconfig"]["wsl2"], "memory": "6GB"}}
    mark = len(built.started)
    built.said.clear()
    built.config(smaller)
    assert f"a new .wslconfig: {DISTRO} will be stopped once, with all that runs in it" in built.said
    assert [line.rpartition(" ")[2] for line in built.calls_since(mark)].count("--shutdown") == 1
    assert 0.93 * 6 < meminfo(built, "MemTotal") <= 6
    mark = len(built.started)
    assert built.config(smaller).commands == []
    assert "--shutdown" not in " ".join(built.calls_since(mark))
    built.config()
    built.keepalive()
    assert until(lambda: len(built.held()) == 1, 60)


# --- 15 ------------------------------------------------------------------------------------------------------------


def test_15_a_degraded_systemd_is_no_failure(built: Built) -> None:
    assert until(lambda: built.there.inside("cat", "/proc/1/comm") == "systemd\n")
    built.client.sh(DISTRO, "root", "systemd-run --unit=broken /bin/false; systemctl is-system-running --wait")
    state = built.client.sh(DISTRO, "root", "systemctl is-system-running").stdout
    assert state == b"degraded\n"
    good, run = built.linux.run(wsl.instance, systemd=True)
    assert (good, run.commands) == (True, [])
    built.client.sh(DISTRO, "root", "systemctl reset-failed")


def test_15_there_is_one_distro_in_the_virtual_machine(built: Built) -> None:
    assert built.there.wsl("--list --running --quiet").out.split() == [DISTRO]


# --- 18, 19: who gets through is tried in test_network_operations.py -----------------------------------------------


def test_18_mirrored_networking_is_refused_before_anything_is_written(built: Built) -> None:
    before, mark = file_of(built), len(built.started)
    mirrored = {"wsl2": {"networkingMode": "mirrored"}}
    with pytest.raises(OperationValueError, match=r"is not to be 'mirrored'.*Write nat"):
        built.run(wsl.config, settings=mirrored, distro=DISTRO, template=TEMPLATE)
    assert (file_of(built), built.started[mark:]) == (before, [])
    assert SETTINGS["expose"] == "serve"


def test_18_a_port_is_forwarded_from_the_tailnet_address_to_loopback_and_never_from_every_address(box: Box) -> None:
    box.windows.tailscale.set_unattended(True)
    host = WorksHost(box)
    assert host.run(windows.port_proxy, listen_address="tailscale", listen_port=8080)[0]
    for address in ("0.0.0.0", "127.0.0.1"):
        with pytest.raises(OperationValueError, match=r"takes the port of 127\.0\.0\.1"):
            host.run(windows.port_proxy, listen_address=address, listen_port=8080)
    entries = {value.name: value.data for value in box.windows.registry.values(ENTRIES)}
    assert entries == {f"{net.TAILNET}/8080": "127.0.0.1/8080"}


@pytest.mark.parametrize(("days", "said"), [(300, "ends in"), (9, "ENDS IN"), (None, None)])
def test_19_tailscale_runs_unattended_and_a_key_that_expires_is_warned_of(
    box: Box, days: int | None, said: str | None
) -> None:
    moment = None if days is None else to_text(box.windows.clock.now() + timedelta(days=days, hours=1))
    box.windows.tailscale.key_expiry = moment
    box.windows.tailscale.set_unattended(True)
    boot(box.windows)
    box.windows.clock.advance(60)
    assert net.TAILNET in box.windows.network.addresses, "with nobody logged on"
    host = WorksHost(box)
    good, run = host.run(tailscale.settings, unattended=True)
    assert (good, run.commands) == (True, [])
    warned = [line for line in host.said if "Disable key expiry" in line]
    assert [said in line for line in warned] == ([True] if said else [])  # type: ignore[operator]


# --- 20 ------------------------------------------------------------------------------------------------------------


def test_20_winrm_is_https_with_a_pinned_certificate_and_another_one_gets_no_sign_in(built: Built) -> None:
    built.server.log.reset()
    other = built.sign_in(certificate_sha256="0" * 64)
    with pytest.raises(ConnectFailed, match="shows another certificate"):
        other.connect()
    other.close()
    seen = built.server.log.snapshot()
    assert (seen["requests"], seen["failed_logons"]) == (0, {})
    with pytest.raises(ValueError, match="in the clear"):
        built.sign_in(scheme="http", transport="basic", certificate_sha256=None)
    assert built.client.settings.scheme == "https"


def test_20_without_full_rights_over_the_network_the_trade_off_is_named_with_its_value(box: Box) -> None:
    box.windows.machine.set(elevated=False)
    policies = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System"
    box.windows.registry.set(policies, "LocalAccountTokenFilterPolicy", 0, "DWord")
    host = WorksHost(box)
    good, _ = host.run(preflight.ready)
    assert not good
    assert "-Name LocalAccountTokenFilterPolicy -Value 1 -PropertyType DWord" in "\n".join(host.said)


# --- 21 ------------------------------------------------------------------------------------------------------------


def test_21_nothing_that_lives_long_is_a_child_of_winrm(built: Built) -> None:
    (imported,) = [one for one in built.wsl_calls if "--import" in one.command_line]
    assert WMI_PID in built.ancestors(imported.pid)
    (installed,) = [one for one in built.started if one is not None and "msiexec.exe /i" in one.command_line]
    assert WMI_PID in built.ancestors(installed.pid)
    assert built.client.sh(DISTRO, "root", "echo here").stdout == b"here\n"
    (program,) = built.held()
    built.client.close()
    built.client = built.sign_in()
    # Only what the task has started is left.
    assert until(lambda: len(built.there.state.processes) == 1)
    assert built.held() == [program]


# --- 22 ------------------------------------------------------------------------------------------------------------


def _declared() -> dict[str, Any]:
    return {
        "build": SETTINGS["windows_build"],
        "gpu": SETTINGS["gpu_name"],
        "driver": SETTINGS["driver_lowest"],
        "machine": SETTINGS["wslconfig"],
        "models_gb": 104.9,
        "distro_folders": [f"C:\\WSL\\{DISTRO}"],
        "port": SETTINGS["ollama_port"],
        "expose": "serve",
        "tailscale_wanted": True,
        "envelope_kb": 500,
    }


def _limits(box: Box) -> None:
    quota = {**box.windows.quota(), "max_envelope_kb": 150}
    box.windows.quota = lambda: quota  # type: ignore[assignment,return-value]


def _off_in_firmware(box: Box) -> None:
    box.windows.machine.set(firmware_virtualization=False)
    box.windows.features.set("VirtualMachinePlatform", False)
    boot(box.windows)


_IN_THE_WAY: dict[str, tuple[Any, str]] = {
    "firmware virtualisation": (_off_in_firmware, "Virtualisation is off in the firmware"),
    "WSMan quotas": (_limits, "WinRM takes messages of 150 kB"),
    "free disk": (lambda box: box.windows.machine.set(free_bytes=100 * 10**9), "C: has 100 GB free"),
    "memory": (lambda box: box.windows.machine.set(memory_bytes=16 * 2**30), "24GB of memory, and the box has 16 GB"),
    "clock": (lambda box: box.windows.machine.set(clock_skew_seconds=7300), "2 hours ahead"),
    "Tailscale": (lambda box: setattr(box.windows.tailscale, "installed", False), "Tailscale is not installed"),
}


@pytest.mark.parametrize("what", _IN_THE_WAY)
def test_22_the_preflight_reads_what_could_be_in_the_way_and_changes_nothing(box: Box, what: str) -> None:
    host = WorksHost(box)
    good, run = host.run(preflight.ready, **_declared())
    assert (good, run.commands) == (True, []), host.said
    change, sentence = _IN_THE_WAY[what]
    change(box)
    before = json.loads((box.folder / "windows.json").read_text())
    host.said.clear()
    assert not host.run(preflight.ready, **_declared())[0]
    assert sentence in "\n".join(host.said)
    assert json.loads((box.folder / "windows.json").read_text()) == before
    assert not [script for script in host.scripts if not script.startswith("Get-")]


def test_22_it_reads_the_build_and_a_restart_that_waits(box: Box) -> None:
    host = WorksHost(box)
    assert not host.run(preflight.ready, **{**_declared(), "build": 27000})[0]
    assert "build 27000 is the lowest that will do" in "\n".join(host.said)
    box.windows.registry.create(f"{SERVICING}\\RebootPending")
    assert host.run(preflight.ready, **_declared())[0]
    assert "Windows waits for a restart" in host.said[-1]


# --- 23 ------------------------------------------------------------------------------------------------------------


def test_23_nothing_sleeps_and_a_restart_of_windows_is_a_power_cut_that_the_distro_survives(built: Built) -> None:
    built.must(windows.power, sleep=False, hibernate=False, fast_startup=False)
    registry = built.there.state.registry
    assert (registry.number(POWER, "HibernateEnabled"), registry.number(SESSION_POWER, "HiberbootEnabled")) == (0, 0)
    built.client.sh(
        DISTRO, "root", "systemd-run --unit=trapped sh -c 'trap \"echo told > /root/told; sync; exit\" TERM; sleep 9e9'"
    )
    built.client.sh(DISTRO, "root", "echo kept > /root/kept; sync")
    built.restart()
    built.there.until_runs()
    assert built.there.inside("cat", "/root/kept") == "kept\n"
    assert built.client.sh(DISTRO, "root", "test -e /root/told").code == 1, "nothing in the distro was told of it"
    assert until(lambda: len(built.held()) == 1, 60)


# --- 24 ------------------------------------------------------------------------------------------------------------


def test_24_an_update_of_wsl_is_an_outage_told_beforehand_after_which_all_is_verified_again(built: Built) -> None:
    state = built.there.state
    (program,) = built.held()
    state.install_wsl("2.6.1.0")
    built.said.clear()
    mark = len(built.started)
    assert built.installed()[0], built.said
    assert f"WSL 2.6.1.0 -> 2.7.11: {DISTRO} will be stopped once, with all that runs in it" in built.said
    assert until(lambda: program not in built.held())
    assert "msiexec.exe /i" in " ".join(one.command_line for one in built.started[mark:] if one is not None)
    assert built.config().commands == []
    built.must(wsl.machine, settings=SETTINGS["wslconfig"], distro=DISTRO)
    assert built.keepalive().commands, "what was ended is started again"
    assert until(lambda: len(built.held()) == 1, 60)
    assert built.there.windows.wsl.version == "2.7.11.0"
    assert built.keepalive().commands == []
