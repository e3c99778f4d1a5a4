"""Ollama's variables in the registry: which level has what, which value counts, and what beats them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vengeance.box import ollama_server
from vengeance.box.ollama_start import Start

Levels = Mapping[str, Mapping[str, str]]
"""``machine`` and ``user`` -> name -> value."""


def in_effect(machine: Mapping[str, str], user: Mapping[str, str]) -> dict[str, str]:
    """Return Ollama's variables, in capitals, as a new process of the account gets them: the user's win."""
    return {
        name.upper(): value
        for level in (machine, user)
        for name, value in level.items()
        if name.upper().startswith("OLLAMA_")
    }


def asked_at(machine_variables: Mapping[str, str], user_variables: Mapping[str, str]) -> str:
    """Return the address at which a program on the box reaches a server with these variables."""
    return ollama_server.where_to_ask(in_effect(machine_variables, user_variables).get("OLLAMA_HOST", ""))[0]


def levels(
    machine: Mapping[str, str], user: Mapping[str, str], start: Start, present: Levels
) -> dict[str, dict[str, str | None]]:
    """Return what each level should have: name -> value, None for what has to go.

    + machine, user: as they are declared
    + start: ``boot`` puts all to the machine, and Ollama's user variables go, as they would win over these
    + present: what the levels have
    """
    if start == "boot":
        mine = _names(user)
        both = {**{name: value for name, value in machine.items() if name.upper() not in mine}, **user}
        stale = [name for name in present["user"] if name.upper().startswith("OLLAMA_") or name.upper() in _names(both)]
        return {"machine": dict(both), "user": dict.fromkeys(stale)}
    # What is declared for the other level only goes from this one.
    strayed = {
        "machine": [name for name in present["machine"] if name.upper() in _names(user) - _names(machine)],
        "user": [name for name in present["user"] if name.upper() in _names(machine) - _names(user)],
    }
    return {
        "machine": {**machine, **dict.fromkeys(strayed["machine"])},
        "user": {**user, **dict.fromkeys(strayed["user"])},
    }


def _names(variables: Mapping[str, object]) -> set[str]:
    return {name.upper() for name in variables}


def strays(present: Levels, wanted: Mapping[str, Mapping[str, object]]) -> Iterator[tuple[str, str, str]]:
    """Give level, name and value of each variable of Ollama's that is there and stands nowhere.

    + wanted: what ``levels`` returned
    """
    for level, variables in present.items():
        for name, value in variables.items():
            if name.upper().startswith("OLLAMA_") and name.upper() not in _names(wanted[level]):
                yield level, name, value


def put_by_app(expose: bool, browser: bool, models: str, context_length: int) -> dict[str, str]:
    """Return what the window of the tray app puts over the environment, variable -> value; "" and 0 put nothing.

    ollama/ollama, app/server/server.go
    """
    found: dict[str, str] = {}
    if expose:
        found["OLLAMA_HOST"] = "0.0.0.0"  # noqa: S104
    if browser:
        found["OLLAMA_ORIGINS"] = "*"
    if models:
        found["OLLAMA_MODELS"] = models
    if context_length > 0:
        found["OLLAMA_CONTEXT_LENGTH"] = str(context_length)
    return found
