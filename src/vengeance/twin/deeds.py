"""What was done to a twin's box, counted as it happens: who asked, and what he was told of it, plays no part."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from typing import Any


class Deeds:
    """Counts what changes something and should happen once; every method may be called from any thread."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, what: str, times: int = 1) -> None:
        """Count one more deed of this name."""
        with self._lock:
            self._counts[what] += times

    def scripted(self, script: str, given: Any, answer: Any) -> None:  # noqa: ANN401
        """Count a shipped script that says it has changed something; told apart by what it was given.

        given: its input, of which the name bears a hash alone, for it may hold a password
        """
        # The lock of a run goes with its process, and comes again with the next one of the same run.
        if isinstance(answer, dict) and answer.get("changed") is True and script != "Set-RunLock":
            digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:8]
            self.add(f"change {script} {digest}")

    def counts(self) -> dict[str, int]:
        """Deed -> how often."""
        with self._lock:
            return dict(self._counts)

    def clear(self) -> None:
        """Begin anew."""
        with self._lock:
            self._counts.clear()
