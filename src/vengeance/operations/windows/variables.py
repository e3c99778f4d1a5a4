"""Operations on environment variables."""

from __future__ import annotations

from collections.abc import Generator, Mapping

from pyinfra import logger
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.operation import operation
from pyinfra.context import host

from vengeance.box import before as names
from vengeance.box import ollama_environment, windows_environment
from vengeance.facts.windows import Environment
from vengeance.operations.before import kept
from vengeance.operations.refusal import checked
from vengeance.powershell import Script
from vengeance.powershell.windows import Level, Variable

LEVELS: tuple[Level, ...] = ("machine", "user")


def check_variables(variables: Mapping[str, str], level: str, present: bool) -> None:
    """Check names, values and level of environment variables.

    Raises OperationValueError with a sentence.
    """
    if level not in LEVELS:
        raise OperationValueError(f"The level of an environment variable is machine or user, not {level!r}.")
    checked(lambda: _check_each(variables, present))


def _check_each(variables: Mapping[str, str], present: bool) -> None:
    upper = [name.upper() for name in variables]
    for name, value in variables.items():
        windows_environment.check_name(name)
        if upper.count(name.upper()) > 1:
            raise ValueError(f"{name} is given twice: Windows does not tell the case of names apart.")
        if present:
            ollama_environment.check_name(name)
            if not isinstance(value, str):
                raise ValueError(f"The value of {name} is a text, not {value!r}: write it in quotes.")
            windows_environment.check_value(name, value)
            ollama_environment.check_value(name, value)


def values_of(variables: Mapping[str, Variable]) -> dict[str, str]:
    """Return name -> value of a level that the fact ``Environment`` has read."""
    return {name: variable["value"] for name, variable in variables.items()}


def set_level(
    level: Level, present: dict[str, str], wanted: dict[str, str | None]
) -> Generator[PyinfraCommand, None, None]:
    """Say what changes at a level, and give the script that changes it; nothing where all is right.

    + present: name -> value as the registry has them
    + wanted: name -> value, None for a variable that should not be there
    """
    changes = windows_environment.changes(present, wanted)
    for name, (before, after) in changes.items():
        host.log(f"{level} variable {name}: {windows_environment.shown(before)} -> {windows_environment.shown(after)}")
    if changes:
        variables = {name: after for name, (_, after) in changes.items()}
        yield from kept({names.variable(level, name): before for name, (before, _) in changes.items()})
        yield Script("Set-Environment", {"level": level, "variables": variables})


@operation()
def environment(
    variables: dict[str, str], level: Level = "machine", present: bool = True
) -> Generator[PyinfraCommand, None, None]:
    """
    Set or remove environment variables in the registry.

    + variables: name -> value; with ``present=False`` the values do not count
    + level: ``machine`` (for everybody) or ``user`` (the account that the connection signs in as)
    + present: whether the variables should be there

    Programs that run keep the environment they were started with. Names that begin with ``OLLAMA_`` are checked
    against those that Ollama reads. A user variable that hides the machine variable is reported.

    **Example:**

    .. code:: python

        windows.environment(
            name="Let Ollama listen on every address",
            variables={"OLLAMA_HOST": "0.0.0.0:11434"},
            level="machine",
        )
    """
    check_variables(variables, level, present)
    found = host.get_fact(Environment, names=list(variables))
    if found is None:
        return  # it could not be read: pyinfra has said so and failed the host
    wanted: dict[str, str | None] = {name: value if present else None for name, value in variables.items()}
    if level == "machine" and present:
        for name, (mine, other) in windows_environment.overridden(values_of(found["user"]), variables).items():
            host.log(
                f"the user variable {name}={other!r} hides the machine variable {mine!r} from programs of that user; "
                f"remove it, signed in as that user: reg delete HKCU\\Environment /v {name} /f",
                logger.warning,
            )
    changes = list(set_level(level, values_of(found[level]), wanted))
    if not changes:
        host.noop(f"{level} variables {', '.join(variables)} are as they should be")
    yield from changes
