"""A small HTTP/1.1 server on connections that somebody else accepts; it answers as Go's does."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote

JSON = "application/json; charset=utf-8"
NDJSON = "application/x-ndjson"
EVENTS = "text/event-stream"
TEXT = "text/plain; charset=utf-8"
_PATIENCE = 120.0


class Cut(Exception):
    """The connection is to end in the middle of an answer."""


@dataclass(frozen=True)
class Request:
    """One request; ``body`` is all of it, ``peer`` the box's name for who asks."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    peer: str


@dataclass(frozen=True)
class Response:
    """One answer; a ``body`` that is no bytes is sent piece by piece as it comes."""

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    kind: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def as_json(data: object, status: int = 200) -> Response:
    """An answer of one JSON value."""
    return Response(status, encode(data))


def encode(data: object) -> bytes:
    """JSON as Go's encoder writes it, without blanks."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


Answer = Callable[[Request], Response]


class _NoServer:
    """What BaseHTTPRequestHandler wants for a server."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE

    def __init__(self, connection: socket.socket, peer: str, answer: Answer) -> None:
        self._answer = answer
        self._peer = peer
        super().__init__(connection, (peer, 0), _NoServer())  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        # Go routes any method; BaseHTTPRequestHandler looks for one function each.
        if name.startswith("do_"):
            return self._respond
        raise AttributeError(name)

    def log_message(self, format: str, *words: object) -> None:
        return

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline() not in (b"\r\n", b"\n", b""):
                pass
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _respond(self) -> None:
        if self.headers.get("Expect", "").lower() == "100-continue" and self.request_version != "HTTP/1.1":
            self.close_connection = True
        request = Request(
            method=str(self.command),
            path=unquote(self.path.partition("?")[0]),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self._body(),
            peer=self._peer,
        )
        response = self._answer(request)
        self.send_response_only(response.status)
        for name, value in {"Content-Type": response.kind, **response.headers}.items():
            if value:
                self.send_header(name, value)
        self.send_header("Date", formatdate(usegmt=True))
        if isinstance(response.body, bytes):
            self.send_header("Content-Length", str(len(response.body)))
            self.end_headers()
            if request.method != "HEAD":
                self.wfile.write(response.body)
            return
        self._stream(response.body)

    def _stream(self, pieces: Iterable[bytes]) -> None:
        chunked = self.request_version == "HTTP/1.1"
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.close_connection = True
        self.end_headers()
        ended = False
        try:
            for piece in pieces:
                if piece:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            ended = True
        except Cut:
            self.close_connection = True
        finally:
            if isinstance(pieces, Iterator) and hasattr(pieces, "close"):
                pieces.close()
        if ended and chunked:
            self.wfile.write(b"0\r\n\r\n")


def serve(connection: socket.socket, peer: str, answer: Answer) -> None:
    """Answer the requests on one connection until it ends."""
    with connection, contextlib.suppress(OSError, ValueError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _Handler(connection, peer, answer)
