"""What a download is given, checked; and how far one is, in words."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_OTHER_HASHES = {32: "an MD5", 40: "a SHA-1", 96: "a SHA-384", 128: "a SHA-512"}
# Over how much time the speed is told, seconds: long enough to be calm, short enough to be true.
_SPEED_OVER = 30.0


def check_url(url: str, what: str = "url", schemes: tuple[str, ...] = ("https",)) -> None:
    """Check an address.

    + url: the address
    + what: how it is called in the settings
    + schemes: those that will do

    Raises ValueError with a sentence.
    """
    if not isinstance(url, str):
        raise ValueError(f"{what} is a text, not {url!r}.")
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or 1 <= parts.port <= 65535
    except ValueError:
        port_is_right = False
        parts = urlsplit("")
    if parts.username is not None or parts.password is not None:
        # The address would be kept in files and shown in logs.
        raise ValueError(f"{what} holds a user name or password, which would be shown: leave it out.")
    if not port_is_right or parts.scheme not in schemes or not parts.hostname or re.search(r"[\s\"<>\\^`{|}]", url):
        raise ValueError(f"{what} {url!r} is no address that begins with {' or '.join(f'{s}://' for s in schemes)}.")


def check_proxy(proxy: str | None) -> None:
    """Check the address of a proxy; None means none. Raises ValueError with a sentence."""
    if proxy is None:
        return
    check_url(proxy, "The proxy", ("http",))
    if urlsplit(proxy).path not in ("", "/"):
        raise ValueError(f"The proxy {proxy!r} has a path: write http://NAME:PORT.")


def check_sha256(sha256: str) -> None:
    """Check that a text is a SHA-256 in hex. Raises ValueError that says what it looks like."""
    right = "is no SHA-256: it has 64 hex digits, as `Get-FileHash FILE` prints them"
    if not isinstance(sha256, str):
        raise ValueError(f"{sha256!r} {right}.")
    if _SHA256.fullmatch(sha256):
        return
    bare = sha256.strip().lower().removeprefix("sha256:")
    if _SHA256.fullmatch(bare):
        raise ValueError(f"{sha256!r} is a SHA-256 with something around it: write the 64 hex digits alone.")
    if re.fullmatch(r"[0-9a-f]+", bare) and len(bare) in _OTHER_HASHES:
        raise ValueError(f"{sha256!r} is {_OTHER_HASHES[len(bare)]}; the SHA-256 of the file has 64 hex digits.")
    wrong = sorted(set(re.sub(r"[0-9a-f]", "", bare)))
    seen = f"has {', '.join(map(repr, wrong))} in it" if wrong else f"has {len(bare)}"
    raise ValueError(f"{sha256!r} {right}, and this {seen}.")


def size_text(count: float) -> str:
    """Return bytes for a person, in units of 1000: ``47.4 GB``."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


def time_text(seconds: float) -> str:
    """Return seconds for a person: ``1 h 02 min``, ``4 min 10 s``, ``9 s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


class Transfer:
    """Says how far a transfer is; one for each, as it remembers the speed.

    + what: what is transferred
    + now: seconds on a scale that never goes back
    """

    def __init__(self, what: str, now: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._now = now
        self._seen: deque[tuple[float, int]] = deque()
        self._phase = ""

    def __call__(self, progress: Mapping[str, Any]) -> str:
        """Return a line for a person: bytes of total, percent, speed and time left.

        + progress: ``phase``, ``bytes``, ``total`` (None when the server did not tell)
        """
        phase, done, total = str(progress.get("phase", "")), int(progress["bytes"]), progress.get("total")
        if phase != self._phase:
            self._seen.clear()
            self._phase = phase
        now = self._now()
        moves = not self._seen or done > self._seen[-1][1]
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] > _SPEED_OVER:
            self._seen.popleft()
        words = [size_text(done)]
        if total:
            words = [f"{size_text(done)} of {size_text(total)}", f"{100 * done // total} %"]
        begun, first = self._seen[0]
        # Of what stands still neither is true.
        if moves and now > begun and done > first:
            speed = (done - first) / (now - begun)
            words.append(f"{size_text(speed)}/s")
            if total and done < total:
                words.append(f"{time_text((total - done) / speed)} left")
        return f"{self._what}: {phase or 'transferred'} {', '.join(words)}"
