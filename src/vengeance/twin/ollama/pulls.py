"""Fetching a model: progress as Ollama tells it, blobs that several requests share, and what can go wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vengeance.twin.clock import Clock
from vengeance.twin.ollama.http1 import Cut
from vengeance.twin.ollama.published import Layer, Registry
from vengeance.twin.ollama.store import Name, Store
from vengeance.twin.windows.errors import Win32Error

# A big blob comes in so many steps; Ollama itself tells progress every 60 ms.
_STEPS = 20
_STEP_SECONDS = 0.004
_TELL_SECONDS = 0.06
# A part that brings nothing for so long is asked for again (server/download.go); the fault ends then.
STALL_SECONDS = 30.0
KINDS = ("fail_at", "stall", "cut", "offline", "corrupt")


@dataclass
class Fault:
    """What is to go wrong with pulls.

    kind: ``fail_at`` (the download gives up), ``stall`` (nothing comes for 30 seconds of the twin's time), ``cut``
    (the connection ends in the middle of an answer), ``offline`` (no registry) or ``corrupt`` (wrong bytes)
    percent: of the biggest layer, where it happens; times: how many pulls it hits
    """

    kind: str
    percent: float = 50.0
    times: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"There is no fault {self.kind!r} of a pull; there are {', '.join(KINDS)}.")
        if isinstance(self.percent, bool) or not 0 <= self.percent <= 100:
            raise ValueError(f"A pull fails at 0 to 100 percent, not {self.percent!r}.")
        if isinstance(self.times, bool) or not isinstance(self.times, int) or self.times < 1:
            raise ValueError(f"A fault hits 1 pull or more, not {self.times!r}.")


class Faults:
    """The faults that are set, first come first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Set one more."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """End all of them."""
        with self._lock:
            self._faults.clear()

    def snapshot(self) -> list[dict[str, Any]]:
        """Those in force."""
        with self._lock:
            return [
                {"kind": "ollama_pull", "how": one.kind, "percent": one.percent, "times": one.times}
                for one in self._faults
            ]

    def take(self) -> Fault | None:
        """The fault of a pull that begins now."""
        with self._lock:
            if not self._faults:
                return None
            first = self._faults[0]
            first.times -= 1
            if not first.times:
                self._faults.pop(0)
            return first


class PullError(Exception):
    """A pull has failed; the text is what the API says."""


class Download:
    """One blob on its way; several pulls can wait for it, and it stops when none does any more."""

    def __init__(self, store: Store, registry: Registry, layer: Layer, fault: Fault | None, clock: Clock) -> None:
        self.layer = layer
        self.completed = store.completed(layer.digest)
        self.error: str | None = None
        self.ended = threading.Event()
        self.waiting = 0
        self._sent = registry.sent
        self._store = store
        self._fault = fault
        self._clock = clock
        self._given_up = threading.Event()
        threading.Thread(target=self._run, name="pull", daemon=True).start()

    def give_up(self) -> None:
        """Stop; what has come stays as a partial blob."""
        self._given_up.set()

    def _run(self) -> None:
        try:
            self._fetch()
        except PullError as error:
            self.error = str(error)
        except Win32Error as error:
            path = f"{self._store.blob(self.layer.digest)}-partial"
            self.error = f"write {path}: {error.system}"
        except OSError as error:
            self.error = str(error)
        finally:
            self.ended.set()

    def _fetch(self) -> None:
        layer, fault = self.layer, self._fault
        limit = None if fault is None else int(layer.size * fault.percent / 100)
        step = max(1, layer.size // _STEPS)
        while self.completed < layer.size:
            if self._given_up.wait(_STEP_SECONDS):
                raise PullError("context canceled")
            goal = min(self.completed + step, layer.size)
            hit = limit is not None and goal >= limit
            if fault is not None and limit is not None and hit and fault.kind in ("fail_at", "stall"):
                goal = max(self.completed, limit)
            self._store.keep_partial(layer, goal, goal - self.completed)
            self._sent[layer.digest] = self._sent.get(layer.digest, 0.0) + (goal - self.completed) / layer.size
            self.completed = goal
            if fault is None or not hit:
                continue
            if fault.kind == "fail_at":
                raise PullError("max retries exceeded: unexpected EOF")
            if fault.kind == "stall":
                self._stall()
                fault = None
        taken = self.completed
        if fault is not None and fault.kind == "corrupt":
            self._store.drop_partial(layer.digest, give_back=True)
            raise PullError("digest mismatch, file must be downloaded again: want " + layer.digest)
        self._store.add(layer, taken)
        self._store.drop_partial(layer.digest, give_back=False)

    def _stall(self) -> None:
        over = threading.Event()
        alarm = self._clock.later(STALL_SECONDS, over.set)
        while not over.wait(0.02):
            if self._given_up.is_set():
                alarm.cancel()
                raise PullError("context canceled")


class Pulls:
    """The pulls of one server."""

    def __init__(self, store: Store, registry: Registry, faults: Faults, clock: Clock) -> None:
        self._store = store
        self._registry = registry
        self._faults = faults
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[str, Download] = {}

    def stop(self) -> None:
        """Give up everything, as the end of the server does."""
        with self._lock:
            running = list(self._running.values())
        for download in running:
            download.give_up()

    def pull(self, name: Name) -> Iterator[dict[str, Any]]:
        """Fetch a model; yields what ``/api/pull`` tells. Raises PullError, and Cut where the connection is to end."""
        fault = self._faults.take()
        yield {"status": "pulling manifest"}
        if fault is not None and fault.kind == "offline":
            where = f"https://{name.host}/v2/{name.namespace}/{name.model}/manifests/{name.tag}"
            raise PullError(f'pull model manifest: Get "{where}": dial tcp: lookup {name.host}: no such host')
        model = self._registry.find(name.short)
        if model is None:
            raise PullError("pull model manifest: file does not exist")
        before = self._store.sizes()
        biggest = max(model.layers, key=lambda one: one.size)
        for layer in model.layers:
            yield from self._layer(layer, fault if layer is biggest else None)
        yield {"status": "verifying sha256 digest"}
        yield {"status": "writing manifest"}
        self._store.write_manifest(name, model.manifest)
        if self._store.remove_unused(before):
            yield {"status": "removing unused layers"}
        yield {"status": "success"}

    def _layer(self, layer: Layer, fault: Fault | None) -> Iterator[dict[str, Any]]:
        status = f"pulling {layer.digest[7:19]}"

        def tell(completed: int) -> dict[str, Any]:
            line: dict[str, Any] = {"status": status, "digest": layer.digest, "total": layer.size}
            return {**line, "completed": completed} if completed else line

        if self._store.has(layer.digest):
            yield tell(layer.size)
            return
        last = self._store.completed(layer.digest)
        download = self._join(layer, fault)
        cut = fault.percent if fault is not None and fault.kind == "cut" else None
        try:
            yield tell(last)
            while True:
                ended = self._await_news(download, last)
                if download.error is not None:
                    raise PullError(download.error)
                if cut is not None and download.completed >= layer.size * cut / 100:
                    raise Cut
                last = download.completed
                yield tell(last)
                if ended:
                    return
        finally:
            self._leave(download)

    def _await_news(self, download: Download, last: int) -> bool:
        """Wait until more has come, or so long that the same is told again; whether it has ended."""
        for _ in range(int(_TELL_SECONDS / _STEP_SECONDS)):
            if download.ended.wait(_STEP_SECONDS):
                return True
            if download.completed != last:
                break
        return False

    def _join(self, layer: Layer, fault: Fault | None) -> Download:
        with self._lock:
            download = self._running.get(layer.digest)
            if download is None or download.ended.is_set():
                download = self._running[layer.digest] = Download(
                    self._store, self._registry, layer, fault, self._clock
                )
            download.waiting += 1
            return download

    def _leave(self, download: Download) -> None:
        with self._lock:
            download.waiting -= 1
            forsaken = not download.waiting
            if forsaken:
                self._running.pop(download.layer.digest, None)
        if forsaken:
            download.give_up()
            # Whoever asks again finds the whole of what has come.
            download.ended.wait(5.0)
