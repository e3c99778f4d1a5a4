"""How a fact reads what a shipped script printed."""

from __future__ import annotations

import json
from typing import TypeVar

from pyinfra.api.exceptions import FactProcessError
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

T = TypeVar("T")


def parse(script: str, output: list[str], shape: type[T]) -> T:
    """Read what a shipped script printed: one JSON text of the given shape.

    + script: the script's name, for the message
    + output: lines of its stdout
    + shape: the type that the JSON must have

    Raises FactProcessError when it is anything else.
    """
    text = "\n".join(output).strip()
    try:
        return check_type(json.loads(text), shape, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
    except (ValueError, TypeCheckError) as error:
        seen = text if len(text) <= 200 else text[:200] + "..."
        raise FactProcessError(
            f"{script}.ps1 should print one JSON text of the shape {shape.__name__} and printed {seen!r}: {error}"
        ) from error
