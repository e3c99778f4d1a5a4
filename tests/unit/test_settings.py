"""The group data is the manual: every setting is explained, right by our own checks, and used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import OperationValueError

from tests.unit.operation_runs import Run, no_connection
from vengeance.box import cuda, python_packages, vllm_profiles, wsl_conf
from vengeance.operations.settings import check, check_folder
from vengeance.operations.windows import check_variables
from vengeance.secret import Secret
from vengeance.verify import inventory

ROOT = Path(__file__).resolve().parents[2]
DATA = inventory.group_data(ROOT / "group_data")
CHOSEN = "qwen2.5-coder-32b"
CODER = DATA["wsl"]["vllm_profiles"][CHOSEN]
# And two methods: ``get`` for those that need not be there, ``dict`` for all.
FROM_THE_CONNECTORS = {"winrm_host", "wsl_host", "wsl_distro", "get", "dict"}


def settings() -> list[tuple[str, str]]:
    return [(group, name) for group, values in DATA.items() for name in values]


def deploy_texts() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "deploys").glob("*.py")))


@pytest.mark.parametrize(("group", "name"), settings())
def test_a_setting_has_a_comment_above_it(group: str, name: str) -> None:
    lines = (ROOT / "group_data" / f"{group}.py").read_text(encoding="utf-8").splitlines()
    (number,) = [i for i, line in enumerate(lines) if re.match(rf"{name}\b.*=", line)]
    assert lines[number - 1].startswith("# ")


def acceptance_texts() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests" / "box").glob("*.py")))


@pytest.mark.parametrize(("group", "name"), settings())
def test_a_setting_is_used_by_a_deploy_or_by_the_acceptance_list(group: str, name: str) -> None:
    assert f"host.data.{name}" in deploy_texts() or f'["{name}"]' in acceptance_texts()


def test_what_the_deploys_use_is_a_setting() -> None:
    used = set(re.findall(r"\bdata\.([a-z][a-z0-9_]+)", deploy_texts()))
    assert used - {name for _, name in settings()} <= FROM_THE_CONNECTORS


def test_no_setting_stands_in_two_groups() -> None:
    names = [name for _, name in settings()]
    assert sorted(names) == sorted(set(names))


def test_the_settings_pass_our_own_checks() -> None:
    windows, wsl = DATA["windows"], DATA["wsl"]
    check_variables(windows["ollama_machine_variables"], "machine", present=True)
    check_variables(windows["ollama_user_variables"], "user", present=True)
    wsl_conf.check(wsl["wsl_conf"])
    assert wsl["wsl_conf"]["user"]["default"] == DATA["all"]["linux_user"]
    assert wsl["vllm_path"].startswith(f"/home/{DATA['all']['linux_user']}/")
    assert cuda.toolkit_package(wsl["cuda_toolkit_version"]) == "cuda-toolkit-12-4"
    assert cuda.breakers(wsl["vllm_system_packages"]) == {}
    for name, fields in wsl["vllm_profiles"].items():
        profile = vllm_profiles.parse(name, fields, wsl["vllm_version"])
        assert "--port 8080" in " ".join(vllm_profiles.arguments(profile, wsl["vllm_version"]))
        assert not profile.enabled, "Ollama has the card until somebody wants otherwise"
    requirement = python_packages.parse_requirement(wsl["vllm_package"])
    assert str(requirement.specifier) == f"=={wsl['vllm_version']}"


def test_the_box_at_home_has_its_two_sides() -> None:
    made: Any = inventory.load(ROOT / "inventory" / "home.py", ROOT / "group_data")
    assert sorted(host.name for host in made) == ["@winrm/vengeance", "@wsl/vengeance/Ubuntu-24.04"]
    windows = made.get_host("@winrm/vengeance")
    assert windows.data.get("winrm_password") is None, "the password is named, not written"
    assert windows.data.winrm_password_env == "VENGEANCE_PASSWORD"


def wsl_settings(**changed: object) -> dict[str, object]:
    return {**DATA["all"], **DATA["wsl"], **changed}


def test_the_settings_as_shipped_pass_the_check_that_every_deploy_begins_with() -> None:
    check(wsl_settings(), ["wsl"])
    check(DATA["windows"], ["windows"])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"vllm_profiles": {CHOSEN: {**CODER, "flags": {"max-model-length": 1}}}},
            "no flag --max-model-length",
        ),
        ({"vllm_profiles": {CHOSEN: {"model": "m"}}}, "qwen2.5-coder-32b names no port"),
        ({"vllm_profiles": "abc"}, "vllm_profiles has the wrong kind of value 'abc': str is not a dict"),
        (
            {"vllm_profiles": {CHOSEN: {**CODER, "max_seqs": 1}}},
            "has no field max_seqs: did you mean max_num_seqs",
        ),
        (
            {"vllm_profiles": {CHOSEN: {**CODER, "max_model_len": "2k"}}},
            "wrong kind of value '2k': it is a whole",
        ),
        (
            {"vllm_profiles": {CHOSEN: {**CODER, "flags": {"port": 1}}}},
            "port among its flags: it is a field",
        ),
        ({"vllm_profiles": {name: {**CODER, "enabled": True} for name in ("a", CHOSEN)}}, "both enabled"),
        ({"vllm_profile": "qwen"}, "there is no profile 'qwen' among vllm_profiles; there are qwen2.5-coder-32b"),
        ({"vllm_device": "gpu"}, "vllm_device is 'cuda' or 'cpu', not 'gpu'"),
        ({"cuda_toolkit_version": "twelve"}, "cuda_toolkit_version: .* as in 12-4, not 'twelve'"),
        ({"cuda_toolkit_version": 12.4}, "cuda_toolkit_version has the wrong kind of value 12.4"),
        ({"wsl_conf": {"boot": {"sytemd": True}}}, "wsl_conf: .* did you mean systemd"),
        ({"systemd": "no"}, "systemd has the wrong kind of value 'no'"),
        ({"linux_user": "Big User"}, "linux_user: 'Big User' is no name of a Linux user"),
        ({"vllm_version": "0.22.0"}, "vllm==0.15.1 is installed, and vllm_version has the flags checked for 0.22.0"),
        ({"vllm_api_key": "sk-plain"}, "vllm_api_key: it is 'generated', None, or a Secret"),
        ({"vllm_api_key": Secret.from_environment("NOT_SET_HERE")}, "NOT_SET_HERE is not set"),
        ({"vllm_api_key": Secret.of("sk-€")}, "vllm_api_key: a key holds printable ASCII characters alone"),
        ({"vllm_api_key": Secret.of("sk-1 ")}, "vllm_api_key: a key has no blank at its ends"),
        ({"vllm_hf_home": "models"}, "vllm_hf_home: 'models' is no full path of a folder"),
        ({"vllm_hf_token": "hf_plain"}, "vllm_hf_token is a plain text"),
        ({"vllm_hf_token": Secret.of("hf_two words")}, "vllm_hf_token: the token of Hugging Face has a blank"),
        ({"vllm_hf_token": Secret.from_environment("NOT_SET_HERE")}, "vllm_hf_token: .*NOT_SET_HERE is not set"),
        ({"vllm_download": "yes"}, "vllm_download has the wrong kind of value 'yes': it is True or False"),
        ({"vllm_profiles": {CHOSEN: {**CODER, "model": "Qwen"}}}, "'Qwen' is no name of a model: write OWNER/NAME"),
        ({"vllm_profiles": {CHOSEN: {**CODER, "revision": "a b"}}}, "'a b' is no revision of a model"),
        ({"vllm_start_timeout": 0}, "vllm_start_timeout is a number of seconds, not 0"),
        ({"vllm_lock": "locks/none.txt"}, "vllm_lock: locks/none.txt cannot be read .*No such file"),
        ({"vllm_package": "vllm==0.15", "vllm_version": "0.15"}, "vllm_lock: locks/.* has vllm 0.15.1, and vllm==0.15"),
        ({"vllm_python": "python3.11"}, "is for Python 3.12, and the environment is made from python3.11"),
        ({"vllm_lock": None, "vllm_constraints": "none.txt"}, "none.txt cannot be read"),
        ({"vllm_installer": "conda"}, "vllm_installer is 'pip' or 'uv', not 'conda'"),
        ({"vllm_size_gb": {"download": 5}}, "vllm_size_gb has GB for 'download' and for 'installed'"),
    ],
)
def test_a_wrong_setting_of_the_distro_is_found_before_anything_is_done(
    changed: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        check(wsl_settings(**changed), ["wsl"])
    assert "hf_plain" not in str(caught.value)


def test_a_setting_that_was_deleted_is_named() -> None:
    settings = wsl_settings()
    del settings["vllm_python"]
    with pytest.raises(ValueError, match="vllm_python is not set"):
        check(settings, ["wsl"])


def test_the_settings_of_windows_are_checked_for_a_windows_host_only() -> None:
    wrong = {**DATA["windows"], "windows_build": "22000"}
    with pytest.raises(ValueError, match="windows_build has the wrong kind of value '22000'"):
        check(wrong, ["windows"])
    check({**wsl_settings(), **wrong}, ["wsl"])


def test_a_run_in_another_folder_is_told_where_to_go(tmp_path: Path) -> None:
    for folder, right in ((ROOT, True), (tmp_path, False)):
        with no_connection({}, Run()) as state:
            state.cwd = str(folder)
            if right:
                check_folder()
                continue
            with pytest.raises(OperationValueError, match=f"pyinfra runs in {tmp_path}, where no group_data/ is"):
                check_folder()


@pytest.mark.parametrize("stage", ["preflight", "windows", "ollama", "wsl", "cuda", "vllm", "expose", "verify"])
def test_every_stage_checks_the_settings_before_its_first_operation(stage: str) -> None:
    lines = (ROOT / "deploys" / f"{stage}.py").read_text(encoding="utf-8").splitlines()
    assert lines.index("settings.check_host()") < lines.index(next(each for each in lines if each.startswith("if ")))


# --- what deploys/mode.py is asked for ----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "near"), [("mod", "mode"), ("modes", "mode"), ("profil", "profile")])
def test_a_misspelled_name_of_what_a_run_is_asked_for_is_told_with_the_right_one(name: str, near: str) -> None:
    windows = {**DATA["all"], **DATA["windows"]}
    check({**windows, "mode": "batch", "profile": "llama-3.1-8b"}, ["windows"])
    with pytest.raises(ValueError, match=rf"no setting {name}: did you mean {near}\?"):
        check({**windows, name: "batch"}, ["windows"])
