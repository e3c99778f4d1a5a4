"""Faults on demand: rules that cut, delay, refuse or falsify requests at a chosen count."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

Kind = Literal["cut_before", "cut_after", "no_answer", "timed_out", "delay", "fault", "bad_request", "refuse"]


@dataclass
class FaultRule:
    """One rule.

    kind: "cut_before": close the connection, nothing done; "cut_after": handle it, then close without an
        answer; "fault": answer with the WSMan fault ``code``, nothing done; "bad_request": answer HTTP 400,
        nothing done;
        "no_answer": handle it, then say nothing until the client has had enough, as where a router forgot the
        connection; "timed_out": answer with the fault of an operation whose time is up: a Receive took nothing then,
        anything else was done all the same;
        "delay": wait ``milliseconds`` before every HTTP request is handled, handshake legs included;
        "refuse": no new connections for ``seconds``
    request: which request it hits, 1 = the next that matches; counted from when the rule was set, over
        requests that reach WS-Management (authenticated and readable)
    times: how many requests in a row it hits from there on; None = all
    every: with it, it hits only each so-many-th of them: request=10, times=None, every=10 is each tenth
    action: only requests of this action count ("Create", "Command", "Send", "Receive", "Signal", "Delete",
        "Get")
    """

    kind: Kind
    request: int = 1
    times: int | None = 1
    every: int | None = None
    action: str | None = None
    code: int | None = None
    milliseconds: float | None = None
    seconds: float | None = None
    seen: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"There is no fault of the kind {self.kind!r}; use one of {', '.join(get_args(Kind))}.")
        if self.request < 1:
            raise ValueError(f"A fault rule counts requests from 1, so request={self.request} never comes.")
        if self.times is not None and self.times < 1:
            raise ValueError(f"A fault rule needs times of at least 1 (or null for all), not {self.times}.")
        if self.every is not None and self.every < 1:
            raise ValueError(f"A fault rule hits every 1st request or fewer, not every={self.every}.")
        needed = {"fault": "code", "delay": "milliseconds", "refuse": "seconds"}.get(self.kind)
        if needed is not None and getattr(self, needed) is None:
            raise ValueError(f"A fault rule of the kind {self.kind!r} needs a value for {needed!r}.")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FaultRule:
        """Make a rule from a JSON object with the fields of this class; ValueError for unknown ones."""
        unknown = set(data) - set(cls.__dataclass_fields__) | ({"seen"} & set(data))
        if unknown:
            known = ", ".join(name for name in cls.__dataclass_fields__ if name != "seen")
            raise ValueError(f"A fault rule has no field {', '.join(sorted(unknown))}; it has {known}.")
        if "kind" not in data:
            raise ValueError(f"A fault rule needs a kind: one of {', '.join(get_args(Kind))}.")
        return cls(**data)

    def matches(self, action: str | None) -> bool:
        """Count this request if the rule is about it, and say whether it is hit."""
        if self.action is not None and self.action != action:
            return False
        self.seen += 1
        behind = self.seen - self.request
        return behind >= 0 and behind % (self.every or 1) == 0  # a spent rule is not asked any more

    @property
    def spent(self) -> bool:
        """Whether the rule can never hit again."""
        return self.times is not None and self.seen >= self.request + (self.times - 1) * (self.every or 1)


@dataclass
class FaultPlan:
    """The rules in force; every method may be called from any thread while the server runs."""

    _rules: list[FaultRule] = field(default_factory=list)
    _refused_until: float = 0.0
    _watchers: list[Callable[[], None]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, rule: FaultRule | Mapping[str, Any]) -> None:
        """Set a rule, given as such or as its JSON object; its count of requests starts now."""
        if not isinstance(rule, FaultRule):
            rule = FaultRule.from_json(rule)
        watchers: list[Callable[[], None]] = []
        with self._lock:
            if rule.kind == "refuse":
                self._refused_until = time.monotonic() + (rule.seconds or 0.0)
                watchers = list(self._watchers)
            else:
                self._rules.append(rule)
        for watcher in watchers:
            watcher()

    def clear(self) -> None:
        """Drop every rule, and let connections in again."""
        with self._lock:
            self._rules.clear()
            self._refused_until = 0.0

    def snapshot(self) -> list[dict[str, Any]]:
        """The rules that can still hit, as JSON objects."""
        with self._lock:
            rules = [{k: v for k, v in asdict(rule).items() if v is not None} for rule in self._rules]
            left = self._refused_until - time.monotonic()
            return [*rules, {"kind": "refuse", "seconds": round(left, 3)}] if left > 0 else rules

    def hit(self, action: str | None) -> FaultRule | None:
        """Count a request that has reached WS-Management, and return the rule that hits it."""
        with self._lock:
            hits = [rule for rule in self._rules if rule.kind != "delay" and rule.matches(action)]
            self._rules = [rule for rule in self._rules if rule.kind == "delay" or not rule.spent]
            return hits[0] if hits else None

    def delay_seconds(self) -> float:
        """How long each HTTP request is to be held up, seconds."""
        with self._lock:
            return sum((rule.milliseconds or 0.0) for rule in self._rules if rule.kind == "delay") / 1000

    def refused_for(self) -> float:
        """For how many more seconds no connection is to be let in, 0 when they are let in."""
        with self._lock:
            return max(0.0, self._refused_until - time.monotonic())

    def watch_refusal(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` whenever a refusal begins."""
        with self._lock:
            self._watchers.append(watcher)
