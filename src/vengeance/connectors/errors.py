"""What may leave a connector: for anything but an OSError pyinfra ends the run of every host."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from vengeance.winrm.errors import OutcomeUnknown as OutcomeUnknown
from vengeance.winrm.errors import SignInRefused as SignInRefused

P = ParamSpec("P")
T = TypeVar("T")


def fails_its_host_only(method: Callable[P, T]) -> Callable[P, T]:
    """Return the method with what a value that cannot be used raises (a lone surrogate, say) turned into OSError."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise OSError(f"{error} ({type(error).__name__})") from error

    return call
