"""What each stage of a deploy is going to do, in a sentence made from the settings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from vengeance.box.listing import listed

Sentence = Callable[[Mapping[str, Any]], str]


def _preflight(settings: Mapping[str, Any]) -> str:
    return (
        "reads what the box is (Windows, card, driver, processor, memory, disks, ports, clock, Tailscale), and stops "
        "with what mends it if something is in the way. It changes nothing."
    )


def _windows(settings: Mapping[str, Any]) -> str:
    sleep = "" if settings["windows_sleep"] else ", switches sleep, hibernation and Fast Startup off"
    stays = ", lets Tailscale stay connected with nobody logged on" if settings["tailscale_wanted"] else ""
    minutes = settings["reboot_timeout"] // 60
    return (
        f"switches on {listed(settings['windows_features'])}{sleep}{stays}, keeps the servers' ports free for them, "
        f"and restarts Windows if something waits for it ({minutes} minutes at most; the deploy goes on by itself)."
    )


def _ollama(settings: Mapping[str, Any]) -> str:
    models = settings["ollama_models"]
    size = sum(model.get("size_gb") or 0 for model in models)
    start = {
        "boot": "starts it with Windows, with nobody logged on",
        "logon": "leaves its start to the logon of its user",
    }[settings["ollama_autostart"]]
    package = {"setup": "", "zip": " (without its app)"}[settings["ollama_package"]]
    pulls = f", and has the box pull what is missing of {_count(models, 'model')} ({size:g} GB)" if models else ""
    others = " Models that are not declared are deleted." if settings["ollama_models_prune"] else ""
    return f"installs Ollama {settings['ollama_version']}{package}, sets its variables, {start}{pulls}.{others}"


def _wsl(settings: Mapping[str, Any]) -> str:
    image = urlsplit(settings["distro_url"]).path.rpartition("/")[2]
    return (
        f"installs WSL {settings['wsl_version']} and writes .wslconfig (a change of it stops all distros once), "
        f"imports the distro from {image} unless it is there, and keeps it running with nobody logged on."
    )


def _distro(settings: Mapping[str, Any]) -> str:
    return f"makes the user {settings['linux_user']}, writes /etc/wsl.conf, and starts the distro anew if that changed."


def _cuda(settings: Mapping[str, Any]) -> str:
    looks = "looks whether the card of Windows reaches the distro"
    if not settings["cuda_toolkit"]:
        return f"{looks}, and leaves CUDA's toolkit out (cuda_toolkit is False)."
    version = settings["cuda_toolkit_version"]
    return (
        f"{looks}, and installs cuda-toolkit-{version} from NVIDIA's package source for WSL; the driver stays the one "
        "of Windows."
    )


def _vllm(settings: Mapping[str, Any]) -> str:
    profiles = settings["vllm_profiles"]
    started = [name for name, fields in profiles.items() if fields.get("enabled") and settings["systemd"]]
    runs = (
        f"starts {listed(started)}" if started else "starts none: that is what `python -m vengeance mode batch` is for"
    )
    wanted = [one for name, one in profiles.items() if name == settings["vllm_profile"] or one.get("enabled")]
    models = [one["model"] for one in wanted if not one["model"].startswith("/")]
    pulls = f", downloads what is missing of {listed(models)}" if models and settings["vllm_download"] else ""
    return (
        f"installs {settings['vllm_package']} into {settings['vllm_path']} and a systemd unit for each of "
        f"{_count(list(profiles), 'profile')} ({listed(list(profiles))}){pulls}, and {runs}."
    )


def _expose(settings: Mapping[str, Any]) -> str:
    opens = f"opens port {settings['ollama_port']} (Ollama) to {listed(settings['remote_addresses'])}"
    ports = [f"{port} ({name})" for port, name in settings["exposed_ports"].items()]
    if settings["expose"] == "none" or not ports:
        return f"{opens}, and nothing else."
    way = {"serve": "by `tailscale serve`", "portproxy": "by a port proxy of Windows"}[settings["expose"]]
    return f"{opens}, and brings port {listed(ports)} of the distro to the tailnet {way}."


def _verify(settings: Mapping[str, Any]) -> str:
    return (
        "asks, from this machine, whether what it should reach answers, and a vLLM server that runs and is exposed for "
        "a completion. It changes nothing."
    )


def _verify_distro(settings: Mapping[str, Any]) -> str:
    return "asks a vLLM server that runs whether it answers, and waits while it loads its model. It changes nothing."


SENTENCES: dict[str, dict[str, Sentence]] = {
    "preflight": {"windows": _preflight},
    "windows": {"windows": _windows},
    "ollama": {"windows": _ollama},
    "wsl": {"windows": _wsl, "wsl": _distro},
    "cuda": {"wsl": _cuda},
    "vllm": {"wsl": _vllm},
    "expose": {"windows": _expose},
    "verify": {"windows": _verify, "wsl": _verify_distro},
}
"""Stage -> side of the box -> what it does there. A stage does nothing on a side that it does not have."""


def sentences(stage: str, groups: Collection[str], settings: Mapping[str, Any]) -> list[str]:
    """Return what a stage does on a host; nothing where it does nothing.

    + stage: name of a file in ``deploys/``, without ``.py``
    + groups: those of the host; ``windows`` or ``wsl`` is the side of the box that it is
    + settings: all of the host's data

    Raises ValueError for a stage that is not one.
    """
    if stage not in SENTENCES:
        raise ValueError(f"There is no stage {stage!r}; there are {', '.join(SENTENCES)}.")
    return [made(settings) for side, made in SENTENCES[stage].items() if side in groups]


def _count(things: list[Any], what: str) -> str:
    return f"{len(things)} {what}{'' if len(things) == 1 else 's'}"
