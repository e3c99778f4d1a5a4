"""Everything that can be done on one Windows machine and in its distros over WinRM, by one account."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
import weakref
from atexit import register
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Literal, TypeVar

from vengeance.winrm.agent import Agent, AgentEnded, AgentGone, AgentKind
from vengeance.winrm.connection import Connection, Unreachable
from vengeance.winrm.errors import (
    AgentUnavailable,
    ConnectionLost,
    OutcomeUnknown,
    ShellLost,
    TransferFailed,
    WireError,
)
from vengeance.winrm.frames import Live, encode_field
from vengeance.winrm.holding import Holding
from vengeance.winrm.process_mode import ProcessRunner
from vengeance.winrm.process_transfer import download_from_windows, upload_to_windows
from vengeance.winrm.result import Result
from vengeance.winrm.settings import WinRMSettings
from vengeance.winrm.shell import Shell, persistently
from vengeance.winrm.transfer import download, upload

T = TypeVar("T")

SHELL_ENVIRONMENT = {"WSL_UTF8": "1", "WSL_DISABLE_WARNINGS": "1"}
# Only the MSI's own wsl.exe works in session 0: the one in System32 and the Store's alias may not (WSL#9231, #9197).
# The line does not begin with a quote: "cmd /c" would take away that one and the last.
# https://learn.microsoft.com/windows-server/administration/windows-commands/cmd
WSL_EXE = 'cd /d "C:\\Program Files\\WSL" && .\\wsl.exe'
# The sh agent's own complaint that it has nowhere to write; any other early end is wsl.exe's.
NO_ROOM = 71
WSL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
# The largest request that fits into one Send, which arrives whole or not at all.
LARGEST_REQUEST_BYTES = 240_000
CONNECT_AGAIN_SECONDS = 1.0
CHECK_SECONDS = 20.0
_STARTS = 3
# The key of the PowerShell agent; those of the distros are never empty.
_POWERSHELL = ""

_SH_AGENT = (Path(__file__).parent / "agent.sh").read_text(encoding="utf-8")
# Reads one line and runs it. The quotes are for cmd.exe and for wsl.exe's CommandLineToArgvW; in them nothing is
# special to either, and without field splitting and globbing the shell takes the text as it is.
SH_LOADER = '/bin/sh -c "IFS= read -r l;set -f;IFS=;eval $(echo $l|base64 -d)"'


class NameRefused(WireError, ValueError):
    """A distro's or user's name that cannot stand on wsl.exe's command line."""


class DistroMissing(WireError):
    """wsl.exe could not run anything in that distro; the message holds its own words."""


@dataclass(frozen=True)
class AgentTexts:
    """The PowerShell of the agent: what loads it, what it is, and what runs a single command instead."""

    loader: str
    agent: str
    process: str
    write_chunk: str
    read_chunk: str


def encoded_command(script: str, options: str) -> str:
    """Return the Windows command line that runs a script given as ``-EncodedCommand``."""
    text = base64.b64encode(script.encode("utf-16-le")).decode("ascii")
    return f"powershell.exe -NoLogo -NoProfile -NonInteractive {options}-ExecutionPolicy Bypass -EncodedCommand {text}"


class WinRMClient:
    """One Windows machine, one account. Agents are started when first needed and found again after a cut.

    + settings: where and how
    + texts: the PowerShell of the agent
    + warn: told, once, when the PowerShell agent cannot be used and a process a command is used instead

    Raises from every method: ConnectFailed, SignInRefused, OutcomeUnknown, CommandTimeout, TransferFailed.
    """

    def __init__(
        self, settings: WinRMSettings, texts: AgentTexts, warn: Callable[[str], None] = lambda message: None
    ) -> None:
        self.settings = settings
        self._texts = texts
        self._warn = warn
        self._connection = Connection(settings)
        self._locks: dict[str, threading.RLock] = {}
        self._lock = threading.RLock()
        self._holding = Holding(self._lock_of(_POWERSHELL))
        self._shell = Shell(self._connection, SHELL_ENVIRONMENT, self._holding.see_to_it)
        self._reader = Connection(settings)
        self._process = ProcessRunner(self._shell, self._reader)
        self._agents: dict[str, Agent] = {}
        self._powershell_mode = settings.mode
        _open_clients.add(self)

    # Connecting and leaving

    def connect(self) -> None:
        """Sign in and open the shell: wrong settings show here, not at the first command."""
        # A box that is off is said at once; a connection that was cut is worth a second try.
        persistently(self._shell.open, limit=CONNECT_AGAIN_SECONDS, losses=(ConnectionLost,))

    @property
    def uses_agent(self) -> bool:
        """Whether PowerShell goes through the agent, as far as anything was run by now."""
        return self._powershell_mode == "agent"

    def check(self) -> None:
        """See whether the box still answers, and open another shell if ours is gone. Raises OSError."""
        self._process.run("cd .", None, CHECK_SECONDS, True, None)

    def forget(self) -> None:
        """Forget shell, agents and connections, all of which ended with the Windows they were on: the next command
        signs in anew, and nothing is asked of what is gone."""
        with self._lock:
            for agent in self._agents.values():
                agent.leave()
            self._agents.clear()
            self._shell.forget()
            self._reader.close()
            self._connection.close()

    def close(self) -> None:
        """End what still runs for us and delete the shell, for good: nothing of ours is left on the box."""
        with self._lock:
            busy = False
            for key, agent in list(self._agents.items()):
                if agent.busy and key != _POWERSHELL:
                    self._stop_in_distro(key, agent)
                busy = busy or agent.busy
                agent.leave()
            self._agents.clear()
            # An interrupted command may still be waiting on our connection; it is not waited for.
            other = Connection(self.settings) if busy else None
            self._shell.close(other)
            if other is not None:
                other.close()
            self._reader.close()
            self._connection.close()
            _open_clients.discard(self)

    # Windows

    def powershell(
        self,
        script: str,
        parameters: str | None = None,
        *,
        secret: str | None = None,
        stdin: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        read_only: bool = False,
        on_live: Callable[[Live], None] | None = None,
    ) -> Result:
        """Run PowerShell on Windows.

        + script: text; with ``parameters`` (a JSON text) it is a shipped script and gets them as ``-InputJson``
        + secret: text that it gets as ``-Secret``
        + stdin: lines for ``$input``
        + timeout: seconds
        """
        options = {
            "timeout": timeout,
            "stream": on_live is not None,
            "cwd": cwd,
            "env": dict(env or {}),
            "stdin": stdin,
        }
        if self._powershell_mode == "agent":
            fields = [script, parameters, json.dumps(options), *([secret] if secret else [])]
            words = tuple(encode_field(field) for field in fields)
            try:
                return self._request(_POWERSHELL, "run", words, timeout, read_only, on_live)
            except AgentUnavailable as error:
                self._fall_back(error)
        self._holding.see_to_it()
        line, request = self._as_process(script, parameters, options, secret)
        return self._process.run(line, request, timeout, read_only, on_live)

    def hold(self, script: str, parameters: Callable[[bool], str]) -> Result:
        """Run a shipped script that takes something for as long as the PowerShell process lives that runs it.

        + parameters: gives them as JSON; told whether the process has to be kept from ending by the script itself

        It may be run again, and then has to find what it has. See ``keep``.
        """
        return self._holding.take(partial(self._hold, script, parameters))

    def keep(self, complaint: Callable[[Result], str | None]) -> None:
        """Have what ``hold`` took taken again, whenever its process is lost, before anything else is done.

        + complaint: returns why that did not succeed, which is raised as Displaced
        """
        self._holding.keep(complaint)

    def _hold(self, script: str, parameters: Callable[[bool], str]) -> tuple[Result, Callable[[], bool]]:
        options: dict[str, object] = {"timeout": None, "stream": False, "cwd": None, "env": {}, "stdin": None}
        if self._powershell_mode == "agent":
            words = (encode_field(script), encode_field(parameters(False)), encode_field(json.dumps(options)))
            try:
                result = self._request(_POWERSHELL, "run", words, None, True, None)
                agent = self._agents.get(_POWERSHELL)
                return result, lambda: agent is not None and agent.is_there
            except AgentUnavailable as error:
                self._fall_back(error)
        line, request = self._as_process(script, parameters(True), options)
        result, command = persistently(
            lambda: self._process.leave_running(line, request), losses=(ConnectionLost, Unreachable, ShellLost)
        )
        return result, lambda: command is not None and self._shell.has(command)

    def _as_process(
        self, script: str, parameters: str | None, options: Mapping[str, object], secret: str | None = None
    ) -> tuple[str, bytes]:
        """The command line and its input that run PowerShell as a process of its own."""
        fields = [script, json.dumps({**options, "parameters": parameters}), *([secret] if secret else [])]
        request = "".join(f"{encode_field(field)}\n" for field in fields)
        return encoded_command(self._texts.process, ""), request.encode("ascii")

    def cmd(
        self,
        line: str,
        *,
        stdin: bytes | None = None,
        timeout: float | None = None,
        read_only: bool = False,
        on_live: Callable[[Live], None] | None = None,
    ) -> Result:
        """Run one cmd.exe command line as a process of its own in the shell; cmd's 8,191 characters apply.

        + stdin: None leaves it open, b"" ends it at once, which costs a request
        """
        self._holding.see_to_it()
        return self._process.run(line, stdin, timeout, read_only, on_live)

    def upload(self, source: IO[bytes], path: str, *, timeout: float | None = None) -> bool:
        """Write a Windows file; False when it already had this content.

        + path: absolute
        + timeout: seconds
        """
        deadline = _deadline(timeout)
        start = source.tell()
        if self._powershell_mode == "agent":
            try:
                return self._transfer(
                    _POWERSHELL,
                    lambda: _rewind(source, start),
                    lambda agent: upload(agent, source, path, self.settings.piece_bytes, deadline=deadline),
                )
            except AgentUnavailable as error:
                self._fall_back(error)
        return upload_to_windows(partial(self.powershell, timeout=timeout), self._texts.write_chunk, source, path)

    def download(self, path: str, target: IO[bytes], *, timeout: float | None = None) -> str:
        """Read a Windows file into ``target``; return its SHA-256. ``timeout`` in seconds."""
        deadline = _deadline(timeout)
        start = target.tell()
        if self._powershell_mode == "agent":
            try:
                return self._transfer(
                    _POWERSHELL, lambda: _empty(target, start), lambda agent: download(agent, path, target, deadline)
                )
            except AgentUnavailable as error:
                self._fall_back(error)
        return download_from_windows(partial(self.powershell, timeout=timeout), self._texts.read_chunk, path, target)

    def _fall_back(self, error: AgentUnavailable) -> None:
        self._powershell_mode = "process"
        self._warn(f"{error}. Going on with one PowerShell process a command, which is slower")

    # The distros

    def sh(
        self,
        distro: str,
        user: str,
        command: str,
        *,
        stdin: str | bytes | None = None,
        timeout: float | None = None,
        read_only: bool = False,
        on_live: Callable[[Live], None] | None = None,
    ) -> Result:
        """Run a POSIX shell command in a distro as one of its users.

        Raises DistroMissing when wsl.exe cannot get there.
        """
        words = (
            encode_field(command),
            encode_field(stdin),
            "-" if timeout is None else f"{timeout:g}",
            "1" if on_live else "0",
        )
        return self._request(_distro_key(distro, user), "run", words, timeout, read_only, on_live)

    def upload_to_distro(
        self, distro: str, user: str, source: IO[bytes], path: str, mode: str = "", *, timeout: float | None = None
    ) -> bool:
        """Write a file in a distro as one of its users; False when it already had this content."""
        deadline = _deadline(timeout)
        start = source.tell()
        return self._transfer(
            _distro_key(distro, user),
            lambda: _rewind(source, start),
            lambda agent: upload(agent, source, path, self.settings.piece_bytes, mode, deadline),
        )

    def download_from_distro(
        self, distro: str, user: str, path: str, target: IO[bytes], *, timeout: float | None = None
    ) -> str:
        """Read a file of a distro into ``target`` as one of its users; return its SHA-256."""
        deadline = _deadline(timeout)
        start = target.tell()
        return self._transfer(
            _distro_key(distro, user),
            lambda: _empty(target, start),
            lambda agent: download(agent, path, target, deadline),
        )

    # Agents

    def _request(
        self,
        key: str,
        verb: str,
        words: tuple[str, ...],
        timeout: float | None,
        read_only: bool,
        on_live: Callable[[Live], None] | None,
    ) -> Result:
        size = sum(len(word) for word in words)
        if size > LARGEST_REQUEST_BYTES:
            raise TransferFailed(
                f"the command and its input are {size:,} bytes long, more than the {LARGEST_REQUEST_BYTES:,} that "
                "go in one request: put the text in a file and run that"
            )
        with self._lock_of(key):
            for attempt in range(1, _STARTS + 1):
                agent = self._agent(key)
                try:
                    end = agent.request(verb, *words, timeout=timeout, read_only=read_only, on_live=on_live)
                    return Result(end.code & 0xFFFFFFFF, end.stdout, end.stderr, end.timed_out)
                except AgentGone:
                    self._drop(key)
                    if attempt == _STARTS:
                        raise
                except BaseException:
                    self._abandon(key)
                    raise
                finally:
                    self._leave_if_single(key)
        raise ShellLost("unreachable")

    def _transfer(self, key: str, restart: Callable[[], None], work: Callable[[Agent], T]) -> T:
        with self._lock_of(key):
            for attempt in range(1, _STARTS + 1):
                agent = self._agent(key)
                try:
                    return work(agent)
                except (AgentGone, OutcomeUnknown):
                    # A file can be sent or read again from the start: it is checked as a whole.
                    self._abandon(key)
                    if attempt == _STARTS:
                        raise
                    restart()
                except BaseException:
                    self._abandon(key)
                    raise
                finally:
                    self._leave_if_single(key)
        raise ShellLost("unreachable")

    def _leave_if_single(self, key: str) -> None:
        """In process mode no agent outlives its command."""
        agent = self._agents.get(key)
        if self.settings.mode == "process" and agent is not None:
            del self._agents[key]
            agent.close()

    def _agent(self, key: str) -> Agent:
        self._holding.see_to_it()
        agent = self._agents.get(key)
        if agent is not None and agent.alive:
            return agent
        if key != _POWERSHELL:
            return persistently(lambda: self._start_agent(key))
        with self._holding.postponed():
            agent = persistently(lambda: self._start_agent(key))
        self._holding.see_to_it()
        return agent

    def _start_agent(self, key: str) -> Agent:
        reader = Connection(self.settings)
        agent = Agent(self._shell, self._kind(key), self.settings.place, reader, self.settings.duplex)
        try:
            agent.start()
        except ShellLost as error:
            # The next start finds out whether it was the shell or only the command, and opens another if need be.
            raise ConnectionLost(str(error)) from error
        except AgentEnded as error:
            if key == _POWERSHELL:
                raise AgentUnavailable(f"{error}: {error.output.decode(errors='replace').strip()[-300:]}") from error
            if error.exit_code == NO_ROOM:
                said = error.output.decode(errors="replace").strip()[-300:]
                raise AgentUnavailable(f"nothing can run on {self.settings.place} in the distro: {said}") from error
            raise DistroMissing(wsl_complaint(key.split("\0")[0], error.output)) from error
        self._agents[key] = agent
        return agent

    def _kind(self, key: str) -> AgentKind:
        if key == _POWERSHELL:
            line = encoded_command(self._texts.loader, "-InputFormat None ")
            return AgentKind("PowerShell", line, self._texts.agent)
        distro, user = key.split("\0")
        return AgentKind(f"sh ({distro}, {user})", _wsl_line(distro, user, SH_LOADER), _SH_AGENT)

    def _drop(self, key: str) -> None:
        agent = self._agents.pop(key, None)
        if agent is not None:
            agent.leave()

    def leave_distro(self, distro: str) -> None:
        """Take it that a distro was stopped, and the agents in it with it: the next command there starts another.

        One that was sent to an agent that is about to end would be an unknown outcome.
        """
        for key in [key for key in self._agents if key.partition("\0")[0] == distro]:
            with self._lock_of(key):
                self._drop(key)

    def _abandon(self, key: str) -> None:
        """Leave an agent that may still be busy with a command nobody waits for; what it runs is ended."""
        agent = self._agents.get(key)
        if agent is None or agent.alive:
            return
        del self._agents[key]
        if agent.busy and key != _POWERSHELL:
            self._stop_in_distro(key, agent)
        agent.close()

    def _stop_in_distro(self, key: str, agent: Agent) -> None:
        """Kill what an agent runs: ending wsl.exe leaves the Linux processes (WSL#2496)."""
        folder = agent.proof.get("directory")
        if not isinstance(folder, str) or not folder:
            return
        distro, user = key.split("\0")
        command = f"p=$(cat {folder}/pid) && kill -s TERM -- -$p; sleep 1; kill -s KILL -- -$p"
        request = base64.b64encode(f"IFS=' \t\n'\nset +f\n{command}".encode()) + b"\n"
        other = Connection(self.settings)
        shell = Shell(other, SHELL_ENVIRONMENT)
        try:
            persistently(shell.open, limit=CONNECT_AGAIN_SECONDS)
            ProcessRunner(shell).run(_wsl_line(distro, user, SH_LOADER), request, 10, True, None)
        except (OSError, TimeoutError):
            return
        finally:
            shell.close()
            other.close()

    def _lock_of(self, key: str) -> threading.RLock:
        with self._lock:
            return self._locks.setdefault(key, threading.RLock())


def _distro_key(distro: str, user: str) -> str:
    check_wsl_name("wsl_distro", distro)
    check_wsl_name("wsl_user", user)
    return f"{distro}\0{user}"


def check_wsl_name(setting: Literal["wsl_distro", "wsl_user"], value: str) -> None:
    """Raise NameRefused unless a name can stand on wsl.exe's command line, which does not unquote ``-d`` and ``-u``."""
    if not WSL_NAME.match(value):
        raise NameRefused(
            f"{setting} is {value!r}: wsl.exe takes it only with letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit"
        )


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _rewind(source: IO[bytes], start: int) -> None:
    source.seek(start)


def _empty(target: IO[bytes], start: int) -> None:
    target.seek(start)
    target.truncate()


def _wsl_line(distro: str, user: str, program: str) -> str:
    return f"{WSL_EXE} -d {distro} -u {user} --cd / --exec {program}"


def wsl_complaint(distro: str, output: bytes) -> str:
    """Return a sentence with what wsl.exe said; it speaks on stdout, in UTF-16 if its version ignores WSL_UTF8."""
    text = output.decode("utf-16-le", errors="replace") if b"\0" in output else output.decode(errors="replace")
    said = " ".join(text.split())[-400:].rstrip(".")
    return (
        f"wsl.exe cannot run anything in the distro {distro!r}: {said or 'it said nothing'}. "
        "Distros belong to one Windows user: sign in over WinRM as the one who has it (wsl --list --verbose)"
    )


_open_clients: weakref.WeakSet[WinRMClient] = weakref.WeakSet()


def close_all_clients() -> None:
    """Close every client that is still open; runs at exit, so that Ctrl-C leaves no shell on a box."""
    for client in list(_open_clients):
        try:
            client.close()
        except (OSError, ValueError):
            continue


register(close_all_clients)
