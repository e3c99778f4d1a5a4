"""The Windows of a twin: starts programs for the WinRM server, keeps the list of what runs, and restarts."""

from __future__ import annotations

import itertools
import os
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from vengeance.powershell.windows import WsmanQuota
from vengeance.twin.clock import Clock
from vengeance.twin.deeds import Deeds
from vengeance.twin.process import Process, ProcessOutput, Start
from vengeance.twin.windows.arguments import split_program
from vengeance.twin.windows.environment import Environment, block
from vengeance.twin.windows.errors import Win32Error
from vengeance.twin.windows.event_log import FILE, EventLog
from vengeance.twin.windows.pipes import ForwardingOutput, InputPipe, Job, Killed, Outlet
from vengeance.twin.windows.program import CMD, INBOX_WSL, SYSTEM32, WSL, Console, Program, Run, Writer
from vengeance.twin.windows.registry import LXSS
from vengeance.twin.windows.sessions import SERVICES, Sessions
from vengeance.twin.windows.state import RunningProcess, State, to_text

if TYPE_CHECKING:
    from vengeance.twin.ollama.part import Ollama
    from vengeance.twin.windows.features import Features
    from vengeance.twin.windows.firewall import Firewall
    from vengeance.twin.windows.games import Games
    from vengeance.twin.windows.gpu import Gpu
    from vengeance.twin.windows.installers import Installers
    from vengeance.twin.windows.localhost_relay import LocalhostRelay
    from vengeance.twin.windows.machine import Machine
    from vengeance.twin.windows.network import Network
    from vengeance.twin.windows.ownership import Ownership
    from vengeance.twin.windows.passwords import Passwords
    from vengeance.twin.windows.port_proxy import PortProxies
    from vengeance.twin.windows.port_ranges import PortRanges
    from vengeance.twin.windows.run_lock import RunLock
    from vengeance.twin.windows.services import Services
    from vengeance.twin.windows.tailscale import Tailscale
    from vengeance.twin.windows.task_scheduler import TaskScheduler
    from vengeance.twin.windows.web import Web
    from vengeance.twin.windows.works import Running
    from vengeance.twin.windows.wsl import WslOnWindows

# What Windows gives to a process that was ended by TerminateProcess(handle, 1), as taskkill and WinRM do.
KILLED = 1
# A fault in the twin's own code looks like a crashed program: STATUS_FATAL_APP_EXIT.
CRASHED = 0x40000015
_SOONEST_SHUTDOWN = 0.5


class LinuxSide(Protocol):
    """wsl.exe, as the Windows model starts it."""

    def start(self, arguments_raw: str, argv: list[str], start: Start, output: ProcessOutput) -> Process:
        """Run ``wsl.exe`` with these arguments."""

    def terminate_all(self) -> None:
        """Stop every instance at once, as a restart of Windows does."""


class CannotStart(Exception):
    """CreateProcess fails for a program that is there."""


def _default_quota() -> WsmanQuota:
    return {
        "max_envelope_kb": 500,
        "max_timeout_ms": 60_000,
        "max_shells_per_user": 30,
        "max_processes_per_shell": 25,
        "max_memory_per_shell_mb": 1024,
        "idle_timeout_ms": 7_200_000,
    }


def _guarded(job: Job, write: Writer) -> Writer:
    """A writer that ends who writes once the job is over."""

    def guarded_write(data: bytes) -> None:
        job.check()
        if data:
            write(data)

    return guarded_write


class Child:
    """A program that runs in a thread of its own; this is what the WinRM server holds."""

    def __init__(self, windows: Windows, run: Run, output: ProcessOutput, finish: Callable[[int], None]) -> None:
        self.run = run
        self.job = run.job
        self.output = output
        self._windows = windows
        self._finish = finish
        self._release = self.job.on_stop(self._stopped)
        self._thread = threading.Thread(target=self._body, name=run.image, daemon=True)
        self._thread.start()

    def _body(self) -> None:
        code = KILLED
        try:
            code = self._windows.execute(self.run)
        except Killed:
            pass
        except Exception:
            self._windows.log(f"{self.run.image} {self.run.arguments[:200]}\n{traceback.format_exc()}")
            code = CRASHED
        finally:
            self.run.stdin.abandon()
            self._release()
            self._finish(code)

    def _stopped(self) -> None:
        self.run.stdin.abandon()
        self.output.exit(KILLED)

    def write(self, data: bytes) -> None:
        """Give it bytes on its standard input; waits a while when it does not read."""
        try:
            self.run.stdin.write(data, timeout=20.0)
        except Killed:
            return

    def close_stdin(self) -> None:
        """End its standard input."""
        self.run.stdin.close()

    def terminate(self) -> None:
        """Kill it with all that it has started."""
        self.job.stop()

    def wait(self, timeout: float | None) -> bool:
        """Wait for its end, at most so many seconds; whether it has ended."""
        return self.output.wait(timeout) is not None


class Windows:
    """The programs and what they work on.

    state: registry, drive, accounts
    quota: the limits that WinRM sets
    linux: wsl.exe, None when the twin runs without a distro
    restart: called by shutdown.exe once its time has come; True to start again, False to stay off
    log: where a fault of the twin's own is written
    clock: the twin's time; events: what Windows notes about each command

    deeds: what was changed, counted
    at_boot, at_shutdown: called when Windows has started, and before everything ends
    at_process_end: called with the id of a process that has ended or is being killed, perhaps twice
    features: what of Windows is switched on; services: what the service control manager knows
    machine: processor, memory and disk under it; ownership: whose files are whose
    network: who listens on which of the box's addresses; firewall: who gets in
    port_ranges: ports kept from programs; port_proxies: what IP Helper forwards; localhost_relay: what WSL does
    tailscale: whether the box is in the tailnet, and what it serves there
    gpu: the card and who has its memory; games: what a person starts that takes it
    ollama: what the twin knows of Ollama
    works: which long works run; run_lock: which run has the box to itself
    web: the web servers that its programs find; installers: what goes wrong with the next ones
    passwords: whether one is right; tasks: what Task Scheduler starts and ends
    """

    features: Features
    machine: Machine
    ownership: Ownership
    network: Network
    firewall: Firewall
    port_ranges: PortRanges
    port_proxies: PortProxies
    tailscale: Tailscale
    localhost_relay: LocalhostRelay
    gpu: Gpu
    games: Games
    ollama: Ollama
    passwords: Passwords
    services: Services
    tasks: TaskScheduler
    wsl: WslOnWindows
    works: Running
    run_lock: RunLock
    web: Web
    installers: Installers

    def __init__(
        self,
        state: State,
        quota: Callable[[], WsmanQuota] = _default_quota,
        linux: LinuxSide | None = None,
        restart: Callable[[bool], None] = lambda again: None,
        log: Callable[[str], None] = lambda text: None,
        clock: Clock | None = None,
    ) -> None:
        from vengeance.twin.windows.parts import add_parts
        from vengeance.twin.windows.programs import programs

        self.state = state
        self.drive = state.drive
        self.registry = state.registry
        self.quota = quota
        self.linux = linux
        self.restart = restart
        self.log = log
        self.clock = clock or Clock(log)
        self.events = EventLog(state.folder / FILE, self.clock.now)
        self.sessions = Sessions(self._end_session)
        self.at_boot: list[Callable[[], None]] = []
        self.at_shutdown: list[Callable[[], None]] = []
        self.at_process_end: list[Callable[[int], None]] = []
        self.process_starts: Counter[str] = Counter()
        self.deeds = Deeds()
        # As AppLocker does with csc.exe: PowerShell itself runs, Add-Type does not.
        self.add_type_blocked = False
        self._programs = programs()
        self._pids = itertools.count(1000 + os.getpid() % 500)
        self._jobs: dict[int, Job] = {}
        self._lock = threading.Lock()
        self._shutdown: threading.Timer | None = None
        # Windows restarts or goes off: nothing can be scheduled or taken back any more.
        self.going_down = False
        self._install_programs()
        add_parts(self)

    def _install_programs(self) -> None:
        has_wsl = bool(self.registry.text(f"HKLM\\{LXSS}\\MSI", "InstallLocation"))
        for image in self._programs:
            if "\\" in image and (image != WSL or has_wsl):
                self.place_program(image)

    def place_program(self, image: str) -> None:
        """Put the file of a program where it belongs, if it is not there; its model is known by its path or name."""
        host = self.drive.folder / image[3:].replace("\\", "/")
        if not host.exists():
            host.parent.mkdir(parents=True, exist_ok=True)
            host.write_bytes(b"MZ This stands for a program of Windows, which the twin models.\r\n")

    def add_program(self, image: str, program: Program) -> None:
        """Say what runs when a program is started.

        image: its full path, or only its name where it can lie in any folder, as ``ollama.exe``
        """
        self._programs[image] = program

    # --- starting ---

    def shell_environment(self, user: str, variables: dict[str, str]) -> dict[str, str]:
        """The variables of a WinRS shell that is opened now: the registry's, then those that came with it."""
        environment = block(self.state, user)
        environment.update(variables)
        return dict(environment)

    def start(self, start: Start, output: ProcessOutput) -> Process:
        """Run a WinRS command line through cmd.exe.

        A ``start.environment`` without SystemRoot holds only what the client gave, and is laid over the registry's.
        NotADirectoryError when the working directory is none.
        """
        user = self.state.account(start.user)
        environment = Environment(start.environment)
        if "SystemRoot" not in environment:
            environment = Environment(self.shell_environment(user, start.environment))
        cwd = environment.expand(start.working_directory) or f"C:\\Users\\{user}"
        if not self.drive.is_directory(cwd, f"C:\\Users\\{user}"):
            raise NotADirectoryError(f"{cwd} is no directory on the twin's Windows.")
        job = Job()
        outlet = Outlet(output)
        run = Run(
            windows=self,
            job=job,
            image=CMD,
            arguments=" /C " + start.command_line,
            environment=environment,
            cwd=self.drive.shown(cwd, f"C:\\Users\\{user}"),
            user=user,
            stdin=InputPipe(),
            stdout=_guarded(job, lambda data: outlet.write("stdout", data)),
            stderr=_guarded(job, lambda data: outlet.write("stderr", data)),
            console=Console(start.codepage, start.console_mode_stdin, outlet.hold_nothing),
        )
        return Child(self, run, output, outlet.finish)

    def spawn(self, parent: Run, output: ProcessOutput, **changes: object) -> Child:
        """Run a program beside its parent, as part of its job; ``changes`` are fields of Run."""
        job = Job()
        release = parent.job.on_stop(job.stop)
        changes.setdefault("stdout", _guarded(job, output.write_stdout))
        changes.setdefault("stderr", _guarded(job, output.write_stderr))
        changes.setdefault("environment", parent.environment.copy())
        run = replace(parent, job=job, **changes)  # type: ignore[arg-type]
        child = Child(self, run, output, output.exit)
        job.on_stop(release)
        return child

    def launch(
        self,
        command_line: str,
        *,
        user: str,
        session: int = SERVICES,
        elevated: bool = True,
        environment: Environment | None = None,
        cwd: str = SYSTEM32,
        parent: int = 0,
        priority: str = "normal",
        output: Writer = lambda data: None,
        on_exit: Callable[[int], None] = lambda code: None,
    ) -> Child:
        """Start a program that belongs to no WinRM shell, as the task scheduler, WMI and Explorer do.

        command_line: program, in quotes where it has blanks, and its arguments
        environment: None takes what the registry has for the user now
        parent: process id; on_exit: called with the exit code, in the program's own thread
        output: takes what it prints, on either stream
        Raises CannotStart when there is no such program or it cannot run.
        """
        user = self.state.account(user)
        environment = environment if environment is not None else block(self.state, user)
        found = self.resolve(command_line, cwd, environment)
        if found is None:
            raise CannotStart("The system cannot find the file specified.")
        image, arguments = found
        self.program(image)
        ended = ForwardingOutput(lambda data: None, lambda data: None)
        job = Job()
        run = Run(
            windows=self,
            job=job,
            image=image,
            arguments=arguments,
            environment=environment,
            cwd=cwd,
            user=user,
            stdin=InputPipe(),
            stdout=_guarded(job, output),
            stderr=_guarded(job, output),
            console=Console(),
            pid=parent,
            session=session,
            elevated=elevated,
            priority=priority,
        )
        run.stdin.close()

        def finish(code: int) -> None:
            ended.exit(code)
            on_exit(code)

        return Child(self, run, ended, finish)

    def execute(self, run: Run) -> int:
        """Run a program in this thread; returns its exit code, 0 to 4294967295.

        CannotStart when Windows would not start it.
        """
        program = self.program(run.image)
        run.job.check()
        with self._lock:
            # A run is copied from the one that starts it, so it still bears its parent's number.
            parent, run.pid = run.pid, next(self._pids) * 4
            self._jobs[run.pid] = run.job
            name = run.image.rpartition("\\")[2].lower()
            self.process_starts[name] += 1
        shown = (f'"{run.image}"' if " " in run.image else run.image) + run.arguments
        self.events.process_created(run.pid, parent, run.image, shown, run.user)
        self.state.process_started(
            RunningProcess(
                pid=run.pid,
                parent=parent,
                image=run.image,
                command_line=shown,
                user=run.user,
                started=to_text(self.clock.now()),
                environment=dict(run.environment),
                session=run.session,
                elevated=run.elevated,
                priority=run.priority,
            )
        )
        pid = run.pid
        release = run.job.on_stop(lambda: self._process_ended(pid))
        try:
            return program(run) & 0xFFFFFFFF
        finally:
            release()
            with self._lock:
                self._jobs.pop(pid, None)
            self.state.process_ended(pid)
            self._process_ended(pid)
            if run.job.orphaned:
                run.job.stop()

    def _process_ended(self, pid: int) -> None:
        for deed in list(self.at_process_end):
            deed(pid)

    def program(self, image: str) -> Program:
        """The model of a program; CannotStart, with what CreateProcess answers, when it cannot run."""
        from vengeance.twin.windows.installers import program_of

        if image.lower() == INBOX_WSL.lower() and self.wsl.version is not None:
            # It looks for the package by an app execution alias, which session 0 cannot open (error 1920).
            raise CannotStart("The file cannot be accessed by the system.")
        installer = program_of(self, image)
        if installer is not None:
            return installer
        name = image.rpartition("\\")[2].lower()
        for known, program in self._programs.items():
            if known.lower() in (image.lower(), name):
                return program
        raise CannotStart(f"The twin has no model of the program {image}.")

    def find_program(self, name: str, cwd: str, environment: Environment) -> str | None:
        """Full path of the program that a name means, None when there is none.

        A name with a folder in it is looked for there only, any other in the current directory and along PATH;
        each with the extensions of PATHEXT unless it has one.
        """
        extensions = [e for e in environment.get("PATHEXT", ".COM;.EXE;.BAT;.CMD").split(";") if e]
        has_folder = any(sign in name for sign in "\\/:")
        folders = [cwd] if has_folder else [cwd, *environment.get("PATH", "").split(";")]
        tail = name.replace("/", "\\").rpartition("\\")[2]
        dotted = tail.rpartition(".")[1] == "."
        for folder in folders:
            folder = folder.strip().strip('"')
            if not folder:
                continue
            for candidate in ([name] if dotted else []) + [name + extension for extension in extensions]:
                try:
                    if self.drive.is_file(candidate, self.drive.absolute(folder, cwd)):
                        return self.drive.shown(candidate, self.drive.absolute(folder, cwd))
                except Win32Error:
                    break
        return None

    def resolve(self, line: str, cwd: str, environment: Environment) -> tuple[str, str] | None:
        """Program and raw arguments of a whole command line, None when the program is not found."""
        name, rest = split_program(line)
        image = self.find_program(name, cwd, environment) if name else None
        return None if image is None else (image, rest)

    # --- ending ---

    def kill(self, pid: int) -> bool:
        """End a process with its children; False when there is none of that number."""
        with self._lock:
            job = self._jobs.get(pid)
        if job is None:
            return False
        job.stop()
        return True

    def kill_tree(self, pid: int) -> None:
        """End a process and all that it has started, also what does not belong to its job."""
        tree = [pid]
        for one in tree:
            tree += [p.pid for p in list(self.state.processes.values()) if p.parent == one and p.pid not in tree]
        for one in tree:
            self.kill(one)

    def end_alone(self, child: Child) -> None:
        """End one process and leave what it has started, as TerminateProcess does."""
        pid = child.run.pid
        processes = list(self.state.processes.values())
        if pid not in self.state.processes or not any(process.parent == pid for process in processes):
            child.terminate()
            return
        # Its thread waits for what it has started, so that goes on without being a process any more.
        child.job.orphaned = True
        child.output.exit(KILLED)
        with self._lock:
            self._jobs.pop(pid, None)
        self.state.process_ended(pid)
        self._process_ended(pid)

    def is_ending(self, pid: int) -> bool:
        """Whether a process is being ended, and with it all that belongs to its job."""
        with self._lock:
            job = self._jobs.get(pid)
        return job is not None and job.stopped

    def _end_session(self, session: int) -> None:
        for process in list(self.state.processes.values()):
            if process.session == session:
                self.kill(process.pid)

    def boot(self) -> None:
        """Windows has started: what starts with it starts."""
        self.going_down = False
        for deed in list(self.at_boot):
            deed()

    def stop_all(self) -> None:
        """End everything, the Linux side too, as a restart does."""
        self.cancel_shutdown()
        for deed in list(self.at_shutdown):
            deed()
        self.sessions.forget()
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.stop()
        if self.linux is not None:
            self.linux.terminate_all()

    def schedule_shutdown(self, seconds: float, again: bool) -> bool:
        """Restart (or switch off) in so many seconds; False when one is scheduled already."""
        with self._lock:
            if self._shutdown is not None:
                return False
            # Even "now" takes Windows a moment, in which the one who asked for it gets his answer.
            self._shutdown = threading.Timer(max(seconds, _SOONEST_SHUTDOWN), self._shut_down, (again,))
            self._shutdown.daemon = True
            self._shutdown.start()
            return True

    def cancel_shutdown(self) -> bool:
        """Take back a scheduled restart; False when there is none."""
        with self._lock:
            timer, self._shutdown = self._shutdown, None
        if timer is None:
            return False
        timer.cancel()
        return True

    def _shut_down(self, again: bool) -> None:
        with self._lock:
            if self._shutdown is None:
                return
            self._shutdown = None
            self.going_down = True
        self.restart(again)
