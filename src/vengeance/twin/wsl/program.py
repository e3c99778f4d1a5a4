"""wsl.exe: its command line, its output and its exit codes, over the distros of a twin.

Modelled on microsoft/WSL, src/windows/common/WslClient.cpp (WslMain and what it calls) and svccomm.cpp.
What it does not know answers as an unknown option does.

>>> host = DistroHost(DistroSettings.from_environment(), state, drive_c)              # doctest: +SKIP
>>> host.clear_leftovers(); host.prepare()
>>> service = WslService(host, FileRegistrations(state / "lxss.json"))
>>> service.register(sid, "Ubuntu-24.04", r"C:\\Users\\Steam\\AppData\\Local\\wsl\\ubuntu", default_uid=1000)
>>> wsl = WslExe(service, sid_of=lambda account: sid)
>>> output = ProcessOutput()
>>> process = wsl.start("-d Ubuntu-24.04 -u root --cd / --exec /bin/sh", [], Start("wsl.exe ..."), output)
>>> process.write(b"echo here\\n"); process.close_stdin(); output.wait()
"""

from __future__ import annotations

import ntpath
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vengeance.box.pins import pinned
from vengeance.twin.distro import accounts
from vengeance.twin.distro.errors import DistroError
from vengeance.twin.distro.instance import Entry, Instance
from vengeance.twin.process import Process, ProcessOutput, Start
from vengeance.twin.wsl import messages
from vengeance.twin.wsl.arguments import consume, next_argument, split_like_program, split_windows, strip_quotes
from vengeance.twin.wsl.environment import linux_environment
from vengeance.twin.wsl.registrations import Registration
from vengeance.twin.wsl.relay import Input, Stop, relay, wide_pipe
from vengeance.twin.wsl.service import WslError, WslService
from vengeance.twin.wsl.windows_paths import in_linux, on_drive

FAILURE = 0xFFFFFFFF
_NO_SUCH_USER = 67
_NO_TERMINAL_LEFT = 87


@dataclass(frozen=True)
class WslVersions:
    """What ``--version`` shows."""

    wsl: str = f"{pinned('wsl')}.0"
    kernel: str = "6.6.87.2-1"
    windows: str = "10.0.26100.4652"


@dataclass
class _Launch:
    """The options of a command line that starts a program."""

    distro: Registration | None = None
    directory: str | None = None
    user: str | None = None
    shell: bool = True
    login: bool | None = None


class WslExe:
    """The program wsl.exe of one twin."""

    def __init__(
        self,
        service: WslService,
        *,
        sid_of: Callable[[str], str],
        versions: WslVersions | None = None,
    ) -> None:
        """``sid_of`` gives the SID of a Windows account name; LocalSystem's is S-1-5-18."""
        self.service = service
        self._sid_of = sid_of
        self.versions = versions or WslVersions()
        self._lock = threading.Lock()
        self._processes: set[WslProcess] = set()

    @property
    def registration(self) -> WslService:
        """The service that holds the registrations."""
        return self.service

    def start(self, arguments_raw: str, argv: Sequence[str], start: Start, output: ProcessOutput) -> Process:
        """Start wsl.exe.

        arguments_raw: the command line behind the program's own name, as it was given
        argv: not used; wsl.exe splits the raw text by rules of its own
        """
        process = WslProcess(self, arguments_raw.strip(" \t"), start, self._sid_of(start.user), output)
        with self._lock:
            self._processes.add(process)
        process.begin()
        return process

    def ended(self, process: WslProcess) -> None:
        """Called by a process when it has reported its exit."""
        with self._lock:
            self._processes.discard(process)

    def terminate_all(self) -> None:
        """Windows restarts: every wsl.exe is gone, and every distro loses its power."""
        with self._lock:
            processes = list(self._processes)
        for process in processes:
            process.terminate()
        self.service.power_cut()


class WslProcess:
    """One running wsl.exe."""

    def __init__(self, program: WslExe, line: str, start: Start, sid: str, output: ProcessOutput) -> None:
        self._program = program
        self._service = program.service
        self._line = line
        self._start = start
        self._sid = sid
        self._output = output
        self._input = Input()
        self._stop = Stop()
        self._stopped = False

    def begin(self) -> None:
        """Run in a thread of its own."""
        threading.Thread(target=self._main, daemon=True, name="wsl.exe").start()

    def write(self, data: bytes) -> None:
        """Bytes for standard input."""
        self._input.write(data)

    def close_stdin(self) -> None:
        """End standard input."""
        self._input.close()

    def terminate(self) -> None:
        """End wsl.exe: its pipes close. The Linux program lives on (microsoft/WSL#2496)."""
        if not self._stopped:
            self._stopped = True
            self._output.exit(1)
            self._stop.set()
            self._input.drop()

    def _print(self, text: str) -> None:
        self._output.write_stdout(messages.encode(text + "\n", self._start.environment))

    def _warn(self, text: str) -> None:
        named = {name.upper(): value for name, value in self._start.environment.items()}
        if named.get("WSL_DISABLE_WARNINGS") != "1":
            self._output.write_stderr(messages.encode(f"wsl: {text}\n", self._start.environment))

    def _main(self) -> None:
        code = FAILURE
        if next_argument(self._line) not in _WITHOUT_THE_SERVICE:
            self._service.called(self._sid, self._start.session, self._start.elevated)
        try:
            code = self._wsl_main(self._line)
        except WslError as problem:
            self._print(problem.text)
        except DistroError as problem:
            self._print(messages.with_code(str(problem), "Wsl/Service/E_FAIL"))
        finally:
            self._output.exit(code)
            self._input.drop()
            with suppress(OSError):
                os.close(self._input.read_end)
            self._stop.close()
            self._program.ended(self)

    def _wsl_main(self, line: str) -> int:
        launch = _Launch()
        first = next_argument(line)
        if len(first) == 38 and first.startswith("{") and first.endswith("}"):
            launch.distro = self._service.numbered(self._sid, first)
            line = consume(line, first)
        if next_argument(line) == "~":
            launch.directory = "~"
            line = consume(line, "~")
        while argument := next_argument(line):
            if argument in ("--", "--exec", "-e"):
                line = consume(line, argument)
                if argument != "--":
                    launch.shell, launch.login = False, False
                break
            if argument in _LAUNCH_OPTIONS:
                line = consume(line, argument)
                value = next_argument(line, quotes=argument == "--cd")
                if not value and argument != "--cd":
                    self._print(messages.value_missing(_LAUNCH_OPTIONS[argument]))
                    return FAILURE
                self._launch_option(launch, argument, value)
                line = consume(line, value)
                continue
            if argument in _COMMANDS:
                return _COMMANDS[argument](self, line)
            if argument in _COMMANDS_WITH_NAME:
                long_name, command = _COMMANDS_WITH_NAME[argument]
                value = next_argument(consume(line, argument))
                if not value:
                    self._print(messages.value_missing(long_name))
                    return FAILURE
                return command(self, value)
            if argument.startswith("-"):
                self._print(messages.invalid_argument(argument))
                return FAILURE
            break
        return self._launch(launch, line)

    def _launch_option(self, launch: _Launch, argument: str, value: str) -> None:
        if argument in ("-d", "--distribution"):
            if launch.distro is not None:
                raise WslError("The distribution name has already been set.", None)
            launch.distro = self._service.named(self._sid, value)
        elif argument == "--distribution-id":
            launch.distro = self._service.numbered(self._sid, value)
        elif argument in ("-u", "--user"):
            launch.user = value
        elif argument == "--shell-type":
            if value not in ("standard", "login", "none"):
                raise WslError(messages.INVALID_PARAMETER, "Wsl/E_INVALIDARG")
            launch.shell, launch.login = value != "none", value == "login"
        else:
            directory = strip_quotes(value)
            if not directory or not (directory[0] in "/~" or ntpath.isabs(directory)):
                raise WslError(messages.INVALID_PARAMETER, "Wsl/E_INVALIDARG")
            if directory[0] not in "/~":
                place = on_drive(self._service.host.drive_c, directory)
                if place is None or not place.is_dir():
                    raise WslError("The system cannot find the file specified. ", "Wsl/ERROR_FILE_NOT_FOUND")
            launch.directory = directory

    def _launch(self, launch: _Launch, line: str) -> int:
        words: list[str] = []
        if not launch.shell:
            words = split_like_program(line)
            if not words:
                raise WslError(messages.INVALID_PARAMETER, "Wsl/E_INVALIDARG")
        one = launch.distro or self._service.default(self._sid)
        instance = self._service.attach(self._sid, one, self._warn)
        try:
            user = self._user(instance, one, launch.user)
            if user is None:
                self._log(f"CreateProcessParseCommon:988: getpwnam({launch.user}) failed 0")
                raise WslError(messages.USER_NOT_FOUND, "Wsl/WSL_E_USER_NOT_FOUND")
            if not instance.user_session(user):
                self._warn(messages.USER_SESSION_FAILED.format(user.name))
            code = self._run(self._entry(instance, one, user, launch, line, words), instance)
            if code is None:
                return 1  # terminated; it has said so already
        finally:
            self._service.detach(self._sid, one)
        if code == _NO_SUCH_USER:
            raise WslError(messages.USER_NOT_FOUND, "Wsl/WSL_E_USER_NOT_FOUND")
        if code == _NO_TERMINAL_LEFT:
            raise WslError(messages.TTY_LIMIT, "Wsl/WSL_E_TTY_LIMIT")
        return code

    def _user(self, instance: Instance, one: Registration, name: str | None) -> accounts.LinuxUser | None:
        """The user to run as: as given, else of wsl.conf, else of the registration, else root (init.cpp)."""
        if name is not None:
            return accounts.user_named(instance.root, name)
        if instance.conf.default_user is not None:
            user = accounts.user_named(instance.root, instance.conf.default_user)
            if user is not None:
                return user
            self._log(f"CreateProcessParseCommon:1003: getpwnam({instance.conf.default_user}) failed 0")
        user = accounts.user_numbered(instance.root, one.default_uid)
        if user is None:
            self._log(f"CreateProcessParseCommon:1011: getpwuid({one.default_uid}) failed 0")
        return user or accounts.user_numbered(instance.root, 0) or accounts.ROOT

    def _log(self, text: str) -> None:
        """A line of WSL's init, which stands on the standard error among the program's own."""
        self._output.write_stderr(f"<3>WSL (10 - Relay) ERROR: {text}\n".encode())

    def _entry(
        self,
        instance: Instance,
        one: Registration,
        user: accounts.LinuxUser,
        launch: _Launch,
        line: str,
        words: list[str],
    ) -> Entry:
        drive_c = self._service.host.drive_c
        if words:
            program = words[0]
        else:
            program = user.shell or "/bin/sh"
            login = launch.login if launch.login is not None else not line
            name = "-" + program.rsplit("/", 1)[-1] if login else program
            words = [name, "-c", line] if line else [name]
        directory = launch.directory or self._start.working_directory
        if directory.startswith("~"):
            directory = user.home + directory[1:]
        elif not directory.startswith("/"):
            translated = in_linux(drive_c, directory)
            directory = translated if translated is not None and instance.conf.automount else user.home
        environment = linux_environment(
            distro=one.name,
            hostname=instance.conf.hostname or instance.around.hostname,
            user=user,
            conf=instance.conf,
            systemd=instance.systemd,
            windows=self._start.environment,
            to_linux=lambda path: in_linux(drive_c, path),
        )
        return Entry(program, words, user, directory, environment)

    def _run(self, entry: Entry, instance: Instance) -> int | None:
        """Start the program and carry its streams; its exit code, None if wsl.exe was ended before it."""
        out_read, out_write = wide_pipe()
        err_read, err_write = wide_pipe()
        try:
            process = instance.begin(entry, self._input.read_end, out_write, err_write)
        except BaseException:
            os.close(out_read)
            os.close(err_read)
            raise
        finally:
            os.close(out_write)
            os.close(err_write)
        # From here the program alone holds the reading end, so that it sees our end close and we see its.
        os.close(self._input.read_end)
        self._input.read_end = -1
        code = relay(process, out_read, err_read, self._output, self._stop)
        if code is None:
            threading.Thread(target=process.wait, daemon=True, name="orphan of wsl.exe").start()
            return None
        # A negative code: the relay itself was killed, which happens when the distro is stopped under it.
        return 1 if code < 0 else code

    def _options(
        self, line: str, known: Sequence[str], with_value: Sequence[str] = ()
    ) -> tuple[list[str], dict[str, str]]:
        """Positional arguments and options as wsl.exe's ArgumentParser takes them (CommandLine.h)."""
        words = split_windows(line)[1:]
        positional: list[str] = []
        options: dict[str, str] = {}
        while words:
            word = words.pop(0)
            if word in with_value:
                if not words:
                    raise WslError(messages.value_missing(word), "Wsl/E_INVALIDARG")
                options[word] = words.pop(0)
            elif word in known:
                options[word] = ""
            elif word.startswith("-") and word != "-":
                raise WslError(messages.invalid_argument(word), "Wsl/E_INVALIDARG")
            else:
                positional.append(word)
        return positional, options

    def list_distros(self, line: str) -> int:
        """``--list``."""
        _, given = self._options(line, ["--all", "--running", "--quiet", "-q", "--verbose", "-v", "--online", "-o"])
        quiet, verbose = bool({"-q", "--quiet"} & set(given)), bool({"-v", "--verbose"} & set(given))
        running = "--running" in given
        if {"-o", "--online"} & set(given):
            raise WslError("The twin keeps no list of distributions on the net.", "Wsl/E_NOTIMPL")
        if (quiet and verbose) or ("--all" in given and running):
            self._print(messages.USAGE)
            return FAILURE
        distros = self._service.registered(self._sid)
        default = self._service.registrations.default(self._sid)
        if verbose:
            if not distros:
                raise WslError(messages.NO_DEFAULT_DISTRO, None)
            width = max(len("NAME"), *(len(one.name) for one in distros)) + 4
            self._print(f"  {'NAME':<{width}}{'STATE':<16}VERSION")
            for one in distros:
                star = "*" if one.guid == default else " "
                state = "Running" if self._service.is_running(one) else "Stopped"
                self._print(f"{star} {one.name:<{width}}{state:<16}{one.version}")
            return 0
        if running:
            distros = [one for one in distros if self._service.is_running(one)]
            if not distros and not quiet:
                self._print(messages.NO_RUNNING_DISTRO)
                return FAILURE
        if not quiet:
            if not distros:
                raise WslError(messages.NO_DEFAULT_DISTRO, None)
            self._print(messages.LIST_HEADER)
        for one in distros:
            self._print(f"{one.name} (Default)" if one.guid == default and not quiet else one.name)
        return 0

    def status(self, line: str) -> int:
        """``--status``."""
        for one in self._service.registered(self._sid):
            if one.guid == self._service.registrations.default(self._sid):
                self._print(f"Default Distribution: {one.name}")
        self._print("Default Version: 2")
        self._print(messages.WSL1_NOT_SUPPORTED)
        return 0

    def version(self, line: str) -> int:
        """``--version``."""
        numbers = self._program.versions
        self._print(messages.versions(numbers.wsl, numbers.kernel, numbers.windows))
        return 0

    def usage(self, line: str) -> int:
        """``--help``, which fails."""
        self._print(messages.USAGE)
        return FAILURE

    def shutdown(self, line: str) -> int:
        """``--shutdown``: prints nothing."""
        _, given = self._options(line, ["--force"])
        self._service.shutdown(self._sid, force="--force" in given)
        return 0

    def terminate_distro(self, name: str) -> int:
        """``--terminate``."""
        self._service.terminate(self._sid, self._service.named(self._sid, name))
        self._print(messages.SUCCESS)
        return 0

    def set_default(self, name: str) -> int:
        """``--set-default``."""
        self._service.registrations.set_default(self._sid, self._service.named(self._sid, name).guid)
        self._print(messages.SUCCESS)
        return 0

    def unregister(self, name: str) -> int:
        """``--unregister``."""
        self._print(messages.UNREGISTERING)
        self._service.unregister(self._sid, self._service.named(self._sid, name))
        self._print(messages.SUCCESS)
        return 0

    def import_distro(self, line: str) -> int:
        """``--import NAME FOLDER FILE [--version N]``; FILE may be ``-`` for standard input."""
        positional, given = self._options(line, ["--vhd"], ["--version"])
        if len(positional) != 3:
            raise WslError(messages.INVALID_PARAMETER, "Wsl/E_INVALIDARG")
        if given.get("--version", "2") not in ("1", "2"):
            raise WslError("The version information is incorrect. ", "Wsl/ERROR_VERSION_PARSE_ERROR")
        if given.get("--version") == "1":
            raise WslError(messages.WSL1_NOT_SUPPORTED, "Wsl/Service/RegisterDistro/WSL_E_WSL1_NOT_SUPPORTED")
        name, folder_path, file_path = positional
        if file_path.lower().endswith((".vhd", ".vhdx")):
            if "--vhd" not in given:
                self._print(messages.VHD_FLAG)
                return FAILURE
            raise WslError("The twin cannot read disk images, only tarballs.", "Wsl/Service/RegisterDistro/E_NOTIMPL")
        self._service.enter(self._sid)
        drive_c, here = self._service.host.drive_c, self._start.working_directory
        base_path = ntpath.normpath(ntpath.join(here, folder_path))
        folder = on_drive(drive_c, base_path)
        if folder is None or not folder.parent.is_dir():
            raise WslError("The system cannot find the path specified. ", "Wsl/ERROR_PATH_NOT_FOUND")
        made = not folder.exists()
        folder.mkdir(exist_ok=True)
        try:
            self._print(messages.IMPORT_PROGRESS)
            if file_path == "-":
                with tempfile.NamedTemporaryFile(dir=self._service.host.folder) as copy:
                    with os.fdopen(os.dup(self._input.read_end), "rb") as stream:
                        shutil.copyfileobj(stream, copy, 1 << 20)
                    copy.flush()
                    self._service.import_tar(self._sid, name, base_path, Path(copy.name), self._warn)
            else:
                file = on_drive(drive_c, file_path, here)
                if file is None or not file.is_file():
                    raise WslError("The system cannot find the file specified. ", "Wsl/ERROR_FILE_NOT_FOUND")
                self._service.import_tar(self._sid, name, base_path, file, self._warn)
        except WslError:
            if made:
                with suppress(OSError):
                    folder.rmdir()
            raise
        self._print(messages.SUCCESS)
        return 0

    def install(self, line: str) -> int:
        """``--install``: without the feature it only sees to that, says so, and ends well (WslClient.cpp)."""
        positional, given = self._options(
            line,
            ["--no-launch", "-n", "--web-download", "--no-distribution", "--legacy", "--enable-wsl1", "--fixed-vhd"],
            ["--from-file", "-f", "--name", "--location", "-l", "--version", "--vhd-size", "-d", "--distribution"],
        )
        if {"--from-file", "-f"} & set(given):
            raise WslError("The twin has --import for files, and no --install --from-file.", "Wsl/E_NOTIMPL")
        if not self._service.platform.is_on():
            self._service.platform.switch_on()
            self._print(messages.INSTALLED_PLATFORM)
            return 0
        if "--no-distribution" in given:
            return 0
        wanted = (positional or [given.get("-d") or given.get("--distribution") or "Ubuntu"])[0]
        if any(one.name.lower() == wanted.lower() for one in self._service.registered(self._sid)):
            raise WslError(messages.NAME_EXISTS, "Wsl/InstallDistro/Service/RegisterDistro/ERROR_ALREADY_EXISTS")
        raise WslError("The twin keeps no list of distributions on the net.", "Wsl/InstallDistro/E_NOTIMPL")

    def manage(self, line: str) -> int:
        """``--manage NAME --set-default-user USER``; its other options are not in the twin."""
        positional, given = self._options(
            line, ["--allow-unsafe"], ["--set-default-user", "--move", "--set-sparse", "-s", "--resize"]
        )
        if len(positional) != 1:
            self._print(messages.USAGE)
            return FAILURE
        one = self._service.named(self._sid, positional[0])
        if list(given) != ["--set-default-user"]:
            raise WslError("The twin knows only --manage NAME --set-default-user USER.", "Wsl/E_NOTIMPL")
        instance = self._service.attach(self._sid, one, self._warn)
        try:
            root = accounts.user_numbered(instance.root, 0) or accounts.ROOT
            done = instance.run(["/usr/bin/id", "-u", "--", given["--set-default-user"]], root)
        finally:
            self._service.detach(self._sid, one)
        if done.returncode != 0:
            self._output.write_stderr(done.stderr)
            return done.returncode
        self._service.set_default_uid(self._sid, one, int(done.stdout))
        self._print(messages.SUCCESS)
        return 0


# They print and end; the service never hears of them.
_WITHOUT_THE_SERVICE = ("--help", "--version", "-v")
_LAUNCH_OPTIONS = {
    "-d": "--distribution",
    "--distribution": "--distribution",
    "--distribution-id": "--distribution-id",
    "-u": "--user",
    "--user": "--user",
    "--cd": "--cd",
    "--shell-type": "--shell-type",
}
_COMMANDS: dict[str, Callable[[WslProcess, str], int]] = {
    "-l": WslProcess.list_distros,
    "--list": WslProcess.list_distros,
    "--status": WslProcess.status,
    "-v": WslProcess.version,
    "--version": WslProcess.version,
    "--help": WslProcess.usage,
    "--shutdown": WslProcess.shutdown,
    "--import": WslProcess.import_distro,
    "--install": WslProcess.install,
    "--manage": WslProcess.manage,
}
_COMMANDS_WITH_NAME: dict[str, tuple[str, Callable[[WslProcess, str], int]]] = {
    "-t": ("--terminate", WslProcess.terminate_distro),
    "--terminate": ("--terminate", WslProcess.terminate_distro),
    "-s": ("--set-default", WslProcess.set_default),
    "--set-default": ("--set-default", WslProcess.set_default),
    "--setdefault": ("--set-default", WslProcess.set_default),
    "--unregister": ("--unregister", WslProcess.unregister),
}
