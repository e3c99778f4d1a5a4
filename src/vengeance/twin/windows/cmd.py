"""cmd.exe: runs one command line (/C). Batch files, FOR and delayed expansion are refused with a sentence."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from vengeance.twin.process import ProcessOutput
from vengeance.twin.windows import cmd_commands, errors
from vengeance.twin.windows.cmd_syntax import (
    DELIMITERS,
    LINE_LIMIT,
    Block,
    CmdSyntaxError,
    Condition,
    Joined,
    Node,
    Redirection,
    Simple,
    expand,
    parse,
    strip_outer_quotes,
)
from vengeance.twin.windows.drive import is_null_device
from vengeance.twin.windows.environment import Environment
from vengeance.twin.windows.errors import Win32Error
from vengeance.twin.windows.model import CannotStart
from vengeance.twin.windows.pipes import InputPipe, PipeClosed
from vengeance.twin.windows.program import Run, Writer

NOT_FOUND = 9009
_PROGRAM_EXTENSIONS = (".exe", ".com")


@dataclass
class Streams:
    """Where a command reads and writes."""

    stdin: InputPipe
    stdout: Writer
    stderr: Writer


class CmdExit(Exception):
    """EXIT was met."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def cmd_exe(run: Run) -> int:
    """cmd.exe with its options."""
    text = run.arguments
    strip_always = False
    while True:
        text = text.lstrip(" \t")
        match = re.match(r"/([A-Za-z?])(:\w+)?", text)
        if not match:
            break
        option = match[1].lower()
        text = text[match.end() :]
        if option in "ck":
            return _run_line(run, text, strip_always)
        if option == "s":
            strip_always = True
        elif option == "v" and (match[2] or ":on").lower() == ":on":
            run.error("The twin's cmd.exe has no delayed expansion (/V:ON).")
            return 1
        elif option == "u":
            run.error("The twin's cmd.exe has no Unicode output (/U).")
            return 1
    # Without /C it reads commands from stdin until the end, with a prompt before each.
    return _interactive(run)


def _run_line(run: Run, text: str, strip_always: bool) -> int:
    if len(text.lstrip(" ")) > LINE_LIMIT:
        run.error("The command line is too long.")
        return 1
    shell = Interpreter(run)
    line = strip_outer_quotes(text, strip_always, lambda name: shell.find(name) is not None)
    try:
        return shell.run_line(line, Streams(run.stdin, run.stdout, run.stderr))
    except CmdExit as leave:
        return leave.code


def _interactive(run: Run) -> int:
    shell = Interpreter(run)
    streams = Streams(run.stdin, run.stdout, run.stderr)
    version = cmd_commands.version_line()
    run.print(f"{version}\r\n(c) Microsoft Corporation. All rights reserved.")
    while True:
        shell.write(streams.stdout, f"\r\n{shell.cwd}>")
        raw = run.stdin.read_line()
        if not raw:
            return shell.error_level
        line = raw.decode(run.console.codec, "replace").rstrip("\r\n")
        shell.write(streams.stdout, line + "\r\n")
        try:
            shell.run_line(line, streams)
        except CmdExit as leave:
            return leave.code


class Interpreter:
    """One cmd.exe: its variables, its directory, its ERRORLEVEL."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.windows = run.windows
        self.drive = run.windows.drive
        self.environment = run.environment.copy()
        self.environment.setdefault("PROMPT", "$P$G")
        self.environment.setdefault("PATHEXT", ".COM;.EXE;.BAT;.CMD;.VBS;.VBE;.JS;.JSE;.WSF;.WSH;.MSC")
        self.cwd = run.cwd
        self.error_level = 0
        self.stack: list[str] = []

    # --- text ---

    def write(self, write: Writer, text: str) -> None:
        """Print text as it is, in the console's code page."""
        write(text.encode(self.run.console.codec, "replace"))

    def fail(self, streams: Streams, text: str, code: int = 1) -> int:
        """Print an error line and return its code, which becomes the ERRORLEVEL."""
        self.write(streams.stderr, text + "\r\n")
        self.error_level = code
        return code

    def lookup(self, name: str) -> str | None:
        """A variable, the ones that cmd.exe makes up included."""
        known = self.environment.get(name)
        if known is not None:
            return known
        now = datetime.now()
        made_up: dict[str, Callable[[], str]] = {
            "CD": lambda: self.cwd,
            "DATE": lambda: now.strftime("%a %m/%d/%Y"),
            "TIME": lambda: f"{now.hour:2d}:{now:%M:%S}.{now.microsecond // 10000:02d}",
            "RANDOM": lambda: str(random.randrange(32768)),  # noqa: S311
            "ERRORLEVEL": lambda: str(_signed(self.error_level)),
            "CMDEXTVERSION": lambda: "2",
            "CMDCMDLINE": lambda: f"{self.run.image}{self.run.arguments}",
        }
        value = made_up.get(name.upper())
        return value() if value is not None else None

    # --- running ---

    def run_line(self, line: str, streams: Streams) -> int:
        """Run one command line; returns the code of its last command."""
        line = expand(line, self.lookup)
        if len(line.lstrip(" ")) > LINE_LIMIT:
            return self.fail(streams, "The input line is too long.")
        try:
            node = parse(line)
        except CmdSyntaxError as error:
            return self.fail(streams, str(error))
        if node is None:
            return 0
        code = self.execute(node, streams)
        # cmd /C says 1 for a program that it did not find, where a batch file would see 9009.
        return 1 if code == NOT_FOUND else code

    def execute(self, node: Node, streams: Streams) -> int:
        """Run a command; its code decides what && and || do."""
        self.run.job.check()
        if isinstance(node, Joined):
            return self._joined(node, streams)
        if isinstance(node, Condition):
            if self._holds(node) != node.negated:
                return self.execute(node.then, streams)
            return self.execute(node.otherwise, streams) if node.otherwise is not None else 0
        try:
            with self._redirected(node.redirections, streams) as inner:
                if isinstance(node, Block):
                    return self.execute(node.body, inner) if node.body is not None else 0
                return self._simple(node, inner)
        except Win32Error as error:
            return self.fail(streams, error.system)

    def _joined(self, node: Joined, streams: Streams) -> int:
        if node.operator == "|":
            return self._pipe(node, streams)
        code = self.execute(node.left, streams)
        if node.operator == "&&" and code:
            return code
        if node.operator == "||" and not code:
            return code
        return self.execute(node.right, streams)

    def _pipe(self, node: Joined, streams: Streams) -> int:
        # Each side is a cmd.exe of its own: what it sets is gone with it.
        pipe = InputPipe()
        release = self.run.job.on_stop(pipe.abandon)
        left, right = self.child(), self.child()
        failure: list[BaseException] = []

        def feed() -> None:
            try:
                left.execute(node.left, replace(streams, stdout=pipe.write))
            except (CmdExit, PipeClosed):
                pass
            except BaseException as error:
                failure.append(error)
            finally:
                pipe.close()

        thread = threading.Thread(target=feed, daemon=True)
        thread.start()
        try:
            code = right.execute(node.right, replace(streams, stdin=pipe))
        except CmdExit as leave:
            code = leave.code
        finally:
            pipe.abandon()
            release()
        thread.join()
        if failure:
            raise failure[0]
        self.error_level = code
        return code

    def child(self) -> Interpreter:
        """A cmd.exe with what this one has now."""
        other = Interpreter(replace(self.run, environment=self.environment.copy(), cwd=self.cwd))
        other.error_level = self.error_level
        return other

    @contextmanager
    def _redirected(self, redirections: list[Redirection], streams: Streams) -> Iterator[Streams]:
        inner = replace(streams)
        with ExitStack() as files:
            for redirection in redirections:
                if redirection.to_handle:
                    source = {"1": inner.stdout, "2": inner.stderr}.get(redirection.target)
                    if source is not None and redirection.handle in (1, 2):
                        _set_output(inner, redirection.handle, source)
                elif redirection.mode == "<":
                    inner.stdin = self._file_input(redirection.target, files)
                else:
                    _set_output(inner, redirection.handle, self._file_output(redirection, files))
            yield inner

    def _file_input(self, name: str, files: ExitStack) -> InputPipe:
        pipe = InputPipe()
        if not is_null_device(name):
            # A file may be larger than a pipe: it is fed in by a thread, and dropped when the command ends first.
            file = files.enter_context(self.drive.open_to_read(name, self.cwd))

            def feed() -> None:
                try:
                    while data := file.read(1 << 16):
                        pipe.write(data)
                except PipeClosed:
                    pass
                finally:
                    pipe.close()

            thread = threading.Thread(target=feed, daemon=True)
            thread.start()
            files.callback(thread.join)
            files.callback(pipe.abandon)
            files.callback(self.run.job.on_stop(pipe.abandon))
        else:
            pipe.close()
        return pipe

    def _file_output(self, redirection: Redirection, files: ExitStack) -> Writer:
        if is_null_device(redirection.target):
            return lambda data: self.run.job.check()
        file = self.drive.open_to_write(redirection.target, self.cwd, append=redirection.mode == ">>")
        files.enter_context(file)

        def write(data: bytes) -> None:
            self.run.job.check()
            file.write(data)

        return write

    def _holds(self, node: Condition) -> bool:
        kind, *words = node.words
        if kind == "exist":
            name = words[0].strip('"')
            return is_null_device(name) or bool(cmd_commands.matching(self, name))
        if kind == "defined":
            return self.lookup(words[0]) is not None
        if kind == "errorlevel":
            return _signed(self.error_level) >= int(words[0] or 0)
        left, right = (word.lower() for word in words) if node.ignore_case else words
        if kind == "==":
            return left == right
        order: tuple[int, int] | tuple[str, str] = (left, right)
        if re.fullmatch(r"-?\d+", left) and re.fullmatch(r"-?\d+", right):
            order = (int(left), int(right))
        comparison = (order[0] > order[1]) - (order[0] < order[1])  # type: ignore[operator]
        return {
            "equ": comparison == 0,
            "neq": comparison != 0,
            "lss": comparison < 0,
            "leq": comparison <= 0,
            "gtr": comparison > 0,
            "geq": comparison >= 0,
        }[kind]

    def _simple(self, node: Simple, streams: Streams) -> int:
        text = node.text.lstrip(DELIMITERS)
        if not text:
            return 0
        name, arguments = split_command(text)
        internal = cmd_commands.INTERNAL.get(name.lower())
        if internal is not None:
            try:
                return internal(self, arguments, streams)
            except Win32Error as error:
                return self.fail(streams, error.system)
        if name.lower() in cmd_commands.NOT_MODELLED:
            return self.fail(streams, f"The twin's cmd.exe does not model the command {name.upper()}.")
        return self.start(name, arguments, streams)

    def find(self, name: str) -> str | None:
        """Full path of the program that a word means."""
        bare = name.replace('"', "")
        return self.windows.find_program(bare, self.cwd, self.environment) if bare.strip() else None

    def start(self, name: str, arguments: str, streams: Streams) -> int:
        """Run a program and wait for it."""
        image = self.find(name)
        if image is None:
            return self._not_found(name, streams)
        if not image.lower().endswith(_PROGRAM_EXTENSIONS):
            return self.fail(streams, f"The twin runs no scripts: {image} would need an interpreter.")
        run = replace(
            self.run,
            image=image,
            arguments=arguments,
            environment=Environment(self.environment),
            cwd=self.cwd,
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
        )
        try:
            code = self.windows.execute(run)
        except CannotStart as error:
            return self.fail(streams, str(error))
        except Win32Error as error:
            return self.fail(streams, error.system)
        self.error_level = code
        return code

    def _not_found(self, name: str, streams: Streams) -> int:
        bare = name.replace('"', "")
        if any(sign in bare for sign in "\\:"):
            folder = bare.rpartition("\\")[0] or "."
            try:
                known = self.drive.is_directory(folder, self.cwd)
            except Win32Error:
                known = False
            if not known:
                return self.fail(streams, errors.Win32Error(errors.PATH_NOT_FOUND).system)
        self.write(
            streams.stderr,
            f"'{name}' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n",
        )
        self.error_level = NOT_FOUND
        return NOT_FOUND

    def background(self, name: str, arguments: str, streams: Streams) -> int:
        """Run a program without waiting; it lives until it ends by itself or its WinRM command is killed."""
        image = self.find(name)
        if image is None:
            return self.fail(streams, f"The system cannot find the file {name}.", NOT_FOUND)
        stdin = InputPipe()
        stdin.close()
        job = self.run.job
        job.leave_behind(1)
        self.run.console.hold_nothing()

        class Ends(ProcessOutput):
            def exit(self, code: int) -> None:
                if self.exit_code is None:
                    job.leave_behind(-1)
                super().exit(code)

        self.windows.spawn(
            self.run,
            Ends(),
            image=image,
            arguments=arguments,
            environment=self.environment.copy(),
            cwd=self.cwd,
            stdin=stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
        )
        return 0


def _set_output(streams: Streams, handle: int, write: Writer) -> None:
    if handle == 1:
        streams.stdout = write
    elif handle == 2:
        streams.stderr = write


def _signed(code: int) -> int:
    return code - (1 << 32) if code >= 1 << 31 else code


def split_command(text: str) -> tuple[str, str]:
    """The command's name and the raw rest; an internal command may be followed by its first argument at once."""
    match = re.match(r"[A-Za-z]+", text)
    if match:
        word = match[0]
        following = text[match.end() : match.end() + 1]
        known = word.lower() in cmd_commands.INTERNAL or word.lower() in cmd_commands.NOT_MODELLED
        glued = ":/\\+([]" + ("." if word.lower() in ("echo", "cd", "chdir", "dir", "md", "rd") else "")
        if known and (not following or following in DELIMITERS + '"' + glued):
            return word, text[match.end() :]
    quoted = False
    for index, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif not quoted and (char in DELIMITERS or (char == "/" and index > 0)):
            return text[:index], text[index:]
    return text, ""
