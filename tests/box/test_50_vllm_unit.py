"""Acceptance: the vLLM server, seen from its files, its process and its port."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from vengeance.verify.modules.vllm import Vllm

# The command line of the profile that the box was proved with.
PROVED_WITH = "qwen2.5-coder-32b"
SEED = [
    "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ", "--quantization", "awq_marlin", "--host", "0.0.0.0",
    "--port", "8080", "--gpu-memory-utilization", "0.92", "--max-model-len", "2048", "--enforce-eager",
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(vllm_runs: Vllm) -> None:
    """The server runs."""


def main_process(linux: Host, vllm: Vllm) -> int:
    """The process that systemd started for the unit."""
    return int(linux.check_output("systemctl show --property MainPID --value %s", vllm.unit))


def test_the_environment_belongs_to_the_user_of_the_server(linux: Host, settings: dict[str, Any]) -> None:
    folder = linux.file(settings["vllm_path"])
    assert folder.is_directory
    assert folder.user == settings["linux_user"]
    strange = "find %s ! -user %s -print -quit"
    assert linux.check_output(strange, settings["vllm_path"], settings["linux_user"]) == ""


def test_vllm_is_installed_in_the_version_that_was_chosen(linux: Host, settings: dict[str, Any]) -> None:
    name, _, version = settings["vllm_package"].partition("==")
    packages = linux.pip.get_packages(pip_path=f"{settings['vllm_path']}/bin/pip")
    assert packages[name]["version"].split("+")[0] == version


def test_only_root_can_read_the_variables_of_the_server(linux: Host, vllm: Vllm) -> None:
    file, folder = linux.file(f"/etc/vllm/{vllm.profile}.env"), linux.file("/etc/vllm")
    assert (file.user, file.group, file.mode) == ("root", "root", 0o600)
    assert (folder.user, folder.mode) == ("root", 0o700)


def test_the_user_of_the_server_cannot_read_its_variables(linux: Host, settings: dict[str, Any], vllm: Vllm) -> None:
    assert linux.run("runuser -u %s -- cat %s", settings["linux_user"], f"/etc/vllm/{vllm.profile}.env").rc == 1


def test_systemd_finds_no_fault_in_the_unit(linux: Host, vllm: Vllm) -> None:
    result = linux.run("systemd-analyze verify /etc/systemd/system/%s", vllm.unit)
    assert result.rc == 0
    assert "vllm" not in result.stderr


@pytest.mark.usefixtures("systemd")
def test_systemd_does_not_call_the_unit_exposed(linux: Host, vllm: Vllm) -> None:
    result = linux.run("systemd-analyze security --no-pager --threshold=40 %s", vllm.unit)
    assert result.rc == 0, result.stdout


def test_nothing_is_left_of_the_check_of_the_unit(linux: Host) -> None:
    assert not linux.file("/etc/vllm/to-check").exists


def test_the_unit_starts_with_the_distro_where_its_profile_says_so(
    linux: Host, settings: dict[str, Any], own_twin: bool, vllm: Vllm
) -> None:
    # The deploy of this run's own twin was told so on its command line (vllm_at_boot).
    enabled = own_twin or settings["vllm_profiles"][vllm.profile].get("enabled", False)
    found = linux.run("systemctl is-enabled %s", vllm.unit).stdout.strip()
    wanted = "enabled" if enabled else "disabled"
    assert found == wanted, f"systemd says {found}, and its profile {wanted}: deploys/vllm.py mends it"


@pytest.mark.usefixtures("runs")
def test_the_server_runs(linux: Host, vllm: Vllm) -> None:
    assert linux.check_output("systemctl is-active %s", vllm.unit) == "active"


@pytest.mark.usefixtures("runs")
def test_what_logind_removes_of_a_user_is_not_the_servers(linux: Host, vllm: Vllm) -> None:
    # The third word is the device: https://www.kernel.org/doc/html/latest/filesystems/proc.html, mountinfo
    mounts = "awk '$5 == \"/dev/shm\" {d = $3} END {print d}' /proc/%s/mountinfo"
    own, everybodys = (linux.check_output(mounts % process) for process in (main_process(linux, vllm), 1))
    assert own not in ("", everybodys)


@pytest.mark.usefixtures("runs")
def test_the_server_runs_as_its_user(linux: Host, settings: dict[str, Any], vllm: Vllm) -> None:
    assert linux.check_output("stat -c %%U /proc/%s" % main_process(linux, vllm)) == settings["linux_user"]  # noqa: UP031


@pytest.mark.usefixtures("runs")
def test_the_server_was_started_with_the_flags_of_the_seed(linux: Host, settings: dict[str, Any], vllm: Vllm) -> None:
    if vllm.profile != PROVED_WITH:
        pytest.skip(f"the box was proved with the profile {PROVED_WITH}, and {vllm.profile} is chosen")
    command = linux.file(f"/proc/{main_process(linux, vllm)}/cmdline").content.split(b"\0")[:-1]
    words = [word.decode() for word in command]
    assert words[1:3] == [f"{settings['vllm_path']}/bin/vllm", "serve"]
    # The seed took the newest; a commit is the same model next year.
    at = words.index("--revision")
    assert words[at + 1] == settings["vllm_profiles"][vllm.profile]["revision"]
    assert words[3:at] + words[at + 2 :] == SEED


@pytest.mark.usefixtures("runs")
def test_the_server_finds_the_programs_and_libraries_of_the_driver(
    linux: Host, settings: dict[str, Any], vllm: Vllm
) -> None:
    raw = linux.file(f"/proc/{main_process(linux, vllm)}/environ").content.split(b"\0")
    variables = dict(each.decode().partition("=")[::2] for each in raw if each)
    path = variables["PATH"].split(":")
    assert path[0] == f"{settings['vllm_path']}/bin"
    assert "/usr/lib/wsl/lib" in path
    assert variables["LD_LIBRARY_PATH"] == "/usr/lib/wsl/lib"


@pytest.mark.usefixtures("runs")
def test_the_server_sees_of_the_homes_what_it_reads_alone(linux: Host, settings: dict[str, Any], vllm: Vllm) -> None:
    home = f"/home/{settings['linux_user']}"
    read = {settings["vllm_path"], settings["vllm_hf_home"]}
    wanted = {path.removeprefix(f"{home}/").split("/")[0] for path in read if path.startswith(f"{home}/")}
    seen = linux.check_output("ls -A %s", f"/proc/{main_process(linux, vllm)}/root{home}").split()
    assert set(seen) <= wanted
    assert Path(settings["vllm_path"]).name in seen
    if set(linux.check_output("ls -A %s", home).split()) <= wanted:
        pytest.skip(f"there is nothing else in {home} that the server could see")


@pytest.mark.usefixtures("runs")
def test_the_server_may_write_to_none_of_it(linux: Host, settings: dict[str, Any], vllm: Vllm) -> None:
    mounts = linux.file(f"/proc/{main_process(linux, vllm)}/mountinfo").content_string.splitlines()
    # Fields: id, parent, device, root, place, options.
    options = {line.split()[4]: line.split()[5].split(",") for line in mounts}
    for place in ("/", "/home", settings["vllm_path"]):
        assert "ro" in options[place]


@pytest.mark.usefixtures("runs")
def test_the_card_was_looked_at_before_the_server_was_started(
    linux: Host, settings: dict[str, Any], vllm: Vllm
) -> None:
    if settings["vllm_device"] != "cuda":
        pytest.skip("this server computes on the processor")
    started = linux.check_output("systemctl show --property ExecStartPre --value %s", vllm.unit)
    assert "/usr/local/lib/vengeance/vllm-card" in started
    assert "status=0" in started


@pytest.mark.usefixtures("runs")
def test_no_secret_stands_in_the_process_list(linux: Host, api_key: str | None) -> None:
    shown = linux.check_output("ps axww -o args=")
    assert "bin/vllm serve" in shown
    key_is_shown = api_key is not None and api_key in shown
    assert not key_is_shown


@pytest.mark.usefixtures("runs")
def test_the_server_gets_its_key(linux: Host, api_key: str | None, vllm: Vllm) -> None:
    if api_key is None:
        pytest.skip("no key is declared")
    raw = linux.file(f"/proc/{main_process(linux, vllm)}/environ").content.split(b"\0")
    gets_it = f"VLLM_API_KEY={api_key}".encode() in raw
    assert gets_it


@pytest.mark.usefixtures("runs")
def test_the_server_answers(vllm: Vllm) -> None:
    assert vllm.is_healthy


def test_the_server_is_started_again_whatever_it_ended_with(linux: Host, vllm: Vllm) -> None:
    assert "Restart=always" in linux.file(f"/etc/systemd/system/{vllm.unit}").content_string.splitlines()
