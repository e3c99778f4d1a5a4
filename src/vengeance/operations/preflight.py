"""The look at a box before anything is done to it: it reads only, and says everything that is in the way at once."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.box import preflight, restart, tailnet, versions, wslconfig
from vengeance.facts.tailscale import Status
from vengeance.facts.windows import (
    Account,
    FolderSizes,
    Gpus,
    Hardware,
    Os,
    PendingReboot,
    SystemClock,
    WsmanQuota,
)
from vengeance.facts.windows.network import Listeners, ReservedPorts
from vengeance.operations.refusal import refuse_all, warn_in_a_plan
from vengeance.powershell import network, windows

# Where Ollama keeps models without OLLAMA_MODELS (ollama/ollama, envconfig/config.go).
MODELS_FOLDER = "%USERPROFILE%\\.ollama\\models"
OLLAMA_PROGRAMS = ("ollama.exe",)


@operation()
def ready(
    build: int = 22000,
    gpu: str = "",
    driver: str = "0",
    machine: Mapping[str, Mapping[str, wslconfig.Value]] | None = None,
    models_gb: float = 0,
    models_folder: str | None = None,
    distro_folders: Sequence[str] = (),
    distro_gb: float = 50,
    port: int | None = None,
    expose: str = "none",
    tailscale_wanted: bool = False,
    envelope_kb: int = 500,
) -> Generator[PyinfraCommand, None, None]:
    """
    Stop a Windows host that cannot become what it should be, with all that is in the way and what mends each.

    + build: the lowest build of Windows that will do
    + gpu: part of the name of the card that must be there
    + driver: the lowest version of NVIDIA's driver
    + machine: what ``.wslconfig`` is to say; its memory and processors are compared with the box's
    + models_gb: GB (10^9 bytes) of all models that are declared
    + models_folder: where they lie; Ollama's own default for the account without it
    + distro_folders: full Windows paths of the distros' disks
    + distro_gb: GB that each of them grows to
    + port: the one that Ollama listens on; no other program may
    + expose: as in the group data; all but ``none`` need Tailscale
    + tailscale_wanted: whether a box that is not in a tailnet is worth a warning
    + envelope_kb: the largest message that the connection sends

    What the deploys mend is not in the way: no WSL, a feature that is off, a restart that waits, a port that Windows'
    own NAT has taken.

    **Example:**

    .. code:: python

        preflight.ready(name="The box can become what it should be", build=22000, gpu="RTX 4090", driver="591.86")
    """
    if not driver or not versions.numbers(driver):
        raise OperationValueError(f"{driver!r} is no version of a driver: it is written as 591.86.")
    system, account, hardware = host.get_fact(Os), host.get_fact(Account), host.get_fact(Hardware)
    gpus, quota, clock = host.get_fact(Gpus), host.get_fact(WsmanQuota), host.get_fact(SystemClock)
    tailscale, pending, ranges = host.get_fact(Status), host.get_fact(PendingReboot), host.get_fact(ReservedPorts)
    listeners = [] if port is None else host.get_fact(Listeners, port=port)
    folder = models_folder or MODELS_FOLDER
    sizes = host.get_fact(FolderSizes, paths=[folder, *distro_folders])
    read = (system, account, hardware, gpus, quota, clock, tailscale, pending, ranges, listeners, sizes)
    if any(one is None for one in read):
        return  # it could not be read: pyinfra has said so and failed the host

    models = folder.replace("%USERPROFILE%", account["profile"])
    rooms = [
        preflight.Room("models", models, int(models_gb * preflight.GB), sizes[folder] or 0),
        *(preflight.Room("the distro", at, int(distro_gb * preflight.GB), sizes[at] or 0) for at in distro_folders),
    ]
    out_of_tailnet = tailnet.trouble(
        "the box",
        tailscale["installed"],
        tailscale["state"],
        account=account["name"],
        owner=tailscale["owner"],
        key_expiry=tailscale["key_expiry"],
    )
    findings = [
        *preflight.windows_version(system["caption"], system["build"], system["architecture"], build),
        *preflight.account(account["name"], account["sid"], account["elevated"], account["full_token_over_network"]),
        *preflight.virtualization(hardware["firmware_virtualization"], hardware["hypervisor_present"]),
        *preflight.graphics(gpus["gpus"], gpus["failure"], gpu, driver),
        *preflight.memory(hardware["memory_bytes"], hardware["logical_processors"], machine or {}),
        *preflight.room(hardware["disks"], rooms),
        *preflight.limits(_numbers(quota), envelope_kb),
        *preflight.clock(clock["ahead_seconds"]),
        *([] if out_of_tailnet is None or expose == "none" else [out_of_tailnet]),
        *(preflight.port(port, listeners, OLLAMA_PROGRAMS) if port is not None else []),
    ]
    if account["microsoft_account"]:
        host.log(
            f"{account['name']} is a Microsoft account: tasks that start with nobody logged on are not proved to work "
            "for one. A local administrator with a password is the safe choice",
            logger.warning,
        )
    if tailscale_wanted and expose == "none" and out_of_tailnet is not None:
        host.log(f"{out_of_tailnet} Until then the box is reached from its own network only", logger.warning)
    _tell_what_the_deploys_mend(pending, ranges, port)
    if findings:
        warn_in_a_plan(*findings)
        yield refuse_all(
            [f"{host.name} cannot become what it should be, {len(findings)} to mend. Nothing was changed.", *findings]
        )
        return
    host.noop("nothing is in the way")


def _tell_what_the_deploys_mend(
    pending: windows.PendingReboot, ranges: network.ReservedPorts, port: int | None
) -> None:
    if waiting := restart.that_count(pending["reasons"], []):
        why = ", ".join(restart.WORDS[reason] for reason in waiting)
        host.log(f"Windows waits for a restart ({why}): the stage windows sees to it")
    taken = [one for one in ranges["active"] if port and one["first"] <= port <= one["last"]]
    if any(not one["administered"] for one in taken):
        host.log(f"Windows' own NAT has taken port {port}: the stage windows takes it back")


def _numbers(quota: windows.WsmanQuota) -> dict[str, int]:
    return {
        "max_envelope_kb": quota["max_envelope_kb"],
        "max_shells_per_user": quota["max_shells_per_user"],
        "max_processes_per_shell": quota["max_processes_per_shell"],
        "max_memory_per_shell_mb": quota["max_memory_per_shell_mb"],
    }
