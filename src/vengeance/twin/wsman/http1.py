"""As much HTTP/1.1 as http.sys needs here: requests in from a socket, each answer out in one write."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from email.utils import formatdate

_MAX_HEAD = 64 * 1024
_MAX_DRAIN = 16 * 1024 * 1024

_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
}


class ConnectionOver(Exception):
    """The client has closed the connection, or has been silent for too long."""


class BadHttp(Exception):
    """The request cannot be read as HTTP; ``status`` is the answer, after which the connection is closed."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


@dataclass(frozen=True)
class HttpRequest:
    """A request; header names in lower case. too_large: the body was over the limit and is thrown away."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    too_large: bool = False
    keep_alive: bool = True


@dataclass
class HttpAnswer:
    """An answer; ``headers`` come on top of Server, Date and Content-Length."""

    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    close: bool = False

    def render(self) -> bytes:
        """The bytes for the wire."""
        lines = [f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines.append("Server: Microsoft-HTTPAPI/2.0")
        lines.append(f"Date: {formatdate(usegmt=True)}")
        if self.close:
            lines.append("Connection: close")
        lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + self.body


class HttpReader:
    """Reads requests from one connection.

    sock: the connected socket
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()

    def read(self, idle_seconds: float, max_body: int) -> HttpRequest:
        """Wait for the next request and read it whole.

        idle_seconds: how long the client may be silent
        max_body: longest body that is kept, bytes; ConnectionOver and BadHttp as their names say
        """
        self._sock.settimeout(idle_seconds)
        head = self._read_head()
        method, target, version, headers = _parse_head(head)
        wish = headers.get("connection", "").lower()
        keep_alive = "close" not in wish and (version == "HTTP/1.1" or "keep-alive" in wish)
        if headers.get("expect", "").lower() == "100-continue":
            self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body, too_large = self._read_chunks(max_body)
        else:
            length = headers.get("content-length", "0")
            if not length.isdigit():
                raise BadHttp(400)
            body, too_large = self._read_sized(int(length), max_body)
        return HttpRequest(method, target, headers, body, too_large, keep_alive)

    def _receive(self) -> None:
        try:
            data = self._sock.recv(256 * 1024)
        except OSError as error:  # a timeout as well as a reset
            raise ConnectionOver from error
        if not data:
            raise ConnectionOver
        self._buffer += data

    def _read_head(self) -> bytes:
        start = 0
        while (end := self._buffer.find(b"\r\n\r\n", max(0, start - 3))) < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise BadHttp(400)
            start = len(self._buffer)
            self._receive()
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        return head

    def _take(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._receive()
        data = bytes(self._buffer[:length])
        del self._buffer[:length]
        return data

    def _read_sized(self, length: int, max_body: int) -> tuple[bytes, bool]:
        if length <= max_body:
            return self._take(length), False
        if length > _MAX_DRAIN:
            raise BadHttp(413)
        # Read to the end, because a client that is still writing would see a reset instead of the answer.
        left = length
        while left > 0:
            left -= len(self._take(min(left, 65536)))
        return b"", True

    def _read_chunks(self, max_body: int) -> tuple[bytes, bool]:
        body = bytearray()
        total = 0
        while True:
            size_line = self._read_line().split(b";")[0].strip()
            try:
                size = int(size_line, 16)
            except ValueError:
                raise BadHttp(400) from None
            if size == 0:
                while self._read_line():
                    pass
                return bytes(body), total > max_body
            total += size
            if total > _MAX_DRAIN:
                raise BadHttp(413)
            data = self._take(size)
            if total <= max_body:
                body += data
            self._read_line()

    def _read_line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise BadHttp(400)
            self._receive()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line


def _parse_head(head: bytes) -> tuple[str, str, str, dict[str, str]]:
    lines = head.decode("latin-1").lstrip("\r\n").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadHttp(400)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadHttp(400)
        headers[name.strip().lower()] = value.strip()
    return parts[0], parts[1], parts[2], headers
