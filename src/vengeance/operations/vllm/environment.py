"""The Python environment of vLLM."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping

from pyinfra.api.command import FunctionCommand, PyinfraCommand, QuoteString
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.box import before as names
from vengeance.box import linux_users, python_packages
from vengeance.box import vllm_environment as box
from vengeance.facts.vllm.environment import DiskRoom, Environment, EnvironmentFaults
from vengeance.operations.before import kept_inside
from vengeance.operations.refusal import checked, refuse
from vengeance.operations.vllm.installation import Installation, Sources
from vengeance.operations.vllm.proof import mark, prove

_PATH = re.compile(r"(/[A-Za-z0-9._+-]+)+")


def check_place(path: str, user: str) -> None:
    """Check where an environment lies and whose it is.

    + path: folder of the environment
    + user: who owns it

    Raises OperationValueError for a path or a name that a shell would misread.
    """
    if not _PATH.fullmatch(path):
        raise OperationValueError(f"{path!r} is no absolute path of a Python environment, as in /home/steam/vllm-env.")
    checked(lambda: linux_users.check(user))


@operation()
def environment(
    path: str,
    user: str,
    package: str,
    python: str = "python3",
    installer: str = "pip",
    lock: str | None = None,
    constraints: str | None = None,
    pip_arguments: list[str] | None = None,
    size_gb: Mapping[str, float] | None = None,
) -> Generator[PyinfraCommand, None, None]:
    """
    Make a Python environment (venv) and install a package into it, proved by importing it.

    + path: folder of the environment
    + user: who owns it; everything is done as this user
    + package: what to install, with its version: ``vllm==0.15.1``
    + python: the Python it is made from, such as ``python3`` or ``python3.12``; one of another version is made anew
    + installer: ``pip``, or ``uv``, which pip installs
    + lock: requirements file with a hash for each package, relative to the folder that pyinfra runs in; nothing else is
      installed then
    + constraints: constraints file for an installation without a lock
    + pip_arguments: further arguments of the installer, such as an index; they must hold no secret
    + size_gb: ``download`` and ``installed``, GB (10^9 bytes) that all packages have; None looks for no room

    A package that is there in another version is replaced. What an interrupted or half-upgraded installation has left
    is found and mended: packages without a list of their files or in two versions, files that are gone, bytecode that
    cannot be read ("bad marshal data"), files of somebody else. A file in the environment, written last, tells that a
    run came to its end.

    **Example:**

    .. code:: python

        vllm.environment(
            name="Install vLLM",
            path="/home/steam/vllm-env",
            user="steam",
            package="vllm==0.15.1",
            python="python3.12",
            lock="locks/vllm-0.15.1-python3.12.txt",
        )
    """
    check_place(path, user)
    if installer not in ("pip", "uv"):
        raise OperationValueError(f"Packages are installed by 'pip' or by 'uv', not by {installer!r}.")
    requirement = checked(lambda: python_packages.parse_requirement(package))
    sources = checked(lambda: Sources.read(requirement, python, lock, constraints, pip_arguments or []))
    asked = box.asked(package, python, sources.lock.text if sources.lock else None, sources.constraints)

    found = host.get_fact(Environment, path=path, _su_user=user, _su_shell="/bin/sh")
    faults = host.get_fact(EnvironmentFaults, path=path, _su_user=user, _su_shell="/bin/sh") if found else None
    there = found is not None
    if found is not None and _another(found["python"], python):
        host.log(f"{path}: Python {found['python']} -> {python}, and everything in it anew")
        found, faults = None, None
    plan = Installation(path, user, requirement, found, faults, asked)
    if plan.nothing:
        host.noop(f"{path} has {package}")
        return
    plan.tell()
    room = host.get_fact(DiskRoom, path=path, cache=plan.cache) if size_gb and not plan.met else None
    if room is not None and size_gb is not None:
        needed = box.needed_gb(size_gb["download"], size_gb["installed"], installer)
        full = box.no_room(path, room["free"], room["held"], needed)
        if full is not None:
            yield refuse(f"{host.name}: {full}")
            return
    yield from kept_inside({names.environment(path): there})
    yield from plan.mend(python)
    if plan.installs:
        yield from plan.install(installer, sources)
    yield FunctionCommand(prove, [path, user, str(requirement)], {})
    if plan.installs:
        yield FunctionCommand(mark, [path, user, asked], {})
        yield plan.as_user("rm -rf --", QuoteString(plan.cache))


def _another(version: str, python: str) -> bool:
    """Whether an environment is made from another Python than the one that is named."""
    minor = box.minor_of(python)
    return minor is not None and ".".join(version.split(".")[:2]) != minor
