"""vLLM: its Python environment, its model, its servers, and a token of the one that runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from packaging.requirements import Requirement

from vengeance.box import model_config, model_store, python_packages, tailnet, vllm_faults, vllm_profiles, vram
from vengeance.box.vllm_environment import whole
from vengeance.box.vllm_profiles import Profile
from vengeance.doctor.box import Box, Told
from vengeance.doctor.catalogue import finding, of_a_journal
from vengeance.doctor.findings import Finding
from vengeance.facts.cuda import Passthrough
from vengeance.facts.tailscale import Status
from vengeance.facts.vllm import Environment, Health, Journal, Model, ModelFiles, Server
from vengeance.facts.vllm.api_key import KeyFile
from vengeance.facts.vllm.environment import EnvironmentFaults
from vengeance.facts.vllm.server import api_key_file, environment_file
from vengeance.facts.vllm.states import States
from vengeance.facts.vllm.unit import Unit, UnitState
from vengeance.operations.reach import NoCompletion, completion, url_of
from vengeance.operations.vllm import made_key
from vengeance.operations.vllm.unit import fingerprint
from vengeance.secret import Secret

_JOURNAL_LINES = 400
_TOKEN_SECONDS = 20


def venv(box: Box) -> Told:
    """The Python environment, and the model of the chosen profile."""
    ask, inside = box.in_distro, box.inside
    path, user = inside["vllm_path"], inside["linux_user"]
    found = ask(Environment, path=path, user=user)
    if found is None:
        yield finding("venv-missing", f"there is no {path}/bin/python")
        return
    faults = ask(EnvironmentFaults, path=path, user=user)
    marker = faults["marker"] if faults else None
    accepted = marker["accepted"] if marker else []
    broken = {name: why for name, why in (faults["broken"] if faults else {}).items() if name not in accepted}
    requirement = Requirement(inside["vllm_package"])
    packages = whole(found["packages"], broken)
    version = python_packages.version_of(requirement, packages)
    if broken or (faults and faults["leftovers"]):
        shown = [f"{name.removesuffix('.dist-info')}: {why}" for name, why in broken.items()]
        yield finding("venv-not-whole", "; ".join([*shown[:3], *(faults["leftovers"][:3] if faults else [])]))
    elif version is None:
        yield finding("vllm-not-in-venv", f"{path} has {len(packages)} packages, and not {requirement.name}")
        return
    elif not python_packages.is_met(requirement, packages):
        yield finding("vllm-other-version", f"{path} has {requirement.name} {version}, not {requirement}")
    elif marker is None:
        yield finding(
            "venv-unfinished", f"{path} has {requirement.name} {version}, and no mark of a whole installation"
        )
    if faults and faults["bytecode"]:
        yield finding("venv-bytecode-broken", f"{len(faults['bytecode'])} files, such as {faults['bytecode'][0]}")
    if found["owner"] != user or (faults and faults["strange"]):
        whose = f"{path} belongs to {found['owner']}" if found["owner"] != user else str(faults and faults["strange"])
        yield finding("venv-of-somebody-else", f"{whose}; linux_user is {user}")
    yield f"{requirement.name} {version or 'that is not whole'}, Python {found['python']}"
    yield from _model(box, path, user)


def _model(box: Box, path: str, user: str) -> Told:
    inside = box.inside
    declared = inside["vllm_profiles"].get(inside["vllm_profile"])
    if declared is None or not inside["vllm_download"]:
        return
    found = box.in_distro(
        Model,
        model=declared["model"],
        revision=declared.get("revision"),
        hf_home=inside["vllm_hf_home"],
        path=path,
        user=user,
    )
    if not found["complete"]:
        faulty = f": {', '.join(found['faulty'][:3])}" if found["faulty"] else ""
        yield finding("vllm-model-missing", f"{declared['model']} is not whole in {inside['vllm_hf_home']}{faulty}")
    else:
        yield f"the model {declared['model']}"
    if model_store.unfit(inside["vllm_hf_home"], found["place"], found["file_system"]) is not None:
        yield finding("vllm-model-on-windows-drive", f"{found['place']} is on {found['file_system']}")
    token = found["token"]
    if token is not None and token["mode"] not in ("600", "400", ""):
        yield finding("token-readable", f"the token in {inside['vllm_hf_home']} has mode {token['mode']}")


def unit(box: Box) -> Told:
    """The units of all profiles, and what became of their servers."""
    ask, inside = box.in_distro, box.inside
    if not inside["systemd"]:
        yield "not looked at: nothing runs under systemd here (systemd = False)"
        return
    states = ask(States)
    for name, fields in inside["vllm_profiles"].items():
        profile = vllm_profiles.parse(name, fields, inside["vllm_version"])
        if name not in states:
            yield finding("unit-missing", f"there is no {profile.unit} of ours", unit=profile.unit)
        else:
            yield from _server(box, profile, ask(Unit, unit=profile.unit))
    chosen = inside["vllm_profiles"].get(inside["vllm_profile"])
    if chosen is not None:
        yield from _chosen(box, vllm_profiles.parse(inside["vllm_profile"], chosen, inside["vllm_version"]))
    if inside["vllm_api_key"] == "generated" and ask(KeyFile) not in ("right", "absent"):
        yield finding("unit-secrets-readable", f"{api_key_file()} is {ask(KeyFile)}")
    running = ", ".join(f"{name} answers" for name in box.running)
    yield running or f"{len(states)} units, and no server runs (Ollama has the card)"


def _server(box: Box, profile: Profile, told: UnitState) -> Iterator[Finding]:
    ask, inside = box.in_distro, box.inside
    found = ask(Server, profile=profile.name)
    hidden = _hidden(told) if inside["vllm_device"] == "cuda" else None
    if told["drop_ins"]:
        yield finding("unit-overridden", f"{profile.unit}: {', '.join(told['drop_ins'])}", unit=profile.unit)
    if hidden is not None:
        yield finding("gpu-hidden-from-unit", f"{profile.unit}: {hidden}", unit=profile.unit)
    if told["restart"] != "always":
        yield finding("unit-does-not-restart", f"{profile.unit} has Restart={told['restart']}", unit=profile.unit)
    if (found["environment_mode"], found["environment_owner"]) not in ((None, None), ("600", "root:root")):
        evidence = (
            f"{environment_file(profile.name)} is {found['environment_owner']}'s, mode {found['environment_mode']}"
        )
        yield finding("unit-secrets-readable", evidence)
    if found["enabled"] != profile.enabled:
        declared = "enabled" if profile.enabled else "not enabled"
        now = "enabled" if found["enabled"] else "not"
        yield finding("unit-at-boot-otherwise", f"{profile.unit} is {now}, and declared {declared}")
    yield from _life(box, profile, told)
    if told["state"] == "active":
        packages = ask(Environment, path=inside["vllm_path"], user=inside["linux_user"])
        wanted = fingerprint(found, packages["packages"] if packages else {})
        if found["started_with"] not in (None, wanted):
            evidence = f"{profile.unit} was started with {str(found['started_with'])[:12]}, there is {wanted[:12]} now"
            yield finding("server-runs-with-old-settings", evidence, profile=profile.name)


def _hidden(told: UnitState) -> str | None:
    """By which setting a unit hides the card; None where it does not."""
    if told["private_devices"]:
        return "PrivateDevices=yes"
    limited = told["device_policy"] in ("closed", "strict") or told["devices"]
    if limited and not any(device.split()[0] == "/dev/dxg" for device in told["devices"]):
        return f"DevicePolicy={told['device_policy']}, and no DeviceAllow=/dev/dxg"
    over = [path for path in told["inaccessible"] if path.lstrip("-+").startswith(("/dev/dxg", "/usr/lib/wsl"))]
    return f"InaccessiblePaths={' '.join(over)}" if over else None


def _life(box: Box, profile: Profile, told: UnitState) -> Iterator[Finding]:
    inside = box.inside
    if told["state"] == "active":
        if box.in_distro(Health, port=profile.port):
            box.running.append(profile.name)
        elif (told["active_seconds"] or 0) < inside["vllm_start_timeout"]:
            evidence = f"{profile.unit} was started {told['active_seconds'] or 0:.0f} s ago and does not answer yet"
            yield finding("server-starts", evidence, unit=profile.unit)
        else:
            evidence = f"{profile.unit} is active and gives no 200 on port {profile.port}, path /health"
            yield finding("server-does-not-answer", evidence, unit=profile.unit)
        return
    # "activating" is one that died and waits for its next start; one that was stopped since is nobody's trouble.
    if told["state"] not in ("failed", "activating"):
        if profile.enabled:
            evidence = f"{profile.unit} is {told['state']}, and its profile is enabled"
            yield finding("server-failed", evidence, unit=profile.unit)
        return
    written = box.in_distro(Journal, unit=profile.unit, lines=_JOURNAL_LINES)
    log = "\n".join(written)
    settings = vllm_faults.Settings.of(profile, inside["vllm_version"], inside["vllm_path"], inside["linux_user"])
    known = [fault for fault in vllm_faults.explain(log, settings) if fault.name in vllm_faults.NAMES]
    for fault in known:
        yield finding(of_a_journal(fault.name), f"{profile.unit}: {fault.evidence}", command=fault.mend)
    if not known:
        last = log.strip().splitlines()[-1:] or ["it wrote nothing"]
        yield finding(
            "server-failed", f"{profile.unit} is {told['state']} ({told['result']}): {last[0]}", unit=profile.unit
        )


def _chosen(box: Box, profile: Profile) -> Iterator[Finding]:
    inside = box.inside
    shared = inside["vllm_variables"]
    remarks = vllm_profiles.remarks(profile, shared, inside["vllm_version"])
    if remarks:
        yield finding("profile-setting-doubtful", " ".join(remarks), profile=profile.name)
    seen = box.in_distro(Passthrough) if inside["vllm_device"] == "cuda" else None
    cards = [] if seen is None else seen["cards"]
    if len(cards) < profile.tensor_parallel_size:
        return
    files = box.in_distro(ModelFiles, model=profile.model, hf_home=inside["vllm_hf_home"], revision=profile.revision)
    shipped = model_config.shipped_as(profile.model)
    held = vram.Range.exactly(cards[0]["memory_used_mib"] * vram.MIB)
    held = held if held.high <= vram.IDLE_WINDOWS.high else vram.IDLE_WINDOWS
    try:
        if files is not None:
            config, weights = model_config.parse(files["config"]), files["weights"]
        elif shipped is not None:
            config, weights = shipped.config, None
        else:
            return
        wanted = vram.settings_of(profile, inside["vllm_version"], shared)
        plan = vram.plan(config, wanted, cards[0]["memory_mib"] * vram.MIB, held, weights)
    except ValueError:
        # The sizes of some models are not known here, and nobody can say then.
        return
    if plan.verdict is vram.Verdict.DOES_NOT_FIT:
        yield finding("profile-does-not-fit", f"{profile.name}: {' '.join(plan.why)}", profile=profile.name)


def token(box: Box) -> Told:
    """A completion of the server that runs, fetched from here as another machine of the tailnet does it."""
    inside = box.inside
    if not box.running or box.distro is None:
        yield "no vLLM server runs, so none is asked; Ollama is not, as that would load a model"
        return
    profile = vllm_profiles.parse(box.running[0], inside["vllm_profiles"][box.running[0]], inside["vllm_version"])
    if box.settings["expose"] == "none" or profile.port not in box.settings["exposed_ports"]:
        yield f"port {profile.port} is not exposed, so nobody can ask from here"
        return
    url = url_of(address(box), profile.port, "")
    name = profile.served_model_name or profile.model
    try:
        text = completion(url, name, _key(box), _TOKEN_SECONDS)
    except NoCompletion as none:
        if none.broken:
            yield finding("completion-fails", f"{url}: {none}", unit=profile.unit)
        else:
            yield f"{url} gives none: {none}"
        return
    yield f"{url} goes on with {text!r}"


def _key(box: Box) -> Secret | None:
    declared: Any = box.inside["vllm_api_key"]
    if isinstance(declared, Secret):
        return declared
    return made_key(box.distro) if declared == "generated" and box.distro is not None else None


def address(box: Box) -> str:
    """Where others reach the box."""
    declared = box.settings["box_address"]
    if declared:
        return str(declared)
    there = tailnet.address4(box.on_windows(Status)["addresses"]) if box.settings["tailscale_wanted"] else None
    return there or (box.wire.host if box.wire is not None else box.name)
