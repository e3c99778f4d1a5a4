"""The order of a deploy across hosts.

pyinfra orders operations by host: what two hosts do on lines of their own runs side by side, by how many operations
each has done, not by line (``State.get_op_order``). An operation that both have keeps the order, so each stage begins
with one.
"""

from __future__ import annotations

from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.context import host, state

from vengeance.operations.refusal import refuse


def same_machine(one: Host, other: Host) -> bool:
    """Tell whether two hosts are the two sides of one box: Windows, and a distro on it."""
    pairs = ((one, other), (other, one))
    return any(a.name == f"@winrm/{b.data.get('wsl_host')}" for a, b in pairs)


@operation()
def begins() -> Generator[PyinfraCommand, None, None]:
    """
    Wait for what the other hosts have to do before this line; stop if the other side of the box has failed.

    Call it for every host, outside of any ``if``.

    **Example:**

    .. code:: python

        stage.begins(name="Stage: the distro")
        local.include("deploys/wsl.py")
    """
    failed = [other.name for other in state.failed_hosts if same_machine(host, other)]
    if failed:
        yield refuse(f"{host.name} is left as it is now, because {', '.join(failed)} on the same machine has failed.")
        return
    host.noop("nothing to wait for")
