"""Who listens on TCP ports of Windows, by netstat.exe.

Its words are those of Windows' language. Of what listens the other end is 0.0.0.0:0 or [::]:0, in every one.
"""

from __future__ import annotations

from typing import NamedTuple

from testinfra.modules.base import Module

_NOBODY = ("0.0.0.0:0", "[::]:0")
_EVERY = ("0.0.0.0", "[::]")  # noqa: S104 what is looked for


class Listener(NamedTuple):
    """A program that listens: IPv6 addresses are in brackets."""

    address: str
    port: int
    pid: int


class Socket(Module):  # type: ignore[misc]
    """A TCP port: ``host.socket("tcp://11434").is_listening``, or of one address: ``tcp://127.0.0.1:8080``.

    Raises NotImplementedError for UDP, which has no listening, and for Unix sockets.
    """

    def __init__(self, spec: str) -> None:
        scheme, _, place = spec.partition("://")
        if scheme != "tcp":
            raise NotImplementedError(f"{spec}: only tcp://PORT and tcp://ADDRESS:PORT are known on Windows")
        address, _, port = place.rpartition(":")
        self.address, self.port = address or None, int(port)

    @property
    def listeners(self) -> list[Listener]:
        """Who listens on the port, on whichever address."""
        return [one for one in listening(str(self.check_output("netstat -a -n -o -p TCP"))) if one.port == self.port]

    @property
    def is_listening(self) -> bool:
        """Whether somebody listens there; whoever listens on every address counts for each of them."""
        return any(self.address in (None, one.address) or one.address in _EVERY for one in self.listeners)

    @property
    def addresses(self) -> set[str]:
        """The addresses that somebody listens on; 0.0.0.0 is all of them."""
        return {one.address for one in self.listeners}

    def __repr__(self) -> str:
        return f"<socket tcp://{self.address or '*'}:{self.port}>"


def listening(text: str) -> list[Listener]:
    """Return who listens, of what netstat prints with -a -n -o."""
    found = []
    for words in (line.split() for line in text.splitlines()):
        if len(words) == 5 and words[0] == "TCP" and words[2] in _NOBODY:
            address, _, port = words[1].rpartition(":")
            found.append(Listener(address, int(port), int(words[4])))
    return found
