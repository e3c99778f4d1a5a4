"""The process behind a running twin: WinRM server, Windows model and distro, with a Unix socket for control.

Started by ``client.Twin.up``, which reads from its standard output one JSON object a line: {"say": sentence} while
it works, then {"ready": status} or {"error": sentence}.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import math
import os
import secrets
import signal
import socket
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from vengeance.box.ports import HIGHEST
from vengeance.powershell.windows import WsmanQuota
from vengeance.twin.clock import Clock
from vengeance.twin.distro import looks
from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.host import CHROOT, NONE, DistroHost, build_shared
from vengeance.twin.distro.settings import DistroSettings
from vengeance.twin.distro.user_namespace import entering, hindrances, remove_tree
from vengeance.twin.folders import control_socket
from vengeance.twin.neighbours import Neighbours
from vengeance.twin.sources import fingerprint
from vengeance.twin.vendors.hub import Hub
from vengeance.twin.vendors.site import FaultQueue, WebFault
from vengeance.twin.vendors.vendors import Vendors
from vengeance.twin.windows.event_log import FILE as EVENTS
from vengeance.twin.windows.gpu import Gpu
from vengeance.twin.windows.lxss import RegistryRegistrations
from vengeance.twin.windows.model import Windows
from vengeance.twin.windows.network import LOOPBACK, Listener, NetworkError
from vengeance.twin.windows.state import HOSTNAME, USER, WSL_VERSION, State, read_json, write_json
from vengeance.twin.wsl.program import WslExe, WslVersions
from vengeance.twin.wsl.service import WslError, WslService
from vengeance.twin.wsman.accounts import Accounts
from vengeance.twin.wsman.faults import FaultPlan
from vengeance.twin.wsman.limits import Limits
from vengeance.twin.wsman.log import RequestLog
from vengeance.twin.wsman.server import ListenSettings, WsmanServer

DISTRO = "Ubuntu-24.04"
DISTRO_FOLDER = f"C:\\Users\\{USER}\\AppData\\Local\\wsl\\{DISTRO}"
LINUX_UID = 1000
# How long the server is away in a restart; a real box takes half a minute or more.
RESTART_SECONDS = 2.0

# The program that the fault port-taken starts.
_TAKER = "C:\\Program Files\\nodejs\\node.exe"
_TAKER_PID = 4712


class ControlError(Exception):
    """A request on the control socket cannot be done; the text says why."""


def say(text: str) -> None:
    """Tell who started the twin what takes long."""
    print(json.dumps({"say": text}), flush=True)


class Daemon:
    """One running twin.

    name: of the twin; folder: its state folder; with_distro: False leaves the Linux side out
    complaint: why there is no distro, if that is known already
    bare: a new twin is a Windows right after its set-up
    """

    def __init__(
        self, name: str, folder: Path, with_distro: bool, complaint: str | None = None, bare: bool = False
    ) -> None:
        self.name = name
        self.bare = bare
        self.folder = folder
        self.control = control_socket(folder)
        self.with_distro = with_distro
        self.stopped = threading.Event()
        self._busy = threading.RLock()
        self._complaints: list[str] = []
        self._complaint = complaint
        self._vendors: Vendors | None = None
        self._web_faults = FaultQueue()
        self._hub: Hub | None = None
        known = read_json(folder / "credentials.json")
        # Letters and digits only: it can be copied into any shell, URL or inventory as it is.
        self.password = known.get("password") or secrets.token_hex(12)
        self.others: dict[str, str] = dict(known.get("others", {}))
        self.faults = FaultPlan()
        self._taker: Listener | None = None
        # As bootstrap/enable-winrm.ps1 leaves a box, and as Windows ships it.
        self.limits = Limits(allow_basic=False)
        self.sources = fingerprint()
        self.log_file = folder / "requests.jsonl"
        self.log = RequestLog(self.log_file)
        self.accounts = Accounts(folder / "ntlm-users", HOSTNAME)
        self.windows, self.host, self.service = self._make_windows()
        self.server = self._serve(known.get("http_port") or 0, known.get("https_port") or 0)
        write_json(
            folder / "credentials.json",
            {
                "user": USER,
                "password": self.password,
                "others": self.others,
                "http_port": self.server.http_port,
                "https_port": self.server.https_port,
            },
        )
        self.windows.boot()

    # --- parts ---

    def _make_windows(self) -> tuple[Windows, DistroHost, WslService]:
        self.clock = Clock(_log)
        state = State(self.folder, self.bare, self.clock.now)
        state.boot()
        for user, password in {USER: self.password, **self.others}.items():
            self.accounts.add(user, password, state.add_user(user))
        settings = DistroSettings.from_environment()
        if self._hub is None and self.with_distro:
            self._hub = Hub.of(settings.cache, self._web_faults)
        told = say if not self.stopped.is_set() else _nothing
        host = DistroHost(settings, self.folder, state.drive.folder, told, self._hub)
        host.clear_leftovers()
        names = {sid: user for user, sid in state.users.items()}
        service = WslService(
            host,
            RegistryRegistrations(state.registry),
            profile_of=lambda sid: f"C:\\Users\\{names.get(sid) or _owner(state, sid)}",
        )
        windows = Windows(
            state,
            quota=self._quota,
            linux=WslExe(service, sid_of=state.sid, versions=WslVersions(wsl=WSL_VERSION)),
            restart=self._shut_down_by_program,
            log=_log,
            clock=self.clock,
        )
        host.gpu = _shown(windows.gpu)
        windows.gpu.changed.append(lambda: host.set_gpu(_shown(windows.gpu)))
        host.serve_card(windows.gpu)
        windows.passwords.check = lambda user, password: self.accounts.check(user, password) is not None
        self._complaints = [] if self._complaint is None else [self._complaint]
        self.neighbours = Neighbours(host.identity, windows.network, host.abilities.network)
        self.neighbours.close()
        self._register(service, host, state)
        self._introduce_vendors(windows, host)
        return windows, host, service

    def _register(self, service: WslService, host: DistroHost, state: State) -> None:
        sid = state.sid(USER)
        if not self.with_distro:
            self._complaints.append("The twin was started without a distro (--no-distro): wsl.exe knows none.")
            return
        if host.rung == NONE:
            return
        try:
            host.prepare()
            if state.bare:
                # The deploy brings it in.
                (self.folder / "registered").touch()
                return
            if not service.registrations.registered(sid) and not (self.folder / "registered").exists():
                service.register(sid, DISTRO, DISTRO_FOLDER, default_uid=LINUX_UID)
                # A distro that somebody unregisters does not come back by itself.
                (self.folder / "registered").touch()
        except (DistroError, WslError, OSError) as error:
            self._complaints.append(f"The distro could not be built: {error}")

    def _introduce_vendors(self, windows: Windows, host: DistroHost) -> None:
        if self._vendors is None:
            image: Path | None = None
            with contextlib.suppress(DistroError):
                image = host.tarball if self.with_distro else None
            try:
                self._vendors = Vendors(host.settings.cache, image, self._web_faults)
            except OSError as error:
                self._complaints.append(f"The vendors' downloads cannot be served: {error}")
                return
        self._vendors.introduce(windows.web)

    def _serve(self, http_port: int, https_port: int) -> WsmanServer:
        def make(http: int, https: int) -> WsmanServer:
            server = WsmanServer(
                ListenSettings(self.folder, http, https, hostname=HOSTNAME),
                self.accounts,
                self.windows,
                self.faults,
                self.log,
                self.limits,
            )
            server.start()
            return server

        try:
            return make(http_port, https_port)
        except OSError:
            if not http_port:
                raise
            # Somebody else has the ports of last time.
            return make(0, 0)

    def _quota(self) -> WsmanQuota:
        return {
            "max_envelope_kb": self.limits.max_envelope_size // 1024,
            "max_timeout_ms": self.limits.max_timeout_ms,
            "max_shells_per_user": self.limits.max_shells_per_user,
            "max_processes_per_shell": 25,
            "max_memory_per_shell_mb": 1024,
            "idle_timeout_ms": int(self.limits.shell_idle_seconds * 1000),
        }

    # --- what it says ---

    def status(self) -> dict[str, Any]:
        """What ``up --json`` prints."""
        http, https = self.server.http_port, self.server.https_port
        registered = self.service.registrations.registered(self.windows.state.sid(USER))
        # One that somebody unregistered is missed by the deploy, not left out of the inventory.
        built = self.with_distro and (self.folder / "registered").exists()
        bare = self.windows.state.bare
        gone = [f"{DISTRO} was unregistered: 'python -m vengeance.twin reset --name {self.name}' brings it back."]
        return {
            "name": self.name,
            "state": "running",
            "bare": self.windows.state.bare,
            "folder": str(self.folder),
            "sources": self.sources,
            "winrm": {
                "http": f"http://127.0.0.1:{http}/wsman",
                "https": f"https://127.0.0.1:{https}/wsman",
                "host": "127.0.0.1",
                "http_port": http,
                "https_port": https,
                "user": USER,
                "password": self.password,
                "certificate_sha256": self.server.certificate_sha256,
            },
            "distro": {
                "name": DISTRO,
                "rung": self.host.rung if built else NONE,
                "registered": [one.name for one in registered],
                "systemd": bool(built and self.host.systemd),
                "vendor_repository": bool(built and self.host.vendor_repository),
                "missing": [
                    *self._complaints,
                    *(self.host.missing if self.with_distro else []),
                    *(gone if built and not bare and DISTRO not in [one.name for one in registered] else []),
                ],
            },
            "vendor": dict(self._vendors.served) if self._vendors is not None else {},
            "wsl": self.windows.wsl.state(USER),
            "ollama": self.windows.ollama.status(),
            "card": self._card_status(),
            "network": self.windows.network.status(),
            "boot_time": self.windows.state.boot_time.isoformat(),
            "clock_ahead_seconds": round(self.clock.ahead),
            "logged_on": sorted(self.windows.sessions.desktops.values()),
            "disk_free_bytes": self.windows.drive.free_bytes,
            "faults": self._faults(),
            "shells": self.server.shells.snapshot(),
            "run_lock": self.windows.run_lock.holder,
            "log": str(self.log_file),
            "control": str(self.control),
            "pid": os.getpid(),
        }

    def counters(self) -> dict[str, Any]:
        """What ``log --json`` prints."""
        return {**self.log.snapshot(), "process_starts": dict(self.windows.process_starts)}

    def deeds(self) -> dict[str, int]:
        """What was done to the box, and how often: changes, installers, downloads, distros, restarts."""
        counts = Counter(self.windows.deeds.counts())
        if self._vendors is not None:
            counts.update(f"download {one.url}" for one in self._vendors.site.requests if one.status in (200, 206))
        if self._hub is not None:
            files = [one for one in self._hub.requests if one.method == "GET" and one.status in (200, 206)]
            counts.update(f"model file {one.url.partition('?')[0]}" for one in files if "/api/" not in one.url)
        blobs = self.windows.ollama.registry.sent.items()
        # A blob that came in two halves came once.
        counts.update({f"Ollama's blob {digest}": math.ceil(round(times, 3)) for digest, times in blobs})
        return dict(counts)

    def _deeds(self, reset: bool) -> dict[str, int]:
        done = self.deeds()
        if reset:
            self.windows.deeds.clear()
            self.windows.ollama.registry.sent.clear()
            if self._vendors is not None:
                self._vendors.site.requests.clear()
            if self._hub is not None:
                self._hub.requests.clear()
        return done

    # --- what it does ---

    def handle(self, request: Mapping[str, Any]) -> object:
        """Do what a request on the control socket asks for; ControlError when it cannot be done."""
        deeds: dict[str, Callable[[], object]] = {
            "status": self.status,
            "log": lambda: self._log(bool(request.get("reset"))),
            "deeds": lambda: self._deeds(bool(request.get("reset"))),
            "fault": lambda: self._fault(dict(request.get("rule") or {})),
            "limits": lambda: self._set_limits(dict(request.get("values") or {})),
            "account": lambda: self._account(str(request.get("user") or "")),
            "password": lambda: self._change_password(str(request.get("user") or USER)),
            "reboot": lambda: self._reboot(float(request.get("seconds") or RESTART_SECONDS)),
            "reset": lambda: self._reset(bool(request.get("bare"))),
            "logon": lambda: self._logon(str(request.get("user") or USER)),
            "logoff": lambda: self._logoff(str(request.get("user") or USER)),
            "tailscale": lambda: self._tailscale(
                str(request.get("user") or USER), bool(request.get("signed_in", True))
            ),
            "card": lambda: self._card(request),
            "clock": lambda: self._advance(float(request.get("seconds") or 0)),
            "ollama": lambda: self._ollama(request),
            "hub": lambda: self._hub_status(bool(request.get("reset"))),
            "neighbour": lambda: self._neighbour(str(request.get("place") or "")),
            "wake": self._wake,
        }
        deed = deeds.get(str(request.get("do")))
        if deed is None:
            raise ControlError(
                f"The twin has no control command {request.get('do')!r}; it has {', '.join(deeds)}, down."
            )
        return deed()

    def _log(self, reset: bool) -> dict[str, Any]:
        counters = self.counters()
        if reset:
            self.log.reset()
            self.windows.process_starts.clear()
        return counters

    def _fault(self, rule: dict[str, Any]) -> object:
        kind = rule.get("kind")
        if kind == "clear":
            self.faults.clear()
            self.windows.state.set_free_bytes(None)
            self.windows.port_ranges.unlucky = None
            self._take_port(None)
            self.windows.ollama.fault("clear")
            self.windows.installers.clear()
            self._web_faults.clear()
            self.windows.add_type_blocked = False
        elif kind == "add_type":
            self.windows.add_type_blocked = True
        elif kind == "ollama":
            self._hand_over(rule, self.windows.ollama.fault)
        elif kind == "web":
            if self._vendors is None:
                raise ControlError("This twin serves no downloads, so none can fail.")
            self._hand_over(rule, lambda **fields: self._web_faults.add(WebFault(**fields)))
        elif kind == "installer":
            self._hand_over(rule, self.windows.installers.fault)
        elif kind == "nat_port":
            self._nat_fault(rule.get("port"))
        elif kind == "port_taken":
            self._take_port(rule.get("port"))
        elif kind == "firewall_question":
            self.windows.firewall.answer(allow=False)
        elif kind == "disk_full":
            free = rule.get("bytes", 0)
            if free is not None and (not isinstance(free, int) or free < 0):
                raise ControlError(f"disk_full needs a number of bytes that may still be written, not {free!r}.")
            self.windows.state.set_free_bytes(free)
        else:
            try:
                self.faults.add(rule)
            except (TypeError, ValueError) as error:
                raise ControlError(str(error)) from error
        return {"faults": self._faults(), "disk_free_bytes": self.windows.drive.free_bytes}

    def _faults(self) -> list[dict[str, Any]]:
        return [
            *self.faults.snapshot(),
            *self.windows.ollama.faults.snapshot(),
            *(self._vendors.faults() if self._vendors is not None else []),
            *self.windows.installers.faults(),
            *self.windows.port_ranges.faults(),
            *([] if self._taker is None else [{"kind": "port_taken", "port": self._taker.port}]),
        ]

    def _nat_fault(self, port: object) -> None:
        if port is not None and (not isinstance(port, int) or not 1 <= port <= HIGHEST):
            raise ControlError(f"nat_port needs a TCP port from 1 to {HIGHEST}, not {port!r}.")
        self.windows.port_ranges.unlucky = port
        self.windows.port_ranges.start()

    def _take_port(self, port: object) -> None:
        if port is not None and (not isinstance(port, int) or not 1 <= port <= HIGHEST):
            raise ControlError(f"port_taken needs a TCP port from 1 to {HIGHEST}, not {port!r}.")
        if self._taker is not None:
            self._taker.close()
            self._taker = None
        if port is not None:
            try:
                self._taker = self.windows.network.listen(
                    pid=_TAKER_PID, image=_TAKER, address=LOOPBACK, port=port, serve=lambda connection, peer: None
                )
            except NetworkError as error:
                raise ControlError(f"Port {port} cannot be taken: {error.text}") from error

    def _hand_over(self, rule: dict[str, Any], take: Callable[..., object]) -> None:
        """Give all of a fault but its kind to the part that it is for."""
        fields = {name: value for name, value in rule.items() if name != "kind"}
        try:
            take(**fields)
        except (TypeError, ValueError) as error:
            raise ControlError(str(error)) from error

    def _ollama(self, request: Mapping[str, Any]) -> object:
        """What a publisher or the person at the screen does to Ollama."""
        ollama = self.windows.ollama
        try:
            if "move" in request:
                return {"digest": ollama.registry.move(str(request["move"])).digest}
            if "update" in request:
                ollama.offer(None if request["update"] is None else str(request["update"]))
            if "settings" in request:
                ollama.change_settings(str(request.get("user") or USER), **dict(request["settings"]))
        except KeyError as error:
            known = ", ".join(ollama.registry.names)
            raise ControlError(f"The twin's registry has no model {error}; it has {known}.") from error
        except ValueError as error:
            raise ControlError(str(error)) from error
        return ollama.status()

    def _hub_status(self, reset: bool) -> object:
        if self._hub is None:
            raise ControlError("This twin has no distro, so nobody downloads models.")
        status = self._hub.status()
        if reset:
            self._hub.requests.clear()
        return status

    def _set_limits(self, values: dict[str, Any]) -> object:
        known = {field.name: field for field in fields(self.limits)}
        for name, value in values.items():
            if name not in known:
                raise ControlError(f"There is no limit {name!r}; there are {', '.join(known)}.")
            now = getattr(self.limits, name)
            if isinstance(value, bool) is not isinstance(now, bool) or not isinstance(value, int | float | bool):
                raise ControlError(f"{name} is {now!r} now and cannot become {value!r}: that is another kind of value.")
        for name, value in values.items():
            setattr(self.limits, name, value)
        return asdict(self.limits)

    def _account(self, user: str) -> object:
        password = self.others.get(user) or secrets.token_hex(12)
        if user.lower() == USER.lower():
            raise ControlError(f"The account {USER} is there from the start.")
        try:
            # Accounts knows which names Windows takes.
            self.accounts.add(user, password, self.windows.state.users.get(user))
        except ValueError as error:
            raise ControlError(str(error)) from error
        self.accounts.add(user, password, self.windows.state.add_user(user))
        self.others[user] = password
        known = read_json(self.folder / "credentials.json")
        write_json(self.folder / "credentials.json", {**known, "others": self.others})
        return {"user": user, "password": password}

    def _change_password(self, user: str) -> object:
        try:
            name = self.windows.state.account(user)
        except KeyError:
            raise ControlError(f"The twin's Windows has no account {user}.") from None
        password = secrets.token_hex(12)
        self.accounts.add(name, password, self.windows.state.sid(name))
        if name == USER:
            self.password = password
        else:
            self.others[name] = password
        self.windows.passwords.changed(name)
        known = read_json(self.folder / "credentials.json")
        write_json(self.folder / "credentials.json", {**known, "password": self.password, "others": self.others})
        return {"user": name, "password": password}

    def _shut_down_by_program(self, again: bool) -> None:
        if again:
            self._reboot(RESTART_SECONDS)
        else:
            self.stopped.set()

    def _reboot(self, seconds: float) -> object:
        """Windows restarts: everything ends, nobody answers for a while, then the boot time is another one."""
        with self._busy:
            self.server.stop()
            self.windows.stop_all()
            self.stopped.wait(seconds)
            if not self.stopped.is_set():
                self.windows.state.boot()
                self.windows.deeds.add("restart of Windows")
                self.server.start()
                self.windows.boot()
        return {"boot_time": self.windows.state.boot_time.isoformat()}

    def _logon(self, user: str) -> object:
        try:
            return {"user": user, "session": self.windows.sessions.logon(self.windows.state.account(user))}
        except KeyError:
            raise ControlError(f"The twin's Windows has no account {user}.") from None

    def _logoff(self, user: str) -> object:
        return {"user": user, "session": self.windows.sessions.logoff(user)}

    def _tailscale(self, user: str, signed_in: bool) -> object:
        tailscale, state = self.windows.tailscale, self.windows.state
        if signed_in:
            state.add_user(user)
            tailscale.sign_in(state.account(user))
        else:
            tailscale.sign_out()
        return {"owner": tailscale.owner, "signed_in": tailscale.signed_in}

    def _card(self, request: Mapping[str, Any]) -> object:
        """What happens to the card: a program of Windows takes memory of it or ends, a driver comes or goes."""
        gpu, games = self.windows.gpu, self.windows.games
        pids: list[int] = []
        try:
            if "hold" in request:
                wanted = dict(request["hold"])
                image = None if wanted.get("image") is None else str(wanted["image"])
                pids = [games.hold(image, int(wanted["mib"]), bool(wanted.get("comfyui")))]
            if "end" in request:
                pids = games.end(str(request["end"]))
            gpu.set(present=request.get("present"), driver=request.get("driver"))
        except (KeyError, TypeError, ValueError) as error:
            raise ControlError(str(error)) from error
        if "dxg" in request:
            self.host.has_dxg = bool(request["dxg"])
        if "counters" in request:
            gpu.counted = bool(request["counters"])
        return {**self._card_status(), "pids": pids}

    def _card_status(self) -> dict[str, Any]:
        gpu = self.windows.gpu
        return {
            "present": gpu.present,
            "name": gpu.name,
            "driver": gpu.driver,
            "cuda": gpu.cuda,
            "total_mib": gpu.total_mib,
            "used_mib": gpu.used_mib,
            "free_mib": gpu.free_mib,
            "desktop_mib": gpu.idle_mib,
            "holders": [asdict(holder) for holder in gpu.holders],
            "dxg": self.host.has_dxg,
            "counters": gpu.counted,
        }

    def _neighbour(self, place: str) -> object:
        with self._busy:
            try:
                return {"prefix": self.neighbours.prefix(place)}
            except DistroError as error:
                raise ControlError(str(error)) from error

    def _advance(self, seconds: float) -> object:
        try:
            self.clock.advance(seconds)
        except TimeoutError as error:
            raise ControlError(str(error)) from error
        return {"now": self.clock.now().isoformat()}

    def _reset(self, bare: bool) -> object:
        """A new Windows and a new distro behind the same ports and the same password."""
        with self._busy:
            self.bare = bare
            self.server.stop()
            self.windows.stop_all()
            self.neighbours.close()
            self.host.close()
            forget(self.folder)
            self.faults.clear()
            self.log.reset()
            self.windows, self.host, self.service = self._make_windows()
            http, https = self.server.http_port, self.server.https_port
            self.server = self._serve(http or 0, https or 0)
            self.windows.boot()
        return self.status()

    def _wake(self) -> object:
        """Start the default distro, so that it can be entered from outside."""
        sid = self.windows.state.sid(USER)
        try:
            one = self.service.default(sid)
            self.service.attach(sid, one)
            self.service.detach(sid, one)
        except (DistroError, WslError) as error:
            raise ControlError(f"The distro does not start: {error}") from error
        return {"name": one.name}

    # --- control ---

    def listen(self) -> socket.socket:
        """Open the control socket."""
        self.control.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.control.unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            server.bind(str(self.control))
        finally:
            os.umask(before)
        server.listen(16)
        threading.Thread(target=self._accept, args=(server,), daemon=True).start()
        return server

    def _accept(self, server: socket.socket) -> None:
        while not self.stopped.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        down = False
        with connection, contextlib.suppress(OSError), connection.makefile("rwb") as stream:
            line = stream.readline()
            if not line:
                return
            answer: dict[str, Any]
            try:
                request = json.loads(line)
                if not isinstance(request, dict):
                    raise ControlError(f"A request to the twin is a JSON object, not {type(request).__name__}.")
                down = request.get("do") == "down"
                answer = {"ok": True, "result": None if down else self.handle(request)}
            except (ControlError, ValueError) as error:
                answer = {"ok": False, "error": str(error)}
            except Exception:
                _log(traceback.format_exc())
                answer = {
                    "ok": False,
                    "error": f"The twin made a mistake of its own: see {self.folder / 'daemon.log'}.",
                }
            stream.write(json.dumps(answer).encode() + b"\n")
        if down:
            self.stopped.set()

    def run(self) -> None:
        """Serve until told to stop, then end everything."""
        self.stopped.wait()
        with self._busy:
            self.server.stop()
            self.windows.stop_all()
            self.neighbours.close()
            self.host.close()
            if self._vendors is not None:
                self._vendors.stop()
            if self._hub is not None:
                self._hub.ended.set()
            self.log.close()
        self.control.unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """Remove what a twin has become: its Windows and its distros. Password, ports and logs stay.

    folder: its state folder; nothing may run in it
    Raises OSError with a sentence when something is in the way.
    """
    for name in ("windows.json", "processes.json", EVENTS, "registered"):
        (folder / name).unlink(missing_ok=True)
    for name in ("drive_c", "linux"):
        path = folder / name
        _refuse_mounts(path)
        if path.exists():
            remove_tree(path)


def _refuse_mounts(folder: Path) -> None:
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in mounts.splitlines():
        place = line.split(" ")[1].replace("\\040", " ")
        if place == str(folder) or place.startswith(f"{folder}/"):
            raise OSError(f"{place} is still mounted, so {folder} is not removed: run 'umount {place}' and try again.")


def _enter_user_namespace() -> str | None:
    """Without root, start this program afresh in a user namespace, where a distro can boot.

    What it needs to build comes first, for it cannot be built in there. Returns where there is nothing to enter (the
    machine's root, or a user who may not), with a sentence if the distro cannot be had for another reason.
    """
    settings = DistroSettings.from_environment()
    if os.geteuid() == 0 or settings.rung in (CHROOT, NONE) or hindrances():
        return None
    try:
        build_shared(settings, say)
    except DistroError as error:
        return f"The distro could not be built: {error}"
    sys.stdout.flush()
    command, environment = entering([sys.executable, *sys.orig_argv[1:]])
    os.execvpe(command[0], command, environment)  # noqa: S606


def _owner(state: State, sid: str) -> str:
    return next((user for user, known in state.users.items() if known == sid), USER)


def _shown(card: Gpu) -> looks.Gpu | None:
    """The card of Windows as nvidia-smi shows it in a distro."""
    if not card.present:
        return None
    return looks.Gpu(card.name, card.driver, card.cuda, card.total_mib, card.used_mib, uuid=card.uuid)


def _nothing(text: str) -> None:
    return


def _log(text: str) -> None:
    print(f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ} {text}", file=sys.stderr, flush=True)


def _locked(lock: IO[str], patience: float = 1.0) -> bool:
    # Whoever asks whether the twin runs holds the lock for a moment, too.
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def main() -> int:
    """Run the daemon of one twin."""
    parser = argparse.ArgumentParser(prog="vengeance.twin.daemon", description="Use 'python -m vengeance.twin up'.")
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-distro", action="store_true")
    parser.add_argument("--bare", action="store_true")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    try:
        complaint = None if arguments.no_distro else _enter_user_namespace()
    except DistroError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    lock = (folder / "daemon.lock").open("a+")
    if not _locked(lock):
        print(json.dumps({"error": f"Another process runs the twin in {folder}."}), flush=True)
        return 1
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    try:
        daemon = Daemon(arguments.name, folder, not arguments.no_distro, complaint, arguments.bare)
        control = daemon.listen()
    except Exception as error:
        _log(traceback.format_exc())
        print(json.dumps({"error": f"{error} (more in {folder / 'daemon.log'})"}), flush=True)
        return 1
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: daemon.stopped.set())
    print(json.dumps({"ready": daemon.status()}), flush=True)
    # Whoever started us reads no further.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    daemon.run()
    control.close()
    return 0


if __name__ == "__main__":
    # Threads of programs that do not want to end must not hold the process.
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
