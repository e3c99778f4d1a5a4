"""What the vendors' servers answer: files by URL, with ranges, redirects as GitHub's, and faults on demand."""

from __future__ import annotations

import email.utils
import hashlib
import http.server
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import urlsplit

How = Literal["cut", "stall", "slow", "status"]
_PIECE = 65536
_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")


@dataclass
class WebFault:
    """One fault of the vendors' servers.

    how: "cut": send ``value`` bytes of the body, then drop the connection; "stall": the same, then say nothing more;
        "slow": send ``value`` bytes a second; "status": answer with that HTTP status
    times: how many requests for a file it hits, from the next one on
    """

    how: How
    value: int
    times: int = 1

    def __post_init__(self) -> None:
        if self.how not in ("cut", "stall", "slow", "status"):
            raise ValueError(f"There is no fault {self.how!r} of the web; use cut, stall, slow or status.")
        if not isinstance(self.value, int) or self.value < 0 or not isinstance(self.times, int) or self.times < 1:
            raise ValueError("A fault of the web needs a number of bytes or a status, and at least one time.")
        if self.how == "status" and not 400 <= self.value <= 599:
            raise ValueError(f"The status of a failed request is 400 to 599, not {self.value}.")
        if self.how == "slow" and not self.value:
            raise ValueError("A slow fault of the web sends at least one byte a second.")


@dataclass
class FaultQueue:
    """The faults that are still to hit, first come first; every method may be called from any thread."""

    _faults: list[WebFault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: WebFault) -> None:
        """Set one more."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Drop every fault."""
        with self._lock:
            self._faults.clear()

    def all(self) -> list[WebFault]:
        """Those that can still hit."""
        with self._lock:
            return list(self._faults)

    def take(self, size: int | None = None) -> WebFault | None:
        """The fault that hits this request for a file.

        size: bytes of the file, where one that ends before its fault is none to hit
        """
        with self._lock:
            if not self._faults:
                return None
            fault = self._faults[0]
            if size is not None and fault.how != "status" and size <= fault.value:
                return None
            fault.times -= 1
            if fault.times <= 0:
                self._faults.pop(0)
            return fault


@dataclass(frozen=True)
class Artefact:
    """A file that is given out; ``etag`` is that of the bytes."""

    path: Path
    sha256: str

    @property
    def etag(self) -> str:
        """The entity tag, with its quotes."""
        return f'"{self.sha256[:32]}"'


@dataclass
class Request:
    """A request as it was answered."""

    method: str
    url: str
    range: str | None
    status: int


@dataclass
class Site:
    """All that the vendors' servers have; every method may be called from any thread."""

    artefacts: dict[str, Artefact] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    knows_if_range: bool = True
    queue: FaultQueue = field(default_factory=FaultQueue)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def publish(self, url: str, path: Path, via: str | None = None) -> str:
        """Give out a file at a URL; returns its SHA-256.

        via: the URL that ``url`` redirects to, where the bytes come from
        """
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _hash(file)
        with self._lock:
            if via is not None:
                self.redirects[url] = via
            self.artefacts[via or url] = Artefact(path, sha256)
        return sha256

    def fault(self, fault: WebFault) -> None:
        """Have the next requests for a file fail so."""
        self.queue.add(fault)

    def handler(self) -> partial[SiteHandler]:
        """What makes the handlers of requests."""
        return partial(SiteHandler, self)


def _hash(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while data := file.read(1 << 20):
        digest.update(data)
    return digest.hexdigest()


class SiteHandler(http.server.BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server_version = "vengeance-twin"
    timeout = 30

    def __init__(self, site: Site, *arguments: object) -> None:
        self.site = site
        super().__init__(*arguments)  # type: ignore[arg-type]

    def log_message(self, format: str, *values: object) -> None:
        """The site keeps its own list."""

    def do_GET(self) -> None:
        """Answer a request for a file."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer with the headers alone."""
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        self.close_connection = True
        url = f"https://{self.headers.get('Host', '')}{self.path}"
        artefact = self.site.artefacts.get(url)
        if url in self.site.redirects:
            self._empty(url, HTTPStatus.FOUND, Location=self.site.redirects[url])
        elif artefact is None:
            self._empty(url, HTTPStatus.NOT_FOUND)
        else:
            fault = self.site.queue.take() if body else None
            if fault is not None and fault.how == "status":
                self._empty(url, fault.value)
            else:
                self._send(url, artefact, body, fault)

    def _empty(self, url: str, status: int, **headers: str) -> None:
        self._note(url, status)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def _note(self, url: str, status: int) -> None:
        self.site.requests.append(Request(self.command, url, self.headers.get("Range"), int(status)))

    def _send(self, url: str, artefact: Artefact, body: bool, fault: WebFault | None) -> None:
        sending = Sending(self, partial(self._note, url), body, fault, self.site.ended, not self.site.knows_if_range)
        sending.send(artefact.path, artefact.etag)


@dataclass(frozen=True)
class Sending:
    """The answer to a request for a file.

    note: is told the status; body: False for a HEAD; ended: set when the server ends
    """

    handler: http.server.BaseHTTPRequestHandler
    note: Callable[[int], object]
    body: bool
    fault: WebFault | None
    ended: threading.Event
    ignores_if_range: bool = False

    def send(self, path: Path, etag: str, **headers: str) -> None:
        """Answer with a file or the part of it that is asked for.

        etag: with its quotes; headers: further ones, with ``_`` for ``-``
        """
        handler, size = self.handler, path.stat().st_size
        first, last = 0, size - 1
        wanted = _RANGE.match(handler.headers.get("Range", ""))
        # RFC 9110, 13.1.5: another version than the one that is asked for comes whole.
        if not self.ignores_if_range and handler.headers.get("If-Range") not in (None, etag):
            wanted = None
        answer = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", "ETag": etag}
        answer["Last-Modified"] = email.utils.formatdate(path.stat().st_mtime, usegmt=True)
        answer |= {name.replace("_", "-"): value for name, value in headers.items()}
        status = HTTPStatus.OK
        if wanted is not None:
            first = int(wanted[1])
            last = min(int(wanted[2] or last), last)
            status = HTTPStatus.PARTIAL_CONTENT
            answer["Content-Range"] = f"bytes {first}-{last}/{size}"
            if first >= size:
                status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
                answer = {"Content-Range": f"bytes */{size}"}
        count = 0 if status is HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE else last - first + 1
        self.note(status)
        handler.send_response(status)
        for name, value in {**answer, "Content-Length": str(count), "Connection": "close"}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if self.body and count:
            with suppress(OSError), path.open("rb") as file:
                file.seek(first)
                self._send_body(file, count)

    def _send_body(self, file: BinaryIO, count: int) -> None:
        handler, fault = self.handler, self.fault
        slow = fault.value if fault is not None and fault.how == "slow" else None
        left = count if fault is None or slow is not None else min(count, fault.value)
        # A tenth of a second's worth at a time.
        piece = _PIECE if slow is None else max(1, slow // 10)
        while left > 0 and (data := file.read(min(piece, left))):
            handler.wfile.write(data)
            left -= len(data)
            if slow is not None and self.ended.wait(len(data) / slow):
                return
        handler.wfile.flush()
        if fault is not None and fault.how == "stall":
            # Until the other side has had enough of it.
            handler.connection.settimeout(None)
            while not self.ended.is_set() and handler.rfile.read(1):
                pass


def host_of(url: str) -> str:
    """The host name of a URL."""
    return urlsplit(url).hostname or ""
