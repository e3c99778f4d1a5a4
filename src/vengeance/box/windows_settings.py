"""What is wrong with the settings of the Windows side, one by one and with each other; nothing is asked of the box."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from vengeance.box import (
    downloads,
    firewall,
    installers,
    ollama_environment,
    ollama_models,
    ollama_package,
    ollama_server,
    ollama_settings,
    ports,
    windows_paths,
    wslconfig,
)
from vengeance.box.pins import pinned

LOWEST_WSL = (2, 5, 9)
"""The first whose source has ``instanceIdleTimeout``, without which systemd's services are stopped after 15 s; the
release notes name it with 2.5.4. From 2.0.0 on WSL can be used by a connection without a desktop (WSL#9231)."""
FEATURES = (
    "VirtualMachinePlatform",
    "HypervisorPlatform",
    "Microsoft-Windows-Subsystem-Linux",
    "Microsoft-Hyper-V-All",
    "Microsoft-Hyper-V",
    "Containers",
    "Containers-DisposableClientVM",
    "NetFx3",
    "SMB1Protocol",
    "TelnetClient",
)
"""Names of optional features that are often meant; Windows has more, and its list differs by edition."""

# SHA-256 -> what has it, so that a version cannot be changed without its hash.
_FILES = {
    pinned("ollama", "sha256"): {"ollama_version": pinned("ollama"), "ollama_package": "setup"},
    pinned("wsl", "sha256"): {"wsl_version": pinned("wsl")},
}
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})\.(\d{1,4})(?:-rc\d+)?")
_DISTRO_IMAGES = (".wsl", ".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".tgz")
_A_DAY = 86_400
_A_WEEK = 7 * _A_DAY


def problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """Give one sentence for each setting that is wrong, beginning with its name.

    + settings: those of ``group_data/windows.py``, each of the right kind
    """
    alone = [sentence for name, check in _CHECKS.items() if (sentence := _problem(name, check, settings[name]))]
    # How they go with each other is worth telling only when each makes sense.
    yield from alone or _together(settings)


def _problem(name: str, check: Callable[[Any], object], value: object) -> str | None:
    try:
        check(value)
    except ValueError as error:
        sentence = str(error)
        return f"{name}: {sentence}" if sentence.endswith((".", "?")) else f"{name}: {sentence}."
    return None


def one_of(*known: str, instead: Mapping[str, str] | None = None) -> Callable[[str], None]:
    """Return a check that a text is one of those that are known; it raises ValueError with the nearest.

    + instead: other texts that somebody may write -> why not
    """

    def check(value: str) -> None:
        if value in known:
            return
        if instead and value in instead:
            raise ValueError(f"it is one of {', '.join(known)}, not {value!r}: {instead[value]}.")
        near = difflib.get_close_matches(value.lower(), known, n=1, cutoff=0.5)
        raise ValueError(f"it is one of {', '.join(known)}, not {value!r}" + (f": {near[0]}?" if near else "."))

    return check


def nearest(name: str, known: Iterable[str], cutoff: float) -> str | None:
    """Return the known name that a misspelled one is nearest to, if any is near."""
    found = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def check_path(value: str) -> None:
    """Check that a path is a full one of Windows. Raises ValueError."""
    if any(ord(letter) < 32 for letter in value):
        raise ValueError(
            f"{value!r} is no path: Python took a backslash and a letter for a sign. Write r before the quote, as in "
            r"r'C:\tools\new'."
        )
    windows_paths.check(value)


def check_file_url(value: str) -> None:
    """Check the address of a file to download. Raises ValueError."""
    downloads.check_url(value, "the address")
    if urlsplit(value).path in ("", "/"):
        raise ValueError(f"{value!r} is the address of a server: the file is missing.")


def _build(value: int) -> None:
    if not 19_041 <= value < 100_000:
        raise ValueError(f"{value} is no build number: Windows 11 begins at 22000, and 24H2 is 26100.")


def _text(value: str) -> None:
    if not value.strip():
        raise ValueError("it is empty.")


def _driver(value: str) -> None:
    if not re.fullmatch(r"\d{3,4}\.\d{2}", value):
        raise ValueError(
            f"{value!r} is no version of NVIDIA's driver, which nvidia-smi shows as two numbers: '591.86'."
        )


def _features(value: list[str]) -> None:
    lower = {name.lower(): name for name in FEATURES}
    for feature in value:
        near = nearest(feature, lower, 0.75)
        if feature not in FEATURES and near is not None:
            raise ValueError(f"Windows has no feature {feature!r}: did you mean {lower[near]}?")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", feature):
            raise ValueError(
                f"{feature!r} is no name of a feature; `dism /Online /Get-Features` on the box lists them."
            )
    if "VirtualMachinePlatform" not in value:
        raise ValueError("VirtualMachinePlatform is missing, and WSL cannot start a distro without it.")


def _seconds(lowest: int, highest: int) -> Callable[[int], None]:
    def check(value: int) -> None:
        if not lowest <= value <= highest:
            raise ValueError(f"it is a number of seconds from {lowest} to {highest}, not {value}.")

    return check


def _remote_addresses(value: list[str]) -> None:
    if not firewall.scope(value):
        raise ValueError("'Any' lets everybody in who reaches the box, and Ollama asks nobody for a password: say who.")


def _ports(value: dict[int, str]) -> None:
    for port, name in value.items():
        ports.check_port(port, "a port")
        if not name.strip():
            raise ValueError(f"port {port} has no name: say what answers there.")


def _version(lowest: tuple[int, ...], why: str) -> Callable[[str], None]:
    def check(value: str) -> None:
        match = _VERSION.fullmatch(value)
        if match is None:
            raise ValueError(f"{value!r} is no version: it is three numbers, as in '0.34.1', without a v.")
        if tuple(map(int, match.groups())) < lowest:
            raise ValueError(f"{value} is older than {'.'.join(map(str, lowest))}, {why}.")

    return check


def _optional(check: Callable[[str], None]) -> Callable[[str | None], None]:
    def check_if_given(value: str | None) -> None:
        if value is not None:
            check(value)

    return check_if_given


def _image(value: str) -> None:
    check_file_url(value)
    if not urlsplit(value).path.endswith(_DISTRO_IMAGES):
        raise ValueError(f"{value!r} is no image that WSL imports: it ends with one of {', '.join(_DISTRO_IMAGES)}.")


def _distro_path(value: str) -> None:
    for name in re.findall(r"\{([^{}]*)\}", value):
        if name != "name":
            raise ValueError(f"{{{name}}} is not filled in: only {{name}} is, with the name of the distro.")
    bare = value.replace("{name}", "name")
    if "{" in bare or "}" in bare:
        raise ValueError(f"{value!r} has a brace too many: {{name}} stands for the name of the distro.")
    check_path(bare)


_CHECKS: dict[str, Callable[[Any], object]] = {
    "windows_build": _build,
    "gpu_name": _text,
    "driver_lowest": _driver,
    "windows_features": _features,
    "work_folder": check_path,
    "download_proxy": downloads.check_proxy,
    "reboot_timeout": _seconds(60, _A_DAY),
    "task_logon": one_of(
        "password",
        "s4u",
        instead={"interactive": "such a task runs only while somebody is signed in, which nobody is after a reboot"},
    ),
    "remote_addresses": _remote_addresses,
    "expose": one_of(
        "serve", "portproxy", "none", instead={"mirrored": "WSL's mirrored network has defects with vLLM and Tailscale"}
    ),
    "exposed_ports": _ports,
    "ollama_version": _version(ollama_package.LOWEST, "the first to check the signature of its own updates"),
    "ollama_package": one_of("setup", "zip", instead={"winget": "winget does not work in a session without a desktop"}),
    "ollama_url": _optional(check_file_url),
    "ollama_sha256": downloads.check_sha256,
    "ollama_signer": _text,
    "ollama_path": _optional(check_path),
    "ollama_autostart": one_of(
        "boot", "logon", instead={"service": "ollama.exe does not speak to the service manager: boot is a task"}
    ),
    "ollama_port": partial(ports.check_port, what="it"),
    "ollama_models": ollama_models.declared,
    "ollama_pull_timeout": _seconds(60, _A_WEEK),
    "wsl_version": _version(LOWEST_WSL, "the first that can keep a distro running that nobody uses"),
    "wsl_url": check_file_url,
    "wsl_sha256": downloads.check_sha256,
    "wsl_product_code": installers.check_product_code,
    "wslconfig": wslconfig.check,
    "distro_url": _image,
    "distro_sha256": downloads.check_sha256,
    "distro_path": _distro_path,
}


def _together(settings: Mapping[str, Any]) -> Iterator[str]:
    """What does not go with something else."""
    for sha256, belongs in _FILES.items():
        for name in ("ollama_sha256", "wsl_sha256", "distro_sha256"):
            others = [f"{key} = {settings[key]!r}" for key, value in belongs.items() if settings[key] != value]
            if settings[name].lower() == sha256 and others:
                yield (
                    f"{name}: this is the hash for {' and '.join(f'{k} = {v!r}' for k, v in belongs.items())}, but "
                    f"{' and '.join(others)}: put the new file's here."
                )
    for version, url in (("ollama_version", "ollama_url"), ("wsl_version", "wsl_url")):
        named = re.findall(r"(?<![\d.])\d+\.\d+\.\d+(?![\d])", settings[url] or "")
        if named and settings[version] not in named:
            yield f"{url}: it is the address of {named[0]}, and {version} is {settings[version]}."
    ending = {"setup": ".exe", "zip": ".zip"}.get(settings["ollama_package"])
    if settings["ollama_url"] and ending and not urlsplit(settings["ollama_url"]).path.endswith(ending):
        yield f"ollama_url: the package {settings['ollama_package']} is a file that ends with {ending}."
    if settings["ollama_package"] == "zip" and settings["ollama_autostart"] == "logon":
        yield "ollama_autostart: the zip has no tray app that starts at a logon: take 'boot', or the package 'setup'."
    if settings["ollama_auto_update"] and settings["ollama_autostart"] == "boot":
        yield "ollama_auto_update: the tray app updates Ollama, and it does not run with ollama_autostart = 'boot'."
    yield from _address(settings)
    if settings["expose"] == "serve" and settings["exposed_ports"] and not settings["tailscale_wanted"]:
        yield "expose: 'serve' is done by Tailscale, and tailscale_wanted is False: take 'none', or have it wanted."
    if settings["expose"] != "none" and settings["ollama_port"] in settings["exposed_ports"]:
        yield (
            f"exposed_ports: {settings['ollama_port']} is Ollama's own, which listens for others by itself "
            "(OLLAMA_HOST) and is opened with remote_addresses."
        )


def _address(settings: Mapping[str, Any]) -> Iterator[str]:
    both = ollama_settings.in_effect(settings["ollama_machine_variables"], settings["ollama_user_variables"])
    declared = both.get("OLLAMA_HOST", "")
    try:
        ollama_environment.check_value("OLLAMA_HOST", declared)
    except ValueError:
        return  # the check of the variables says so
    port = ollama_server.address(declared).port
    if port != settings["ollama_port"]:
        yield f"ollama_port: it is {settings['ollama_port']}, and OLLAMA_HOST={declared or '(not set)'} means {port}."
