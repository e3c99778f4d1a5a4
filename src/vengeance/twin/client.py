"""A twin as Python sees it: start, stop, look at, break and mend it.

>>> twin = Twin("try")                        # doctest: +SKIP
>>> twin.up()["winrm"]["http"]                # doctest: +SKIP
'http://127.0.0.1:40713/wsman'
>>> twin.fault("cut_after", request=3)        # doctest: +SKIP
>>> twin.down()                               # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vengeance.twin.folders import DEFAULT_NAME, control_socket, home, state_folder
from vengeance.twin.sources import fingerprint

_DOWN_SECONDS = 30.0


class TwinError(Exception):
    """Something with a twin did not work; the text is for the person who asked."""


class Twin:
    """A twin by its name, running or not.

    + name: letters, digits, ``.``, ``_`` and ``-``; its state folder is called so

    Raises ValueError for a name that cannot be one.
    """

    def __init__(self, name: str = DEFAULT_NAME) -> None:
        self.name = name
        self.folder = state_folder(name)

    # --- life ---

    def up(
        self, *, distro: bool = True, bare: bool = False, on_progress: Callable[[str], None] = lambda text: None
    ) -> dict[str, Any]:
        """Start it unless it runs; return its status with the endpoints and the password.

        One that was started by other code than this is started again: it does not know this code's scripts.

        + distro: False leaves the Linux side out
        + bare: a twin that has no state yet begins as a Windows right after its set-up, without WSL
        + on_progress: told in a sentence what takes long

        Raises TwinError with what is in the way.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._exclusive():
            running = self._running_status()
            if running is not None and running.get("sources") != fingerprint():
                on_progress(f"The twin {self.name} runs the code from before an update; it is started again.")
                self._stop()
                running = None
            return running if running is not None else self._start(distro, bare, on_progress)

    def _start(self, distro: bool, bare: bool, on_progress: Callable[[str], None]) -> dict[str, Any]:
        command = [sys.executable, "-m", "vengeance.twin.daemon", self.name, str(self.folder)]
        if not distro:
            command.append("--no-distro")
        if bare:
            command.append("--bare")
        with (self.folder / "daemon.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": _with_this_package(os.environ.get("PYTHONPATH"))},
            )
        if process.stdout is None:
            raise TwinError("The twin's process has no output to read.")
        with process.stdout as output:
            for line in output:
                try:
                    message = json.loads(line)
                except ValueError:
                    continue
                if "say" in message:
                    on_progress(str(message["say"]))
                if "error" in message:
                    # Until it has ended it holds its lock, and the next command would take it for one that runs.
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(_DOWN_SECONDS)
                    raise TwinError(f"The twin {self.name} did not start: {message['error']}")
                if "ready" in message:
                    # The daemon outlives us; without this its end would be reported as a forgotten child.
                    process.returncode = 0
                    return dict(message["ready"])
        code = process.wait()
        tail = (self.folder / "daemon.log").read_text(encoding="utf-8", errors="replace").strip()[-2000:]
        raise TwinError(
            f"The twin {self.name} ended with code {code} before it was up. The end of its log:\n{tail or '(nothing)'}"
        )

    def down(self) -> bool:
        """Stop it; False when it was not running.

        Raises TwinError when it does not end.
        """
        if not self.folder.is_dir():
            return False
        with self._exclusive():
            return self._stop()

    def _stop(self) -> bool:
        pid = self.pid
        if pid is None:
            return False
        try:
            self._ask({"do": "down"})
        except TwinError:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _DOWN_SECONDS
        while self.pid == pid:
            if time.monotonic() > deadline:
                raise TwinError(
                    f"The twin {self.name} (process {pid}) does not end: see {self.folder / 'daemon.log'}, "
                    f"then 'kill -9 {pid}'."
                )
            time.sleep(0.02)
        return True

    def status(self) -> dict[str, Any]:
        """Its status; ``state`` is ``running`` or ``stopped``, and a stopped one has only name and folder beside it."""
        return self._running_status() or {"name": self.name, "state": "stopped", "folder": str(self.folder)}

    def reset(self, bare: bool = False) -> dict[str, Any]:
        """Bring Windows and distro back to new, running or not; ports and password stay. Returns the status.

        + bare: as a Windows right after its set-up, without WSL; one that did not run is started for it
        """
        if not self.folder.is_dir():
            return self.status()
        with self._exclusive():
            if self.pid is not None:
                return self._object(self._ask({"do": "reset", "bare": bare}, timeout=600))
            from vengeance.twin.daemon import forget

            try:
                forget(self.folder)
            except OSError as error:
                raise TwinError(str(error)) from error
            if bare:
                return self._start(True, True, lambda text: None)
        return self.status()

    def logon(self, user: str | None = None) -> int:
        """A person signs in at the screen of its Windows; returns the session id."""
        return int(self._object(self._ask({"do": "logon", "user": user}))["session"])

    def logoff(self, user: str | None = None) -> None:
        """The person at the screen signs out."""
        self._ask({"do": "logoff", "user": user})

    def tailscale(self, user: str | None = None, signed_in: bool = True) -> str:
        """Sign a Windows account in to Tailscale, or whoever it is out; returns whose it is.

        user: made if there is none; None: the one of the box
        """
        return str(self._object(self._ask({"do": "tailscale", "user": user, "signed_in": signed_in}))["owner"])

    def advance(self, seconds: float) -> str:
        """Put the twin's clock forward; returns its time after that, ISO 8601."""
        return str(self._object(self._ask({"do": "clock", "seconds": seconds}, timeout=120))["now"])

    def reboot(self, seconds: float = 2.0) -> str:
        """Restart its Windows as a power button would; returns the new boot time, ISO 8601.

        + seconds: how long nobody answers
        """
        return str(self._object(self._ask({"do": "reboot", "seconds": seconds}, timeout=seconds + 60))["boot_time"])

    # --- faults, limits, log ---

    def fault(self, kind: str, **fields: object) -> dict[str, Any]:
        """Set a fault; returns all that are in force.

        + kind: ``cut_before``, ``cut_after``, ``delay``, ``fault``, ``bad_request``, ``refuse`` with the fields of
          ``FaultRule``; ``disk_full`` with ``bytes`` (None ends it); ``add_type``; ``ollama`` as ``ollama_fault`` says;
          ``web`` with ``how`` (cut, stall, status), ``value`` (bytes or status), ``times``; ``installer`` with ``code``
          and ``times``; ``clear`` ends all
        """
        return self._object(self._ask({"do": "fault", "rule": {"kind": kind, **fields}}))

    def ollama_fault(self, how: str, **fields: object) -> dict[str, Any]:
        """Have something of Ollama's go wrong; returns all faults that are in force.

        + how: of a pull: ``fail_at`` (the download gives up), ``stall`` (nothing comes for 30 seconds of the twin's
          time), ``cut`` (the connection ends), each at ``percent`` of the biggest layer; ``offline``, ``corrupt``.
          ``busy``: requests find the queue full. ``no_server``: the tray app starts no server. ``clear`` ends all
        + times: how many pulls, requests or starts it hits
        """
        return self.fault("ollama", how=how, **fields)

    def ollama_update(self, version: str | None) -> None:
        """Publish a newer Ollama, which the tray app finds at its next check; None takes it back."""
        self._ask({"do": "ollama", "update": version})

    def ollama_settings(self, user: str | None = None, **columns: object) -> None:
        """Change settings in the window of Ollama's tray app, by their names in db.sqlite: ``expose=1``."""
        self._ask({"do": "ollama", "user": user, "settings": columns})

    def ollama_move_tag(self, model: str) -> str:
        """Publish other bytes under a model's name; returns the new digest."""
        return str(self._object(self._ask({"do": "ollama", "move": model}))["digest"])

    def hub(self, reset: bool = False) -> dict[str, Any]:
        """The models of the twin's huggingface.co, and what was asked of it.

        reset: forget the requests afterwards
        """
        return self._object(self._ask({"do": "hub", "reset": reset}))

    def card(self) -> dict[str, Any]:
        """The card: present, driver, cuda, total_mib, used_mib, free_mib, holders, dxg, counters."""
        return self.ask_card({})

    def card_hold(self, image: str | None, mib: int, comfyui: bool = False) -> int:
        """Start a program on its Windows that holds so much of the card until it is ended; returns its process id.

        + image: name of its file, such as ``Cyberpunk2077.exe``; None only with ``comfyui``
        + comfyui: it is a Python that runs ComfyUI
        """
        return int(self.ask_card({"hold": {"image": image, "mib": mib, "comfyui": comfyui}})["pids"][0])

    def card_end(self, image: str) -> list[int]:
        """End every program of Windows of this name that has memory of the card; returns their process ids."""
        return [int(pid) for pid in self.ask_card({"end": image})["pids"]]

    def card_set(
        self,
        *,
        present: bool | None = None,
        driver: str | None = None,
        dxg: bool | None = None,
        counters: bool | None = None,
    ) -> dict[str, Any]:
        """Change what there is of the card; None leaves it. A twin that is started anew has all of it again.

        + present: whether Windows has a card with a driver
        + driver: its version, such as ``537.58``
        + dxg: whether distros have /dev/dxg
        + counters: whether Windows counts who has the card's memory
        """
        wanted = {"present": present, "driver": driver, "dxg": dxg, "counters": counters}
        return self.ask_card({name: value for name, value in wanted.items() if value is not None})

    def ask_card(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask for one of these, as the control socket has it: ``hold``, ``end``, ``present``, ``driver``, ..."""
        return self._object(self._ask({"do": "card", **request}))

    def limits(self, **values: float) -> dict[str, Any]:
        """Change limits of the WinRM service by the names in ``Limits``; returns all of them."""
        return self._object(self._ask({"do": "limits", "values": values}))

    def log_snapshot(self) -> dict[str, Any]:
        """Counters: requests, messages, bytes_in, bytes_out, connections, by_action, failed_logons, process_starts."""
        return self._object(self._ask({"do": "log"}))

    def log_reset(self) -> dict[str, Any]:
        """Set the counters to nothing and return what they were."""
        return self._object(self._ask({"do": "log", "reset": True}))

    def deeds(self, reset: bool = False) -> dict[str, int]:
        """What was done to the box since it was started or reset, and how often: seen from there, not by who did it.

        Changes by shipped scripts, each with a hash of its input; installers; restarts; distros registered and ended;
        files that were downloaded, by their URL; Ollama's blobs.

        + reset: begin anew
        """
        return self._object(self._ask({"do": "deeds", "reset": reset}))

    def add_account(self, user: str) -> str:
        """Add another local administrator; returns the password."""
        return str(self._object(self._ask({"do": "account", "user": user}))["password"])

    def change_password(self, user: str | None = None) -> str:
        """Give an account another password, as a person does at the screen; returns it."""
        return str(self._object(self._ask({"do": "password", "user": user}))["password"])

    # --- looking at it by another way than through WinRM ---

    @property
    def drive_c(self) -> Path:
        """The folder that is its C: drive."""
        return self.folder / "drive_c"

    def windows_state(self) -> dict[str, Any]:
        """What its Windows remembers, read from the disk: registry, users, boot_time, processes."""
        state: dict[str, Any] = {}
        for file in ("windows.json", "processes.json"):
            with contextlib.suppress(FileNotFoundError):
                state.update(json.loads((self.folder / file).read_text(encoding="utf-8")))
        return state

    def distro_exec(
        self,
        argv: Sequence[str],
        user: str = "root",
        **options: Any,  # noqa: ANN401
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program in the distro with this machine's own tools, past WinRM and wsl.exe; starts the distro.

        + argv: program and arguments; options: those of ``subprocess.run``
        """
        from vengeance.twin.distro.errors import DistroError
        from vengeance.twin.distro.host import outside_prefix

        try:
            prefix = outside_prefix(self.folder, user)
        except DistroError:
            self._ask({"do": "wake"}, timeout=120)
            prefix = outside_prefix(self.folder, user)
        return _run([*prefix, *argv], options)

    def run_elsewhere(
        self,
        place: str,
        argv: Sequence[str],
        **options: Any,  # noqa: ANN401
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program of this machine in the network of another one, for which the box has its own address.

        + place: where that machine is: ``tailnet``, ``lan``, or ``stranger``, who comes through the home's router
        + argv: program and arguments; options: those of ``subprocess.run``

        Raises TwinError for a place that there is not, and where network namespaces cannot be made.
        """
        prefix = [str(word) for word in self._object(self._ask({"do": "neighbour", "place": place}))["prefix"]]
        return _run([*prefix, *argv], options)

    # --- inner ---

    @property
    def pid(self) -> int | None:
        """The number of its process, None when it does not run."""
        try:
            with (self.folder / "daemon.lock").open("r+") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(lock.read().strip() or 0) or None
        except FileNotFoundError:
            pass
        return None

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        # Two "up" at once: the second waits, then finds it running.
        with (self.folder / "up.lock").open("a") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.05)
            yield

    def _running_status(self) -> dict[str, Any] | None:
        if self.pid is None:
            return None
        # It holds its lock a moment before its socket is there, and a moment longer.
        deadline = time.monotonic() + 10
        while True:
            try:
                return self._object(self._ask({"do": "status"}))
            except TwinError:
                if self.pid is None:
                    return None
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _ask(self, request: dict[str, Any], timeout: float = 30.0) -> object:
        path = control_socket(self.folder)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(timeout)
                connection.connect(str(path))
                connection.sendall(json.dumps(request).encode() + b"\n")
                with connection.makefile("rb") as stream:
                    line = stream.readline()
        except (FileNotFoundError, ConnectionError) as error:
            raise TwinError(
                f"The twin {self.name} does not run: start it with 'python -m vengeance.twin up --name {self.name}'."
            ) from error
        except TimeoutError as error:
            raise TwinError(f"The twin {self.name} did not answer within {timeout:g} seconds.") from error
        if not line:
            raise TwinError(f"The twin {self.name} ended while it was asked something.")
        answer = json.loads(line)
        if not answer["ok"]:
            raise TwinError(str(answer["error"]))
        result: object = answer["result"]
        return result

    @staticmethod
    def _object(result: object) -> dict[str, Any]:
        if not isinstance(result, dict):
            raise TwinError(f"The twin answered {result!r}, which is no object.")
        return result


def _with_this_package(path: str | None) -> str:
    # It runs in another directory, where a package that is not installed would not be found.
    here = str(Path(__file__).resolve().parents[2])
    return here if not path else os.pathsep.join((here, path))


def all_twins() -> list[Twin]:
    """Every twin that has a state folder, by name."""
    folder = home()
    if not folder.is_dir():
        return []
    twins = []
    for path in sorted(folder.iterdir()):
        if (path / "daemon.lock").is_file():
            with contextlib.suppress(ValueError):
                twins.append(Twin(path.name))
    return twins


def _run(command: Sequence[str], options: dict[str, Any]) -> subprocess.CompletedProcess[bytes]:
    options.setdefault("stdin", subprocess.DEVNULL if "input" not in options else None)
    if "input" in options:
        options.pop("stdin")
    if "stdout" not in options and "stderr" not in options:
        options.setdefault("capture_output", True)
    done: subprocess.CompletedProcess[bytes] = subprocess.run(command, check=False, **options)
    return done
