"""Acceptance: what keeps the box up, rule by rule, as far as it can be seen from outside."""

from __future__ import annotations

import re
import socket
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import requests
from pyinfra.api.host import Host as PyinfraHost
from testinfra.host import Host

from tests.box.conftest import Measure
from vengeance.verify.modules.ollama import Ollama
from vengeance.verify.modules.scheduled_task import ScheduledTask

CURRENT = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion"
POWER = r"HKLM\SYSTEM\CurrentControlSet\Control\Power"
SESSION_POWER = r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Power"
# https://learn.microsoft.com/windows/configuration/power-settings: sleep, and when it begins.
SLEEP, STANDBY = "238c9fa8-0aad-41ed-83f4-97be242c8f20", "29f6c1db-86da-48c5-9fdb-f2b67b1f44da"
RESTART_WAITS = (
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending",
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired",
)
_WSL_FAILED = 4294967295


@pytest.fixture(scope="module")
def distro(linux_host: PyinfraHost) -> str:
    """The distro's name."""
    return str(linux_host.data.wsl_distro)


@pytest.fixture(scope="module")
def keepalive(windows: Host, distro: str) -> ScheduledTask:
    """The task that keeps the distro up."""
    made: ScheduledTask = windows.scheduled_task(f"wsl {distro}")
    assert made.exists, f"there is no task {made.path}"
    return made


def account(windows: Host) -> str:
    """The account of the connection, as COMPUTER\\name in lower case."""
    return str(windows.check_output("whoami")).strip().lower()


def test_the_packages_own_wsl_exe_is_the_one_that_runs(keepalive: ScheduledTask) -> None:
    """The wsl.exe that keeps the distro up is the package's own, not the one of System32."""
    assert keepalive.command.lower() == r"c:\program files\wsl\wsl.exe"


def test_one_local_account_owns_it_all(windows: Host, keepalive: ScheduledTask, distro: str) -> None:
    """One local account owns sign-in, distro and tasks, and it is not SYSTEM."""
    owner = account(windows)
    assert owner.partition("\\")[0] == windows.check_output("hostname").strip().lower(), f"{owner} is no local account"
    assert keepalive.user.lower() in (
        owner,
        *re.findall(r"s-1-5-21-[\d-]+", windows.check_output("whoami /user").lower()),
    )
    assert windows.wsl_distro(distro).exists, f"{owner} has no distro {distro}"


def test_the_platform_of_virtual_machines_is_on(windows: Host) -> None:
    """The feature that WSL needs is on, and not only asked for."""
    assert windows.service("vmcompute").exists
    assert windows.service("WSLService").is_running


@pytest.mark.advice
def test_windows_waits_for_no_restart(windows: Host) -> None:
    """Windows waits for no restart."""
    waiting = [key.rpartition("\\")[2] for key in RESTART_WAITS if windows.registry(key).exists]
    assert not waiting, f"Windows waits for a restart ({', '.join(waiting)}), which it may do by itself at night"


def test_the_distro_is_there_by_its_exact_name(windows: Host, distro: str) -> None:
    """The distro is there by its exact name, which has no blanks."""
    assert distro in windows.wsl.distros
    assert not re.search(r"\s", distro)


def test_the_task_starts_wsl_exe_with_a_program(keepalive: ScheduledTask, distro: str) -> None:
    """wsl.exe is started with a program, so nobody is asked for a first user."""
    assert keepalive.arguments.startswith(f"-d {distro} -u root --cd / --exec ")


def test_exit_codes_of_linux_arrive(windows: Host, distro: str) -> None:
    """An exit code of Linux arrives on Windows, and a failure of wsl.exe is -1."""
    assert windows.wsl_distro(distro).exec("/bin/sh", "-c", "exit 3")[0] == 3
    assert windows.wsl_distro("no-such-distro").exec("/bin/true")[0] % 2**32 == _WSL_FAILED


def test_the_default_user_is_the_declared_one(windows: Host, distro: str, settings: dict[str, Any]) -> None:
    """The default user of the distro is the declared one, and no dialogue of a first start is left."""
    assert windows.wsl_distro(distro).exec("/usr/bin/id", "-un") == (0, settings["wsl_conf"]["user"]["default"] + "\n")


def test_the_task_runs_with_nobody_logged_on(keepalive: ScheduledTask, measure: Measure) -> None:
    """A task starts the distro at boot with nobody logged on, and nothing ends it."""
    measure("The distro's task signs in by", keepalive.logon)
    assert keepalive.starts_at_boot
    assert keepalive.survives_logoff
    assert keepalive.runs_elevated
    assert keepalive.runs_on_battery
    assert keepalive.waits_for_nothing
    assert keepalive.time_limit == 0
    assert keepalive.priority <= 6


def test_ollamas_task_runs_with_nobody_logged_on(windows: Host, declared: dict[str, Any]) -> None:
    """Ollama's task starts it at boot with nobody logged on, and nothing ends it."""
    if declared["ollama_autostart"] != "boot":
        pytest.skip("Ollama starts at a logon here (ollama_autostart)")
    task = windows.scheduled_task("ollama")
    assert task.starts_at_boot
    assert task.survives_logoff
    assert task.time_limit == 0
    assert task.is_running


def test_session_0_holds_wsl(windows: Host) -> None:
    """The program that holds the distro is in session 0, which no logoff ends."""
    holding = windows.process.filter(image="wsl.exe")
    assert holding
    assert {one.session for one in holding} == {0}


def test_units_are_the_systems_own(linux: Host, settings: dict[str, Any]) -> None:
    """vLLM's servers are units of the system, and none is a user's."""
    for name in settings["vllm_profiles"]:
        assert linux.file(f"/etc/systemd/system/vllm-{name}.service").exists, name
    assert linux.check_output("find /home -path '*/systemd/user/*' -name 'vllm*' -print -quit") == ""


def test_the_servers_leave_windows_its_part_of_the_card(settings: dict[str, Any]) -> None:
    """No server asks for more than 0.93 of the card."""
    for name, fields in settings["vllm_profiles"].items():
        assert float(fields.get("gpu_memory_utilization", 0.9)) <= 0.93, name


def test_ports_are_exposed_as_declared_and_no_other_way(windows: Host, declared: dict[str, Any]) -> None:
    """A port of the distro is exposed as declared, to 127.0.0.1 alone, and in no other way."""
    for port in declared["exposed_ports"]:
        served, proxied = windows.tailscale.forwarded.get(port), windows.port_proxy(port).targets
        assert (served is not None) == (declared["expose"] == "serve"), f"tailscale serve leads {port} to {served}"
        assert bool(proxied) == (declared["expose"] == "portproxy"), f"Windows forwards {port}: {proxied}"
        for target in filter(None, [served, *proxied.values()]):
            assert target.removeprefix("tcp://") == f"127.0.0.1:{port}"
        assert "0.0.0.0" not in proxied


def test_ollamas_port_is_open_for_the_declared_alone(windows: Host, declared: dict[str, Any]) -> None:
    """The firewall lets the declared machines reach Ollama, and no rule of ours lets others."""
    rule = windows.firewall_rule("vengeance-ollama")
    assert rule.exists
    assert (rule.is_enabled, rule.action, rule.direction, rule.protocol) == (True, "allow", "in", "tcp")
    assert rule.ports == [str(declared["ollama_port"])]
    assert rule.remote_addresses == set(declared["remote_addresses"])


def test_tailscale_stays_with_nobody_logged_on(windows: Host, declared: dict[str, Any]) -> None:
    """Tailscale is connected, and stays so with nobody logged on."""
    if not declared["tailscale_wanted"]:
        pytest.skip("the box is to be in no tailnet (tailscale_wanted)")
    assert windows.tailscale.is_connected
    assert windows.tailscale.stays_without_logon


@pytest.mark.advice
def test_the_key_of_the_tailnet_does_not_end(windows: Host, declared: dict[str, Any], measure: Measure) -> None:
    """The box's key of the tailnet does not end within a month."""
    if not declared["tailscale_wanted"]:
        pytest.skip("the box is to be in no tailnet (tailscale_wanted)")
    end = windows.tailscale.key_expires_at
    measure("Key of the tailnet", "does not expire" if end is None else f"until {end:%Y-%m-%d}")
    if end is not None:
        left = end - datetime.now(timezone.utc)
        assert left > timedelta(days=30), f"it ends on {end:%Y-%m-%d}: switch key expiry off for this machine"


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_winrm_asks_for_ntlm_and_never_for_basic(windows_host: PyinfraHost, declared: dict[str, Any]) -> None:
    """WinRM answers over https, and takes no Basic."""
    host, port = declared.get("winrm_host") or windows_host.name.rpartition("/")[2], declared.get("winrm_port") or 5986
    with requests.Session() as session:
        session.trust_env = False
        # The certificate is the box's own, and the connection that deploys use pins it.
        answer = session.post(f"https://{host}:{port}/wsman", verify=False, timeout=20)
    assert answer.status_code == 401
    offered = [
        word.split()[0].lower() for word in answer.headers.get("WWW-Authenticate", "").split(",") if word.strip()
    ]
    assert offered
    assert "basic" not in offered


def test_winrm_does_not_answer_without_tls(windows_host: PyinfraHost, declared: dict[str, Any]) -> None:
    """Nothing answers at WinRM's port without TLS."""
    host = declared.get("winrm_host") or windows_host.name.rpartition("/")[2]
    with pytest.raises(OSError), socket.create_connection((host, 5985), timeout=3):  # noqa: PT011 whichever it is
        pass


def test_what_lives_long_is_a_task(windows: Host, ollama: Ollama, keepalive: ScheduledTask) -> None:
    """Ollama and the distro are no children of a WinRM session: their programs run in tasks."""
    assert keepalive.is_running
    assert {one.session for one in windows.process.filter(image="ollama.exe")} == {0} or not windows.scheduled_task(
        "ollama"
    ).exists


def test_what_the_preflight_asks_for_holds(windows: Host, declared: dict[str, Any], measure: Measure) -> None:
    """Windows and the driver are new enough."""
    values = windows.registry(CURRENT).values
    build = int(values["CurrentBuild"].data)
    measure("Windows", f"10.0.{build}.{values['UBR'].number}" if "UBR" in values else f"10.0.{build}")
    assert build >= declared["windows_build"]
    found = [
        [int(part) for part in text.split(".")] for text in (windows.gpu.driver_version, declared["driver_lowest"])
    ]
    assert found[0] >= found[1]


def test_the_box_does_not_sleep(windows: Host, declared: dict[str, Any]) -> None:
    """Sleep, hibernation and Fast Startup are off."""
    if declared["windows_sleep"]:
        pytest.skip("the box may sleep (windows_sleep)")
    for key, name in ((POWER, "HibernateEnabled"), (SESSION_POWER, "HiberbootEnabled")):
        found = windows.registry(key).get(name)
        assert found is None or found.number == 0, f"{name} is {found}"
    schemes = f"{POWER}\\User\\PowerSchemes"
    active = windows.registry(schemes)["ActivePowerScheme"].data
    assert windows.registry(f"{schemes}\\{active}\\{SLEEP}\\{STANDBY}")["ACSettingIndex"].number == 0
