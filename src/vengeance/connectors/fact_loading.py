"""Whether a command only reads, which pyinfra knows and does not tell a connector."""

from __future__ import annotations

import sys

from pyinfra.api import facts

# The connector's method, what is around it, pyinfra's host, and pyinfra's loading of facts.
_DEEPEST = 8


def asked_for_a_fact() -> bool:
    """Whether the command that a connector is about to run is that of a fact, and so may be run twice.

    Facts are loaded by one function of pyinfra's (``pyinfra.api.facts._get_fact``, 3.10), which calls
    ``Host.run_shell_command`` with what it also gives for operations: only the call itself tells them apart.
    """
    loading = facts._get_fact.__code__
    frame = sys._getframe(1)
    for _ in range(_DEEPEST):
        if frame.f_code is loading:
            return True
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return False
