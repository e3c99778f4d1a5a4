"""How hypothesis is asked here: the same examples at each run, or many new ones where everything is asked for."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FULL = bool(os.environ.get("VENGEANCE_FULL"))


def examples(few: int, many: int) -> settings:
    """The settings of a test; nothing is remembered from one run to the next."""
    return settings(
        max_examples=many if FULL else few,
        deadline=None,
        derandomize=not FULL,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


# What programs trip over, more often than chance would bring it.
_ODD = [
    *"\"'`\\/$%&|<>^!;:*?#~=@()[]{}+,. \t\n\r\0\x07\x1b\x7f",
    "\x85",
    "\u2028",
    "\ufeff",
    "\u0130",
    "ß",
    "é",
    "e\u0301",
    "\u202e",
    "日",
    "\U0001f600",
    "\ud800",
    "%PATH%",
    "$(id)",
    "..",
    "CON",
    "-rf",
    "\r\n",
    "٣",
    "²",
]

odd_text = st.lists(st.one_of(st.sampled_from(_ODD), st.characters(), st.sampled_from("abcXYZ019_-")), max_size=12).map(
    "".join
)
"""Text of any characters, lone surrogates and NUL included."""
