"""Operations on Windows itself: version, features, power, services, the registry."""

from __future__ import annotations

import re
from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.box import before as names
from vengeance.box import power as power_plan
from vengeance.box import registry_values
from vengeance.facts.windows import Feature, Os, Power, RegistryValue, Service
from vengeance.operations.before import kept
from vengeance.operations.refusal import checked, refuse
from vengeance.powershell import JSON, Script, system

_FEATURE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SERVICE = re.compile(r"[^\\/\"\x00-\x1f]{1,256}")
SERVICE_STARTS: tuple[system.Start, ...] = ("auto", "delayed", "manual", "disabled")


@operation()
def version(build: int) -> Generator[PyinfraCommand, None, None]:
    """
    Stop the host if its Windows is older than a build.

    + build: the lowest build number that will do; 22000 is the first Windows 11

    **Example:**

    .. code:: python

        windows.version(name="Windows 11 24H2 or newer", build=26100)
    """
    found = host.get_fact(Os)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    if found["build"] < build:
        yield refuse(
            f"{host.name} runs {found['caption']} build {found['build']}, and build {build} is the lowest that will "
            "do. Open Settings, Windows Update, and install the newest version."
        )
        return
    host.noop(f"{found['caption']} build {found['build']} is new enough")


@operation()
def feature(feature: str, present: bool = True) -> Generator[PyinfraCommand, None, None]:
    """
    Switch an optional feature of Windows on, with those that it needs, or off.

    + feature: its name, as ``Get-WindowsOptionalFeature -Online`` lists it
    + present: whether it should be on

    Most take effect with the next restart only: call ``windows.reboot`` after it. Needs an elevated account.

    **Example:**

    .. code:: python

        windows.feature(name="Virtual machines for WSL", feature="VirtualMachinePlatform")
    """
    if not isinstance(feature, str) or not _FEATURE.fullmatch(feature):
        raise OperationValueError(
            f"{feature!r} is no name of a feature of Windows: it is one word, as VirtualMachinePlatform."
        )
    found = host.get_fact(Feature, feature=feature)
    if found is None:
        yield refuse(
            f"Windows on {host.name} has no feature {feature}. In an elevated PowerShell on the box, "
            "(Get-WindowsOptionalFeature -Online).FeatureName lists those it has."
        )
        return
    if found in ("Enabled", "EnablePending") if present else found.startswith("Disable"):
        later = ", with the next restart" if found.endswith("Pending") else ""
        host.noop(f"{feature} is {'on' if present else 'off'}{later}")
        return
    host.log(f"feature {feature}: {found} -> {'Enabled' if present else 'Disabled'}")
    yield from kept({names.feature(feature): found})
    yield Script("Set-Feature", {"feature": feature, "present": present})


@operation()
def power(
    sleep: bool = False, hibernate: bool = False, fast_startup: bool = False
) -> Generator[PyinfraCommand, None, None]:
    """
    Say whether Windows sleeps by itself, hibernates, and starts fast.

    + sleep: whether it may sleep when nobody uses it; True leaves the times that are set
    + hibernate: whether it can hibernate; False removes hiberfil.sys, which is as large as much of the memory
    + fast_startup: whether a shutdown hibernates the system's part; needs ``hibernate``

    The monitor may still go dark. A server that sleeps does not answer.

    **Example:**

    .. code:: python

        windows.power(name="Stay awake", sleep=False, hibernate=False, fast_startup=False)
    """
    for label, value in (("sleep", sleep), ("hibernate", hibernate), ("fast_startup", fast_startup)):
        if not isinstance(value, bool):
            raise OperationValueError(f"{label} is True or False, not {value!r}.")
    checked(lambda: power_plan.check(hibernate, fast_startup))
    found = host.get_fact(Power)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    changes = power_plan.changes(dict(found), sleep, hibernate, fast_startup)  # type: ignore[arg-type]
    if changes is None:
        host.noop(f"Windows {power_plan.shown(dict(found))}")  # type: ignore[arg-type]
        return
    host.log(f"Windows {power_plan.shown(dict(found))} -> {power_plan.wished(changes)}")  # type: ignore[arg-type]
    yield from kept({names.POWER: found})
    yield Script("Set-Power", dict(changes))  # type: ignore[arg-type]


@operation()
def service(
    service: str, running: bool | None = None, enabled: bool | None = None, start: system.Start | None = None
) -> Generator[PyinfraCommand, None, None]:
    """
    Say how a service of Windows is started, and whether it runs.

    + service: its short name, as ``iphlpsvc``
    + running: whether it should run now; None leaves it as it is
    + enabled: True is ``start="auto"``, False is ``start="disabled"``
    + start: ``auto``, ``delayed`` (two minutes after the others), ``manual`` or ``disabled``; None leaves it as it is

    **Example:**

    .. code:: python

        windows.service(name="What forwards ports", service="iphlpsvc", running=True, start="auto")
    """
    check_service(service, running, enabled, start)
    if start is None and enabled is not None:
        start = "auto" if enabled else "disabled"
    found = host.get_fact(Service, service=service)
    if found is None:
        yield refuse(
            f"Windows on {host.name} has no service {service}. On the box, Get-Service lists those it has; the short "
            "name counts, not the one that is shown."
        )
        return
    new_start = start if start is not None and start != found["start"] else None
    new_running = running if running is not None and running != (found["state"] == "Running") else None
    if new_start is None and new_running is None:
        host.noop(f"service {service} is {found['state'].lower()} and starts {found['start']}")
        return
    if new_start is not None:
        host.log(f"service {service} starts: {found['start']} -> {new_start}")
    if new_running is not None:
        host.log(f"service {service}: {found['state']} -> {'Running' if new_running else 'Stopped'}")
    yield Script("Set-ServiceState", {"service": service, "start": new_start, "running": new_running})


def check_service(service: str, running: bool | None, enabled: bool | None, start: str | None) -> None:
    """Check what is wanted of a service.

    Raises OperationValueError with a sentence.
    """
    if not isinstance(service, str) or not _SERVICE.fullmatch(service):
        raise OperationValueError(f"{service!r} is no name of a service of Windows: it is short, as iphlpsvc.")
    if start is not None and start not in SERVICE_STARTS:
        raise OperationValueError(f"A service starts {', '.join(SERVICE_STARTS)}, not {start!r}.")
    if enabled is not None and start is not None and enabled == (start == "disabled"):
        raise OperationValueError(f"enabled={enabled} and start={start!r} contradict each other: give one of them.")
    if running and (start == "disabled" or enabled is False):
        raise OperationValueError(f"The service {service} cannot run and be disabled: Windows starts no disabled one.")
    if service.lower() == "winrm" and (running is False or start == "disabled" or enabled is False):
        raise OperationValueError("Without the service WinRM this connection ends and nobody can come back.")


@operation()
def registry_value(
    key: str, value_name: str, data: registry_values.Data | None = None, kind: str = "String", present: bool = True
) -> Generator[PyinfraCommand, None, None]:
    """
    Write or remove a value of the registry; a key that is missing is made.

    + key: begins with ``HKLM\\`` or ``HKCU\\`` (of the account that the connection signs in as)
    + value_name: "" is the default value of the key
    + data: a text, a number (``DWord``, ``QWord``), or a list of texts (``MultiString``)
    + kind: ``String``, ``ExpandString``, ``DWord``, ``QWord`` or ``MultiString``
    + present: whether the value should be there

    Environment variables are written with ``windows.environment``, which tells the programs that run.

    **Example:**

    .. code:: python

        windows.registry_value(
            name="Full rights of local administrators over the network",
            key="HKLM\\\\SOFTWARE\\\\Microsoft\\\\Windows\\\\CurrentVersion\\\\Policies\\\\System",
            value_name="LocalAccountTokenFilterPolicy",
            data=1,
            kind="DWord",
        )
    """
    checked(lambda: registry_values.check_key(key))
    if present:
        checked(lambda: registry_values.check_value(value_name, kind, data))
    found = host.get_fact(RegistryValue, key=key, value_name=value_name)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    right = (found["kind"], found["data"]) == (kind, data) if present else found["kind"] is None
    shown = f"{key}\\{value_name or '(default)'}"
    if right:
        host.noop(f"{shown} is {f'{data!r}' if present else 'absent'}")
        return
    before = "(not set)" if found["kind"] is None else f"{found['data']!r} ({found['kind']})"
    host.log(f"{shown}: {before} -> {f'{data!r} ({kind})' if present else '(not set)'}")
    yield Script(
        "Set-RegistryValue",
        {
            "key": key,
            "value_name": value_name,
            "kind": kind,
            "data": _json(data) if present else None,
            "present": present,
        },
    )


def _json(data: registry_values.Data | None) -> JSON:
    return [*data] if isinstance(data, list) else data
