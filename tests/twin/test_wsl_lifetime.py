"""How long a distro lives in the twin, who ends it, and what a bare Windows does instead of installing one."""

from __future__ import annotations

import re

from tests.twin.linux_side import until
from tests.twin.wsl_box import DISTRO, FAILED, FOLDER, USER, WITHOUT_STORE, wsl_box
from vengeance.powershell.tasks import TaskDefinition
from vengeance.twin.windows.program import INBOX_WSL, WSL
from vengeance.twin.windows.registry import LXSS

HOUR = 3600.0
DAY = 24 * HOUR
FOR_EVER = "[general]\ninstanceIdleTimeout=-1\n[wsl2]\nvmIdleTimeout=-1\n"


def keepalive(time_limit: int = 0, restart_count: int = 255) -> TaskDefinition:
    """The definition of the task that keeps the distro up."""
    return {
        "description": "",
        "command": WSL,
        "arguments": f"-d {DISTRO} -u root --cd / --exec /usr/bin/sleep infinity",
        "working_directory": "",
        "user": USER,
        "logon": "s4u",
        "highest": True,
        "triggers": ["boot"],
        "time_limit": time_limit,
        "priority": 5,
        "restart_count": restart_count,
        "restart_interval": 60 if restart_count else 0,
        "on_battery": True,
        "instances": "ignore_new",
        "conditions": [],
        "enabled": True,
    }


# --- from a bare Windows ------------------------------------------------------------------------------------


def test_bare_wsl_install_exits_0_and_nothing_is_installed() -> None:
    with wsl_box(bare=True) as box:
        missing = box.run("wsl.exe --status", environment={"WSL_UTF8": "1"})
        assert (missing.code, "is not installed" in missing.out) == (FAILED, True)
        done = box.run(f"wsl.exe --install {DISTRO}", environment={"WSL_UTF8": "1"})
        assert (done.code, "until the system is rebooted" in done.out) == (0, True)
        assert box.registered() == []
        assert not box.state.registry.exists(f"HKLM\\{LXSS}\\MSI")
        assert not (box.drive_c / "Program Files/WSL/wsl.exe").exists()
        assert box.windows.features.state("VirtualMachinePlatform") == "EnablePending"
        box.restart()
        assert box.windows.features.state("VirtualMachinePlatform") == "Enabled"
        assert box.registered() == []


def test_the_package_installs_without_the_feature_and_no_distro_comes_before_it_is_on() -> None:
    with wsl_box(bare=True) as box:
        assert box.install_package(**WITHOUT_STORE) == 0
        image = box.put_image()
        refused = box.wsl(f"--import {DISTRO} C:\\Ubuntu {image}")
        assert refused.code == FAILED
        assert refused.out.endswith("Error code: Wsl/Service/RegisterDistro/CreateVm/HCS/HCS_E_HYPERV_NOT_INSTALLED\n")
        assert box.registered() == []
        installed = box.wsl(f"--install {DISTRO} --no-launch")
        assert (installed.code, box.registered()) == (0, [])
        still = box.wsl(f"--import {DISTRO} C:\\Ubuntu {image}")
        assert (still.code, box.registered()) == (FAILED, [])
        box.restart()
        assert box.wsl(f"--import {DISTRO} C:\\Ubuntu {image}").code == 0
        assert box.registered() == [DISTRO]
        assert box.wsl(f"-d {DISTRO} -u root --exec /usr/bin/id -un").out == "root\n"


def test_the_package_with_the_stores_part_fails_where_nobody_is_logged_on() -> None:
    with wsl_box(bare=True) as box:
        assert box.install_package() == 1603
        assert not (box.drive_c / "Program Files/WSL/wsl.exe").exists()


def test_the_wsl_exe_in_system32_does_not_start_without_a_desktop_once_the_package_is_there() -> None:
    with wsl_box() as box:
        done = box.run(f'"{INBOX_WSL}" --list')
        assert done.code != 0
        assert "cannot be accessed by the system" in done.out + done.err
        assert box.wsl("--list --quiet").out == f"{DISTRO}\n"


def test_import_keeps_an_existing_distro() -> None:
    with wsl_box() as box:
        box.wsl(f"-d {DISTRO} -u root --cd / --exec /usr/bin/touch /root/mine")
        image = box.put_image()
        again = box.wsl(f"--import {DISTRO} C:\\Other {image}")
        assert (again.code, "ERROR_ALREADY_EXISTS" in again.out) == (FAILED, True)
        assert not (box.drive_c / "Other").exists()
        over = box.wsl(f"--import Another {FOLDER} {image}")
        assert (over.code, "ERROR_FILE_EXISTS" in over.out) == (FAILED, True)
        assert box.registered() == [DISTRO]
        assert box.inside("ls", "/root/mine") == "/root/mine\n"


def test_an_update_of_the_package_ends_what_runs() -> None:
    with wsl_box() as box:
        box.state.install_wsl("2.6.1.0")
        box.use(session=0)
        assert box.install_package(**WITHOUT_STORE) == 0
        assert box.running() == []
        assert box.windows.wsl.version == "2.7.11.0"


# --- how long it lives --------------------------------------------------------------------------------------


def test_without_a_keepalive_the_distro_stops_after_15_s_though_systemd_runs_services() -> None:
    with wsl_box() as box:
        box.wsl(f"-d {DISTRO} -u root --cd / --exec /bin/sh -c \"printf '[boot]\\nsystemd=true\\n' > /etc/wsl.conf\"")
        box.wsl(f"--terminate {DISTRO}")
        box.wsl(f"-d {DISTRO} -u root --cd / --exec /usr/bin/systemd-run --unit=busy /usr/bin/sleep infinity")
        assert box.inside("systemctl", "is-active", "busy") == "active\n"
        box.clock.advance(14)
        assert box.running() == [DISTRO]
        box.clock.advance(2)
        assert box.running() == []
        assert box.host.machine_runs
        box.clock.advance(61)
        assert not box.host.machine_runs


def test_vm_idle_timeout_alone_does_not_keep_the_distro_up_and_instance_idle_timeout_does() -> None:
    with wsl_box() as box:
        box.write_config("[wsl2]\nvmIdleTimeout=-1\ninstanceIdleTimeout=-1\n")
        box.wsl("--exec true")
        box.clock.advance(20)
        assert box.running() == []
        box.clock.advance(HOUR)
        assert box.host.machine_runs
        box.wsl("--shutdown")
        box.write_config(FOR_EVER)
        box.wsl("--exec true")
        box.clock.advance(3 * DAY)
        assert box.running() == [DISTRO]


def test_the_keepalive_holds_the_distro_over_a_boot_72_hours_a_logon_and_a_logoff() -> None:
    with wsl_box() as box:
        box.windows.tasks.register("keepalive", keepalive())
        box.restart()
        box.until_runs()
        started = box.inside("stat", "-c", "%Y", "/proc/1")
        assert box.windows.sessions.desktops == {}
        box.clock.advance(72 * HOUR)
        session = box.windows.sessions.logon(USER)
        desktop = box.use(session)
        box.clock.advance(HOUR)
        box.windows.sessions.logoff(USER)
        assert desktop.wait(10)
        box.clock.advance(72 * HOUR)
        assert box.running() == [DISTRO]
        assert box.inside("stat", "-c", "%Y", "/proc/1") == started


def test_a_task_with_windows_own_time_limit_ends_the_distro_after_72_hours() -> None:
    with wsl_box() as box:
        box.windows.tasks.register("keepalive", keepalive(time_limit=72 * 3600, restart_count=0))
        box.restart()
        box.until_runs()
        box.clock.advance(71 * HOUR)
        assert box.running() == [DISTRO]
        box.clock.advance(2 * HOUR)
        # A program that is killed takes a moment of real time to let go of the distro, and then the 15 s begin.
        assert until(lambda: box.stops_within(20))


# --- who ends it --------------------------------------------------------------------------------------------


def test_the_logoff_of_a_desktop_that_used_wsl_first_kills_the_virtual_machine() -> None:
    with wsl_box() as box:
        session = box.windows.sessions.logon(USER)
        box.use(session)
        ours = box.use(session=0)
        assert box.windows.wsl.state(USER)["windows_session"] == session
        box.windows.sessions.logoff(USER)
        assert ours.wait(10)
        assert box.running() == []
        assert not box.host.machine_runs


def test_the_stamp_of_the_first_caller_stays_over_a_shutdown_and_goes_with_a_restart() -> None:
    with wsl_box() as box:
        session = box.windows.sessions.logon(USER)
        box.use(session, "0.1")
        box.wsl("--shutdown")
        box.use(session=0)
        box.windows.sessions.logoff(USER)
        assert box.running() == []
        box.restart()
        box.use(session=0)
        box.windows.sessions.logon(USER)
        box.windows.sessions.logoff(USER)
        assert box.running() == [DISTRO]


def test_the_logoff_of_a_desktop_does_nothing_to_a_machine_that_session_0_used_first() -> None:
    with wsl_box() as box:
        ours = box.use(session=0)
        session = box.windows.sessions.logon(USER)
        theirs = box.use(session)
        box.windows.sessions.logoff(USER)
        assert theirs.wait(10)
        assert box.running() == [DISTRO]
        assert not ours.wait(0)


def test_graphics_crash_every_104_s_in_session_0_unless_they_are_off() -> None:
    with wsl_box() as box:
        box.use(session=0)
        box.clock.advance(105 * 10)
        assert box.windows.wsl.state(USER)["graphics_restarts"] == 10
        box.write_config("[wsl2]\nguiApplications=false\n")
        box.wsl("--shutdown")
        box.use(session=0)
        box.clock.advance(HOUR)
        assert box.windows.wsl.state(USER)["graphics_restarts"] == 0


# --- .wslconfig ---------------------------------------------------------------------------------------------


def shown(text: str, name: str) -> int:
    """A size of /proc/meminfo in MiB."""
    found = re.search(rf"(?m)^{name}:\s+(\d+) kB$", text)
    assert found, text
    return int(found[1]) // 1024


def test_a_wslconfig_counts_when_the_virtual_machine_starts_and_shows_inside() -> None:
    with wsl_box() as box:
        box.wsl("--exec true")
        default = shown(box.inside("cat", "/proc/meminfo"), "MemTotal")
        assert 31_000 < default < 32_768
        box.write_config("[wsl2]\nmemory=24GB\nswap=0\nprocessors=8\n")
        box.wsl(f"--terminate {DISTRO}")
        box.wsl("--exec true")
        assert shown(box.inside("cat", "/proc/meminfo"), "MemTotal") == default
        box.wsl("--shutdown")
        box.wsl("--exec true")
        inside = box.inside("cat", "/proc/meminfo")
        assert 0.95 * 24_576 < shown(inside, "MemTotal") < 24_576
        assert shown(inside, "SwapTotal") == 0
        assert box.inside("grep", "-c", "^processor", "/proc/cpuinfo") == "8\n"


def test_what_wsl_does_not_understand_is_passed_over_with_a_warning_that_a_variable_hides() -> None:
    with wsl_box() as box:
        box.write_config("[wsl2]\nmemry=24GB\nmemory=24 GB\nprocessors=99\n")
        loud = box.wsl("--exec true")
        assert loud.code == 0
        assert "wsl: Unknown key 'wsl2.memry' in C:\\Users\\Steam\\.wslconfig\n" in loud.err
        assert "Invalid memory string '24 GB'" in loud.err
        assert "wsl2.processors cannot exceed the number of logical processors" in loud.err
        assert shown(box.inside("cat", "/proc/meminfo"), "MemTotal") > 31_000
        box.wsl("--shutdown")
        assert box.wsl("--exec true", WSL_DISABLE_WARNINGS="1").err == ""


def test_another_accounts_distro_is_not_there_for_this_one() -> None:
    with wsl_box() as box:
        box.state.add_user("Other")
        done = box.windows.launch(f'"{WSL}" --list', user="Other")
        assert done.wait(20)
        assert done.output.exit_code == FAILED
