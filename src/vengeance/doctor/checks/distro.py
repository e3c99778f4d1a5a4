"""The distro: registered, running, kept up, and its systemd and card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host
from pyinfra.facts.files import FileContents

from vengeance.box import cuda as packages
from vengeance.box import passthrough, preflight, wsl_conf, wslconfig
from vengeance.doctor.box import Box, Told
from vengeance.doctor.catalogue import finding
from vengeance.doctor.findings import Finding
from vengeance.facts.cuda import Passthrough
from vengeance.facts.vllm.environment import DiskRoom
from vengeance.facts.windows import Gpus, ScheduledTask
from vengeance.facts.wsl import WSL_EXE, Installation, Instance, Machine, Owners, Running
from vengeance.operations.windows.tasks import password_is_stale
from vengeance.powershell.tasks import Task

_WSL2, _INSTALLED = 2, 1
# 7 and more is background for processor, disk and memory: TaskSettings.Priority.
_HIGHEST_NORMAL = 6
_HOURS = 3600


def distro(box: Box) -> Told:
    """Whether it is there, whose it is, whether it runs, and what keeps it up."""
    ask, name = box.on_windows, box.declared_distro
    found = ask(Installation)
    mine = next((one for one in found["distributions"] if one["name"] == name), None)
    if mine is None:
        yield _nobodys(box)
        return
    if mine["state"] != _INSTALLED:
        yield finding(
            "distro-half-installed", f"State of {name} in the registry is {mine['state']}, not 1", distro=name
        )
        return
    if mine["version"] != _WSL2:
        yield finding("distro-is-wsl1", f"{name} has version {mine['version']}", distro=name)
        return
    runs = ask(Running, path=found["path"] or WSL_EXE)
    task = ask(ScheduledTask, task=f"wsl {name}")["task"]
    others = [one for one in runs if one != name]
    if name not in runs:
        yield finding(
            "distro-stopped", f"wsl.exe --list --running has {', '.join(runs) or 'none'}; {_task_shown(task)}"
        )
        return
    if task is None:
        yield finding("keepalive-gone", rf"Task Scheduler has no \vengeance\wsl {name}")
    else:
        yield from _keepalive(task, name)
    if others:
        yield finding("several-distros-run", f"{', '.join(others)} beside {name}", other=others[0])
    yield f"{name} runs" + ("" if task is None else f"; the task that keeps it up is {task['state']}")
    if box.distro is None:
        return
    machine = ask(Machine, distro=name, path=found["path"] or WSL_EXE)
    misfits = [] if machine is None else wslconfig.misfits(machine, box.settings["wslconfig"])
    if misfits:
        yield finding("wslconfig-not-in-effect", "; ".join(misfits))
    why = _closed(box.distro)
    if why is not None:
        yield finding("distro-lets-nobody-in", why, distro=name)
        return
    room = box.in_distro(DiskRoom, path="/", cache="/nonexistent")
    if room is not None and room["free"] < preflight.SPARE_BYTES // 5:
        yield finding("distro-disk-nearly-full", f"/ has {room['free'] / preflight.GB:.2f} GB free")


def _closed(distro: Host) -> str | None:
    """Why nothing can be run in a distro that is called running; None where it can."""
    try:
        distro.connect(show_errors=False, raise_exceptions=True)
    except ConnectError as error:
        return str(error)
    missing: str | None = getattr(distro.connector, "missing", None)
    if missing is not None:
        distro.disconnect()
    return missing


def _nobodys(box: Box) -> Finding:
    name, owners = box.declared_distro, box.on_windows(Owners)
    other = next((one for one in owners["owners"] if name in one["distributions"]), None)
    if other is not None:
        evidence = f"{name} is {other['account'] or other['sid']}'s, and we are {owners['account']}"
        return finding("distro-of-another-account", evidence, owner=other["account"] or other["sid"])
    has = [one["name"] for one in box.on_windows(Installation)["distributions"]]
    return finding("distro-not-registered", f"{owners['account']} has {', '.join(has) or 'none'}, not {name}")


def _task_shown(task: Task | None) -> str:
    if task is None:
        return "there is no task that keeps it up"
    return f"the task that keeps it up is {task['state']}, last result 0x{task['last_result']:08X}"


def _keepalive(task: Task, distro: str) -> Iterator[Finding]:
    told = task["definition"]
    if password_is_stale(task) and told["logon"] == "password":
        changed = task["password_set"] or "an unknown time"
        evidence = f"the task was stored at {task['registered']}, the password was changed at {changed}"
        yield finding("keepalive-password-old", evidence)
    if told["time_limit"]:
        yield finding("keepalive-time-limit", f"after {told['time_limit'] / _HOURS:g} hours")
    if told["priority"] > _HIGHEST_NORMAL:
        yield finding("keepalive-in-the-background", f"priority {told['priority']}")
    wrong = list(set_otherwise(told))
    if f"-d {distro} " not in told["arguments"] or "sleep infinity" not in told["arguments"]:
        wrong.append(f"it runs {told['command']} {told['arguments']}")
    if wrong:
        yield finding("keepalive-set-otherwise", "; ".join(wrong))
    elif task["state"] != "running":
        yield finding("keepalive-not-running", _task_shown(task))


def set_otherwise(told: Mapping[str, Any]) -> Iterator[str]:
    """Say in what a task is not one that starts at each boot with nobody logged on, and stays."""
    if not told["enabled"]:
        yield "it is disabled"
    if "boot" not in told["triggers"]:
        yield f"its triggers are {', '.join(told['triggers']) or 'none'}, and not the boot"
    if told["logon"] not in ("password", "s4u"):
        yield f"it signs in by {told['logon']}, which needs somebody at the screen"
    if not told["on_battery"]:
        yield "it stops without mains"
    if told["conditions"]:
        yield f"it waits for {', '.join(told['conditions'])}"
    if not told["highest"]:
        yield "it does not run with the full rights of its account"


def systemd(box: Box) -> Told:
    """Process 1, and /etc/wsl.conf."""
    ask = box.in_distro
    if not box.inside["systemd"]:
        yield "not declared (systemd = False)"
        return
    found = ask(Instance)
    if not found["systemd"]:
        yield finding("systemd-off", f"process 1 is {found['init']}")
        return
    yield "process 1 is systemd"
    declared = {
        section: {key: wsl_conf.text_of(value) for key, value in values.items()}
        for section, values in box.inside["wsl_conf"].items()
    }
    text = "\n".join(ask(FileContents, path="/etc/wsl.conf") or [])
    lines = wslconfig.differences("/etc/wsl.conf", text, declared)
    real = [line for line in lines if "written anew" not in line]
    if real:
        yield finding("wsl-conf-differs", "; ".join(real))
    elif found["outdated"]:
        yield finding("wsl-conf-not-in-effect", "/etc/wsl.conf is newer than the start of systemd")


def cuda(box: Box) -> Told:
    """Device, libraries, what hides them, nvidia-smi, and NVIDIA's compiler."""
    if box.inside["vllm_device"] != "cuda":
        yield "no card is wanted (vllm_device)"
        return
    found = box.in_distro(Passthrough)
    if found is None:
        return
    broken = passthrough.broken_link(found)
    if broken is not None:
        yield _broken(found, broken)
        return
    yield f"nvidia-smi in the distro shows {found['cards'][0]['name']}, driver {found['cards'][0]['driver_version']}"
    renewed = passthrough.renewed(found, box.on_windows(Gpus)["gpus"])
    if renewed is not None:
        yield finding("driver-renewed-under-wsl", renewed.removesuffix(f" {passthrough.RESTART}"))
    if box.inside["cuda_toolkit"] and found["nvcc"] is None:
        yield finding("cuda-toolkit-missing", f"there is no {passthrough.NVCC}")


def _broken(found: passthrough.Passthrough, sentence: str) -> Finding:
    said = sentence.partition(". ")[0]
    if found["dxg"] != "device":
        return finding("dxg-missing", said)
    if found["libraries"] is None or any(
        name not in found["libraries"] for name in (*passthrough.LIBRARIES, "nvidia-smi")
    ):
        return finding("wsl-libraries-missing", said)
    breakers = packages.breakers(found["packages"])
    if breakers:
        evidence = "; ".join(f"{package}: {reason}" for package, reason in breakers.items())
        return finding("linux-driver-in-distro", evidence, command=packages.purge(breakers))
    if passthrough.hiding(found):
        command = sentence.rpartition("Remove it in the distro: ")[2]
        return finding("linux-library-hides-driver", said, command=command)
    return finding("nvidia-smi-fails-in-distro", said)
