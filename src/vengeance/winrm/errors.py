"""What can go wrong on the wire. All are OSErrors: pyinfra turns those into a failed host, and nothing else."""

from __future__ import annotations


class _Told(tuple[object, ...]):
    """An exception's arguments that print as what they say: pyinfra shows a failure as its class and arguments."""

    def __repr__(self) -> str:
        return ": " + " ".join(map(str, self))


class WireError(OSError):
    """Something failed between here and the box; the message says what, where and what mends it."""

    @property
    def args(self) -> tuple[object, ...]:  # type: ignore[override]
        """What it was made with."""
        return _Told(super().args)


class ConnectFailed(WireError):
    """There is no connection to be had: nothing there, not trusted, or not WinRM."""


class SignInRefused(ConnectFailed):
    """The box refused the account or its password."""


class ConnectionLost(WireError):
    """A request was cut; it may or may not have been handled. Sessions and shells may still be there."""


class ShellLost(WireError):
    """The shell or the command in it is gone from the box (restarted service, reboot, idle timeout, quota)."""


class Fault(WireError):
    """The box answered with a WS-Management fault.

    + code: the WSMan fault code, None if it gave none
    """

    def __init__(self, message: str, code: int | None) -> None:
        super().__init__(message)
        self.code = code


class InputClosed(WireError):
    """The program has ended, so nothing can be sent to it any more."""


class NothingYet(WireError):
    """The box held a Receive for its operation timeout and has no output so far."""


class OutcomeUnknown(WireError):
    """A command may or may not have run; it is not run again by itself."""


class AgentUnavailable(WireError):
    """The agent did not prove itself; the message says how."""


class Displaced(WireError):
    """What this run held on the box somebody else has now; nothing more is done on it."""


class TransferFailed(WireError):
    """A file could not be written or read on the box; the message is the box's own."""


class CommandTimeout(TimeoutError):
    """A command ran longer than its ``_timeout`` and was stopped."""
