"""The request log: one JSON line per HTTP request, and counters that tests and benchmarks read."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass
class Entry:
    """One HTTP request as the log shows it; it never holds a body or a credential.

    leg: "handshake" when the request only carried authentication, "message" when a SOAP message was read
    action: last word of the WS-Addressing action ("Create", "Receive", ...), None for a handshake leg
    status: HTTP status; None when the connection was cut instead of answered
    fault: WSMan fault code of the answer
    injected: what a fault rule did to it (the kind of the rule), None for none
    bytes_in, bytes_out: length of the HTTP bodies, bytes as on the wire (sealed where sealed)
    """

    connection: int
    leg: str = "handshake"
    action: str | None = None
    shell: str | None = None
    command: str | None = None
    status: int | None = None
    fault: int | None = None
    injected: str | None = None
    user: str | None = None
    bytes_in: int = 0
    bytes_out: int = 0


class RequestLog:
    """Thread-safe log with counters.

    path: file that gets the JSON lines, appended; None keeps the counters only
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8", buffering=1) if path is not None else None
        self._totals: Counter[str] = Counter()
        self._by_action: Counter[str] = Counter()
        self._failed_logons: Counter[str] = Counter()

    def write(self, entry: Entry) -> None:
        """Count a request and write its line."""
        line = json.dumps({"time": round(time.time(), 6), **asdict(entry)}, ensure_ascii=False)
        with self._lock:
            self._totals["requests"] += 1
            self._totals["bytes_in"] += entry.bytes_in
            self._totals["bytes_out"] += entry.bytes_out
            if entry.leg == "message":
                self._totals["messages"] += 1
            if entry.action is not None:
                self._by_action[entry.action] += 1
            if self._file is not None and not self._file.closed:
                self._file.write(line + "\n")

    def connection_opened(self) -> None:
        """Count a TCP connection."""
        with self._lock:
            self._totals["connections"] += 1

    def logon_failed(self, account: str) -> None:
        """Count a refused logon under the account name that the client gave."""
        with self._lock:
            self._failed_logons[account] += 1

    def snapshot(self) -> dict[str, Any]:
        """The counters as a JSON object.

        requests, messages, bytes_in, bytes_out, connections: numbers; by_action, failed_logons: number per name
        """
        names = ("requests", "messages", "bytes_in", "bytes_out", "connections")
        with self._lock:
            return {
                **{name: self._totals[name] for name in names},
                "by_action": dict(self._by_action),
                "failed_logons": dict(self._failed_logons),
            }

    def reset(self) -> None:
        """Set every counter to nothing; the file stays as it is."""
        with self._lock:
            self._totals.clear()
            self._by_action.clear()
            self._failed_logons.clear()

    def close(self) -> None:
        """Close the file; later requests are only counted."""
        with self._lock:
            if self._file is not None:
                self._file.close()
