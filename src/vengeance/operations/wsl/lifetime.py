"""Whether a distribution runs: kept up, stopped, started again."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Literal

from pyinfra.api.command import FunctionCommand, PyinfraCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from vengeance.facts.wsl import WSL_EXE, Installation, Running
from vengeance.operations import windows
from vengeance.operations.refusal import failed, refuse
from vengeance.operations.wsl.checks import check_distro
from vengeance.operations.wsl.program import distributions, run_wsl, terminate_distro
from vengeance.secret import Secret

_START_SECONDS = 60.0


@operation()
def keepalive(
    distro: str,
    logon: Literal["s4u", "password"] = "password",
    password: Secret | None = None,
    task: str | None = None,
) -> Generator[PyinfraCommand, None, None]:
    """
    Keep a distribution up, from the boot on and with nobody logged on.

    + distro: name of the distribution
    + logon: how the task signs in, as in ``windows.scheduled_task``
    + password: of the account; None takes the connection's own
    + task: name of the task; None is ``wsl `` and the distro's name

    systemd's services do not keep a distro alive: WSL stops it 15 seconds after the last program of Windows that uses
    it (https://learn.microsoft.com/windows/wsl/systemd). A task in session 0 uses it for ever, and as the first that
    touches WSL after the boot it keeps a logoff from ending the virtual machine (microsoft/WSL,
    LxssUserSessionFactory.cpp).

    **Example:**

    .. code:: python

        wsl.keepalive(name="The distro stays up", distro="Ubuntu-24.04", logon="password")
    """
    check_distro(distro)
    if logon not in ("s4u", "password"):
        raise OperationValueError(
            f"logon is 's4u' or 'password', not {logon!r}: a distro that is kept up waits for nobody to log on."
        )
    found = host.get_fact(Installation)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    path = found["path"] or WSL_EXE
    commands = list(
        windows.scheduled_task._inner(
            task=task or f"wsl {distro}",
            command=path,
            arguments=f"-d {distro} -u root --cd / --exec /usr/bin/sleep infinity",
            logon=logon,
            password=password,
            trigger="boot",
            highest=True,
            time_limit="PT0S",
            running=True,
            description=f"Keeps the WSL distribution {distro} up. Made by vengeance.",
        )
    )
    yield from commands
    if commands:
        yield FunctionCommand(check_running, [distro], {})


def check_running(state: State, host: Host, distro: str) -> bool:
    """Wait until a distribution runs."""
    deadline = time.monotonic() + _START_SECONDS
    while distro not in host.get_fact(Running):
        if host in state.failed_hosts:
            return False  # it could not be asked: pyinfra has said so
        if time.monotonic() > deadline:
            return failed(
                host,
                f"{host.name}: the task that keeps {distro} up was started, and {distro} does not run after "
                f"{_START_SECONDS:.0f} s. At the box: wsl.exe -d {distro} --exec true says why.",
            )
        time.sleep(1)
    return True


@operation()
def terminated(distro: str) -> Generator[PyinfraCommand, None, None]:
    """
    Have a distribution not running.

    + distro: name of the distribution

    All that runs in it ends, what keeps it up too; a task that starts that again starts the distro again.

    **Example:**

    .. code:: python

        wsl.terminated(name="The distro is off", distro="Ubuntu-24.04")
    """
    check_distro(distro)
    found = host.get_fact(Installation)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    if distro not in distributions(found):
        host.noop(f"there is no distribution {distro}")
    elif distro not in host.get_fact(Running, path=found["path"] or WSL_EXE):
        host.noop(f"{distro} does not run")
    else:
        yield FunctionCommand(terminate_distro, [distro], {})


@operation(is_idempotent=False)
def restarted(distro: str) -> Generator[PyinfraCommand, None, None]:
    """
    Stop a distribution and start it again.

    + distro: name of the distribution

    What keeps it up ends with it: declare ``wsl.keepalive`` behind this.

    **Example:**

    .. code:: python

        wsl.restarted(name="Start the distro again", distro="Ubuntu-24.04")
    """
    check_distro(distro)
    found = host.get_fact(Installation)
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    if found["path"] is not None and distro not in distributions(found):
        yield refuse(f"{host.name} has no distribution {distro} to start again.")
        return
    yield FunctionCommand(terminate_distro, [distro], {})
    yield FunctionCommand(run_wsl, [f"-d {distro} -u root --cd / --exec /bin/true"], {})
