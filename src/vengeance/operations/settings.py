"""The settings of a host, checked before anything is done to it.

pyinfra looks at the arguments of an operation when its turn comes, which with ``--yes`` is in the middle of the deploy:
a misspelled flag of vLLM would be found after the packages are installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakSet

from pyinfra import logger
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.context import host, state
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from vengeance.box import (
    cuda,
    linux_users,
    model_store,
    modes,
    ollama_environment,
    python_packages,
    systemd_unit,
    vllm_environment,
    vllm_profiles,
    vllm_variables,
    windows_settings,
    wsl_conf,
)
from vengeance.connectors.settings import winrm_data_meta
from vengeance.connectors.wsl import wsl_data_meta
from vengeance.operations.stage import same_machine
from vengeance.operations.vllm import revealed, revealed_token
from vengeance.operations.vllm.installation import text_of
from vengeance.operations.windows import check_variables
from vengeance.operations.wsl import check_distro
from vengeance.secret import Secret

_WINDOWS: dict[str, Any] = {
    "windows_build": int,
    "gpu_name": str,
    "driver_lowest": str,
    "windows_features": list[str],
    "windows_sleep": bool,
    "work_folder": str,
    "download_proxy": str | None,
    "reboot_timeout": int,
    "task_logon": str,
    "task_password": Secret | None,
    "remote_addresses": list[str],
    "tailscale_wanted": bool,
    "box_address": str | None,
    "expose": str,
    "exposed_ports": dict[int, str],
    "ollama_version": str,
    "ollama_package": str,
    "ollama_url": str | None,
    "ollama_sha256": str,
    "ollama_signer": str,
    "ollama_path": str | None,
    "ollama_autostart": str,
    "ollama_auto_update": bool,
    "ollama_machine_variables": dict[str, str],
    "ollama_user_variables": dict[str, str],
    "ollama_port": int,
    "ollama_models": list[dict[str, str | int | float | None]],
    "ollama_models_prune": bool,
    "ollama_pull_timeout": int,
    "ollama_lowest_tokens_per_second": int | float,
    "wsl_version": str,
    "wsl_url": str,
    "wsl_sha256": str,
    "wsl_product_code": str,
    "wslconfig": dict[str, dict[str, str | bool | int]],
    "distro_url": str,
    "distro_sha256": str,
    "distro_path": str,
}
_WSL: dict[str, Any] = {
    "linux_user": str,
    "wsl_conf": dict[str, dict[str, str | bool | int]],
    "systemd": bool,
    "cuda_toolkit_version": str,
    "cuda_toolkit": bool,
    "vllm_system_packages": list[str],
    "vllm_path": str,
    "vllm_python": str,
    "vllm_package": str,
    "vllm_version": str,
    "vllm_lock": str | None,
    "vllm_constraints": str | None,
    "vllm_installer": str,
    "vllm_size_gb": dict[str, float],
    "vllm_pip_arguments": list[str],
    "vllm_profiles": dict[str, dict[str, object]],
    "vllm_profile": str,
    "vllm_device": str,
    "vllm_api_key": Secret | str | None,
    "vllm_download": bool,
    "vllm_hf_home": str,
    "vllm_hf_token": Secret | None,
    "vllm_variables": dict[str, str],
    "vllm_start_timeout": int,
    "vllm_lowest_tokens_per_second": int | float,
}
# How a person calls the simple kinds; for the others the checker's own words say where in the value it is.
_KINDS: dict[object, str] = {
    int: "a whole number",
    str: "a text, in quotes",
    bool: "True or False",
    str | None: "a text in quotes, or None",
    list[str]: "a list of texts, as in ['a', 'b']",
}
_CONNECTORS = {**winrm_data_meta, **wsl_data_meta}
_MODE, _UNDO = ("mode", "profile"), ("stages", "delete")
"""What ``deploys/mode.py`` and ``deploys/undo.py`` are asked for, with --data."""
_ASKED = (*_MODE, *_UNDO)
_told: WeakSet[State] = WeakSet()
"""The runs that have been told what of it they leave unheard."""

# Names that begin so are ours, whatever follows. Others may be data of somebody's own deploys.
_OURS = ("cuda_", "distro_", "exposed_", "ollama_", "tailscale_", "vllm_", "windows_", "winrm_", "wsl")


def check(settings: Mapping[str, Any], groups: list[str]) -> None:
    """Check every setting of a host that is in the group ``windows`` or ``wsl``.

    + settings: name -> value, as in ``group_data``
    + groups: those that the host is in

    Raises ValueError with all that is wrong, each with the setting's name.
    """
    wrong = list(_unknown(settings)) if {"windows", "wsl"} & set(groups) else []
    for group, shapes in (("windows", _WINDOWS), ("wsl", _WSL)):
        if group not in groups:
            continue
        misfits = list(_misfits(settings, shapes))
        if not misfits:
            misfits = list(_windows(settings) if group == "windows" else _wsl(settings))
        wrong += misfits
    if wrong:
        raise ValueError(" ".join(wrong))


def check_folder() -> None:
    """Check that pyinfra runs in this project's folder, as it looks for group data and stages where it runs.

    Raises OperationValueError, which ends the run with the sentence.
    """
    here = Path(state.cwd or ".")
    if not (here / "group_data" / "all.py").is_file():
        raise OperationValueError(
            f"pyinfra runs in {here.resolve()}, where no group_data/ is: go to the folder that holds it and deploys/, "
            "and run it there."
        )


def check_host(asks: bool = False, undoes: bool = False) -> None:
    """Check the settings of every host of the run, before anything is done to any.

    + asks: whether the deploy is asked for a mode with ``--data``; any other one says that it leaves it unheard
    + undoes: whether it is asked for stages to take back, which is the same

    Those of the others too: each host reads the deploy by itself, and what it asks of its box meanwhile would be cut
    off and stand beside the sentence.

    Raises OperationValueError, which ends the run with the sentence.
    """
    check_folder()
    others = [each for each in state.inventory if each in state.active_hosts and each is not host]
    for each in (host, *others):
        try:
            check(each.data.dict(), list(each.groups))  # type: ignore[no-untyped-call]
        except ValueError as error:
            raise OperationValueError(f"{each.name}: {error} Mend it in group_data/, or in the inventory.") from None
        _ports_apart(each)
    unheard = [name for name in _ASKED if host.data.get(name) is not None]
    # A run may have deploys/mode.py beside others.
    if unheard and not (asks or undoes) and state not in _told:
        _told.add(state)
        where = "deploys/undo.py alone"
        if unheard[0] in _MODE:
            where = (
                "deploys/mode.py alone (python -m vengeance mode); which profile the other deploys see to is the "
                "setting vllm_profile"
            )
        host.log(f"{unheard[0]}={host.data.get(unheard[0])} counts for {where}", logger.warning)


def _ports_apart(distro: Host) -> None:
    """Refuse a port of a vLLM server that Ollama has on the Windows of the same box: one localhost has it once."""
    for box in state.inventory:
        if "windows" not in box.groups or "wsl" not in distro.groups or not same_machine(distro, box):
            continue
        for profile, fields in distro.data.vllm_profiles.items():
            if fields["port"] == box.data.get("ollama_port"):
                raise OperationValueError(
                    f"{distro.name}: vllm_profiles: {profile} has port {fields['port']}, which is Ollama's "
                    "(ollama_port), and WSL forwards each port of the distro to Windows' localhost: give it another "
                    "one. Mend it in group_data/, or in the inventory."
                )


def asked_mode() -> modes.Mode:
    """Return the mode that the run is asked for with ``--data mode=...``.

    Raises OperationValueError, which ends the run with the names of all modes.
    """
    try:
        return modes.check(host.data.get("mode"))
    except ValueError as error:
        raise OperationValueError(f"{error} Ask for one: pyinfra INVENTORY deploys/mode.py --data mode=batch") from None


def asked_profile(distro: Host) -> str:
    """Return the profile that is asked for with ``--data profile=...``, or else the chosen one of the settings.

    + distro: the host in the group ``wsl`` that has it

    Raises OperationValueError, which ends the run with the names of all profiles.
    """
    profile = distro.data.get("profile")
    if profile is None:
        return str(distro.data.vllm_profile)
    try:
        vllm_profiles.check_chosen(str(profile), distro.data.vllm_profiles)
    except ValueError as error:
        raise OperationValueError(f"{distro.name}: {error}.") from None
    return str(profile)


def _unknown(settings: Mapping[str, Any]) -> Iterator[str]:
    """Names that nothing reads, in group data, in the inventory or given with --data: pyinfra takes them all."""
    places = {name: "group_data/windows.py" for name in _WINDOWS} | {name: "group_data/wsl.py" for name in _WSL}
    known = [*places, *_CONNECTORS, *_ASKED, "take_over"]
    for name in settings:
        # Those with a line before them are pyinfra's own, such as _sudo.
        if name in known or name.startswith("_"):
            continue
        near = windows_settings.nearest(name, known, 0.7 if name.startswith(_OURS) else 0.8)
        if name.upper() in ollama_environment.VARIABLES:
            yield f"There is no setting {name}: put {name.upper()} into ollama_machine_variables or _user_variables."
        elif near is not None:
            yield f"There is no setting {name}: did you mean {near}?"
        elif name.startswith(_OURS):
            yield f"There is no setting {name}: group_data/windows.py and group_data/wsl.py have all there are."


def _misfits(settings: Mapping[str, Any], shapes: Mapping[str, Any]) -> Iterator[str]:
    for name, shape in shapes.items():
        if name not in settings:
            yield f"{name} is not set."
            continue
        value = settings[name]
        if name in ("task_password", "vllm_hf_token") and isinstance(value, str):
            yield (
                f"{name} is a plain text, which pyinfra prints in debug-inventory and logs: give it as "
                'Secret.from_environment("NAME") (from vengeance.secret import Secret).'
            )
            continue
        seen = f" {value!r}" if isinstance(value, str | int | float) else ""
        if isinstance(value, bool) and shape is int:
            # To Python, True is the number 1.
            yield f"{name} has the wrong kind of value {value!r}: it is {_KINDS[shape]}."
            continue
        try:
            check_type(value, shape, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
        except TypeCheckError as error:
            kind = _KINDS.get(shape)
            why = f"it is {kind}" if kind else str(error).splitlines()[0].rstrip(":")
            yield f"{name} has the wrong kind of value{seen}: {why}."


def _windows(settings: Mapping[str, Any]) -> Iterator[str]:
    yield from windows_settings.problems(settings)
    yield from _task_password(settings)
    for name, level in (("ollama_machine_variables", "machine"), ("ollama_user_variables", "user")):
        try:
            check_variables(settings[name], level, present=True)
        except OperationValueError as error:
            yield f"{name}: {error}"


def _task_password(settings: Mapping[str, Any]) -> Iterator[str]:
    given = settings["task_password"] is not None
    if settings["task_logon"] == "s4u" and given:
        yield "task_password: task_logon = 's4u' keeps no password: leave it out, or take 'password'."
    passwords = ("winrm_password", "winrm_password_env", "winrm_password_file")
    # Without any of them the connector refuses every other way to sign in by itself.
    if (
        settings["task_logon"] == "password"
        and not given
        and settings.get("winrm_transport") in ("certificate", "kerberos")
        and not any(settings.get(name) for name in passwords)
    ):
        yield (
            "task_password: it is needed here, because the connection signs in with "
            f"winrm_transport = {settings['winrm_transport']!r} and has no password that Windows could keep for the "
            "tasks. Give it as a Secret, or take task_logon = 's4u'."
        )


def _wsl(settings: Mapping[str, Any]) -> Iterator[str]:
    checks: dict[str, Callable[[], object]] = {
        "linux_user": lambda: linux_users.check(settings["linux_user"]),
        "wsl_conf": lambda: wsl_conf.check(settings["wsl_conf"]),
        "cuda_toolkit_version": lambda: cuda.toolkit_package(settings["cuda_toolkit_version"]),
        "vllm_package": lambda: _package(settings["vllm_package"], settings["vllm_version"]),
        "vllm_lock": lambda: _lock(settings),
        "vllm_profiles": lambda: vllm_profiles.check(settings["vllm_profiles"], settings["vllm_version"]),
        "vllm_profile": lambda: vllm_profiles.check_chosen(settings["vllm_profile"], settings["vllm_profiles"]),
        "vllm_variables": lambda: systemd_unit.variables(settings["vllm_variables"]),
        "vllm_api_key": lambda: _api_key(settings["vllm_api_key"]),
        "vllm_hf_home": lambda: _models(settings),
        "vllm_hf_token": lambda: revealed_token(settings["vllm_hf_token"]),
    }
    if "wsl_distro" in settings:
        checks["wsl_distro"] = lambda: check_distro(settings["wsl_distro"])
    for name, one in checks.items():
        try:
            one()
        except ValueError as error:
            text = str(error)
            # The dots of "export HF_TOKEN=..." stand for something.
            yield f"{name}: {text if text.endswith('...') else text.rstrip('.') + '.'}"
    if settings["vllm_installer"] not in ("pip", "uv"):
        yield f"vllm_installer is 'pip' or 'uv', not {settings['vllm_installer']!r}."
    if set(settings["vllm_size_gb"]) != {"download", "installed"} or min(settings["vllm_size_gb"].values()) < 0:
        yield f"vllm_size_gb has GB for 'download' and for 'installed', and is {settings['vllm_size_gb']}."
    if settings["vllm_device"] not in ("cuda", "cpu"):
        yield f"vllm_device is 'cuda' or 'cpu', not {settings['vllm_device']!r}."
    if settings["vllm_start_timeout"] < 1:
        yield f"vllm_start_timeout is a number of seconds, not {settings['vllm_start_timeout']}."


def _lock(settings: Mapping[str, Any]) -> None:
    file = settings["vllm_lock"]
    if file is not None:
        requirement = python_packages.parse_requirement(settings["vllm_package"])
        lock = vllm_environment.parse_lock(text_of(file), file)
        vllm_environment.check_lock(lock, requirement, settings["vllm_python"], file)
    if settings["vllm_constraints"] is not None:
        text_of(settings["vllm_constraints"])


def _models(settings: Mapping[str, Any]) -> None:
    for fields in settings["vllm_profiles"].values():
        model_store.check(fields["model"], fields.get("revision"), settings["vllm_hf_home"])


def _api_key(key: object) -> None:
    if isinstance(key, Secret):
        vllm_variables.check_api_key(revealed({"VLLM_API_KEY": key})["VLLM_API_KEY"])
    elif key not in (None, "generated"):
        # What is there may be the key itself, so it is not shown.
        raise ValueError(
            "it is 'generated', None, or a Secret (from vengeance.secret import Secret), and no plain text"
        )


def ports_at_boot(distros: Iterable[Mapping[str, Any]]) -> set[int]:
    """Return the ports of the vLLM servers that start by themselves.

    + distros: the settings of hosts in the group ``wsl``
    """
    return {
        fields["port"]
        for settings in distros
        if settings["systemd"]
        for fields in settings["vllm_profiles"].values()
        if fields.get("enabled")
    }


def _package(package: str, version: str) -> None:
    requirement = python_packages.parse_requirement(package)
    if requirement.specifier and not requirement.specifier.contains(version, prereleases=True):
        raise ValueError(f"{package} is installed, and vllm_version has the flags checked for {version}")
