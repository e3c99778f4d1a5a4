"""A connector knows whether what it runs is a fact: what only reads is asked again when its agent is lost."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from pyinfra.api.config import Config
from pyinfra.api.facts import FactBase
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.connectors.util import CommandOutput
from typing_extensions import override

from vengeance.connectors.fact_loading import asked_for_a_fact


class Fact(FactBase[list[str]]):
    @override
    def command(self) -> str:
        return "uname"


def test_the_command_of_a_fact_is_told_from_that_of_an_operation() -> None:
    state = State(Inventory((["@local"], {})), Config())  # type: ignore[no-untyped-call]
    host = state.inventory.get_host("@local")
    host.connected = True
    asked: list[bool] = []

    def run(*words: Any, **arguments: Any) -> tuple[bool, CommandOutput]:
        asked.append(asked_for_a_fact())
        return True, CommandOutput([])

    with patch.object(host.connector, "run_shell_command", run):
        host.get_fact(Fact)
        host.run_shell_command("mkfs")
        host.get_fact(Fact)
    assert asked == [True, False, True]
