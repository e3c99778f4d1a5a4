"""What may leave a connector: for anything but an OSError pyinfra ends the run of every host."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from gevent import get_hub
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import State

from vengeance.winrm.errors import ConnectFailed, ConnectionLost
from vengeance.winrm.errors import Displaced as Displaced
from vengeance.winrm.errors import OutcomeUnknown as OutcomeUnknown
from vengeance.winrm.errors import SignInRefused as SignInRefused


def leave_no_traceback() -> None:
    """Have gevent print no traceback of pyinfra's own errors, which pyinfra itself tells in a sentence.

    The fact that fails the last host raises "No hosts remaining!" in that host's greenlet.
    """
    hub = get_hub()
    if PyinfraError not in hub.NOT_ERROR:
        hub.NOT_ERROR = (*hub.NOT_ERROR, PyinfraError)


class Connector(Protocol):
    """What a connector has here; ``lost`` is why its box cannot be reached, None when it can."""

    host: Host
    state: State
    lost: str | None


C = TypeVar("C", bound=Connector)
P = ParamSpec("P")
T = TypeVar("T")


def fails_its_host_only(method: Callable[Concatenate[C, P], T]) -> Callable[Concatenate[C, P], T]:
    """Return the method with what a value that cannot be used raises (a lone surrogate, say) turned into OSError.

    A host that has failed, and whose box could not be reached, is not tried again: an operation asks for all of its
    facts whatever became of the first, and each would take another minute.
    """

    @functools.wraps(method)
    def call(self: C, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self.lost is not None and self.host in self.state.failed_hosts:
            raise ConnectionLost("not tried again")
        try:
            result = method(self, *args, **kwargs)
        except (ConnectionLost, ConnectFailed) as error:
            self.lost = str(error)
            raise
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise OSError(f"{error} ({type(error).__name__})") from error
        self.lost = None
        return result

    return call
