"""What a person writes wrong is refused before anything changes, with a sentence that says what to write instead.

Two tables: settings of group data and inventory, which every stage looks through before its first operation, and
arguments of operations, which are refused before a fact is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.command import FunctionCommand
from pyinfra.api.exceptions import OperationValueError

from tests.unit.operation_runs import Run, no_connection, run_operation
from tests.unit.test_settings import DATA
from vengeance.box import preflight
from vengeance.box.pins import pinned
from vengeance.facts import ollama as facts
from vengeance.operations import ollama, settings, tailscale, windows, wsl
from vengeance.secret import Secret

ROOT = Path(__file__).resolve().parents[2]
WINDOWS = DATA["windows"]
MODELS = WINDOWS["ollama_models"]
A_HASH = "0" * 64


def changed(key: str, section: str, **values: object) -> dict[str, object]:
    """A setting that holds sections, with some values of one section changed."""
    return {key: {**WINDOWS[key], section: {**WINDOWS[key][section], **values}}}


# What is changed in group_data/windows.py or in the host's data -> how the sentence about it goes.
SETTINGS: list[tuple[dict[str, object], str]] = [
    # names
    ({"olama_version": "0.34.1"}, "There is no setting olama_version: did you mean ollama_version?"),
    ({"ollama_keep_alive": "5m"}, "There is no setting ollama_keep_alive: put OLLAMA_KEEP_ALIVE into"),
    ({"ollama_model": []}, "did you mean ollama_models?"),
    ({"winrm_pasword_env": "X"}, "There is no setting winrm_pasword_env: did you mean winrm_password_env?"),
    ({"wsl_config": {}}, "There is no setting wsl_config: did you mean wslconfig?"),
    ({"gpuname": "RTX 4090"}, "There is no setting gpuname: did you mean gpu_name?"),
    # kinds of values
    ({"ollama_port": "11434"}, "ollama_port has the wrong kind of value '11434': it is a whole number."),
    ({"reboot_timeout": True}, "reboot_timeout has the wrong kind of value True: it is a whole number."),
    (
        {"windows_features": "VirtualMachinePlatform"},
        "windows_features has the wrong kind of value 'VirtualMachinePlatform': it is a list",
    ),
    ({"ollama_auto_update": 0}, "ollama_auto_update has the wrong kind of value 0: it is True or False."),
    ({"ollama_models": ["qwen2.5:3b"]}, "ollama_models has the wrong kind of value"),
    # the machine
    ({"windows_build": 11}, "windows_build: 11 is no build number: Windows 11 begins at 22000"),
    ({"driver_lowest": "591"}, "driver_lowest: '591' is no version of NVIDIA's driver"),
    ({"windows_features": ["VirtualMachinePlattform"]}, "no feature 'VirtualMachinePlattform': did you mean Virtual"),
    ({"windows_features": ["Microsoft-Windows-Subsystem-Linux"]}, "VirtualMachinePlatform is missing"),
    ({"work_folder": "ProgramData\\vengeance"}, "work_folder: 'ProgramData\\\\vengeance' is not a full Windows path"),
    ({"work_folder": "C:\tools"}, "Python took a backslash and a letter for a sign. Write r before the quote"),
    (
        {"download_proxy": "proxy.lan:3128"},
        "download_proxy: The proxy 'proxy.lan:3128' is no address that begins with http://",
    ),
    (
        {"download_proxy": "http://me:secret@proxy.lan:3128"},
        "The proxy holds a user name or password, which would be shown",
    ),
    ({"reboot_timeout": 15}, "reboot_timeout: it is a number of seconds from 60 to 86400, not 15."),
    # tasks
    ({"task_logon": "passwrd"}, "task_logon: it is one of password, s4u, not 'passwrd': password?"),
    ({"task_logon": "interactive"}, "such a task runs only while somebody is signed in"),
    ({"task_password": "hunter2"}, "task_password is a plain text, which pyinfra prints"),
    (
        {"winrm_transport": "certificate"},
        "task_password: it is needed here, because the connection signs in with winrm",
    ),
    ({"task_logon": "s4u", "task_password": Secret.of("x")}, "task_password: task_logon = 's4u' keeps no password"),
    # who may reach it
    (
        {"remote_addresses": ["100.64.0.1/10"]},
        "'100.64.0.1/10' has bits behind its prefix: the network is 100.64.0.0/10",
    ),
    ({"remote_addresses": ["tailnet"]}, "remote_addresses: 'tailnet' is no remote address: give one like"),
    ({"remote_addresses": ["Any"]}, "'Any' lets everybody in who reaches the box, and Ollama asks nobody"),
    ({"remote_addresses": []}, "lets nobody or everybody in: name who may come"),
    ({"expose": "server"}, "expose: it is one of serve, portproxy, none, not 'server': serve?"),
    ({"tailscale_wanted": False}, "expose: 'serve' is done by Tailscale, and tailscale_wanted is False"),
    ({"exposed_ports": {80800: "vLLM"}}, "exposed_ports: a port is a whole number from 1 to 65535, not 80800."),
    ({"exposed_ports": {11434: "Ollama"}}, "exposed_ports: 11434 is Ollama's own"),
    # Ollama
    ({"ollama_version": "v0.34.1"}, "ollama_version: 'v0.34.1' is no version: it is three numbers"),
    ({"ollama_version": "0.13.5"}, "ollama_version: 0.13.5 is older than 0.23.3"),
    ({"ollama_version": "9.9.9"}, f"ollama_sha256: this is the hash for ollama_version = '{pinned('ollama')}'"),
    ({"ollama_sha256": A_HASH[1:]}, "64 hex digits, as `Get-FileHash FILE` prints them, and this has 63."),
    ({"ollama_sha256": "d41d8cd98f00b204e9800998ecf8427e"}, "is an MD5; the SHA-256 of the file has 64 hex digits"),
    ({"ollama_sha256": f"sha256:{A_HASH}"}, "is a SHA-256 with something around it: write the 64 hex digits alone"),
    ({"ollama_package": "winget"}, "winget does not work in a session without a desktop"),
    (
        {"ollama_url": "http://example.com/OllamaSetup.exe"},
        "ollama_url: the address 'http://example.com/OllamaSetup.exe' is no address that begins with https://",
    ),
    (
        {"ollama_url": "https://example.com/v0.33.0/OllamaSetup.exe"},
        "it is the address of 0.33.0, and ollama_version is",
    ),
    ({"ollama_package": "zip", "ollama_sha256": A_HASH, "ollama_autostart": "logon"}, "the zip has no tray app"),
    ({"ollama_autostart": "service"}, "ollama.exe does not speak to the service manager: boot is a task"),
    ({"ollama_auto_update": True}, "ollama_auto_update: the tray app updates Ollama, and it does not run"),
    ({"ollama_path": "D:Ollama"}, "ollama_path: 'D:Ollama' is not a full Windows path"),
    ({"ollama_port": 114340}, "ollama_port: it is a whole number from 1 to 65535, not 114340."),
    ({"ollama_port": 11435}, "ollama_port: it is 11435, and OLLAMA_HOST=0.0.0.0:11434 means 11434."),
    ({"ollama_user_variables": {"OLLAMA_KEEP_ALIVE": "5 minutes"}}, "OLLAMA_KEEP_ALIVE is a duration such as 5m"),
    ({"ollama_machine_variables": {"OLLAMA_GPU": "0"}}, "Ollama does not read OLLAMA_GPU: Ollama never had it."),
    (
        {"ollama_machine_variables": {"OLLAMA_HOST": "http://0.0.0.0"}},
        "names no port, and with http:// Ollama takes 80",
    ),
    (
        {"ollama_models": [{"name": "qwen2.5:72b:q4"}]},
        "'qwen2.5:72b:q4' is no name of a model: it is written model:tag",
    ),
    ({"ollama_models": [{"name": "https://ollama.com/library/qwen2.5:3b"}]}, "is an address, and a model is given by"),
    ({"ollama_models": [{"name": "qwen2.5:3b", "size": 2}]}, "the nearest key that is read is 'size_gb'"),
    ({"ollama_models": [{"name": "qwen2.5:3b", "size_gb": -1}]}, "size_gb of qwen2.5:3b is a number of GB above 0"),
    ({"ollama_models": [{"name": "qwen2.5:3b", "digest": "latest"}]}, "digest of qwen2.5:3b is 12 to 64 hex digits"),
    ({"ollama_models": [*MODELS, {"name": "QWEN2.5:3b"}]}, "The model QWEN2.5:3b is given twice"),
    ({"ollama_pull_timeout": 0}, "ollama_pull_timeout: it is a number of seconds from 60 to 604800, not 0."),
    # WSL and the distro
    ({"wsl_version": "2.0.0"}, "wsl_version: 2.0.0 is older than 2.5.9, the first that can keep a distro running"),
    ({"wsl_version": "9.9.9"}, f"wsl_url: it is the address of {pinned('wsl')}, and wsl_version is 9.9.9."),
    ({"wsl_product_code": "497CB23D-8747-4047-A079-DD98E0EDFC18"}, "is no product code: it is as {497CB23D"),
    (changed("wslconfig", "wsl2", memory=24), "[wsl2] memory in .wslconfig: '24' is 24 bytes"),
    (changed("wslconfig", "wsl2", memory="24 GB"), "no size that WSL reads: write '24GB'"),
    (changed("wslconfig", "wsl2", memori="24GB"), "has no key memori in [wsl2]: did you mean memory"),
    (changed("wslconfig", "wsl2", instanceIdleTimeout=-1), "instanceIdleTimeout stands in [general]"),
    (changed("wslconfig", "wsl2", networkingMode="mirrored"), "a server that listens on 0.0.0.0 is not reached"),
    (changed("wslconfig", "general", instanceIdleTimeout=15), "a number of milliseconds from 1000, or -1 for never"),
    ({"distro_url": "https://releases.ubuntu.com/24.04.4/ubuntu-24.04.4-live.iso"}, "is no image that WSL imports"),
    ({"distro_sha256": "9B2F"}, "distro_sha256: '9B2F' is no SHA-256: it has 64 hex digits"),
    ({"distro_path": r"C:\WSL\{distro}"}, "{distro} is not filled in: only {name} is"),
]


IDS = [f"{number}-{next(iter(wrong))}" for number, (wrong, _) in enumerate(SETTINGS)]


def complaint(data: dict[str, object]) -> str:
    """What a deploy says to these settings of a Windows host."""
    try:
        settings.check(data, ["windows"])
    except ValueError as error:
        return str(error)
    pytest.fail("these settings are taken")


@pytest.mark.parametrize(("wrong", "sentence"), SETTINGS, ids=IDS)
def test_a_wrong_setting_is_refused(wrong: dict[str, object], sentence: str) -> None:
    said = complaint({**WINDOWS, **wrong})
    assert sentence in said


@pytest.mark.parametrize(("wrong", "sentence"), SETTINGS, ids=IDS)
def test_the_sentence_names_the_setting_and_shows_no_secret(wrong: dict[str, object], sentence: str) -> None:
    said = complaint({**WINDOWS, **wrong})
    assert said.endswith((".", "?"))
    assert ".." not in said.replace("...", "")
    assert any(name in said for name in (*wrong, "OLLAMA_", "expose", "ollama_sha256", "wsl_url", "task_password"))
    assert not any(secret in said for secret in ("hunter2", "me:secret"))


def test_all_that_is_wrong_is_told_at_once() -> None:
    said = complaint({**WINDOWS, "ollama_port": 0, "wsl_sha256": "x", "gpuname": "x"})
    for part in ("gpuname", "ollama_port: it is a whole number", "wsl_sha256: 'x' is no SHA-256"):
        assert part in said


def test_a_typo_in_host_data_or_in_the_groups_of_the_distro_is_found_too() -> None:
    data = {**DATA["all"], **DATA["wsl"], "wsl_host": "vengeance", "wsl_distro": "Ubuntu", "vlm_profiles": {}}
    with pytest.raises(ValueError, match="There is no setting vlm_profiles: did you mean vllm_profiles"):
        settings.check(data, ["wsl"])


def test_a_name_of_a_distro_that_wsl_cannot_take_is_found_in_the_inventory() -> None:
    data = {**DATA["all"], **DATA["wsl"], "wsl_distro": "My Ubuntu"}
    with pytest.raises(ValueError, match="wsl_distro: 'My Ubuntu'"):
        settings.check(data, ["wsl"])


def test_data_of_somebodys_own_deploys_is_left_alone() -> None:
    settings.check({**WINDOWS, "backup_target": "nas", "my_ports": [1], "_sudo": True}, ["windows"])


@pytest.mark.parametrize(("wrong", "sentence"), [SETTINGS[0], SETTINGS[11]])
def test_a_deploy_stops_at_it_before_its_first_operation(wrong: dict[str, object], sentence: str) -> None:
    with no_connection({}, Run()) as state:
        state.cwd = str(ROOT)
        host = state.inventory.get_host("somewhere")
        host.groups = ["windows"]
        for name, value in {**WINDOWS, **wrong}.items():
            setattr(host.data, name, value)
        with pytest.raises(OperationValueError, match="Mend it in group_data/, or in the inventory") as caught:
            settings.check_host()
        assert str(caught.value).startswith("somewhere: ")
        assert sentence in str(caught.value)


# --- operations -------------------------------------------------------------------------------------------


class NoFacts(dict[Any, Any]):
    """Facts of a box that must not be asked for any."""

    def __contains__(self, fact: object) -> bool:
        raise AssertionError(f"{fact} is asked for although the arguments are wrong")


WSL_EXE = r"C:\Program Files\WSL\wsl.exe"
WSL = {name: WINDOWS[f"wsl_{name}"] for name in ("version", "url", "sha256", "product_code")}
DISTRO = {
    "distro": "Ubuntu",
    "image_url": WINDOWS["distro_url"],
    "image_sha256": WINDOWS["distro_sha256"],
    "path": r"C:\WSL\Ubuntu",
}
OPERATIONS: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (windows.put, {"src": "x", "dest": "x.txt"}, "'x.txt' is not a full Windows path"),
    (windows.environment, {"variables": {"A": "1"}, "level": "system"}, "is machine or user, not 'system'"),
    (windows.environment, {"variables": {"A": 1}}, "The value of A is a text, not 1: write it in quotes"),
    (windows.environment, {"variables": {"OLLAMA_ORIGIN": "*"}}, "it is written OLLAMA_ORIGINS"),
    (windows.environment, {"variables": {"OLLAMA_GPU_OVERHEAD": "2GB"}}, "is a whole number, not '2GB'"),
    (windows.scheduled_task, {"task": "a/b", "command": WSL_EXE}, "no name of a task"),
    (windows.scheduled_task, {"task": "a", "command": "wsl.exe"}, "command is a full path without quotes"),
    (
        windows.scheduled_task,
        {"task": "a", "command": WSL_EXE, "trigger": "start"},
        "trigger is one of boot, logon, none",
    ),
    (windows.scheduled_task, {"task": "a", "command": WSL_EXE, "user": "Other"}, "needs that account's password"),
    (
        windows.scheduled_task,
        {"task": "a", "command": WSL_EXE, "password": "x"},
        "password is a vengeance.secret.Secret",
    ),
    (windows.scheduled_task, {"task": "a", "command": WSL_EXE, "logon": "interactive"}, "which nobody is at boot"),
    (
        windows.scheduled_task,
        {"task": "a", "command": WSL_EXE, "time_limit": "72h"},
        "'72h' is no duration: write it as",
    ),
    (windows.scheduled_task, {"task": "a", "command": WSL_EXE, "priority": 11}, "priority is 0 .highest. to 10"),
    (windows.scheduled_task, {"task": "a", "command": WSL_EXE, "restart_count": 999}, "restart_count is 0 to 255"),
    (windows.feature, {"feature": "Virtual Machine Platform"}, "it is one word, as VirtualMachinePlatform"),
    (windows.power, {"sleep": "no"}, "sleep is True or False, not 'no'"),
    (windows.service, {"service": "WinRM", "running": False}, "Without the service WinRM this connection ends"),
    (windows.service, {"service": "iphlpsvc", "start": "automatic"}, "not 'automatic'"),
    (windows.reboot, {"reason": "windows_updates"}, "windows_update"),
    (windows.directory, {"path": r"C:\a\..\b"}, "write the path that it leads to"),
    (windows.download, {"url": "ftp://a.org/b", "dest": r"C:\b", "sha256": A_HASH}, "begins with https://"),
    (windows.download, {"url": "https://a.org/b", "dest": r"C:\b", "sha256": "abc"}, "is no SHA-256: it has 64 hex"),
    (windows.installer, {"path": r"C:\a.exe", "arguments": "/S", "product": "a"}, "are a list of texts, not the text"),
    (windows.firewall_rule, {"rule": "a", "port": 0, "remote_addresses": ["Any"]}, "1 to 65535"),
    (windows.firewall_rule, {"rule": "a", "port": 80}, "Who may reach port 80. Give remote_addresses"),
    (windows.firewall_rule, {"rule": "a", "port": 80, "remote_addresses": "Any"}, "is a list of texts"),
    (windows.reserved_port, {"port": 70000}, "65535"),
    (windows.port_proxy, {"listen_address": "0.0.0.0", "listen_port": 8080}, "0.0.0.0"),
    (tailscale.serve, {"port": 0}, "1 to 65535"),
    (ollama.installed, {"version": "latest", "sha256": A_HASH}, "three numbers, as 0.34.1, not 'latest'"),
    (ollama.settings, {"machine_variables": {"OLLAMA_DEVICE": "1"}, "user_variables": {}}, "CUDA_VISIBLE_DEVICES"),
    (ollama.autostart, {"start": "service"}, "starts at boot or at logon, not 'service'"),
    (ollama.models, {"models": [{"name": "qwen 2.5"}]}, "'qwen 2.5' is no name of a model: it is written model:tag"),
    (ollama.models, {"models": [{"name": "a:b", "size_gb": "47 GB"}]}, "size_gb of a:b is a number of GB above 0"),
    (ollama.unloaded, {"models": ["qwen2.5:3b:x"]}, "is no name of a model"),
    (wsl.installed, {**WSL, "version": "2.0.0"}, "WSL 2.0.0 cannot keep a distro up"),
    (wsl.installed, {**WSL, "url": "https://aka.ms/wsl.msix"}, "is no MSI"),
    (wsl.config, {"settings": {"wsl2": {"memory": "24"}}}, "'24' is 24 bytes, and a distro needs 1 GB at least"),
    (wsl.distro, {**DISTRO, "distro": "My Ubuntu"}, "'My Ubuntu'"),
    (wsl.distro, {**DISTRO, "path": r"WSL\Ubuntu"}, "WSL"),
    (wsl.user, {"user": "Big User"}, "'Big User'"),
    (wsl.keepalive, {"distro": "Ubuntu", "logon": "interactive"}, "interactive"),
]


@pytest.mark.parametrize(("operation", "arguments", "sentence"), OPERATIONS)
def test_wrong_arguments_are_refused_before_anything_is_asked(
    operation: Callable[..., Any], arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(OperationValueError, match=sentence):
        run_operation(operation, NoFacts(), **arguments)


# --- sizes that cannot fit -----------------------------------------------------------------------------------


def test_models_that_do_not_fit_on_the_disk_are_refused_before_the_first_is_pulled() -> None:
    found = {
        facts.Models: {},
        facts.Storage: {"folder": r"C:\Users\Steam\.ollama\models", "free_bytes": 60 * 10**9, "partial_bytes": 0},
    }
    run = run_operation(ollama.models, found, models=MODELS)
    (refused,) = run.commands
    assert isinstance(refused, FunctionCommand)
    sentence = str(refused.args[0])
    assert "the models that are missing take 104.9 GB (qwen2.5:72b 47.0 GB" in sentence
    assert "only 60.0 GB are free" in sentence
    assert "Nothing was pulled" in sentence


def test_memory_that_does_not_fit_into_the_box_is_told_with_what_would() -> None:
    (sentence,) = preflight.memory(32 << 30, 16, {"wsl2": {"memory": "30GB"}})
    assert "gives the distro 30GB of memory, and the box has 32 GB" in sentence
    assert "set [wsl2] memory to" in sentence
