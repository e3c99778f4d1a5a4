"""Ollama on Windows, its models, and who has the card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vengeance.box import (
    gpu_tenants,
    modes,
    ollama_environment,
    ollama_models,
    ollama_package,
    ollama_server,
    ollama_settings,
    versions,
)
from vengeance.doctor.box import Box, NotReadable, Told
from vengeance.doctor.catalogue import finding
from vengeance.doctor.checks.distro import set_otherwise
from vengeance.doctor.findings import Finding
from vengeance.facts import ollama as facts
from vengeance.facts.vllm.states import States
from vengeance.facts.windows import Environment, Gpu, GpuProcesses, ScheduledTask
from vengeance.facts.wsl import WSL_EXE, Installation, Running
from vengeance.operations.ollama.processes import TASK
from vengeance.operations.windows.tasks import password_is_stale
from vengeance.operations.windows.variables import values_of

_SAFE = (0, 23, 3)
_HOST = "OLLAMA_HOST"
_LEVELS = {"machine": "Machine", "user": "User"}
_MIB = 2**20
# 7 and more is background for processor, disk and memory: TaskSettings.Priority.
_HIGHEST_NORMAL = 6


def ollama(box: Box) -> Told:
    """What is installed, what starts it, what runs and with which variables, and whether it answers."""
    ask, settings = box.on_windows, box.settings
    package, start = settings["ollama_package"], settings["ollama_autostart"]
    found = ask(facts.Installation, folder=ollama_package.archive_folder(package, settings["ollama_path"]))
    there = found["archive"] if package == "zip" else found["setup"]
    if there is None:
        other = "; its installer's is there" if package == "zip" and found["setup"] else ""
        yield finding("ollama-not-installed", f"no Ollama of the package {package!r} for this account{other}")
        return
    if not there["complete"]:
        yield finding("ollama-half-installed", f"files are missing in {there['folder']}")
        return
    yield from _version(str(there["version"]), settings["ollama_version"])
    variables = list(_variables(box))
    yield from variables
    yield from _app(box)
    if start == "boot":
        yield from _task(box)
    # A registry that is wrong is mended first; until then what the server works with says nothing.
    yield from _server(box, compared=not variables)


def _version(version: str, pinned: str) -> Iterator[Finding]:
    if versions.numbers(version) < _SAFE:
        yield finding("ollama-version-unsafe", f"Ollama {version}")
    elif versions.numbers(version) != versions.numbers(pinned):
        yield finding("ollama-other-version", f"Ollama {version}; ollama_version is {pinned}")


def _variables(box: Box) -> Iterator[Finding]:
    """The registry's variables against the declared ones; each name is told once, by what explains most."""
    settings = box.settings
    there = box.on_windows(Environment)
    present = {"machine": values_of(there["machine"]), "user": values_of(there["user"])}
    start = settings["ollama_autostart"]
    wanted = ollama_settings.levels(
        settings["ollama_machine_variables"], settings["ollama_user_variables"], start, present
    )
    machine, user = ({name.upper(): value for name, value in present[level].items()} for level in _LEVELS)
    told: set[str] = set()
    host = {name.upper(): value for name, value in wanted["machine"].items()}.get(_HOST)
    if host is not None and _HOST in user and _HOST not in machine:
        told.add(_HOST)
        yield finding("ollama-host-user-variable-only", f"{_HOST}={user[_HOST]} for the user, nothing for the machine")
    for name in sorted(set(machine) & set(user)):
        if name.startswith("OLLAMA_") and name not in told and machine[name] != user[name]:
            told.add(name)
            evidence = f"{name}: the machine has {machine[name]!r}, the user {user[name]!r}, which wins"
            yield finding("ollama-user-variable-wins", evidence)
    for level, name, value in _there(present):
        if name in told:
            continue
        try:
            ollama_environment.check_name(name)
        except ValueError as error:
            told.add(name)
            evidence = f"{name}={value!r} ({level}): {error}"
            yield finding("ollama-variable-unknown", evidence, variable=name, level=_LEVELS[level])
    for level, name, value in ollama_settings.strays(present, wanted):
        upper = name.upper()
        if upper == "OLLAMA_ORIGINS" and "*" in value.split(","):
            told.add(upper)
            yield finding("ollama-open-to-web-pages", f"{name}={value!r} ({level})")
        if upper not in told:
            told.add(upper)
            evidence = f"{name}={value!r} ({level})"
            yield finding("ollama-variable-undeclared", evidence, variable=name, level=_LEVELS[level].lower())
    yield from _wrong(present, wanted, told, settings)


def _wrong(
    present: Mapping[str, Mapping[str, str]],
    wanted: Mapping[str, Mapping[str, str | None]],
    told: set[str],
    settings: Mapping[str, Any],
) -> Iterator[Finding]:
    wrong: list[str] = []
    for level, values in wanted.items():
        has = {name.upper(): value for name, value in present[level].items()}
        for name, value in values.items():
            now = has.get(name.upper())
            if name.upper() in told or now == value:
                continue
            told.add(name.upper())
            if name.upper() == _HOST and _is_loopback(now):
                evidence = f"{name} is {now or '(not set)'} for the {level}, and {value!r} is declared"
                yield finding("ollama-on-loopback-only", evidence, port=settings["ollama_port"])
            else:
                wrong.append(f"{name} is {now or '(not set)'} for the {level}, not {value or '(not set)'}")
    if wrong:
        yield finding("ollama-variable-wrong", "; ".join(wrong))
    effect = ollama_settings.in_effect(settings["ollama_machine_variables"], settings["ollama_user_variables"])
    others = {**present["machine"], **present["user"]}
    if "OLLAMA_CONTEXT_LENGTH" not in effect and "OLLAMA_CONTEXT_LENGTH" not in {name.upper() for name in others}:
        yield finding("ollama-context-by-vram", "neither declared nor set")
    forwarded = settings["ollama_port"] in settings["exposed_ports"]
    if _is_loopback(effect.get(_HOST)) and _HOST not in told and not forwarded:
        evidence = f"{_HOST} is declared as {effect.get(_HOST) or '(not at all)'}"
        yield finding("ollama-on-loopback-only", evidence, port=settings["ollama_port"])


def _there(present: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, str]]:
    for level, values in present.items():
        for name, value in values.items():
            yield level, name.upper(), value


def _is_loopback(value: str | None) -> bool:
    return ollama_server.address(value or "").host in ("127.0.0.1", "localhost", "::1")


def _app(box: Box) -> Iterator[Finding]:
    found, settings = box.on_windows(facts.Settings), box.settings
    kept = found["settings"]
    if kept is not None:
        put = ollama_settings.put_by_app(kept["expose"], kept["browser"], kept["models"], kept["context_length"])
        if put:
            shown = ", ".join(f"{name}={value}" for name, value in put.items())
            yield finding("ollama-app-setting-wins", f"the window of the app puts {shown}")
        if kept["auto_update_enabled"] and not settings["ollama_auto_update"]:
            yield finding("ollama-updates-itself", "auto_update_enabled is on")
    if found["update_staged"] and not settings["ollama_auto_update"]:
        yield finding("ollama-update-staged", r"%LOCALAPPDATA%\Ollama\updates_v2 has an installer")
    if settings["ollama_autostart"] == "boot":
        if found["starts_at_logon"]:
            yield finding("ollama-app-starts-at-logon", str(found["startup_link"]))
        if found["app_runs"]:
            yield finding("ollama-tray-app-runs", "ollama app.exe runs")


def _task(box: Box) -> Iterator[Finding]:
    task = box.on_windows(ScheduledTask, task=TASK)["task"]
    if task is None:
        yield finding("ollama-task-gone", rf"Task Scheduler has no \vengeance\{TASK}")
        return
    told = task["definition"]
    if told["logon"] == "password" and password_is_stale(task):
        changed = task["password_set"] or "an unknown time"
        evidence = f"the task was stored at {task['registered']}, the password was changed at {changed}"
        yield finding("ollama-task-password-old", evidence)
    wrong = list(set_otherwise(told))
    if told["time_limit"]:
        wrong.append(f"it is ended after {told['time_limit'] / 3600:g} hours")
    if told["priority"] > _HIGHEST_NORMAL:
        wrong.append(f"its priority is {told['priority']}")
    if wrong:
        yield finding("ollama-task-set-otherwise", "; ".join(wrong))


def _server(box: Box, compared: bool) -> Told:
    settings = box.settings
    log = rf"{settings['work_folder']}\ollama\server.log"
    found = box.on_windows(facts.Server, boot_log=log)
    asked = ollama_settings.asked_at(settings["ollama_machine_variables"], settings["ollama_user_variables"])
    try:
        answered = box.on_windows(facts.Version, address=asked, port=settings["ollama_port"])
    except NotReadable as error:
        if "is not Ollama" not in error.said:
            raise
        yield finding("ollama-is-another", error.said, port=settings["ollama_port"])
        return
    if len(found["servers"]) > 1:
        listed = ", ".join(f"{one['pid']} (started by {one['started_by']})" for one in found["servers"])
        yield finding("ollama-two-servers", f"processes {listed}")
        return
    if not found["servers"]:
        if settings["ollama_autostart"] == "logon" and not found["signed_in"]:
            yield "waits for the next logon, as declared (ollama_autostart)"
            return
        words = f"; the last line of its log: {found['last_words']}" if found["last_words"] else ""
        app = "; the tray app runs" if found["app_runs"] else ""
        yield finding("ollama-does-not-run", f"no process ollama.exe serve{app}{words}")
        return
    (server,) = found["servers"]
    if answered is None:
        where = f", which listens on {server['listening']}" if server["listening"] else ""
        evidence = f"process {server['pid']}{where} gives nothing at http://{asked}:{settings['ollama_port']}"
        yield finding("ollama-does-not-answer", evidence)
        return
    wanted = {"boot": "task", "logon": "app"}[settings["ollama_autostart"]]
    if server["started_by"] != wanted or (wanted == "app" and server["session"] == 0):
        evidence = f"process {server['pid']} in session {server['session']} was started by {server['started_by']}"
        yield finding("ollama-started-otherwise", f"{evidence}, not by the {wanted}")
    elif compared and server["environment"] is not None:
        yield from _running(box, server["environment"])
    yield f"Ollama {answered} answers"


def _running(box: Box, environment: Mapping[str, str]) -> Iterator[Finding]:
    there = box.on_windows(Environment)
    registry = ollama_settings.in_effect(values_of(there["machine"]), values_of(there["user"]))
    different = ollama_server.differences(registry, environment)
    if different:
        shown = [f"{name}={now!r}, the registry has {was or '(nothing)'}" for name, (was, now) in different.items()]
        yield finding("ollama-works-with-old-variables", "; ".join(shown))


def models(box: Box) -> Told:
    """The declared models, their digests, and the room for those that are missing."""
    ask, settings = box.on_windows, box.settings
    asked = ollama_settings.asked_at(settings["ollama_machine_variables"], settings["ollama_user_variables"])
    there = ask(facts.Models, address=asked, port=settings["ollama_port"])
    if there is None:
        yield "nobody answers who could be asked"
        return
    wanted = ollama_models.declared(settings["ollama_models"])
    by_name = {name.lower(): one["digest"] for name, one in there.items()}
    missing = [one for one in wanted if one.name.lower() not in by_name]
    changed = [one for one in wanted if one.name.lower() in by_name and not one.is_that_of(by_name[one.name.lower()])]
    variables = ollama_settings.in_effect(settings["ollama_machine_variables"], settings["ollama_user_variables"])
    storage = ask(facts.Storage, folder=variables.get("OLLAMA_MODELS"))
    if missing:
        too_little = ollama_models.too_little_room(missing, storage["free_bytes"], storage["partial_bytes"])
        names = ", ".join(one.name for one in missing)
        yield finding("model-missing", names) if too_little is None else finding("models-without-room", too_little)
    elif storage["partial_bytes"]:
        yield finding("pull-unfinished", f"{storage['partial_bytes'] / 10**9:.1f} GB in {storage['folder']}")
    for one in changed:
        has = by_name[one.name.lower()][:12]
        yield finding("model-changed", f"{one.name} has {has}, and {str(one.digest)[:12]} is declared")
    yield f"{len(there)} models, {len(wanted) - len(missing)} of the {len(wanted)} declared"


def tenants(box: Box) -> Told:
    """Who has the card's memory, by what to do about it."""
    ask, settings = box.on_windows, box.settings
    card, counters = ask(Gpu), ask(GpuProcesses)
    if card is None:
        yield "no card"
        return
    if not counters["counted"]:
        yield finding("gpu-counters-broken", str(counters["reason"]))
    held = gpu_tenants.held(card, counters)
    asked = ollama_settings.asked_at(settings["ollama_machine_variables"], settings["ollama_user_variables"])
    try:
        loaded = ask(facts.Loaded, address=asked, port=settings["ollama_port"])
    except NotReadable:
        # What answers there is told at its own link.
        loaded = None
    running = _running_servers(box)
    for tenant, name in (
        ("comfyui", "card-held-by-comfyui"),
        ("game", "card-held-by-a-game"),
        ("other", "card-held-by-others"),
    ):
        holders = [one for one in held.holders if one.tenant == tenant]
        if holders and not running:
            shown = ", ".join(f"{one.image} (process {one.pid}, {one.mib} MiB)" for one in holders)
            yield finding(name, shown, pid=holders[0].pid)
    on_card = {name: one["size_vram"] // _MIB for name, one in (loaded or {}).items() if one["size_vram"]}
    strangers = [one for one in held.holders if one.tenant in ("comfyui", "game", "other")]
    if running and (on_card or strangers):
        beside = [f"{name} of Ollama ({mib} MiB)" for name, mib in on_card.items()]
        beside += [f"{one.image} (process {one.pid}, {one.mib} MiB)" for one in strangers]
        yield finding("card-shared", f"{', '.join(running)} runs, and beside it {', '.join(beside)}")
    if not running and running is not None and held.mib_of("wsl") >= modes.NOTHING_MIB:
        yield finding("card-held-in-wsl", f"WSL has {held.mib_of('wsl')} MiB, and no server of ours runs")
    for name, one in (loaded or {}).items():
        if one["size_vram"] < one["size"] and not running:
            part = f"{one['size_vram'] // _MIB} of {one['size'] // _MIB} MiB are on the card"
            yield finding("model-partly-on-processor", f"{name}: {part}, context {one['context_length']}")
    whose = ", ".join([*(running or []), *on_card, *(one.image for one in strangers)]) or "nobody but the desktop"
    yield f"{held.used:,} of {held.total:,} MiB are taken: {whose}"


def _running_servers(box: Box) -> list[str] | None:
    """Profiles of vLLM whose servers run or are about to; None where the distro does not run, or cannot be asked."""
    if box.distro is None or getattr(box.distro.connector, "client", None) is None:
        return None
    found = box.on_windows(Installation)
    if box.declared_distro not in box.on_windows(Running, path=found["path"] or WSL_EXE):
        return None
    try:
        states = box.in_distro(States)
    except NotReadable:
        return None
    return [name for name, state in states.items() if state not in ("inactive", "failed")]
