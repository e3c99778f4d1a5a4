"""The virtual machine of WSL: .wslconfig, and what of it shows inside."""

from __future__ import annotations

from collections.abc import Generator, Mapping

from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from vengeance.box import before as names
from vengeance.box import wslconfig
from vengeance.facts.wsl import WSL_EXE, Configuration, Installation, Machine
from vengeance.operations.before import kept
from vengeance.operations.refusal import failed, refuse
from vengeance.operations.templates import rendered
from vengeance.operations.wsl.checks import check_distro, check_settings
from vengeance.operations.wsl.program import distributions, rejoin, say_outage, shut_down
from vengeance.powershell import Script


@operation()
def config(
    settings: dict[str, dict[str, wslconfig.Value]],
    distro: str | None = None,
    template: str = "templates/wslconfig.j2",
) -> Generator[PyinfraCommand, None, None]:
    """
    Write the .wslconfig of the account that signs in, whole, and have WSL's virtual machine started with it.

    + settings: section -> key -> value; names, types and values are checked
    + distro: in which memory, swap and processors are looked at when it is there
    + template: Jinja template, relative to the folder that pyinfra runs in

    A change stops every distro of the account once; what keeps them up starts them again. WSL passes over what it does
    not understand, so the effect is looked at inside. https://learn.microsoft.com/windows/wsl/wsl-config#wslconfig

    **Example:**

    .. code:: python

        wsl.config(
            name="Settings of WSL's virtual machine",
            settings={"general": {"instanceIdleTimeout": -1}, "wsl2": {"memory": "24GB", "vmIdleTimeout": -1}},
            distro="Ubuntu-24.04",
        )
    """
    check_settings(settings)
    if distro is not None:
        check_distro(distro)
    wanted = rendered(template, {"settings": wslconfig.texts(settings)})
    found, there = host.get_fact(Installation), host.get_fact(Configuration)
    if found is None or there is None:
        return  # it could not be read: pyinfra has said so and failed the host
    inside = distro if distro in distributions(found) else None
    if there["text"] != wanted:
        for line in wslconfig.differences(".wslconfig", there["text"], wslconfig.texts(settings)):
            host.log(line)
        say_outage(found, "a new .wslconfig")
        yield from kept({names.WSLCONFIG: there["text"]})
        yield Script("Set-WslConfiguration", {"text": wanted, "shutdown": True})
        if inside is not None:
            yield FunctionCommand(check_machine, [inside, settings], {})
        return
    if inside is not None and (wrong := _misfits(host, inside, found["path"] or WSL_EXE, settings)):
        say_outage(found, f"the virtual machine does not run with .wslconfig ({', '.join(wrong)})")
        yield FunctionCommand(shut_down, [], {})
        yield FunctionCommand(check_machine, [inside, settings], {})
        return
    host.noop(".wslconfig is as it should be" + (", and it shows inside" if inside is not None else ""))


@operation()
def machine(settings: dict[str, dict[str, wslconfig.Value]], distro: str) -> Generator[PyinfraCommand, None, None]:
    """
    Have WSL's virtual machine run with the memory, swap and processors of .wslconfig; looked at from inside.

    + settings: those of ``wsl.config``
    + distro: in which it is looked at; it is started

    A machine that was started without them is shut down once, and with it every distro of the account.

    **Example:**

    .. code:: python

        wsl.machine(name="The virtual machine has 24 GB", settings={"wsl2": {"memory": "24GB"}}, distro="Ubuntu-24.04")
    """
    check_settings(settings)
    check_distro(distro)
    found = host.get_fact(Installation)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    if distro not in distributions(found):
        yield refuse(f"{host.name} has no distribution {distro} to look into: deploys/wsl.py imports it.")
        return
    wrong = _misfits(host, distro, found["path"] or WSL_EXE, settings)
    if not wrong:
        host.noop(f"the virtual machine has what .wslconfig gives it, seen in {distro}")
        return
    say_outage(found, f"the virtual machine does not run with .wslconfig ({', '.join(wrong)})")
    yield FunctionCommand(shut_down, [], {})
    yield FunctionCommand(check_machine, [distro, settings], {})


def _misfits(host: Host, distro: str, path: str, settings: Mapping[str, Mapping[str, wslconfig.Value]]) -> list[str]:
    machine = host.get_fact(Machine, distro=distro, path=path)
    return [f"{distro} does not start"] if machine is None else wslconfig.misfits(machine, settings)


def check_machine(state: State, host: Host, distro: str, settings: dict[str, dict[str, wslconfig.Value]]) -> bool:
    """Start a distro again, and compare what it sees of the virtual machine with .wslconfig."""
    rejoin(state, host)
    wrong = _misfits(host, distro, WSL_EXE, settings)
    if host in state.failed_hosts:
        return False  # it could not be asked: pyinfra has said so
    if not wrong:
        return True
    return failed(
        host,
        f"{host.name}: WSL's virtual machine was started with .wslconfig, and in {distro} {'; '.join(wrong)}. WSL "
        f"passes over what it does not understand; at the box, this says what: wsl.exe -d {distro} --exec true",
    )
