"""Waiting for output and watching the client at the same time."""

from __future__ import annotations

import contextlib
import selectors
import socket
import time

_TLS_ALERT = 0x15


class ClientGone(Exception):
    """The client has closed its connection while its Receive was waiting."""


class Waiter:
    """One connection's waiting Receive: woken by output, ended by the client's going away.

    http.sys cancels the operation of a client that has gone; were it not so, a dead Receive would swallow
    the output that the next one on a fresh connection is waiting for.

    client: the connection's socket
    """

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._read, selectors.EVENT_READ)
        self._watching = False

    def wake(self) -> None:
        """End the wait; may be called from any thread, also after close()."""
        with contextlib.suppress(OSError):
            self._write.send(b"\0")

    def wait(self, seconds: float) -> None:
        """Return when woken or when ``seconds`` have passed; ClientGone when the client closes its side."""
        self._watch()
        deadline = time.monotonic() + seconds
        while True:
            ready = self._selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                return
            files = [key.fileobj for key, _ in ready]
            if self._client in files:
                if self._client_gone():
                    raise ClientGone
                # it has sent its next request already: nothing more to learn from this socket now
                self._unwatch()
            if self._read in files:
                with contextlib.suppress(OSError):
                    self._read.recv(4096)
                return

    def close(self) -> None:
        """Give the sockets back."""
        self._selector.close()
        self._read.close()
        self._write.close()

    def _watch(self) -> None:
        if not self._watching:
            with contextlib.suppress(ValueError, OSError):
                self._selector.register(self._client, selectors.EVENT_READ)
                self._watching = True

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            with contextlib.suppress(KeyError, ValueError, OSError):
                self._selector.unregister(self._client)

    def _client_gone(self) -> bool:
        try:
            # the plain recv, because an SSLSocket cannot peek: what matters is only whether TCP or TLS says
            # goodbye
            peeked = socket.socket.recv(self._client, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        except TypeError:
            return False
        return not peeked or peeked[0] == _TLS_ALERT
