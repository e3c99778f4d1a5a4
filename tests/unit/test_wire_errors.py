"""What a person reads of a failed wire, by way of pyinfra."""

from __future__ import annotations

import copy
import pickle

from pyinfra.api.util import format_exception

from vengeance.winrm.errors import Fault, OutcomeUnknown


def test_pyinfra_shows_the_sentence_and_no_python_of_it() -> None:
    error = OutcomeUnknown("the agent on box:5986 didn't answer. Look at the box, then run again")
    assert format_exception(error) == f"OutcomeUnknown: {error}"
    assert "Fault: full" in format_exception(Fault("full", 170))


def test_it_stays_an_exception_like_any_other() -> None:
    error = OutcomeUnknown("lost")
    assert error.args == ("lost",)
    assert str(error) == "lost"
    assert str(pickle.loads(pickle.dumps(error))) == str(copy.copy(error)) == "lost"
