"""Windows itself, its card, and WSL: asked from the Windows side, without starting anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vengeance.box import power, preflight, restart, versions, wslconfig
from vengeance.doctor.box import Box, Told
from vengeance.doctor.catalogue import finding
from vengeance.doctor.findings import Finding
from vengeance.facts.windows import (
    DirectoryAccess,
    Feature,
    FirewallRules,
    Gpus,
    Hardware,
    Os,
    PendingReboot,
    Power,
)
from vengeance.facts.wsl import Configuration, Installation

_FIRST_FOR_SESSION_0 = (2, 0)


def windows(box: Box) -> Told:
    """Version, restart, sleep, disks, the deploys' folder, the firewall."""
    ask, settings = box.on_windows, box.settings
    system = ask(Os)
    shown = f"{system['caption']} {system['display_version']}, build {system['build']}.{system['ubr']}"
    if system["build"] < settings["windows_build"]:
        yield finding("windows-too-old", f"{shown}; windows_build is {settings['windows_build']}")
    if system["architecture"].upper() not in ("AMD64", "X86_64"):
        yield finding("windows-not-x64", f"the processor is called {system['architecture']}")
    yield shown
    waits = restart.that_count(ask(PendingReboot)["reasons"], [])
    if waits:
        yield finding("restart-waits", ", ".join(restart.WORDS[reason] for reason in waits))
    if not settings["windows_sleep"]:
        found = ask(Power)
        yield from _awake({**found})
    for disk in ask(Hardware)["disks"]:
        if disk["free_bytes"] < preflight.SPARE_BYTES:
            room = f"{disk['free_bytes'] / preflight.GB:.1f} of {disk['size_bytes'] / preflight.GB:.0f} GB are free"
            yield finding("disk-nearly-full", f"{disk['drive']} {room}", drive=disk["drive"])
    folder = ask(DirectoryAccess, path=settings["work_folder"])
    if folder["exists"] and (not folder["closed"] or folder["foreign"]):
        theirs = (
            f"{folder['foreign'][0]['path']} belongs to {folder['foreign'][0]['owner']}" if folder["foreign"] else ""
        )
        yield finding("work-folder-open", theirs or f"{folder['path']} can be written by others")
    off = [name for name, on in ask(FirewallRules, port=settings["ollama_port"])["enabled"].items() if not on]
    if off:
        yield finding("firewall-off", f"off in the profiles {', '.join(off)}", profiles=",".join(off))


def _awake(found: Mapping[str, Any]) -> Iterator[Finding]:
    changes = power.changes(found, sleep=False, hibernate=False, fast_startup=False)
    if changes is None:
        return
    if any(value is not None for name, value in changes.items() if name != "fast_startup"):
        yield finding("windows-sleeps", power.shown(found))
    if changes["fast_startup"] is not None:
        yield finding("fast-startup-on", "HiberbootEnabled is 1")


def driver(box: Box) -> Told:
    """The card as Windows' driver shows it."""
    found, wanted = box.on_windows(Gpus), box.settings["gpu_name"]
    if not found["gpus"]:
        yield finding("card-not-seen", found["failure"] or "nvidia-smi.exe lists no card")
        return
    card = next((one for one in found["gpus"] if wanted.lower() in one["name"].lower()), None)
    if card is None:
        names = " and ".join(one["name"] for one in found["gpus"])
        yield finding("card-is-another", f"the card is {names}, and gpu_name is {wanted!r}")
        return
    shown = f"{card['name']}, driver {card['driver_version']}"
    lowest = box.settings["driver_lowest"]
    if versions.numbers(card["driver_version"]) < versions.numbers(lowest):
        yield finding("driver-too-old", f"{shown}; driver_lowest is {lowest}")
    if card["driver_model"] == "TCC":
        yield finding("card-in-tcc-mode", f"{shown}, driver model TCC")
    yield f"{shown}, {card['memory_free_mib']:,} of {card['memory_mib']:,} MiB free"


def wsl(box: Box) -> Told:
    """What WSL needs of Windows, its package, and its settings."""
    ask, settings = box.on_windows, box.settings
    hardware = ask(Hardware)
    if preflight.virtualization(hardware["firmware_virtualization"], hardware["hypervisor_present"]):
        yield finding("virtualization-off", "the firmware has it off, and no hypervisor runs")
        return
    for feature in settings["windows_features"]:
        state = ask(Feature, feature=feature)
        if state == "EnablePending":
            yield finding("feature-waits-for-restart", f"{feature} is {state}")
        elif state != "Enabled":
            yield finding("feature-off", f"{feature} is {state or 'unknown to this Windows'}")
    found = ask(Installation)
    if found["version"] is None or found["path"] is None:
        yield finding("wsl-not-installed", r"HKLM\...\Lxss\MSI names no installation")
        return
    pinned = versions.numbers(settings["wsl_version"])
    if versions.numbers(found["version"]) < _FIRST_FOR_SESSION_0:
        yield finding("wsl-too-old", f"version {found['version']}; wsl_version is {settings['wsl_version']}")
        return
    if versions.numbers(found["version"])[: len(pinned)] != pinned:
        yield finding("wsl-other-version", f"version {found['version']}; wsl_version is {settings['wsl_version']}")
    yield f"WSL {found['version']}"
    for sentence in preflight.memory(hardware["memory_bytes"], hardware["logical_processors"], settings["wslconfig"]):
        said, _, change = sentence.rpartition(": ")
        yield finding("wslconfig-takes-too-much", said, change=change.rstrip("."))
    text = ask(Configuration)["text"]
    if text is None:
        yield finding("wslconfig-missing", f"there is no {ask(Configuration)['path']}")
    else:
        yield from _configuration(text, wslconfig.texts(settings["wslconfig"]))


def _configuration(text: str, wanted: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """What is wrong in a .wslconfig; a setting that has a finding of its own is not told again as a difference."""
    has = wslconfig.parse(text)
    told: set[tuple[str, str]] = set()
    ignored = list(_ignored(text, has))
    if ignored:
        told |= {(section, key) for section, key, _ in ignored}
        yield finding("wslconfig-line-ignored", "; ".join(said for _, _, said in ignored))
    if has.get("wsl2", {}).get("networkingmode", "").lower() == "mirrored":
        told.add(("wsl2", "networkingmode"))
        yield finding("wslconfig-mirrored", "[wsl2] networkingMode=mirrored")
    if has.get("experimental", {}).get("sparsevhd", "").lower() == "true":
        told.add(("experimental", "sparsevhd"))
        yield finding("wslconfig-sparse-disk", "[experimental] sparseVhd=true")
    limits = wslconfig.timeouts(text)
    idle = [
        f"{key} is {milliseconds} ms"
        for key, milliseconds in (("instanceIdleTimeout", limits.instance_ms), ("vmIdleTimeout", limits.machine_ms))
        if milliseconds is not None
    ]
    if idle:
        told |= {("general", "instanceidletimeout"), ("wsl2", "vmidletimeout")}
        yield finding("wslconfig-stops-what-is-idle", "; ".join(idle))
    graphics = has.get("wsl2", {}).get("guiapplications", "true").lower()
    if graphics != "false" and wanted.get("wsl2", {}).get("guiApplications") == "false":
        told.add(("wsl2", "guiapplications"))
        yield finding("wslconfig-graphics-on", f"[wsl2] guiApplications is {graphics}")
    rest = list(_differences(has, wanted, told))
    if rest:
        yield finding("wslconfig-differs", "; ".join(rest))


def _ignored(text: str, has: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, str]]:
    known = {section.lower(): {key.lower() for key in keys} for section, keys in wslconfig.SETTINGS.items()}
    for section, values in has.items():
        for key in values:
            if section not in known:
                yield section, key, f"there is no section [{section}]"
            elif key not in known[section]:
                yield section, key, f"there is no {key} in [{section}]"
    for key in ("memory", "swap"):
        value = has.get("wsl2", {}).get(key)
        if value is not None:
            try:
                wslconfig.size_in_bytes(value)
            except ValueError:
                yield "wsl2", key, f"[wsl2] {key}={value} is no size"
    for line in text.lstrip("\ufeff").splitlines():
        words = line.strip()
        if words and words[0] not in "#;[" and "=" not in words:
            yield "", words, f"the line {words!r} says nothing"


def _differences(
    has: Mapping[str, Mapping[str, str]], wanted: Mapping[str, Mapping[str, str]], told: set[tuple[str, str]]
) -> Iterator[str]:
    should = {section.lower(): {key.lower(): value for key, value in keys.items()} for section, keys in wanted.items()}
    for section in dict.fromkeys([*should, *has]):
        mine, theirs = should.get(section, {}), has.get(section, {})
        for key in dict.fromkeys([*mine, *theirs]):
            if (section, key) not in told and mine.get(key) != theirs.get(key):
                yield f"[{section}] {key} is {theirs.get(key, '(not set)')}, not {mine.get(key, '(not set)')}"
