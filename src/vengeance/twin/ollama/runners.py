"""Which models are loaded: how much of the card each takes, when it leaves, and the llama-server.exe behind it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from vengeance.twin.clock import Alarm, Clock
from vengeance.twin.ollama.package import RUNNER
from vengeance.twin.ollama.store import Installed
from vengeance.twin.ollama.variables import FOREVER, Variables
from vengeance.twin.windows.gpu import Gpu

if TYPE_CHECKING:
    from vengeance.twin.windows.model import Child
    from vengeance.twin.windows.program import Run

MIB = 1024 * 1024
GIB = 1024 * MIB
# What a runner takes beside weights and KV cache: buffers of the computation and CUDA itself.
_BUFFERS = 600 * MIB
_LOAD_PATIENCE = 20.0
# The answer to "unload" comes before the runner has gone.
_LEAVES_IN = 0.1
_MAX_LOADED = 3
# time.Duration's longest, from which Go makes the year 2318.
_LONGEST = timedelta(microseconds=(2**63 - 1) // 1000)
_KV_FACTOR = {"q8_0": 0.5, "q4_0": 0.25}


class LoadError(Exception):
    """A model cannot be loaded; the text is what the API says."""


@dataclass
class Load:
    """What a llama-server.exe is to take when it starts, and what has become of it."""

    owner: str
    mib: int
    ready: threading.Event = field(default_factory=threading.Event)
    fits: bool = True
    pid: int = 0


@dataclass
class Runner:
    """One loaded model; sizes in bytes, ``keep_alive`` in seconds."""

    model: Installed
    context: int
    size: int
    size_vram: int
    keep_alive: float
    load: Load
    port: int
    process: Child | None = None
    expires: datetime | None = None
    active: int = 0
    leaving: bool = False
    alarm: Alarm | None = None
    turn: threading.BoundedSemaphore = field(default_factory=threading.BoundedSemaphore)


def default_context(gpu: Gpu) -> int:
    """Tokens of context when nobody says how many (server/routes.go, since v0.15.5)."""
    total = gpu.total_mib * MIB if gpu.present else 0
    if total >= 47 * GIB:
        return 262_144
    return 32_768 if total >= 23 * GIB else 4096


def needed(model: Installed, context: int, variables: Variables) -> tuple[int, int]:
    """Bytes that a model needs, and how many of its layers there are."""
    shape = model.shape
    if shape is None:
        return model.size + _BUFFERS, 1
    factor = 1.0 if variables.flash_attention is False else _KV_FACTOR.get(variables.kv_cache, 1.0)
    tokens = min(context, shape.context) * max(1, variables.parallel)
    return int(shape.size + shape.kv_bytes_per_token * tokens * factor) + _BUFFERS, shape.layers + 1


class Runners:
    """The loaded models of one server.

    run: the server's process; loads: where a llama-server.exe finds what it is to take, by its port
    """

    def __init__(self, run: Run, folder: str, variables: Variables, loads: dict[int, Load]) -> None:
        self._run = run
        self._folder = folder
        self._variables = variables
        self._loads = loads
        self._gpu: Gpu = run.windows.gpu
        self._clock: Clock = run.windows.clock
        self._lock = threading.RLock()
        self._loading = threading.Lock()
        self._runners: list[Runner] = []
        self._ports = itertools.count(49_700 + run.pid % 1000)

    @property
    def loaded(self) -> list[Runner]:
        """Those that are there, the one that stays longest first."""
        with self._lock:
            return sorted(self._runners, key=lambda one: self.expires_at(one), reverse=True)

    def expires_at(self, runner: Runner) -> datetime:
        """When a model leaves, if nobody asks for it again."""
        return runner.expires or self._after(runner.keep_alive)

    def _after(self, seconds: float) -> datetime:
        return self._clock.now() + (_LONGEST if seconds == FOREVER else timedelta(seconds=min(seconds, 9e9)))

    def begin(self, model: Installed, options: dict[str, Any], keep_alive: float | None) -> tuple[Runner, bool]:
        """A loaded model for one request, and whether it had to be loaded; ``end`` afterwards. Raises LoadError."""
        with self._loading:
            context = int(options.get("num_ctx") or self._variables.context_length or default_context(self._gpu))
            if model.shape is not None:
                context = min(context, model.shape.context)
            on_cpu = options.get("num_gpu") == 0
            with self._lock:
                runner = self._find(model)
                fits = runner is not None and runner.context == context and not (on_cpu and runner.size_vram)
                if runner is not None and not fits:
                    self._unload(runner)
                    runner = None
                fresh = runner is None
            if runner is None:
                runner = self._start(model, context, on_cpu)
            with self._lock:
                runner.active += 1
                runner.keep_alive = self._variables.keep_alive if keep_alive is None else keep_alive
                runner.expires = None
                if runner.alarm is not None:
                    runner.alarm.cancel()
                return runner, fresh

    def end(self, runner: Runner) -> None:
        """A request is answered: the time until the model leaves begins."""
        with self._lock:
            runner.active -= 1
            if runner.active or runner not in self._runners:
                return
            runner.expires = self._after(runner.keep_alive)
            if runner.keep_alive != FOREVER:
                seconds = runner.keep_alive or _LEAVES_IN
                runner.alarm = self._clock.later(seconds, lambda: self._expire(runner))

    def expire(self, model: Installed) -> bool:
        """Let a model go as soon as nobody uses it; False when it is not loaded."""
        with self._lock:
            runner = self._find(model)
            if runner is None:
                return False
            runner.keep_alive = 0.0
            if not runner.active:
                if runner.alarm is not None:
                    runner.alarm.cancel()
                runner.expires = self._clock.now()
                runner.alarm = self._clock.later(_LEAVES_IN, lambda: self._expire(runner))
            return True

    def stop(self) -> None:
        """Unload everything, as a server does that is asked to end."""
        with self._lock:
            for runner in list(self._runners):
                self._unload(runner)

    def abandon(self) -> None:
        """The server was killed: nothing is unloaded, and nobody waits for anything any more."""
        with self._lock:
            for runner in self._runners:
                if runner.alarm is not None:
                    runner.alarm.cancel()

    # --- inner; with the lock held where it matters ---

    def _find(self, model: Installed) -> Runner | None:
        for runner in self._runners:
            if runner.model.digest == model.digest and not runner.leaving:
                return runner
        return None

    def _expire(self, runner: Runner) -> None:
        with self._lock:
            if not runner.active and runner in self._runners:
                self._unload(runner)

    def _unload(self, runner: Runner) -> None:
        runner.leaving = True
        if runner.alarm is not None:
            runner.alarm.cancel()
        if runner in self._runners:
            self._runners.remove(runner)
        if runner.process is not None:
            runner.process.terminate()

    def _make_room(self, size: int) -> None:
        limit = self._variables.max_loaded or _MAX_LOADED
        with self._lock:
            idle = sorted((one for one in self._runners if not one.active), key=self.expires_at)
            while idle and (len(self._runners) >= limit or size > self._free()):
                self._unload(idle.pop(0))

    def _free(self) -> int:
        if not self._gpu.present:
            return 0
        return max(0, self._gpu.free_mib * MIB - self._variables.gpu_overhead)

    def _start(self, model: Installed, context: int, on_cpu: bool) -> Runner:
        size, layers = needed(model, context, self._variables)
        self._make_room(0 if on_cpu else size)
        free = 0 if on_cpu else self._free()
        per_layer = size // layers
        in_vram = layers if size <= free else max(0, free - _BUFFERS) // max(1, per_layer)
        vram = size if in_vram >= layers else per_layer * in_vram
        port = next(self._ports)
        load = self._loads[port] = Load(f"ollama {self._run.pid} {port}", -(-vram // MIB))
        runner = Runner(model, context, size, vram, self._variables.keep_alive, load, port)
        runner.turn = threading.BoundedSemaphore(max(1, self._variables.parallel))
        image = f"{self._folder}\\{RUNNER}"
        weights = model.layer("application/vnd.ollama.image.model")
        blob = str(weights["digest"]).replace(":", "-") if weights else ""
        line = (
            f'"{image}" --model "{self._variables.models}\\blobs\\{blob}" --ctx-size {context} '
            f"--n-gpu-layers {in_vram} --port {port} --no-webui"
        )
        self._launch(runner, line)
        return runner

    def _launch(self, runner: Runner, line: str) -> None:
        from vengeance.twin.windows.model import CannotStart

        run, load = self._run, runner.load

        def gone(code: int) -> None:
            load.ready.set()
            with self._lock:
                runner.leaving = True
                if runner in self._runners:
                    self._runners.remove(runner)

        try:
            runner.process = run.windows.launch(
                line,
                user=run.user,
                session=run.session,
                elevated=run.elevated,
                environment=run.environment.copy(),
                parent=run.pid,
                on_exit=gone,
            )
        except CannotStart as error:
            raise LoadError(f"unable to start llama-server: {error}") from error
        load.ready.wait(_LOAD_PATIENCE)
        if not load.fits or not load.pid:
            raise LoadError("model requires more system memory than is available, or its runner has terminated")
        with self._lock:
            if not runner.leaving:
                self._runners.append(runner)


def llama_server(loads: Callable[[], dict[int, Load]]) -> Callable[[Run], int]:
    """llama-server.exe: it has the model's memory until it ends, whoever ends it.

    It does not watch the server that started it: one whose server is killed keeps its memory (ollama/ollama#18500).
    """

    def program(run: Run) -> int:
        words = run.argv
        port = next((word for name, word in itertools.pairwise(words) if name == "--port"), "")
        load = loads().pop(int(port), None) if port.isdigit() else None
        if load is None:
            run.error("error: the twin's llama-server is started by ollama.exe only")
            return 1
        gpu = run.windows.gpu
        load.pid = run.pid
        stopped = threading.Event()

        def free() -> None:
            gpu.give_back(load.owner)
            stopped.set()

        load.fits = gpu.take(load.owner, load.mib, run.image, run.pid) if load.mib else True
        run.job.on_stop(free)
        load.ready.set()
        if not load.fits:
            return 1
        stopped.wait()
        return 0

    return program
