"""Runs an operation on facts that a test gives, without any connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from pyinfra.api.command import PyinfraCommand, StringCommand
from pyinfra.api.config import Config
from pyinfra.api.facts import FactBase
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State, StateStage
from pyinfra.context import ctx_host, ctx_state

Facts = Mapping[Any, Any]
"""Fact class -> its value, or a function of the fact's arguments. Facts that are not there have their default."""


@dataclass
class Run:
    """What an operation did: its commands in order, what it logged, and why it had nothing to do."""

    commands: list[PyinfraCommand] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    noops: list[str] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        """The commands as they would be logged."""
        return [str(command) if isinstance(command, StringCommand) else repr(command) for command in self.commands]


@contextmanager
def no_connection(
    facts: Facts, run: Run, stage: StateStage = StateStage.Execute, side: str | None = None
) -> Iterator[State]:
    """A state with one host, which answers facts from ``facts``; ``side`` is the group that it is in."""
    groups: dict[str, Any] = {} if side is None else {side: (["somewhere"], {})}
    state = State(Inventory((["somewhere"], {}), **groups), Config())  # type: ignore[no-untyped-call]
    state.current_stage = stage
    host = state.inventory.get_host("somewhere")

    def get_fact(cls: type[FactBase[Any]], **arguments: Any) -> Any:
        known = {name: value for name, value in arguments.items() if not name.startswith("_")}
        value = facts[cls] if cls in facts else cls.default()
        return value(**known) if isinstance(value, Callable) else value  # type: ignore[arg-type]

    with (
        ctx_state.use(state),
        ctx_host.use(host),
        patch.object(host, "get_fact", get_fact),
        patch.object(host, "noop", run.noops.append),
        patch.object(host, "log", lambda message, log_func=None: run.logged.append(message)),
        patch.object(host, "get_temp_filename", lambda *_, **__: "/tmp/temporary"),
    ):
        yield state


def run_operation(
    operation: Any, facts: Facts, stage: StateStage = StateStage.Execute, side: str | None = None, **arguments: Any
) -> Run:
    """Run an operation to its end on the given facts, as if all its commands succeeded.

    + side: ``windows`` or ``wsl``, the group that the host is in; None is a host of some other project
    """
    run = Run()
    with no_connection(facts, run, stage, side):
        run.commands.extend(operation._inner(**arguments))
    return run
