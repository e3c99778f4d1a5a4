"""How an operation stops one host with a sentence.

An exception that leaves an operation while it runs ends the run for every host. Wrong arguments deserve that; the
state of one box does not, so it is refused by a command that fails on that host alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Concatenate, ParamSpec, TypeVar

from pyinfra import logger
from pyinfra.api.command import FunctionCommand
from pyinfra.api.exceptions import OperationValueError
from pyinfra.api.host import Host
from pyinfra.api.state import State, StateStage
from pyinfra.context import host, state

P = ParamSpec("P")
T = TypeVar("T")


def checked(check: Callable[[], T]) -> T:
    """Return what a check of arguments gives. Raises OperationValueError with the sentence of its ValueError."""
    try:
        return check()
    except ValueError as error:
        raise OperationValueError(str(error)) from None


def failed(host: Host, *sentences: str) -> bool:
    """Say why a function of ours failed, each sentence on a line of its own; return False, its result then."""
    for sentence in sentences:
        host.log_styled(sentence, log_func=logger.error, fg="red")
    return False


def in_a_sentence(function: Callable[Concatenate[State, Host, P], bool]) -> Callable[Concatenate[State, Host, P], bool]:
    """Return a function of ours that fails its host with the sentence when the box cannot be reached.

    pyinfra prints a traceback of whatever leaves such a function.
    """

    @functools.wraps(function)
    def call(state: State, host: Host, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        try:
            return function(state, host, *args, **kwargs)
        except OSError as error:
            return failed(host, f"{host.name}: {error}")

    return call


def _say_and_fail(state: State, host: Host, *sentences: str) -> bool:
    # What was read from a box that could not be asked is not so; pyinfra has said that it could not.
    return False if host in state.failed_hosts else failed(host, *sentences)


def refuse(sentence: str) -> FunctionCommand:
    """Return a command that says the sentence and fails the host it runs on; in a plan it does nothing.

    + sentence: what is wrong, where, the value seen, and what mends it
    """
    return FunctionCommand(_say_and_fail, [sentence], {})


def warn_in_a_plan(*sentences: str) -> None:
    """Say in a plan what a command of ``refuse`` says later: there it does nothing, and a plan is where it helps.

    + sentences: each on a line of its own
    """
    if state.current_stage == StateStage.Prepare:
        for sentence in sentences:
            host.log(sentence, logger.warning)


def refuse_all(sentences: Iterable[str]) -> FunctionCommand:
    """Return a command that says each sentence on a line of its own and fails the host; see ``refuse``."""
    return FunctionCommand(_say_and_fail, [*sentences], {})
