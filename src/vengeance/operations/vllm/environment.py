"""The Python environment of vLLM."""

from __future__ import annotations

import re
from collections.abc import Generator

from pyinfra.api.command import PyinfraCommand, QuoteString, StringCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.box import python_packages
from vengeance.connectors.long_command import LongCommand
from vengeance.facts.vllm import Environment
from vengeance.operations.refusal import checked

_PATH = re.compile(r"(/[A-Za-z0-9._+-]+)+")
USER = re.compile(r"[a-z_][a-z0-9_-]*")


def check_place(path: str, user: str) -> None:
    """Check where an environment lies and whose it is.

    + path: folder of the environment
    + user: who owns it

    Raises OperationValueError for a path or a name that a shell would misread.
    """
    _check(_PATH, "absolute path of a Python environment, as in /home/steam/vllm-env", path)
    _check(USER, "name of a Linux user", user)


def _check(pattern: re.Pattern[str], what: str, value: str) -> None:
    if not pattern.fullmatch(value):
        raise OperationValueError(f"{value!r} is no {what}.")


@operation()
def environment(
    path: str, user: str, package: str, python: str = "python3", pip_arguments: list[str] | None = None
) -> Generator[PyinfraCommand, None, None]:
    """
    Make a Python environment (venv) and install a package into it.

    + path: folder of the environment
    + user: who owns it; everything is done as this user
    + package: what to install, with its version: ``vllm==0.15.1``
    + python: the Python it is made from, such as ``python3`` or ``python3.12``
    + pip_arguments: further arguments of ``pip install``, such as an index; they must hold no secret

    A package that is there in another version is replaced. An environment without pip is made anew.

    **Example:**

    .. code:: python

        vllm.environment(
            name="Install vLLM",
            path="/home/steam/vllm-env",
            user="steam",
            package="vllm==0.15.1",
        )
    """
    check_place(path, user)
    requirement = checked(lambda: python_packages.parse_requirement(package))
    found = host.get_fact(Environment, path=path, _su_user=user, _su_shell="/bin/sh")
    own_python = QuoteString(f"{path}/bin/python")
    foreign = found is not None and found["owner"] != user
    if foreign:
        yield StringCommand("chown -R -h", QuoteString(user), QuoteString(path))
    if found is not None and python_packages.is_met(requirement, found["packages"]):
        if not foreign:
            host.noop(f"{path} has {package}")
        return
    has = python_packages.version_of(requirement, found["packages"]) if found is not None else None
    host.log(f"{path}: {requirement.name} {has or '(not installed)'} -> {requirement.specifier or 'the newest'}")
    # Without pip it is one whose making was cut short.
    if found is None or "pip" not in found["packages"]:
        yield StringCommand(
            QuoteString(python), "-m venv --clear", QuoteString(path), _su_user=user, _su_shell="/bin/sh"
        )
    arguments = [QuoteString(text) for text in [*(pip_arguments or []), str(requirement)]]
    install = "-m pip install --no-input --disable-pip-version-check"
    yield LongCommand(own_python, install, *arguments, _su_user=user, _su_shell="/bin/sh")
