"""vLLM servers as systemd units, one for each profile."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand, QuoteString, StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.box import systemd_unit, vllm_faults, vllm_profiles, vllm_unit, vllm_variables
from vengeance.box.vllm_profiles import Profile
from vengeance.facts.vllm import (
    CARD_CHECK,
    Environment,
    Server,
    ServerState,
    Units,
    api_key_file,
    environment_file,
    started_with_file,
)
from vengeance.facts.vllm.interpreter import Interpreter
from vengeance.operations.refusal import checked
from vengeance.operations.templates import rendered
from vengeance.operations.vllm.environment import check_place
from vengeance.operations.vllm.running import start
from vengeance.operations.vllm.unit import enable, fingerprint, put_card_check, put_unit, put_variables, sha256
from vengeance.secret import Secret


def revealed(secrets: Mapping[str, Secret] | None) -> dict[str, str]:
    """Return the secrets themselves; ValueError with a sentence for one that is none, or cannot be read."""
    for name, value in (secrets or {}).items():
        if not isinstance(value, Secret):
            raise ValueError(f"{name} is a secret: give it as Secret.from_environment, from_file or from_keyring.")
    return {name: value.reveal() for name, value in (secrets or {}).items()}


@operation()
def server(
    profile: str,
    settings: Mapping[str, Any],
    path: str,
    user: str,
    profiles: Sequence[str] = (),
    version: str | None = None,
    variables: dict[str, str] | None = None,
    api_key: Secret | str | None = None,
    hf_home: str | None = None,
    offline: bool = True,
    device: str = "cuda",
    systemd: bool = True,
    start_timeout: int = 900,
    template: str = "templates/vllm.service.j2",
    variables_template: str = "templates/vllm.env.j2",
    card_check: str = "templates/vllm-card.py",
) -> Generator[PyinfraCommand, None, None]:
    """
    Keep the vLLM server of a profile as a systemd unit, ``vllm-PROFILE.service``.

    + profile: name of the profile
    + settings: its fields, those of ``vengeance.box.vllm_profiles.Profile``
    + path: folder of the Python environment that has vLLM
    + user: who runs it
    + profiles: names of all profiles; one card holds one of them, so the start of one stops the others
    + version: vLLM's version, for the check of the flags and the variables that it needs in WSL
    + variables: environment variables of the server; those of the profile win
    + api_key: the key that clients must send, as a Secret; ``generated``: the one of ``vllm.generated_key``
    + hf_home: folder that models are kept in (HF_HOME)
    + offline: whether models are downloaded beforehand; False lets the server fetch what it lacks by itself
    + device: what it computes on: ``cuda`` is the card of the box
    + systemd: whether units can be started; False only installs them
    + start_timeout: seconds until a started server must answer /health, loading the model included
    + template, variables_template: Jinja templates, relative to the folder that pyinfra runs in
    + card_check: the program that looks at the card before a start, relative to that folder too

    Variables and secrets go to a file that only root can read. A new unit is verified on the box before it replaces
    the old one; of the homes it sees what it reads, and no more. A server whose profile is enabled is started; another
    one is left as it is, started or not. One that runs is restarted when its unit, its variables or its packages differ
    from those that it was started with.

    **Example:**

    .. code:: python

        vllm.server(
            name="vLLM server",
            profile="qwen2.5-coder-32b",
            settings={"model": "Qwen/Qwen2.5-Coder-32B-Instruct-AWQ", "port": 8080},
            path="/home/steam/vllm-env",
            user="steam",
        )
    """
    check_place(path, user)
    declared = checked(lambda: vllm_profiles.parse(profile, settings, version))
    hub = {"HF_HUB_OFFLINE": "1" if offline else "0", **({"HF_HOME": hf_home} if hf_home else {})}
    shared = {**hub, **(variables or {})}
    plain = vllm_profiles.environment(declared, shared, version, device)
    for remark in vllm_profiles.remarks(declared, shared, version):
        host.log(f"{profile}: {remark}", logger.warning)
    secrets = checked(lambda: revealed({"VLLM_API_KEY": api_key} if isinstance(api_key, Secret) else {}))
    if "VLLM_API_KEY" in secrets:
        checked(lambda: vllm_variables.check_api_key(secrets["VLLM_API_KEY"]))
    quoted = checked(lambda: systemd_unit.variables({**plain, **secrets}))
    words = checked(lambda: vllm_profiles.arguments(declared, version))
    environment_text = rendered(variables_template, {"variables": quoted})
    given = {
        "profile": declared,
        "path": path,
        "user": user,
        "device": device,
        "environment_file": environment_file(profile),
        "key_file": api_key_file() if api_key == "generated" else None,
        "card_check": CARD_CHECK,
        "utilisation": vllm_profiles.utilisation(declared, version),
        "start_timeout": start_timeout,
    }
    others = vllm_profiles.units([name for name in profiles if name != profile])
    unit_text = rendered(template, {**given, **_derived(declared, path, words, plain, others)})

    found = host.get_fact(Server, profile=profile)
    pending = [
        *put_variables(environment_text, environment_file(profile), found),
        *put_card_check(card_check, found),
        *put_unit(unit_text, declared.unit, found, reload=systemd),
        *enable(declared, found),
    ]
    yield from pending
    installed = host.get_fact(Environment, path=path, _su_user=user, _su_shell="/bin/sh")
    then: ServerState = {
        **found,
        "unit": sha256(unit_text),
        "environment": sha256(environment_text),
        "keyed": api_key == "generated",
    }
    wanted = fingerprint(then, installed["packages"] if installed else {})
    stale = found["active"] and found["started_with"] != wanted
    if systemd and (stale or (declared.enabled and not found["active"])):
        was = "runs with what stood there before" if found["active"] else "does not run"
        host.log(f"unit {declared.unit}: {was} -> started, and answers on port {declared.port}")
        yield start(declared, wanted, start_timeout, vllm_faults.Settings.of(declared, version, path, user))
    elif not pending:
        host.noop(f"{declared.unit} is as it should be")


def _derived(
    declared: Profile, path: str, words: Sequence[str], variables: Mapping[str, str], others: Sequence[str]
) -> dict[str, object]:
    """Return what the unit's template gets that follows from the rest: command line, order, what it sees of the homes.

    + words: of the command line, without the program
    + variables: of its environment, without secrets
    + others: units of the other profiles
    """
    python = host.get_fact(Interpreter, path=path)
    models, written = checked(lambda: vllm_unit.models(variables))
    return {
        "command": checked(lambda: systemd_unit.lines([f"{path}/bin/vllm", "serve", *words])),
        "others": others,
        "after": vllm_unit.before(declared.unit, others),
        "folders": checked(lambda: vllm_unit.folders(path, words, variables, python)),
        "models": models,
        "models_written": written,
    }


@operation()
def no_other_servers(profiles: Sequence[str], systemd: bool = True) -> Generator[PyinfraCommand, None, None]:
    """
    Remove the units of profiles that are not declared any more, stopped first; the models stay.

    + profiles: names of those that are declared
    + systemd: whether units can be stopped

    Only units that a deploy of ours has written are looked at.

    **Example:**

    .. code:: python

        vllm.no_other_servers(name="No other servers", profiles=["qwen2.5-coder-32b"])
    """
    old = [unit for unit in host.get_fact(Units) if unit not in vllm_profiles.units(profiles)]
    if not old:
        host.noop("there is no unit of another profile")
        return
    for unit in old:
        host.log(f"unit {unit}: as it was -> (removed)")
        name = vllm_profiles.profile_of(unit)
        yield StringCommand("systemctl disable", "--now" if systemd else "", QuoteString(unit))
        files = (f"/etc/systemd/system/{unit}", environment_file(name), started_with_file(name))
        yield StringCommand("rm -f --", *(QuoteString(file) for file in files))
    if systemd:
        yield StringCommand("systemctl daemon-reload")
