"""Carries the bytes of one connection over to another one, both ways, until both have ended."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


def carry(one: socket.socket, other: socket.socket) -> None:
    """Copy both ways; each side's end is passed on by itself, as HTTP servers that answer after it need."""
    back = threading.Thread(target=_copy, args=(other, one), daemon=True)
    back.start()
    _copy(one, other)
    back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        source.settimeout(None)
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
